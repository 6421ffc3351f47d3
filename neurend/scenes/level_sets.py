"""Level sets of functions as meshes: marching cubes (Lorensen and Cline, 1987; Lewiner et al., 2003)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.scenes import mesh_extra
from neurend.scenes.meshes import Mesh
from neurend.typing import Array

_CHUNK = 1 << 16


def from_grid(values: Any, low: Any, high: Any, *, level: float = 0.0, inside: str = 'below') -> Mesh:
    """The surface where values in a box pass a level, facing outward. Needs the extra `mesh`.

    Args:
        values: [X Y Z] at the corners of the cells, the outer ones on the box's faces.
        low, high: [3] corners of the box.
        level: where the surface is.
        inside: 'below' the level, as of distances, or 'above' it, as of densities.

    Raises:
        InputError: scikit-image is not installed; a shape does not fit; values that are not finite, or none on one
            side of the level.
    """
    checks.one_of('inside', inside, ('below', 'above'))
    values, low, high = (np.asarray(x, np.float32) for x in (values, low, high))
    sizes = checks.shape('values', values, 'X Y Z')
    if min(sizes.values()) < 2:
        raise checks.InputError(f'values: got shape {values.shape}, expected at least 2 along each axis')
    checks.finite('values', values)
    if not values.min() < level < values.max():
        raise checks.InputError(
            f'level: got {level:g}, expected between the values, which go from {values.min():g} to {values.max():g}; '
            'there is no surface in the box'
        )
    measure = mesh_extra.library('skimage.measure')
    direction = 'descent' if inside == 'below' else 'ascent'
    # It wants to be allowed to write, and arrays of JAX may not be written.
    vertices, faces, _, _ = measure.marching_cubes(values.copy(), level, gradient_direction=direction)
    vertices = low + vertices * (high - low) / (np.array(values.shape) - 1)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def sample(function: Callable[[Array], Array], low: Any, high: Any, cells: int) -> np.ndarray:
    """Values [cells+1 cells+1 cells+1] of a function of points [n 3] at the corners of the cells of a box."""
    if cells < 1:
        raise checks.InputError(f'cells: got {cells}, expected at least 1 along a side')
    axes = [np.linspace(a, b, cells + 1, dtype=np.float32) for a, b in zip(np.asarray(low), np.asarray(high))]
    points = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3)
    chunk = min(_CHUNK, len(points))
    padded = np.pad(points, ((0, -len(points) % chunk), (0, 0)), mode='edge')
    evaluate = jax.jit(function)
    values = [np.asarray(evaluate(jnp.asarray(part))) for part in padded.reshape(-1, chunk, 3)]
    return np.concatenate(values)[: len(points)].reshape((cells + 1,) * 3)
