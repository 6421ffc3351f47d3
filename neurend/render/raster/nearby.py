"""Walks over blocks of pixels on or near triangles, of any size and number, some at a time."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from neurend.numerics import materialize, unstack
from neurend.render.raster import nearness
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Side of blocks.
SIDE = 8
# Triangles, blocks they may touch, and blocks that are computed, at a time. The blocks of 1536 triangles are counted
# in 32 bits at any size of picture.
_FACES, _CANDIDATES, _BLOCKS = 1536, 4096, 512
# From the middle of a block to the centres of its corners' pixels.
_REACH = 0.5 * (SIDE - 1) * 2**0.5
# The blocks of triangles more than this many pixels across are aligned with each other.
_LARGE = 4 * SIDE


class Scene(NamedTuple):
    """Triangles in a viewport.

    Attributes:
        corners: [F 6] x and y of three corners each, in pixels from the viewport's corner.
        used: bool [F], whether the triangle is there.
        radius: pixels less than this outside of a triangle are near it.
        deep: aligned blocks whose pixels are all this far inside of a triangle are left out; infinite to have all.
    """

    corners: Array
    used: Array
    radius: Array
    deep: Array


class Blocks(NamedTuple):
    """Blocks [n] of SIDE x SIDE pixels, P of them.

    Attributes:
        face: int32, whose they are.
        corners: [n 6], of the scene.
        column, row: int32, first pixels.
        live: bool; others count for nothing.
    """

    face: Array
    corners: Array
    column: Array
    row: Array
    live: Array


def fold(
    scene: Scene, size: tuple[int, int], wanted: Array | None, add: Callable[[Blocks, Any], Any], total: Any
) -> Any:
    """Folds `add(blocks, total)` over all blocks near triangles of a viewport of `size` (width, height).

    The first block is always live. With `wanted` bool [H W], blocks that hold no such pixel are left out.
    """
    touched = None if wanted is None else _touched(wanted)

    def visit(blocks: Blocks, total: Any) -> Any:
        inside = _depth(blocks)
        keep = blocks.live & (inside > -scene.radius - _REACH) & ~_left_out(scene, blocks, inside)
        if touched is not None:
            keep = keep & touched[blocks.row, blocks.column]
        chosen, count = _compact(keep, _BLOCKS)

        def part(k: Array, total: Any) -> Any:
            index = lax.dynamic_slice(chosen, (k * _BLOCKS,), (_BLOCKS,))
            own = jax.tree.map(lambda values: values.at[index].get(mode='promise_in_bounds'), blocks)
            return add(own._replace(live=k * _BLOCKS + jnp.arange(_BLOCKS) < count), total)

        return lax.fori_loop(0, _parts(count, _BLOCKS), part, total)

    return _walk(scene, size, visit, total)


def filled(scene: Scene, size: tuple[int, int]) -> Array:
    """The pixels, bool [H W], of blocks that `fold` leaves out because they are deep inside of a triangle."""
    width, height = size
    extents = [jnp.max(part, 1) - jnp.min(part, 1) for part in (scene.corners[:, 0::2], scene.corners[:, 1::2])]
    wide = jnp.minimum(*extents) > 2 * (scene.deep + _REACH)

    def visit(blocks: Blocks, total: Array) -> Array:
        deep = blocks.live & _left_out(scene, blocks, _depth(blocks))
        return total.at[blocks.row // SIDE, blocks.column // SIDE].max(deep, mode='promise_in_bounds')

    coarse = jnp.zeros((-(-height // SIDE), -(-width // SIDE)), bool)
    coarse = _walk(scene._replace(used=scene.used & wide), size, visit, coarse)
    return jnp.repeat(jnp.repeat(coarse, SIDE, 0)[:height], SIDE, 1)[:, :width]


def pad(image: Array, value: float = 0) -> Array:
    """An image [H W] with room, filled with a value, for blocks that begin in it."""
    return jnp.pad(image, ((0, SIDE), (0, SIDE)), constant_values=value)


def read(image: Array, blocks: Blocks) -> Array:
    """The blocks' pixels [n P] of a padded image."""
    dimensions = lax.GatherDimensionNumbers((1, 2), (), (0, 1))
    found = lax.gather(image, _places(blocks), dimensions, (SIDE, SIDE), mode='promise_in_bounds')
    return found.reshape(-1, SIDE * SIDE)


def write(image: Array, blocks: Blocks, values: Array, scatter: Callable[..., Array] = lax.scatter_add) -> Array:
    """A padded image with values [n P] added to the blocks' pixels, or combined by another scatter."""
    dimensions = lax.ScatterDimensionNumbers((1, 2), (), (0, 1))
    return scatter(image, _places(blocks), values.reshape(-1, SIDE, SIDE), dimensions, mode='promise_in_bounds')


def centers(dtype: jnp.dtype) -> tuple[Array, Array]:
    """Pixels' centres x and y [1 P], from the middle of the block."""
    steps = np.arange(SIDE) - 0.5 * (SIDE - 1)
    return jnp.asarray(np.tile(steps, SIDE)[None], dtype), jnp.asarray(np.repeat(steps, SIDE)[None], dtype)


