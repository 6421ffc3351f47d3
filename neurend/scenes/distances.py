"""Signed distance functions `points [... 3] -> [...]`, negative inside: what `neurend.render.march` draws."""

import functools
from collections.abc import Callable

import jax.numpy as jnp

from neurend import checks
from neurend.geometry import grids
from neurend.geometry.leading import align, floating
from neurend.numerics import safe_norm, safe_sqrt
from neurend.typing import Array

DistanceFn = Callable[[Array], Array]


def sphere(radius: Array | float = 1.0, center: Array | None = None) -> DistanceFn:
    """A ball of `radius` [] around `center` [3], the origin if not given; exact."""
    return lambda points: safe_norm(_moved(points, center)) - radius


def torus(radius: Array | float = 1.0, tube: Array | float = 0.35, center: Array | None = None) -> DistanceFn:
    """A ring about the z axis through `center`; exact."""

    def distance(points: Array) -> Array:
        local = _moved(points, center)
        around = safe_norm(local[..., :2]) - radius
        return safe_norm(jnp.stack([around, local[..., 2]], axis=-1)) - tube

    return distance


def box(size: Array | tuple[float, float, float] = (1.0, 1.0, 1.0), center: Array | None = None) -> DistanceFn:
    """A box with sides `size` [3] along the axes, around `center`; exact."""

    def distance(points: Array) -> Array:
        local, half = align((_moved(points, center), 1), (floating(size) / 2, 1))
        beyond = jnp.abs(local) - half
        # Two by two: the derivative of a maximum along an axis compares with it, and is NaN where XLA rounds anew.
        x, y, z = (beyond[..., axis] for axis in range(3))
        return safe_norm(jnp.maximum(beyond, 0)) + jnp.minimum(jnp.maximum(jnp.maximum(x, y), z), 0)

    return distance


def union(*parts: DistanceFn) -> DistanceFn:
    """All of the parts; exact outside, no more than the true distance inside."""
    return lambda points: functools.reduce(jnp.minimum, [part(points) for part in parts])


def grid(values: Array, low: Array | tuple[float, ...], high: Array | tuple[float, ...]) -> DistanceFn:
    """Distances given at the corners of the cells of a box, trilinear between them.

    Outside of the box the distance is the least that the surface in it allows, so that rays may start anywhere.

    Args:
        values: [X Y Z], at least two along each axis, indexed by x first; the outer ones lie on the box's faces.
        low, high: [3] corners of the box.

    Raises:
        InputError: a shape does not fit.
    """
    sizes = checks.shape('values', values, 'X Y Z')
    if min(sizes.values()) < 2:
        raise checks.InputError(f'values: got shape {jnp.shape(values)}, expected at least 2 along each axis')
    low, high = floating(low), floating(high)

    def distance(points: Array) -> Array:
        least, most, _ = align((low, 1), (high, 1), (points, 1))
        nearest = jnp.clip(points, least, most)
        cells = grids.cells_from_box(nearest, low, high, values.shape, align='corners')
        value = grids.trilinear(values[..., None], cells, align='corners')[..., 0]
        squared = jnp.sum((points - nearest) ** 2, axis=-1)
        return jnp.where(squared > 0, safe_sqrt(squared + jnp.maximum(value, 0) ** 2), value)

    return distance


def _moved(points: Array, center: Array | None) -> Array:
    if center is None:
        return points
    points, center = align((points, 1), (floating(center), 1))
    return points - center
