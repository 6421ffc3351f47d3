"""Walks over blocks of pixels on or near triangles, of any size and number, some at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from neurend.render.raster import nearness
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Side of blocks.
SIDE = 8
# Triangles, blocks they may touch, and blocks that are computed, at a time. The blocks of 1536 triangles can be counted
# in 32 bits at any size of picture.
_FACES, _CANDIDATES, _BLOCKS = 1536, 4096, 512
# From the centre of a block to its corners' pixels.
_REACH = 0.5 * (SIDE - 1) * 2**0.5
# Triangles more than this many pixels across have blocks in line with those of the others.
_LARGE = 4 * SIDE


class Scene(NamedTuple):
    """Triangles in a viewport.

    Attributes:
        corners: [F 6] x and y of three corners each, in pixels from the viewport's corner.
        used: bool [F], whether the triangle is there.
        radius: pixels this far outside of a triangle are near it.
        deep: blocks whose pixels are all this far inside of a triangle are left out; infinite to have all.
    """

    corners: Array
    used: Array
    radius: Array
    deep: Array


class Blocks(NamedTuple):
    """Blocks [n] of SIDE x SIDE pixels.

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

    With `wanted` bool [H W] blocks that hold no such pixel are left out.
    """
    touched = None if wanted is None else _touched(wanted)

    def visit(blocks: Blocks, total: Any) -> Any:
        signed = _distance(blocks)
        keep = blocks.live & (signed >= -scene.radius - _REACH) & (signed < scene.deep + _REACH)
        if touched is not None:
            keep = keep & touched[blocks.row, blocks.column]
        chosen, count = _compact(keep, _BLOCKS)

        def part(k: Array, total: Any) -> Any:
            index = lax.dynamic_slice(chosen, (k * _BLOCKS,), (_BLOCKS,))
            live = k * _BLOCKS + jnp.arange(_BLOCKS) < count
            own = jax.tree.map(lambda values: values.at[index].get(mode='promise_in_bounds'), blocks)
            return add(own._replace(live=live), total)

        return lax.fori_loop(0, _parts(count, _BLOCKS), part, total)

    return _walk(scene, size, visit, total)


def filled(scene: Scene, size: tuple[int, int]) -> Array:
    """Pixels [H W] of the blocks that `fold` leaves out because they are deep inside of a triangle."""
    width, height = size

    def visit(blocks: Blocks, total: Array) -> Array:
        deep = blocks.live & (_distance(blocks) >= scene.deep + _REACH)
        return total.at[blocks.row // SIDE, blocks.column // SIDE].max(deep)

    coarse = jnp.zeros((-(-height // SIDE), -(-width // SIDE)), bool)
    coarse = _walk(scene, size, visit, coarse)
    return jnp.repeat(jnp.repeat(coarse, SIDE, 0)[:height], SIDE, 1)[:, :width]


def pad(image: Array) -> Array:
    """The image [H W] with room for blocks that begin in it."""
    return jnp.pad(image, ((0, SIDE), (0, SIDE)))


def read(image: Array, blocks: Blocks) -> Array:
    """Blocks' pixels [n SIDE^2] of a padded image."""
    dimensions = lax.GatherDimensionNumbers((1, 2), (), (0, 1))
    places = jnp.stack([blocks.row, blocks.column], axis=-1)
    return lax.gather(image, places, dimensions, (SIDE, SIDE), mode='promise_in_bounds').reshape(-1, SIDE * SIDE)


def write(image: Array, blocks: Blocks, values: Array, scatter: Callable[..., Array] = lax.scatter_add) -> Array:
    """A padded image with values [n SIDE^2] added to blocks' pixels, or combined by another scatter."""
    dimensions = lax.ScatterDimensionNumbers((1, 2), (), (0, 1))
    places = jnp.stack([blocks.row, blocks.column], axis=-1)
    return scatter(image, places, values.reshape(-1, SIDE, SIDE), dimensions, mode='promise_in_bounds')


def centers(dtype: jnp.dtype) -> tuple[Array, Array]:
    """Pixels' centres x and y [SIDE^2], from the middle of the block."""
    steps = np.arange(SIDE, dtype=dtype) - 0.5 * (SIDE - 1)
    return jnp.asarray(np.tile(steps, SIDE), dtype), jnp.asarray(np.repeat(steps, SIDE), dtype)


