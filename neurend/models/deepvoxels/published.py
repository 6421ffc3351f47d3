"""Weights and volume from checkpoints of the authors' PyTorch code (Sitzmann et al., 2019).

`neurend.images.statedict.read` reads the file, of which 'model' is used: the discriminator draws nothing. Arrays there
are indexed by z first, here by x.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.checks import InputError
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from neurend.models.method import Method
from neurend.models.state import State
from neurend.typing import Key, PyTree

_EPSILON = 1e-5  # of batch norms
# Axes of kernels *size in out in PyTorch's (out, in, *size), or *size out in in its (in, out, *size).
_PICTURE, _VOLUME, _CAMERA_VOLUME = (2, 3, 1, 0), (4, 3, 2, 1, 0), (3, 4, 2, 1, 0)


class _Module(NamedTuple):
    """Keys of a convolution, of its norm, '' for none, and what else its weights are called, but for the last word."""

    conv: str
    norm: str = ''
    aliases: tuple[str, ...] = ()


def load(state: Mapping[str, np.ndarray], config: DeepVoxelsConfig, params: PyTree) -> tuple[PyTree, jax.Array]:
    """Parameters and volume of a checkpoint.

    With `config.norm` 'fixed' the running averages of batch norms become part of scales and shifts, as the authors
    draw test views; with 'batch' they are left out.

    Args:
        state: arrays by name.
        config: of the sizes that the checkpoint has; `refined`, `taps` 3, and an integrated volume.
        params: `state.params` of the method, or `jax.eval_shape` of them, of which the shapes count.

    Returns:
        The parameters, the discriminator's unchanged, and the volume [n n n C].

    Raises:
        InputError: a model that the authors' code has not, or one message with all keys that are missing, of another
            shape, or unknown.
    """
    if config.volume != 'integrated' or not config.refined or config.taps != 3 or config.norm == 'none':
        raise InputError(
            "checkpoint: expected a model as the authors' code has it: an integrated volume, refined, taps of 3, and "
            'norm batch or fixed'
        )
    if config.occlusion == 'rays' or not config.inpainting:
        raise InputError('checkpoint: expected a model with inpainting, and with occlusion "volume" or "none"')
    known, problems = {key for key in state if key.endswith('.num_batches_tracked')}, []
    tables = _tables(config)

    def take(key: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray | None:
        known.add(key)
        expected = tuple(shape[axes.index(axis)] for axis in range(len(axes)))
        if key in state and state[key].shape == expected:
            return state[key].astype(np.float32).transpose(axes)
        problems.append(f'{key}: {state[key].shape if key in state else "missing"}, expected {expected}')
        return None

    def one(path, leaf):
        part, *parents, kind = (entry.key for entry in path)
        if part == 'discriminator':
            return leaf
        module = tables[part]['/'.join(parents[:-1] if parents[-1] in ('conv', 'norm') else parents)]
        known.update(f'{alias}{name}' for name in ('weight', 'bias') for alias in module.aliases)
        if parents[-1] != 'norm':
            axes = (0,)
            if kind == 'kernel':
                axes = _PICTURE if leaf.ndim == 4 else _CAMERA_VOLUME if part == 'occlusion' else _VOLUME
            found = take(f'{module.conv}.{"bias" if kind == "bias" else "weight"}', leaf.shape, axes)
            return leaf if found is None else jnp.asarray(found)
        names = [f'{module.norm}.{name}' for name in ('weight', 'bias', 'running_mean', 'running_var')]
        known.update(names)
        if config.norm == 'batch':
            found = take(names[kind == 'bias'], leaf.shape, (0,))
            return leaf if found is None else jnp.asarray(found)
        scale, shift, mean, variance = (take(name, leaf.shape, (0,)) for name in names)
        if scale is None or shift is None or mean is None or variance is None:
            return leaf
        scale = scale / np.sqrt(variance + _EPSILON)
        return jnp.asarray(scale if kind == 'scale' else shift - mean * scale)

    loaded = jax.tree_util.tree_map_with_path(one, params)
    side = config.grid_dim
    volume = take('deepvoxels', (side, side, side, config.features, 1), (4, 3, 2, 1, 0))
    unknown = [f'{key}: {state[key].shape}, unknown to the model' for key in state if key not in known]
    if problems or unknown or volume is None:
        # Scale and shift of a norm ask for the same keys.
        raise InputError(f'checkpoint: does not fit the model. {"; ".join(dict.fromkeys([*problems, *unknown]))}')
    return loaded, jnp.asarray(volume[..., 0])


def begun(method: Method, config: DeepVoxelsConfig, state: Mapping[str, np.ndarray]) -> Method:
    """The method, beginning with a checkpoint.

    Raises:
        InputError: see `load`.
    """
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    params, volume = load(state, config, shapes.params)

    def init(key: Key) -> State:
        made = method.init(key)
        whole = jax.tree.map(
            lambda new, old: old if isinstance(new, jax.ShapeDtypeStruct) else new, params, made.params
        )
        return dataclasses.replace(made, params=whole, aux={'volume': volume})

    return method._replace(init=init)


def _tables(config: DeepVoxelsConfig) -> dict[str, dict[str, _Module]]:
    extractor: dict[str, _Module] = {}
    for level in range(config.halvings):
        extractor |= _down(f'down_{level}', f'feature_extractor.net.0.downs.{level}', dropout=False)
    renderer = _unet('unet/', 'rendering_net.net.0', config.depth, dropout=True)
    for level in range(config.halvings):
        renderer |= _up(f'up_{level}', f'rendering_net.net.1.ups.{level}', dropout=True)
    renderer['fine'] = _same('rendering_net.net.2', 'rendering_net.net.3')
    renderer['last'] = _same('rendering_net.net.5')
    gates = ('reset_old', 'reset_new', 'update_old', 'update_new')
    integration = {name: _Module(f'integration_net.{name}_net.1') for name in gates}
    integration |= {name: _Module(f'integration_net.{name}_integration.1') for name in ('new', 'old')}
    occlusion = {
        'first': _Module('occlusion_net.occlusion_prep.0.net.1', 'occlusion_net.occlusion_prep.1'),
        'last': _Module('occlusion_net.softmax_net.0.net.1'),
    }
    occlusion |= _unet_3d('unet/', 'occlusion_net.occlusion_net', config.occlusion_depth)
    if config.occlusion == 'none':
        occlusion = {
            f'layer_{k}': _same(f'depth_collapse_net.{3 * k}', f'depth_collapse_net.{3 * k + 1}') for k in range(3)
        }
    return {
        'extractor': extractor | _unet('unet/', 'feature_extractor.net.1', config.depth, dropout=False),
        'integration': integration,
        'inpainting': _unet_3d('unet/', 'inpainting_net', config.inpainting),
        'occlusion': occlusion,
        'renderer': renderer,
    }


def _same(prefix: str, norm: str = '') -> _Module:
    """A convolution that pads by itself, whose weights have a second name."""
    return _Module(f'{prefix}.net.1', norm, (f'{prefix}.',))


def _down(path: str, prefix: str, *, dropout: bool, norm: bool = True) -> dict[str, _Module]:
    """Padding, convolution, norm, rectifier and dropout, twice."""
    second = 4 + norm + dropout
    norms = [f'{prefix}.net.{index + 1}' if norm else '' for index in (1, second)]
    return {
        f'{path}_refine': _Module(f'{prefix}.net.1', norms[0]),
        path: _Module(f'{prefix}.net.{second}', norms[1]),
    }


def _up(path: str, prefix: str, *, dropout: bool, norm: bool = True) -> dict[str, _Module]:
    second = 2 + norm + dropout
    norms = [f'{prefix}.net.{index + 1}' if norm else '' for index in (0, second)]
    return {
        path: _Module(f'{prefix}.net.0', norms[0]),
        f'{path}_refine': _same(f'{prefix}.net.{second}', norms[1]),
    }


def _unet(path: str, prefix: str, depth: int, *, dropout: bool) -> dict[str, _Module]:
    table = {f'{path}first': _same(f'{prefix}.in_layer.0', f'{prefix}.in_layer.1')}
    last = _same(f'{prefix}.out_layer.0', f'{prefix}.out_layer.1')
    table[f'{path}last'] = last._replace(aliases=(*last.aliases, f'{prefix}.out_layer_'))
    block = f'{prefix}.unet_block.model'
    for level in range(depth):
        inner = level == depth - 1
        table |= _down(f'{path}down_{level}', f'{block}.0', dropout=dropout, norm=not inner)
        table |= _up(f'{path}up_{level}', f'{block}.{1 if inner else 2}', dropout=dropout, norm=not inner)
        block = f'{block}.1.model'
    return table


def _unet_3d(path: str, prefix: str, depth: int) -> dict[str, _Module]:
    table = {
        f'{path}{name}': _Module(f'{prefix}.{layer}.0.net.1', f'{prefix}.{layer}.1')
        for name, layer in (('first', 'in_layer'), ('last', 'out_layer'))
    }
    block = f'{prefix}.unet_block.model'
    for level in range(depth):
        inner = level == depth - 1
        down, up = f'{block}.0.net', f'{block}.{1 if inner else 2}.net'
        table[f'{path}down_{level}'] = _Module(f'{down}.1', '' if inner else f'{down}.2')
        table[f'{path}up_{level}'] = _Module(f'{up}.0', '' if inner else f'{up}.1')
        block = f'{block}.1.model'
    return table
