"""Draws triangles of any size in blocks on a fixed grid, and only where they may be in front of what is there."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from neurend.render.raster import coverage, drawing
from neurend.render.raster.coverage import Triangles
from neurend.render.raster.drawing import PADDING, Canvas
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Side of blocks, how many are asked at a time whether anything of the triangle shows, and how many are drawn.
SIDE, _ASKED, _DRAWN = PADDING, 1024, 64
# Of a depth's parts: more than single precision can lose in adding them up.
_SLACK = 1e-6

T = TypeVar('T')


class Blocks(NamedTuple):
    """Parts [n] of triangles.

    Attributes:
        owner: int32, which triangle.
        column, row: int32, first pixels.
        live: bool, whether it is one.
    """

    owner: Array
    column: Array
    row: Array
    live: Array


def farthest(canvas: Canvas) -> Array:
    """Greatest packed depth [rows columns] in each block of a canvas."""
    rows, columns = (-(-size // SIDE) for size in (canvas.height, canvas.width))
    inside = canvas.nearest[: rows * SIDE, : columns * SIDE]
    return inside.reshape(rows, SIDE, columns, SIDE).max((1, 3))


def draw(triangles: Triangles, canvas: Canvas, depths: Array) -> tuple[Canvas, Array]:
    """Draws triangles, the nearest first, and keeps the depths of `farthest` up to date."""
    order = jnp.argsort(jnp.where(triangles.drawn, triangles.depth.nearest, jnp.inf))
    triangles = _take(triangles, order)
    left, top = (drawing.first_pixel(values) // SIDE for values in (triangles.x, triangles.y))
    right = jnp.minimum(drawing.last_pixel(triangles.x), canvas.width - 1) // SIDE
    bottom = jnp.minimum(drawing.last_pixel(triangles.y), canvas.height - 1) // SIDE
    across = jnp.maximum(right - left + 1, 1)
    shown = triangles.drawn & (right >= left) & (bottom >= top)
    last = jnp.cumsum(jnp.where(shown, across * (bottom - top + 1), 0))

    def block(k: Array) -> Blocks:
        place = k * _ASKED + jnp.arange(_ASKED, dtype=last.dtype)
        owner = jnp.minimum(jnp.searchsorted(last, place, side='right'), last.shape[0] - 1).astype(jnp.int32)
        begin = jnp.where(owner > 0, last[jnp.maximum(owner - 1, 0)], 0)
        rank = (place - begin).astype(jnp.int32)
        down = rank // across[owner]
        column = left[owner] + rank - down * across[owner]
        return Blocks(owner, SIDE * column, SIDE * (top[owner] + down), place < last[-1])

    def ask(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        k, nearest, depths = state
        asked = block(k)
        asked = asked._replace(live=_may_show(triangles, asked, depths))
        nearest, depths = _draw_asked(triangles, asked, canvas._replace(nearest=nearest), depths)
        return k + 1, nearest, depths

    count = (last[-1] + _ASKED - 1) // _ASKED
    state = (jnp.zeros_like(count), canvas.nearest, depths)
    _, nearest, depths = lax.while_loop(lambda state: state[0] < count, ask, state)
    return canvas._replace(nearest=nearest), depths


def _draw_asked(triangles: Triangles, asked: Blocks, canvas: Canvas, depths: Array) -> tuple[Array, Array]:
    """Draws live blocks, some at a time."""
    place = prefix_sum(asked.live).astype(jnp.int32)
    count = place[-1]
    listed = jnp.zeros(_ASKED + _DRAWN, jnp.int32)
    listed = listed.at[jnp.where(asked.live, place - 1, _ASKED + _DRAWN)].set(
        jnp.arange(_ASKED, dtype=jnp.int32), mode='drop'
    )

    def some(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        k, nearest, depths = state
        blocks = _take(asked, lax.dynamic_slice(listed, (k * _DRAWN,), (_DRAWN,)))
        own = _take(triangles, blocks.owner)
        own = own._replace(drawn=k * _DRAWN + jnp.arange(_DRAWN, dtype=jnp.int32) < count)
        edges = coverage.edges(own, blocks.column, blocks.row, jnp.int64)
        packed = coverage.fragments(own, edges, blocks.column, blocks.row, SIDE)
        nearest = drawing.store(canvas._replace(nearest=nearest), packed, blocks.column, blocks.row).nearest
        windows = drawing.windows(nearest, blocks.column, blocks.row, SIDE)
        return k + 1, nearest, depths.at[blocks.row // SIDE, blocks.column // SIDE].set(windows.max((1, 2)))

    parts = (count + _DRAWN - 1) // _DRAWN
    state = (jnp.int32(0), canvas.nearest, depths)
    return lax.while_loop(lambda state: state[0] < parts, some, state)[1:]


def _may_show(triangles: Triangles, blocks: Blocks, depths: Array) -> Array:
    """Live blocks in which a triangle covers something that is not nearer throughout."""
    own = _take(triangles, blocks.owner)
    edges = coverage.edges(own, blocks.column, blocks.row, jnp.int64)
    reach = SIDE - 1
    most = [first + reach * (jnp.maximum(right, 0) + jnp.maximum(down, 0)) for first, right, down in zip(*edges)]
    inside = (most[0] | most[1] | most[2]) >= 0
    first, right, down = (value.astype(jnp.float32) for value in coverage.plane(own, blocks.column, blocks.row))
    right, down = reach * right, reach * down
    slack = _SLACK * (jnp.abs(first) + jnp.abs(right) + jnp.abs(down))
    least = first + jnp.minimum(right, 0) + jnp.minimum(down, 0) - slack
    packed = coverage.pack(jnp.maximum(least, own.depth.nearest), own.face)
    return blocks.live & inside & (packed < depths[blocks.row // SIDE, blocks.column // SIDE])


def _take(values: T, chosen: Array) -> T:
    return jax.tree.map(lambda value: value.at[chosen].get(mode='promise_in_bounds'), values)
