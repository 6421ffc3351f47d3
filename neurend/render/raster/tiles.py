"""Work on the pixels that show a triangle, tile by tile, and on no others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Side of tiles and how many at a time: their pixels stay in a core's cache.
_SIDE, _PART = 32, 16


class Tiles(NamedTuple):
    """Parts [n h w] of pictures.

    Attributes:
        row, column: int32 [n], first pixels.
        face: int32 [n h w], what shows; -1 for nothing.
        own: bool [n h w], False where an earlier tile has the pixel too: what is added up counts once.
    """

    row: Array
    column: Array
    face: Array
    own: Array

    def read(self, image: Array) -> Array:
        """The tiles [n h w ...] of a picture [H W ...]."""
        if self._whole(image):
            return image[None]
        sizes = (*self.face.shape[1:], *image.shape[2:])
        offsets = tuple(range(1, len(sizes) + 1))
        dimensions = lax.GatherDimensionNumbers(offsets, (), (0, 1))
        return lax.gather(image, self._places(), dimensions, sizes, mode='promise_in_bounds')

    def write(self, image: Array, values: Array) -> Array:
        """The picture with these values in the tiles."""
        if self._whole(image):
            return values[0]
        dimensions = lax.ScatterDimensionNumbers(tuple(range(1, values.ndim)), (), (0, 1))
        return lax.scatter(image, self._places(), values, dimensions, mode='promise_in_bounds')

    def _whole(self, image: Array) -> bool:
        return self.face.shape == (1, *image.shape[:2])

    def _places(self) -> Array:
        return jnp.stack([self.row, self.column], axis=-1)


def fold(face: Array, use: Callable[[Tiles, Any], Any], total: Any) -> Any:
    """Folds `use(tiles, total)` over tiles that together hold every pixel that shows something.

    On a CPU these are small, few at a time and in a loop of dynamic length; elsewhere one tile is the whole picture.

    Args:
        face: int32 [H W], -1 where nothing shows.
        use: may write the same to a pixel twice.
        total: pytree of arrays.
    """
    return lax.platform_dependent(
        face, total, cpu=lambda face, total: _some_at_a_time(face, use, total), default=lambda f, t: whole(f, use, t)
    )


def whole(face: Array, use: Callable[[Tiles, Any], Any], total: Any) -> Any:
    """The same at once."""
    first = jnp.zeros(1, jnp.int32)
    return use(Tiles(first, first, face[None], jnp.ones((1, *face.shape), bool)), total)


def _some_at_a_time(face: Array, use: Callable[[Tiles, Any], Any], total: Any) -> Any:
    height, width = face.shape
    rows, columns = -(-height // _SIDE), -(-width // _SIDE)
    padding = ((0, rows * _SIDE - height), (0, columns * _SIDE - width))
    shown = jnp.pad(face, padding, constant_values=-1).reshape(rows, _SIDE, columns, _SIDE).max((1, 3)) >= 0
    place = prefix_sum(shown.reshape(-1)).astype(jnp.int32)
    count, size = place[-1], rows * columns
    listed = jnp.zeros(size + _PART, jnp.int32)
    listed = listed.at[jnp.where(shown.reshape(-1), place - 1, size + _PART)].set(
        jnp.arange(size, dtype=jnp.int32), mode='drop'
    )
    # Tiles at the lower and right border begin earlier, so that they fit.
    sides = (min(_SIDE, height), min(_SIDE, width))

    def part(state: tuple[Array, Any]) -> tuple[Array, Any]:
        k, total = state
        tile = lax.dynamic_slice(listed, (k * _PART,), (_PART,))
        nominal = [_SIDE * (tile // columns), _SIDE * (tile % columns)]
        row, column = (jnp.minimum(first, size - side) for first, size, side in zip(nominal, face.shape, sides))
        tiles = Tiles(row, column, jnp.zeros((_PART, *sides), jnp.int32), jnp.zeros(()))
        live = k * _PART + jnp.arange(_PART, dtype=jnp.int32) < count
        down = row[:, None] + jnp.arange(sides[0], dtype=jnp.int32)[None] >= nominal[0][:, None]
        right = column[:, None] + jnp.arange(sides[1], dtype=jnp.int32)[None] >= nominal[1][:, None]
        own = live[:, None, None] & down[:, :, None] & right[:, None, :]
        return k + 1, use(tiles._replace(face=tiles.read(face), own=own), total)

    # By steps of one: XLA takes a loop by larger ones, to a count that it knows and that is less, for one of no turns.
    parts = (count + _PART - 1) // _PART
    return lax.while_loop(lambda state: state[0] < parts, part, (jnp.int32(0), total))[1]
