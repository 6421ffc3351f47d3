"""Functions of the values at triangles' corners, for all pixels that show one, with derivatives in both modes."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neurend.linear import linear
from neurend.numerics import unstack
from neurend.render.raster import tiles
from neurend.render.raster.tiles import Tiles
from neurend.typing import Array


class Shown(NamedTuple):
    """What pixels show, in one or several layers one below the other.

    Attributes:
        face: int32 [H W], -1 for nothing.
        faces: int32 [F 3], the rows of a table that belong to the corners.
        corner: int32 [2], the camera's pixel (x, y) that is the first.
    """

    face: Array
    faces: Array
    corner: Array


class Place(NamedTuple):
    """Centres of pixels, x [n 1 w] and y [n h 1], in the camera's image."""

    x: Array
    y: Array


# What a pixel's values are: `local(corners, image, place)` gives them, a list of arrays [n h w], from the columns of a
# table, three arrays each, one a corner, and from the channels of an image. It is finite for zeros.
Local = Callable[[list[list[Array]], list[Array], Place], list[Array]]
Fold = Callable[[Array, Callable[[Tiles, Any], Any], Any], Any]


@functools.partial(jax.jit, static_argnums=(0, 1))
def evaluate(local: Local, layers: int, table: Array, image: Array, shown: Shown) -> Array:
    """Evaluates a function at pixels; zeros where nothing shows.

    Work and temporary memory are those of the pixels that show something (on a CPU; of all elsewhere), whatever the
    size of the table. Under vmap members are computed in turn.

    Args:
        local: the function, the same object from call to call, or each call is compiled anew.
        layers: how many there are.
        table: [V k].
        image: [H W m].
        shown: what pixels show.

    Returns:
        [H W c], a channel for each of the function's results.
    """
    dtype = jnp.result_type(table, image)
    return _evaluate(local, layers, table.astype(dtype), image.astype(dtype), jax.lax.stop_gradient(shown))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _evaluate(local: Local, layers: int, table: Array, image: Array, shown: Shown) -> Array:
    return jax.custom_batching.sequential_vmap(functools.partial(_values, local, layers))(table, image, shown)


@_evaluate.defjvp
def _evaluate_jvp(local: Local, layers: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    def along(fold: Fold, residuals: Any, changes: Any) -> Array:
        reader = _Reader(*residuals)
        columns = unstack(changes[0])

        def use(part: Tiles, total: Array) -> Array:
            at = reader.inputs(part)
            by = reader.corners(part, columns), unstack(part.read(changes[1]))
            out = jax.jvp(lambda corners, image: local(corners, image, reader.place(part, layers)), at, by)[1]
            return _written(part, total, out)

        return fold(residuals[2].face, use, reader.zeros(local, layers))

    def back(residuals: Any, cotangent: Array) -> tuple[Array, Array]:
        reader = _Reader(*residuals)
        table, image, shown = residuals

        def use(part: Tiles, totals: Any) -> Any:
            columns, picture = totals
            place = reader.place(part, layers)
            _, pull = jax.vjp(lambda corners, image: local(corners, image, place), *reader.inputs(part))
            used = part.face >= 0
            corners, channels = pull([jnp.where(used, y, 0) for y in unstack(part.read(cotangent))])
            rows, own = reader.rows(part), used & part.own
            for k, row in enumerate(rows):
                columns = [sum.at[row].add(jnp.where(own, by[k], 0)) for sum, by in zip(columns, corners)]
            return columns, _written(part, picture, channels)

        columns = [jnp.zeros(len(table), table.dtype)] * table.shape[1]
        columns, picture = tiles.fold(shown.face, use, (columns, jnp.zeros_like(image)))
        return jnp.stack(columns, axis=-1), picture

    forward, plain = (functools.partial(along, fold) for fold in (tiles.fold, tiles.whole))
    return _evaluate(local, layers, *primals), linear(forward, back, primals, tuple(tangents[:2]), plain=plain)


def _values(local: Local, layers: int, table: Array, image: Array, shown: Shown) -> Array:
    reader = _Reader(table, image, shown)

    def use(part: Tiles, total: Array) -> Array:
        return _written(part, total, local(*reader.inputs(part), reader.place(part, layers)))

    return tiles.fold(shown.face, use, reader.zeros(local, layers))


class _Reader:
    """What a function at pixels is given; columns of tables lie apart, since they are gathered fastest so."""

    def __init__(self, table: Array, image: Array, shown: Shown):
        self._columns, self._image, self._shown = unstack(table), image, shown
        self._faces = unstack(shown.faces)

    def inputs(self, part: Tiles) -> tuple[list[list[Array]], list[Array]]:
        return self.corners(part, self._columns), unstack(part.read(self._image))

    def corners(self, part: Tiles, columns: list[Array]) -> list[list[Array]]:
        """Values of a table at the corners of what shows, zeros where nothing does."""
        used, rows = part.face >= 0, self.rows(part)
        return [[jnp.where(used, column.at[row].get(mode='clip'), 0) for row in rows] for column in columns]

    def rows(self, part: Tiles) -> list[Array]:
        face = jnp.maximum(part.face, 0)
        return [jnp.maximum(column, 0).at[face].get(mode='promise_in_bounds') for column in self._faces]

    def place(self, part: Tiles, layers: int) -> Place:
        height, width = part.face.shape[1:]
        x = part.column[:, None, None] + jnp.arange(width, dtype=jnp.int32)[None, None, :]
        y = part.row[:, None, None] + jnp.arange(height, dtype=jnp.int32)[None, :, None]
        y = y % (self._shown.face.shape[0] // layers)
        dtype = self._columns[0].dtype
        return Place(*((pixel + first).astype(dtype) + 0.5 for pixel, first in zip((x, y), self._shown.corner)))

    def zeros(self, local: Local, layers: int) -> Array:
        def channels(face: Array) -> Any:
            return tiles.whole(face, lambda part, _: local(*self.inputs(part), self.place(part, layers)), None)

        found = jax.eval_shape(channels, self._shown.face)
        return jnp.zeros((*self._shown.face.shape, len(found)), self._columns[0].dtype)


def _written(part: Tiles, image: Array, channels: list[Array]) -> Array:
    if not channels:
        return image
    used = part.face >= 0
    return part.write(image, jnp.stack([jnp.where(used, value, 0) for value in channels], axis=-1).astype(image.dtype))
