"""Rendering of `fast` without cached spans: any rays, any number of surfaces, no buffer that could overflow."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import intersect
from neurend.geometry.rays import Rays
from neurend.models.nerf import fast_field
from neurend.models.nerf.fast_field import SEGMENT
from neurend.numerics import safe_divide
from neurend.render.rendering import Rendering
from neurend.scenes import voxels as voxels_lib
from neurend.scenes.voxels import Voxels
from neurend.typing import Array, PyTree

_BLOCK = 4
_ROUND = 2
# Optical depth behind which nothing shows: e^-8 is less than a tenth of a step of 8-bit colour.
_OPAQUE = 8.0


def blocks(voxels: Voxels) -> Array:
    """Which blocks of 4 x 4 x 4 cells have an occupied cell in them or within 2 cells: bool, a quarter as large."""
    occupied = (voxels.cells > 0).astype(jnp.int32)
    sizes = [-(-size // _BLOCK) for size in occupied.shape]
    padding = [(2, size * _BLOCK - old + 2) for size, old in zip(sizes, occupied.shape)]
    window, strides = (2 * _BLOCK,) * 3, (_BLOCK,) * 3
    return jax.lax.reduce_window(jnp.pad(occupied, padding), 0, jax.lax.max, window, strides, 'VALID') > 0


def render(
    voxels: Voxels,
    params: PyTree,
    rays: Rays,
    *,
    near: float,
    far: float,
    threshold: float,
    shift: float,
    step: float,
) -> Rendering:
    """Marches rays [n] through the occupied segments of the grid, in rounds until all have stopped.

    Args:
        voxels, params: the field.
        rays: leading dim n.
        near, far: bounds of t.
        threshold: samples of smaller weight are left out, as in training.
        shift: see `fast_field.optical_depth`.
        step: edges of a cell between samples, at most 1.

    Returns:
        A Rendering over black.
    """
    count = rays.origins.shape[0]
    longest = int(np.ceil(np.linalg.norm(voxels.cells.shape) / (SEGMENT * step))) + 1
    length = jnp.linalg.norm(rays.directions, axis=-1)
    high = voxels.low + jnp.asarray(voxels.cells.shape, jnp.float32) * voxels.edge
    enter, leave = intersect.ray_box(rays.origins, rays.viewdirs, voxels.low, high)
    enter, leave = jnp.maximum(enter, near * length), jnp.minimum(leave, far * length)
    spacing = step * voxels.edge
    stretch = SEGMENT * spacing
    middles = enter[None] + (jnp.arange(longest)[:, None] + 0.5) * stretch
    live = _occupied(voxels, rays, middles) & (middles - 0.5 * stretch < leave[None])
    rank = jnp.cumsum(live, axis=0, dtype=jnp.int32)
    rounds = -(-longest // _ROUND)
    # Row r of `queue` is the r-th occupied segment of each ray.
    queue = jnp.full((rounds * _ROUND, count), longest, jnp.int32)
    target = jnp.where(live, rank - 1, rounds * _ROUND)
    order = jnp.broadcast_to(jnp.arange(longest, dtype=jnp.int32)[:, None], live.shape)
    queue = queue.at[target, jnp.arange(count)[None]].set(order, mode='drop')

    def body(carry: tuple) -> tuple:
        turn, depth, total, half = carry
        order = jax.lax.dynamic_slice_in_dim(queue, turn * _ROUND, _ROUND).repeat(SEGMENT, axis=0)
        within = jnp.tile(jnp.arange(SEGMENT) + 0.5, _ROUND)[:, None]
        t = enter[None] + (order * SEGMENT + within) * spacing
        valid = (order < longest) & (t < leave[None])
        points = rays.origins.T[:, None] + t[None] * rays.viewdirs.T[:, None]
        place = voxels_lib.locate(voxels, points.reshape(3, -1))
        place = dataclasses.replace(place, cell=jnp.where(valid.reshape(-1), place.cell, 0))
        thickness, color = fast_field.evaluate(voxels, params, place, shift=shift)
        viewdirs = jnp.broadcast_to(rays.viewdirs, (*t.shape, 3)).reshape(-1, 3)
        color = color + fast_field.view_dependence(voxels, params, place, viewdirs)
        thickness = step * thickness
        for t_k, thickness_k, color_k in zip(t, thickness.reshape(t.shape), color.reshape(*t.shape, 3)):
            weight = jnp.exp(-depth) * (1 - jnp.exp(-thickness_k))
            weight = jnp.where(weight > threshold, weight, 0)
            values = jnp.concatenate([color_k, jnp.ones_like(t_k)[:, None], t_k[:, None]], axis=-1)
            total = total + weight[:, None] * values
            depth = depth + thickness_k
            half = jnp.where((half == 0) & (depth > np.log(2)), t_k, half)
        return turn + 1, depth, total, half

    def busy(carry: tuple) -> Array:
        turn, depth, *_ = carry
        return jnp.any((rank[-1] > turn * _ROUND) & (depth < _OPAQUE))

    carry = jnp.int32(0), jnp.zeros(count), jnp.zeros((count, 5)), jnp.zeros(count)
    _, _, total, half = jax.lax.while_loop(busy, body, carry)
    alpha = total[:, 3]
    return Rendering(
        rgb=total[:, :3],
        alpha=alpha,
        depth=safe_divide(safe_divide(total[:, 4], alpha), length),
        median=safe_divide(half, length),
    )


def _occupied(voxels: Voxels, rays: Rays, middles: Array) -> Array:
    """Whether the segments around distances [k n] can meet an occupied cell."""
    table = blocks(voxels)
    index = []
    for axis in range(3):
        point = rays.origins[None, :, axis] + middles * rays.viewdirs[None, :, axis]
        cell = jnp.floor((point - voxels.low[axis]) / (_BLOCK * voxels.edge)).astype(jnp.int32)
        index.append(jnp.clip(cell, 0, table.shape[axis] - 1))
    return table[index[0], index[1], index[2]]
