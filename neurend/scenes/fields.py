"""Radiance fields made of arrays, of distances and of one another: what `neurend.render.volume` integrates.

A field is a function `(points [... 3], directions [... 3]) -> (density [...], features [... c])`. Density is per unit
of length in the world, and at least 0; directions are unit.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import grids, transforms
from neurend.geometry.leading import align, floating
from neurend.numerics import safe_divide
from neurend.typing import Array

FieldFn = Callable[[Array, Array], tuple[Array, Array]]


def grid(
    values: Array,
    low: Array | tuple[float, ...],
    high: Array | tuple[float, ...],
    *,
    density: Callable[[Array], Array] = jax.nn.relu,
) -> FieldFn:
    """Dense voxels, trilinear within a box and nothing outside of it.

    Args:
        values: [X Y Z 1+c] at the corners of the cells, the outer ones on the box's faces: what density is made of, and
            features, which directions do not change.
        low, high: [3] corners of the box.
        density: of the interpolated first channel, number by number. What it makes steep is sharper than cells are
            (Sun et al., "Direct voxel grid optimization", 2022); `of_distance` makes surfaces of distances.

    Raises:
        InputError: a shape does not fit.
    """
    sizes = checks.shape('values', values, 'X Y Z k', 'The last axis has what density is made of, and then features')
    if min(sizes.values()) < 2:
        raise checks.InputError(f'values: got shape {jnp.shape(values)}, expected at least two along each axis')
    low, high = floating(low), floating(high)

    def field(points: Array, directions: Array) -> tuple[Array, Array]:
        del directions
        least, most, _ = align((low, 1), (high, 1), (points, 1))
        inside = jnp.all((points >= least) & (points <= most), axis=-1)
        cells = grids.cells_from_box(points, low, high, values.shape[:3], align='corners')
        found = grids.trilinear(values, cells, align='corners')
        return jnp.where(inside, density(found[..., 0]), 0), found[..., 1:]

    return field


def of_distance(distance: Array, width: Array | float) -> Array:
    """Density [...] of signed distances [...], negative inside (Yariv et al., "Volume rendering of neural implicit
    surfaces", 2021): the cumulative Laplace distribution of `width`, a length above 0, over that width.
    """
    half = 0.5 * jnp.exp(-jnp.abs(distance) / width)
    return jnp.where(distance > 0, half, 1 - half) / width


def solid(distance_fn: Callable[[Array], Array], color_fn: Callable[[Array], Array], width: Array | float) -> FieldFn:
    """The inside of a surface as a field.

    Args:
        distance_fn: `points [... 3] -> [...]`, see `neurend.scenes.distances`.
        color_fn: `points [... 3] -> [... c]`.
        width: over which the surface's density rises, see `of_distance`.
    """
    return lambda points, directions: (of_distance(distance_fn(points), width), color_fn(points))


def union(*parts: FieldFn) -> FieldFn:
    """All of the parts in one place: densities add up, and features are mixed in proportion to them."""
    if not parts:
        raise checks.InputError('parts: got none, expected at least one field')

    def field(points: Array, directions: Array) -> tuple[Array, Array]:
        found = [part(points, directions) for part in parts]
        total = sum((density for density, _ in found[1:]), found[0][0])
        weighted = [density[..., None] * features for density, features in found]
        # Where there is nothing, it does not matter what it looks like.
        return total, safe_divide(sum(weighted[1:], weighted[0]), total[..., None])

    return field


def moved(field_fn: FieldFn, world_from_field: Array) -> FieldFn:
    """The field elsewhere, by a rigid transform [4 4]."""

    def field(points: Array, directions: Array) -> tuple[Array, Array]:
        local = transforms.apply_inverse(world_from_field, points)
        return field_fn(local, transforms.rotate_back(world_from_field, directions))

    return field


def scaled(field_fn: FieldFn, factor: Array | float) -> FieldFn:
    """The field, larger about the origin by a factor [] above 0; as opaque as before, its density divided by it."""

    def field(points: Array, directions: Array) -> tuple[Array, Array]:
        density, features = field_fn(points / factor, directions)
        return density / factor, features

    return field


def masked(field_fn: FieldFn, mask_fn: Callable[[Array], Array]) -> FieldFn:
    """The field where a mask is: density times `mask_fn(points [... 3]) -> [...]`, bool or a factor of at least 0."""

    def field(points: Array, directions: Array) -> tuple[Array, Array]:
        density, features = field_fn(points, directions)
        return density * mask_fn(points), features

    return field
