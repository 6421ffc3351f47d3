"""Regularisers of `fast` as gradients that are added where they apply, for a window of cells each step."""

import jax

from neurend.models.nerf.fast_config import FastConfig
from neurend.scenes.voxels import Voxels
from neurend.typing import Array, Key, PyTree

# Each step smooths one in this many cells, with as much more weight.
_SHARE = 32


def add(config: FastConfig, key: Key, gradients: PyTree, params: PyTree, voxels: Voxels) -> PyTree:
    """Adds the gradients of the penalties of `FastConfig` to those of the loss."""
    result = {}
    for name, corners in (('density', voxels.fine), ('color', voxels.fine), ('view', voxels.coarse)):
        strength = getattr(config, f'smooth_{name}')
        result[name] = _smooth(key, gradients[name], params[name], corners, strength) if strength else gradients[name]
    if config.shrink_view:
        result['view'] = result['view'] + config.shrink_view * params['view']
    return result


def _smooth(key: Key, gradient: Array, table: Array, corners: Array, strength: float) -> Array:
    """Half the squared distance of a cell's corners from their mean, over a window of cells."""
    window = max(corners.shape[0] // _SHARE, 1)
    first = jax.random.randint(key, (), 0, corners.shape[0] - window + 1)
    rows = jax.lax.dynamic_slice_in_dim(corners, first, window)
    values = [table.at[rows[:, k]].get(mode='promise_in_bounds') for k in range(8)]
    mean = sum(values[1:], values[0]) / 8
    for k in range(8):
        difference = _SHARE * strength * (values[k] - mean)
        gradient = gradient.at[rows[:, k]].add(difference, mode='promise_in_bounds')
    return gradient
