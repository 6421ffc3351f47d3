"""Depth pictures fused to distances in a grid, whose level zero is the surface they show (Curless and Levoy, 1996).

What is drawn with depth, by whatever method, becomes a mesh so: `level_sets.from_grid` of the fused distances.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.geometry.grids import trilinear
from neurend.images.color import linear_from_srgb
from neurend.scenes import level_sets
from neurend.scenes.meshes import Mesh
from neurend.typing import Array


class View(NamedTuple):
    """A picture with depth: one camera, and `depth` [h w] as `cameras.project` gives it, `rgb` [h w 3], `solid` [h w]
    bool, whether there is a surface; where there is none, all that the pixel sees is empty.
    """

    camera: Camera
    depth: Any
    rgb: Any
    solid: Any


class Fused(NamedTuple):
    """At the corners of the cells: `values` [X Y Z], negative inside, and mean `colors` [X Y Z 3] near the surface."""

    values: np.ndarray
    colors: np.ndarray


class _Sums(NamedTuple):
    values: Array
    weights: Array
    shown: Array
    hidden: Array
    colors: Array
    color_weights: Array


def fuse(
    views: Iterable[View], low: Any, high: Any, *, cells: int, truncation: float | None = None, least: float = 0.05
) -> Fused:
    """Averages what the views say of each corner: how far it is before the surface, or behind it by little.

    Args:
        views: one at least, pictures of one size.
        low, high: [3] corners of the box.
        cells: along each side of it.
        truncation: greatest distance that is told apart; three times the longest side of a cell if not given. It is
            less than the thinnest part, or else its two sides disturb each other.
        least: part of the views with a corner in their picture that must tell of it, so that an outline that is wrong
            in one of many does not cut through what all others hide.

    Returns:
        Distances within plus and minus the truncation. A corner that surfaces hide from all views, or from all but too
        few, counts as inside, one that is in no picture as outside.

    Raises:
        InputError: no views, or numbers out of range.
    """
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if cells < 1 or not (low < high).all():
        raise checks.InputError(f'low, high, cells: got {low}, {high}, {cells}, expected a box and at least one cell')
    reach = float(3 * (high - low).max() / cells) if truncation is None else truncation
    if not reach > 0 or not 0 <= least < 1:
        raise checks.InputError(
            f'truncation, least: got {truncation}, {least}, expected a length above 0 and a part below 1'
        )
    axes = [np.linspace(a, b, cells + 1, dtype=np.float32) for a, b in zip(low, high)]
    points = jnp.asarray(np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3))
    count = len(points)
    zeros = jnp.zeros(count)
    sums = _Sums(zeros, zeros, zeros, zeros > 0, jnp.zeros((count, 3)), jnp.zeros((count, 1)))
    add, some = jax.jit(_add), False
    for view in views:
        checks.shape('view.depth', view.depth, 'h w')
        view = View(*(jax.tree.map(jnp.asarray, leaf) for leaf in view))
        sums, some = add(sums, points, view, reach), True
    if not some:
        raise checks.InputError('views: got none, expected at least one')
    sums = jax.device_get(sums)
    seen = (sums.weights > least * sums.shown) | (~sums.hidden & (sums.weights > 0))
    values = np.where(seen, sums.values / np.maximum(sums.weights, 1), np.where(sums.hidden, -1, 1))
    shape = (cells + 1,) * 3
    colors = sums.colors / np.maximum(sums.color_weights, 1)
    return Fused((reach * values).reshape(shape).astype(np.float32), colors.reshape(*shape, 3))


def mesh(fused: Fused, low: Any, high: Any) -> Mesh:
    """The surface of fused distances, with colours at its vertices. Needs the extra `mesh`.

    Args:
        fused: of `fuse`, whose colours are sRGB.
        low, high: as they were there.

    Raises:
        InputError: as for `level_sets.from_grid`.
    """
    surface = level_sets.from_grid(fused.values, low, high)
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    corners = (surface.vertices - low) / (high - low) * (np.array(fused.values.shape) - 1)
    # Corners far from the surface have no colour: what is interpolated is divided by how much of it there is.
    known = (fused.colors > 0).any(-1, keepdims=True).astype(np.float32)
    rows = jnp.asarray(np.concatenate([fused.colors, known], axis=-1), jnp.float32)
    found = np.asarray(trilinear(rows, jnp.asarray(corners, jnp.float32), align='corners'))
    colors = found[:, :3] / np.maximum(found[:, 3:], 1e-6)
    linear = np.asarray(linear_from_srgb(jnp.asarray(np.clip(colors, 0, 1))))
    return dataclasses.replace(surface, colors=linear)


def _add(sums: _Sums, points: Array, view: View, reach: float) -> _Sums:
    height, width = view.depth.shape
    pixels, depth = cameras.project(view.camera, points)
    place = jnp.floor(pixels).astype(jnp.int32)
    within = (depth > 0) & jnp.all((place >= 0) & (place < jnp.array([[width, height]])), axis=-1)
    index = jnp.clip(place[:, 1], 0, height - 1) * width + jnp.clip(place[:, 0], 0, width - 1)
    solid = view.solid.reshape(-1)[index]
    before = view.depth.reshape(-1)[index] - depth
    told = within & (~solid | (before > -reach))
    near = within & solid & (jnp.abs(before) < reach)
    return _Sums(
        sums.values + jnp.where(told, jnp.where(solid, jnp.clip(before / reach, -1, 1), 1), 0),
        sums.weights + told,
        sums.shown + within,
        sums.hidden | (within & solid),
        sums.colors + jnp.where(near[:, None], view.rgb.reshape(-1, 3)[index], 0),
        sums.color_weights + near[:, None],
    )
