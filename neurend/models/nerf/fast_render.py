"""Rendering of `fast` without cached spans: any rays, any number of surfaces, no buffer that could overflow."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import intersect
from neurend.geometry.rays import Rays
from neurend.models.nerf import fast_field
from neurend.models.nerf.fast_field import SEGMENT
from neurend.numerics import safe_divide
from neurend.render import segments as segments_lib
from neurend.render.rendering import Rendering
from neurend.scenes.voxels import Voxels
from neurend.typing import Array, PyTree

_BLOCK = 4
# Rays of a round, and room in its buffers for each of them on average: rays that find none come in the next.
_CHUNK = 2048
_SEGMENTS = 8
_SAMPLES = 12


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
    """Marches rays [n] through the occupied segments of the grid, as many at a time as find room.

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
    stretch = SEGMENT * step * voxels.edge
    middles = enter[None] + (jnp.arange(longest)[:, None] + 0.5) * stretch
    live = _occupied(voxels, rays, middles) & (middles - 0.5 * stretch < leave[None])
    rank = jnp.cumsum(live, axis=0, dtype=jnp.int32)
    # Row r is the r-th occupied segment of each ray.
    order = jnp.broadcast_to(jnp.arange(longest, dtype=jnp.int32)[:, None], live.shape)
    stretches = jnp.full((longest, count), -1, jnp.int32)
    stretches = stretches.at[jnp.where(live, rank - 1, longest), jnp.arange(count)[None]].set(order, mode='drop')
    some = rank[-1] > 0
    numbers = jnp.nonzero(some, size=count + _CHUNK, fill_value=count)[0]
    # What one ray may need, so that at least one is done in each round.
    segments = max(_SEGMENTS * _CHUNK, longest)
    samples = max(_SAMPLES * _CHUNK, SEGMENT * longest)

    def body(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        done, result = carry
        number = jax.lax.dynamic_slice_in_dim(numbers, done, _CHUNK)
        used = number < count
        safe = jnp.where(used, number, 0)
        mine = jax.tree.map(lambda leaf: leaf[safe], rays)
        marched = fast_field.march(
            voxels,
            params['density'],
            mine,
            enter[safe],
            leave[safe],
            jnp.full(_CHUNK, 0.5),
            budget=segments,
            longest=longest,
            shift=shift,
            step=step,
            stretches=jnp.where(used[None], stretches[:, safe], -1),
        )
        chosen = fast_field.choose(marched, threshold=threshold, budget=samples)
        depth, color = fast_field.evaluate(voxels, params, chosen.place, shift=shift)
        color += fast_field.view_dependence(voxels, params, chosen.place, mine.viewdirs[chosen.ray])
        depth = step * depth
        values = jnp.concatenate([color, chosen.t[:, None]], axis=-1)
        composited: Any = segments_lib.accumulate(depth, values, chosen.before, chosen.ray, _CHUNK)
        total, alpha = composited
        halved = chosen.live & (chosen.before + depth > np.log(2))
        half = jnp.full(_CHUNK, jnp.inf).at[chosen.ray].min(jnp.where(halved, chosen.t, jnp.inf))
        found = jnp.concatenate([total, alpha[:, None], jnp.where(half < jnp.inf, half, 0)[:, None]], axis=-1)
        fitted = jnp.max(jnp.where(chosen.complete, jnp.arange(1, _CHUNK + 1), 0))
        target = jnp.where(used & (jnp.arange(_CHUNK) < fitted), safe, count)
        return done + fitted, result.at[target].set(found, mode='drop')

    begin = jnp.zeros((), jnp.int32), jnp.zeros((count, 6))
    final: Any = jax.lax.while_loop(lambda carry: carry[0] < jnp.sum(some), body, begin)
    total = final[1]
    alpha = total[:, 4]
    return Rendering(
        rgb=total[:, :3],
        alpha=alpha,
        depth=safe_divide(safe_divide(total[:, 3], alpha), length),
        median=safe_divide(total[:, 5], length),
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