def relative(blocks: Blocks) -> Array:
    """Corners [n 6] of triangles, from the middle of the block."""
    middle = [(first + SIDE // 2).astype(blocks.corners.dtype) for first in (blocks.column, blocks.row)]
    return blocks.corners - jnp.stack(middle * 3, axis=-1)


def columns(rows: Array) -> list[Array]:
    """The columns of rows [n k] that belong to blocks, [n 1] each, to be used at the blocks' pixels."""
    return [column[:, None] for column in materialize(unstack(rows))]


def sums(parts: Sequence[Array]) -> Array:
    """The sums [n k] over the blocks' pixels of parts [n P]."""
    stacked = jnp.stack(parts)
    ones = jnp.ones((stacked.shape[-1], 1), stacked.dtype)
    return jnp.matmul(stacked.reshape(-1, stacked.shape[-1]), ones, precision='highest').reshape(len(parts), -1).T


def apart(blocks: Blocks, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`, a pytree of arrays, computed by itself.

    XLA on a CPU else computes it anew within whatever reads it, as `neurend.numerics.materialize` says; this is faster.
    """
    shapes = jax.eval_shape(function, *arguments)

    def nothing(*_: Any) -> Any:
        return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def alone(*arguments: Any) -> Any:
        return lax.cond(blocks.live[0], function, nothing, *arguments)

    return lax.platform_dependent(*arguments, cpu=alone, default=function)


def _places(blocks: Blocks) -> Array:
    return jnp.stack([blocks.row, blocks.column], axis=-1)


def _depth(blocks: Blocks) -> Array:
    """How far inside of the triangle the blocks' middles are; negative outside."""
    corners = unstack(lax.stop_gradient(relative(blocks)))
    middle = jnp.zeros((), blocks.corners.dtype)
    square, _ = nearness.closest(corners, middle, middle)
    return jnp.sign(square) * jnp.sqrt(jnp.abs(square))


def _left_out(scene: Scene, blocks: Blocks, inside: Array) -> Array:
    aligned = (blocks.column % SIDE == 0) & (blocks.row % SIDE == 0)
    return aligned & (inside >= scene.deep + _REACH)


def _walk(scene: Scene, size: tuple[int, int], visit: Callable[[Blocks, Any], Any], total: Any) -> Any:
    """Folds `visit` over the blocks that triangles' bounds touch."""
    *_, across, down = _bounds(scene.corners, scene.radius, size)
    visible, count = _compact(scene.used & (across * down > 0), _FACES)

    def faces(k: Array, total: Any) -> Any:
        chosen = lax.dynamic_slice(visible, (k * _FACES,), (_FACES,))
        corners = scene.corners.at[chosen].get(mode='promise_in_bounds')
        left, top, across, down = _bounds(corners, scene.radius, size)
        counts = jnp.where(k * _FACES + jnp.arange(_FACES) < count, across * down, 0)
        last = jnp.cumsum(counts, dtype=jnp.int32)
        bounds = jnp.stack([left, top, jnp.maximum(across, 1), last - counts], axis=-1)

        def candidates(m: Array, total: Any) -> Any:
            block = m * _CANDIDATES + jnp.arange(_CANDIDATES, dtype=jnp.int32)
            live = block < last[-1]
            owner = jnp.minimum(jnp.searchsorted(last, block, side='right'), _FACES - 1).astype(jnp.int32)
            first_column, first_row, columns, before = bounds.at[owner].get(mode='promise_in_bounds').T
            column = jnp.where(live, first_column + SIDE * ((block - before) % columns), 0)
            row = jnp.where(live, first_row + SIDE * ((block - before) // columns), 0)
            own = corners.at[owner].get(mode='promise_in_bounds')
            return visit(Blocks(chosen[owner], own, column, row, live), total)

        return lax.fori_loop(0, _parts(last[-1], _CANDIDATES), candidates, total)

    return lax.fori_loop(0, _parts(count, _FACES), faces, total)


def _bounds(corners: Array, radius: Array, size: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """First pixels (column, row) near triangles [F 6], and how many blocks there are across and down; int32 [F]."""
    found = []
    for axis, limit in enumerate(size):
        places = [lax.stop_gradient(corners[:, 2 * k + axis]) for k in range(3)]
        low = jnp.minimum(jnp.minimum(*places[:2]), places[2]) - radius
        high = jnp.maximum(jnp.maximum(*places[:2]), places[2]) + radius
        first = jnp.clip(jnp.ceil(low - 0.5), 0, limit).astype(jnp.int32)
        found.append((first, jnp.clip(jnp.floor(high - 0.5), -1, limit - 1).astype(jnp.int32)))
    (left, right), (top, bottom) = found
    large = jnp.maximum(right - left, bottom - top) >= _LARGE
    left, top = (jnp.where(large, first // SIDE * SIDE, first) for first in (left, top))
    across, down = (jnp.maximum(last - first + SIDE, 0) // SIDE for first, last in ((left, right), (top, bottom)))
    return left, top, across, down


def _touched(wanted: Array) -> Array:
    """Whether the block that begins at a pixel [H W] holds a wanted one."""
    step = 1
    while step < SIDE:
        for axis in range(2):
            ahead = lax.slice_in_dim(wanted, min(step, wanted.shape[axis]), None, axis=axis)
            widths = [(0, 0), (0, 0)]
            widths[axis] = (0, wanted.shape[axis] - ahead.shape[axis])
            wanted = wanted | jnp.pad(ahead, widths)
        step *= 2
    return wanted


def _compact(keep: Array, slack: int) -> tuple[Array, Array]:
    """Indices of what is kept, int32 [n + slack] with zeros behind, and how many there are."""
    place = prefix_sum(keep).astype(jnp.int32)
    size = keep.shape[0] + slack
    index = jnp.arange(keep.shape[0], dtype=jnp.int32)
    return jnp.zeros(size, jnp.int32).at[jnp.where(keep, place - 1, size)].set(index, mode='drop'), place[-1]


def _parts(count: Array, size: int) -> Array:
    return (count + size - 1) // size
