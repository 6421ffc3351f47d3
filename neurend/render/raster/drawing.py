"""Draws listed triangles into a buffer of packed depths and indices, a fixed number at a time."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from neurend.render.raster import coverage
from neurend.render.raster.coverage import Corners, Triangles
from neurend.render.raster.screen import HALF, Screen
from neurend.typing import Array

# What may be drawn beyond the picture's right and lower border.
PADDING = 32


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
    vertices: Screen, faces: list[Array], chosen: Array, in_use: Array, culled: int, dtype: jnp.dtype = jnp.float32
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
    column, row = first_pixel(triangles.x), first_pixel(triangles.y)
    edges = coverage.edges(triangles, column, row, jnp.int32)
    return store(canvas, coverage.fragments(triangles, edges, column, row, side), column, row)


def store(canvas: Canvas, packed: Array, column: Array, row: Array) -> Canvas:
    """Keeps the nearest of what is there and of windows [n side side], whose first pixels lie in the viewport."""
    if canvas.previous is not None:
        previous = windows(canvas.previous, column, row, packed.shape[-1])
        packed = jnp.where(packed > previous, packed, coverage.EMPTY)
    dimensions = lax.ScatterDimensionNumbers((1, 2), (), (0, 1))
    places = _places(canvas.nearest, column, row, packed.shape[-1])
    nearest = lax.scatter_min(canvas.nearest, places, packed, dimensions, mode='promise_in_bounds')
    return canvas._replace(nearest=nearest)


def windows(values: Array, column: Array, row: Array, side: int) -> Array:
    """Windows [n side side] of an array, from the pixels (column, row) [n] on."""
    dimensions = lax.GatherDimensionNumbers((1, 2), (), (0, 1))
    places = _places(values, column, row, side)
    return lax.gather(values, places, dimensions, (side, side), mode='promise_in_bounds')


def _places(values: Array, column: Array, row: Array, side: int) -> Array:
    height, width = values.shape
    return jnp.stack([jnp.clip(row, 0, height - side), jnp.clip(column, 0, width - side)], axis=-1)


def first_pixel(values: Corners) -> Array:
    """The first column (row) of the viewport whose centre is not before the corners."""
    least = jnp.minimum(jnp.minimum(values[0], values[1]), values[2])
    return jnp.maximum((least + HALF - 1) >> 8, 0)


def last_pixel(values: Corners) -> Array:
    """The last column (row) whose centre is not beyond the corners."""
    return (jnp.maximum(jnp.maximum(values[0], values[1]), values[2]) - HALF) >> 8
