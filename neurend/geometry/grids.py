"""Interpolation in regular grids, with gradients to the values and to the coordinates.

Coordinates count cells. `align` says where the values lie:
- 'centers': value i at coordinate i + 0.5, like pixels; the grid covers [0, n] and is constant in the outer half cells.
- 'corners': value i at coordinate i; the grid covers [0, n - 1].
Beyond the grid the nearest value continues ('edge'), with zero gradient to the coordinate, or is zero ('zero').
"""

import itertools
from typing import Literal

import jax.numpy as jnp

from neurend import checks
from neurend.typing import Array

Align = Literal['centers', 'corners']


def bilinear(image: Array, xy: Array, *, align: Align = 'centers', beyond: Literal['edge', 'zero'] = 'edge') -> Array:
    """Samples one image.

    Args:
        image: [H W C]; vmap for a batch.
        xy: [... 2] coordinates in pixels, x along W.
        align: where the values lie, see above.
        beyond: what lies outside; 'zero' also fades over the half pixel (or pixel) next to the border.

    Returns:
        [... C]
    """
    checks.shape('image', image, 'H W C', 'Add a channel axis, or vmap over a batch')
    return interpolate(image, xy[..., ::-1], align=align, beyond=beyond)


def trilinear(grid: Array, xyz: Array, *, align: Align = 'centers', beyond: Literal['edge', 'zero'] = 'edge') -> Array:
    """Samples one volume.

    Args:
        grid: [X Y Z C], indexed by x first; vmap for a batch.
        xyz: [... 3] coordinates in cells.
        align: where the values lie, see above.
        beyond: what lies outside.

    Returns:
        [... C]
    """
    checks.shape('grid', grid, 'X Y Z C', 'Add a channel axis, or vmap over a batch')
    return interpolate(grid, xyz, align=align, beyond=beyond)


def interpolate(
    grid: Array, coordinates: Array, *, align: Align = 'centers', beyond: Literal['edge', 'zero'] = 'edge'
) -> Array:
    """Multilinear interpolation in a grid [n1 .. nd C] at coordinates [... d], in the order of the axes: [... C]."""
    checks.one_of('align', align, ('centers', 'corners'))
    checks.one_of('beyond', beyond, ('edge', 'zero'))
    *sizes, channels = grid.shape
    checks.shape('coordinates', coordinates, '... d', sizes={'d': len(sizes)})
    rows = grid.reshape(-1, channels)
    low, fraction = [], []
    for axis, size in enumerate(sizes):
        position = coordinates[..., axis] - (0.5 if align == 'centers' else 0)
        position = jnp.clip(position, 0, size - 1) if beyond == 'edge' else jnp.clip(position, -1, size)
        below = jnp.clip(
            jnp.floor(position), 0 if beyond == 'edge' else -1, max(size - 2, 0) if beyond == 'edge' else size - 1
        )
        low.append(below.astype(jnp.int32))
        fraction.append(position - below)
    result = jnp.zeros((*coordinates.shape[:-1], channels), jnp.result_type(grid, coordinates))
    for offsets in itertools.product((0, 1), repeat=len(sizes)):
        index, weight = jnp.zeros_like(low[0]), jnp.ones_like(fraction[0])
        for axis, (size, offset) in enumerate(zip(sizes, offsets)):
            at = low[axis] + offset
            part = fraction[axis] if offset else 1 - fraction[axis]
            if beyond == 'zero':
                part = jnp.where((at >= 0) & (at < size), part, 0)
            index = index * size + jnp.clip(at, 0, size - 1)
            weight = weight * part
        result = result + weight[..., None] * rows[index]
    return result


def cells_from_box(
    points: Array, low: Array, high: Array, shape: tuple[int, ...], *, align: Align = 'centers'
) -> Array:
    """Coordinates in cells [... d] of points [... d], for a grid of `shape` that spans the box `low` to `high` [d].

    With 'centers' the box's faces are the outer faces of the outer cells; with 'corners' the outer values lie on them.
    """
    checks.one_of('align', align, ('centers', 'corners'))
    cells = jnp.asarray(shape, points.dtype) - (0 if align == 'centers' else 1)
    scale = cells / (jnp.asarray(high, points.dtype) - jnp.asarray(low, points.dtype))
    leading = (1,) * (points.ndim - 1)
    return (points - jnp.reshape(jnp.asarray(low, points.dtype), (*leading, -1))) * jnp.reshape(scale, (*leading, -1))
