"""Draws listed triangles into a buffer of packed depths and indices, a fixed number at a time."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from neurend.render.raster import coverage
from neurend.render.raster.coverage import Corners, Triangles
from neurend.render.raster.screen import HALF, Screen
from neurend.typing import Array

# Side of the blocks that large triangles are drawn in, and how many at a time.
SIDE, _BLOCKS = 32, 64
PADDING = SIDE


class Canvas(NamedTuple):
    """What is drawn on.

    Attributes:
        nearest: [H+PADDING W+PADDING] int64, packed depths and faces.
        previous: the same of the layer in front, of which nothing is drawn again; None for the first.
        width, height: of the viewport.
    """

    nearest: Array
    previous: Array | None
    width: int
    height: int


def repeat(count: Array, draw: Callable[[Array, Canvas], Canvas], canvas: Canvas) -> Canvas:
    """Draws `count` times, `draw(k, canvas)` giving the canvas with part k drawn."""

    def body(state: tuple[Array, Array]) -> tuple[Array, Array]:
        k, nearest = state
        return k + 1, draw(k, canvas._replace(nearest=nearest)).nearest

    state = (jnp.int32(0), canvas.nearest)
    return canvas._replace(nearest=lax.while_loop(lambda state: state[0] < count, body, state)[1])


def gather(
    vertices: Screen, faces: Array, chosen: Array, in_use: Array, culled: int, dtype: jnp.dtype = jnp.float32
) -> Triangles:
    """The triangles of `chosen` [n] faces; `culled` is the sign of the areas that are left out, or 0."""
    corners = [row.at[chosen].get(mode='promise_in_bounds') for row in faces]

    def at(values: Array) -> Corners:
        a, b, c = (values.at[corner].get(mode='promise_in_bounds') for corner in corners)
        return a, b, c

    x, y, z = at(vertices.x), at(vertices.y), at(vertices.z)
    area = coverage.signed_area(coverage.cast(x, jnp.int64), coverage.cast(y, jnp.int64))
    drawn = in_use & (jnp.sign(area) != culled) if culled else in_use
    return Triangles(x, y, coverage.depth(x, y, z, area, dtype), chosen, drawn)


def small(triangles: Triangles, canvas: Canvas, side: int) -> Canvas:
    """Draws triangles whose pixels fit one window of `side` x `side` each."""
    column, row = _first_pixel(triangles.x), _first_pixel(triangles.y)
    edges = coverage.edges(triangles, column, row, jnp.int32)
    return _store(canvas, coverage.fragments(triangles, edges, column, row, side), column, row)


def large(triangles: Triangles, canvas: Canvas) -> Canvas:
    """Draws triangles of any size, block by block."""
    left, top = _first_pixel(triangles.x), _first_pixel(triangles.y)
    columns = jnp.maximum(jnp.minimum(_last_pixel(triangles.x), canvas.width - 1) - left + 1, 0)
    rows = jnp.maximum(jnp.minimum(_last_pixel(triangles.y), canvas.height - 1) - top + 1, 0)
    across = _ceil_divide(columns, SIDE)
    counts = jnp.where(triangles.drawn, across * _ceil_divide(rows, SIDE), 0)
    last = jnp.cumsum(counts)
    first = last - counts

    def draw(k: Array, canvas: Canvas) -> Canvas:
        block = k * _BLOCKS + jnp.arange(_BLOCKS, dtype=jnp.int32)
        owner = jnp.minimum(jnp.searchsorted(last, block, side='right'), last.shape[0] - 1).astype(jnp.int32)
        own, begin, nx, x0, y0 = jax.tree.map(
            lambda values: values.at[owner].get(mode='promise_in_bounds'), (triangles, first, across, left, top)
        )
        rank = block - begin
        nx = jnp.maximum(nx, 1)
        column, row = x0 + SIDE * (rank % nx), y0 + SIDE * (rank // nx)
        own = own._replace(drawn=own.drawn & (block < last[-1]))
        edges = coverage.edges(own, column, row, jnp.int64)
        return _store(canvas, coverage.fragments(own, edges, column, row, SIDE), column, row)

    return repeat(_ceil_divide(last[-1], _BLOCKS), draw, canvas)


def _store(canvas: Canvas, packed: Array, column: Array, row: Array) -> Canvas:
    """Keeps the nearest; blocks begin inside the viewport and may reach into the padding."""
    height, width = canvas.nearest.shape
    side = packed.shape[-1]
    places = jnp.stack([jnp.clip(row, 0, height - side), jnp.clip(column, 0, width - side)], axis=-1)
    if canvas.previous is not None:
        dimensions = lax.GatherDimensionNumbers((1, 2), (), (0, 1))
        previous = lax.gather(canvas.previous, places, dimensions, (side, side), mode='promise_in_bounds')
        packed = jnp.where(packed > previous, packed, coverage.EMPTY)
    dimensions = lax.ScatterDimensionNumbers((1, 2), (), (0, 1))
    nearest = lax.scatter_min(canvas.nearest, places, packed, dimensions, mode='promise_in_bounds')
    return canvas._replace(nearest=nearest)


def _first_pixel(values: Corners) -> Array:
    least = jnp.minimum(jnp.minimum(values[0], values[1]), values[2])
    return jnp.maximum((least + HALF - 1) >> 8, 0)


def _last_pixel(values: Corners) -> Array:
    return (jnp.maximum(jnp.maximum(values[0], values[1]), values[2]) - HALF) >> 8


def _ceil_divide(value: Array, divisor: int) -> Array:
    return (value + divisor - 1) // divisor