def relative(blocks: Blocks) -> Array:
    """Corners [n 6] of triangles, from the middle of the block."""
    middle = [(first + SIDE // 2).astype(blocks.corners.dtype) for first in (blocks.column, blocks.row)]
    return blocks.corners - jnp.stack(middle * 3, axis=-1)


def _distance(blocks: Blocks) -> Array:
    """From the blocks' middles to the boundary, positive inside."""
    square = nearness.closest(relative(blocks).T, jnp.zeros(()), jnp.zeros(()))[0]
    return jnp.sign(square) * jnp.sqrt(jnp.abs(square))


def _walk(scene: Scene, size: tuple[int, int], visit: Callable[[Blocks, Any], Any], total: Any) -> Any:
    *_, across, down = _bounds(scene.corners, scene.radius, size)
    visible, count = _compact(scene.used & (across * down > 0), _FACES)

    def faces(k: Array, total: Any) -> Any:
        chosen = lax.dynamic_slice(visible, (k * _FACES,), (_FACES,))
        corners = scene.corners.at[chosen].get(mode='promise_in_bounds')
        left, top, across, down = _bounds(corners, scene.radius, size)
        last = jnp.cumsum(jnp.where(k * _FACES + jnp.arange(_FACES) < count, across * down, 0), dtype=jnp.int32)

        def candidates(m: Array, total: Any) -> Any:
            block = m * _CANDIDATES + jnp.arange(_CANDIDATES, dtype=jnp.int32)
            owner = jnp.minimum(jnp.searchsorted(last, block, side='right'), _FACES - 1).astype(jnp.int32)
            bounds = jnp.stack([left, top, across, across * down, last], axis=-1).at[owner].get(mode='clip')
            first_column, first_row, columns, own_count, own_last = bounds.T
            rank, columns = block - (own_last - own_count), jnp.maximum(columns, 1)
            live = block < last[-1]
            column = jnp.where(live, first_column + SIDE * (rank % columns), 0)
            row = jnp.where(live, first_row + SIDE * (rank // columns), 0)
            own = corners.at[owner].get(mode='promise_in_bounds')
            return visit(Blocks(chosen[owner], own, column, row, live), total)

        return lax.fori_loop(0, _parts(last[-1], _CANDIDATES), candidates, total)

    return lax.fori_loop(0, _parts(count, _FACES), faces, total)


def _bounds(corners: Array, radius: Array, size: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """First pixels (column, row) of triangles [F 6], and how many blocks there are across and down; int32 [F]."""
    found = []
    for axis, limit in enumerate(size):
        places = [corners[:, 2 * k + axis] for k in range(3)]
        low = jnp.minimum(jnp.minimum(*places[:2]), places[2]) - radius
        high = jnp.maximum(jnp.maximum(*places[:2]), places[2]) + radius
        first = jnp.clip(jnp.ceil(low - 0.5), 0, limit).astype(jnp.int32)
        last = jnp.clip(jnp.floor(high - 0.5), -1, limit - 1).astype(jnp.int32)
        found.append((first, last))
    (left, right), (top, bottom) = found
    large = jnp.maximum(right - left, bottom - top) > _LARGE
    left, top = (jnp.where(large, first // SIDE * SIDE, first) for first in (left, top))
    across, down = (jnp.maximum(last - first + SIDE, 0) // SIDE for first, last in ((left, right), (top, bottom)))
    return left, top, across, down


def _touched(wanted: Array) -> Array:
    """Whether the block that begins at a pixel [H W] holds a wanted one."""
    step = 1
    while step < SIDE:
        for axis in range(2):
            moved = jnp.roll(wanted, -step, axis)
            inside = jnp.arange(wanted.shape[axis]) < wanted.shape[axis] - step
            wanted = wanted | (moved & jnp.expand_dims(inside, 1 - axis))
        step *= 2
    return wanted


def _compact(keep: Array, slack: int) -> tuple[Array, Array]:
    """Indices of what is kept, int32 [n + slack] with zeros behind, and how many."""
    place = prefix_sum(keep).astype(jnp.int32)
    total = keep.shape[0] + slack
    chosen = jnp.zeros(total, jnp.int32).at[jnp.where(keep, place - 1, total)].set(
        jnp.arange(keep.shape[0], dtype=jnp.int32), mode='drop'
    )
    return chosen, place[-1]


def _parts(count: Array, size: int) -> Array:
    return (count + size - 1) // size
