"""Which Gaussians are seen in which tile of a picture, from front to back, in lists of a fixed total length."""

import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from neurend.render.gaussians_project import LEAST_ALPHA, Screen
from neurend.render.segments import expand, prefix_sum
from neurend.typing import Array

SIDE = 8
# Lists are made in the smallest of these parts of their capacity that holds them, and is no less than `_LEAST`.
_PARTS, _LEAST = (8, 4, 2, 1), 4096


class Between(NamedTuple):
    """At which pixels Gaussians count.

    Attributes:
        depth: [N] of the Gaussians.
        ends: [tiles 2 64], at each pixel the depths from which on, and before which, they do.
    """

    depth: Array
    ends: Array


class Lists(NamedTuple):
    """Lists of the Gaussians of tiles of 8 x 8 pixels, row by row.

    Attributes:
        ids: int32 [capacity], tile after tile, from front to back in each.
        start, count: int32 [tiles], where each tile's are.
        order: int32 [tiles], the tiles from the longest list to the shortest.
        needed: int32, pairs of a Gaussian and a tile that its rectangle touches; lists hold as many at most.
        missing: int32, pairs that found no room: those of the Gaussians farthest behind.
        between: where they count; everywhere if None.
    """

    ids: Array
    start: Array
    count: Array
    order: Array
    needed: Array
    missing: Array
    between: Between | None = None


def grid(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of tiles."""
    return -(-width // SIDE), -(-height // SIDE)


def lists(screen: Screen, size: tuple[int, int], capacity: int, *, near: float, far: float) -> Lists:
    """Makes the lists.

    Args:
        screen: of `gaussians_project.project`.
        size: width and height in pixels.
        capacity: pairs of a Gaussian and a tile that there is room for.
        near, far: between which depths of visible Gaussians are.
    """
    depth = jnp.where(screen.visible, screen.depth, near).astype(jnp.float32)
    lowest = _bits(np.float32(near))
    # Visible depths are positive, so that their bits as whole numbers rise with them.
    key = lax.bitcast_convert_type(depth, jnp.uint32) - np.uint32(lowest)
    by_depth = stable_order(key, int(_bits(np.float32(far)) - lowest).bit_length())
    table = _table(screen, by_depth)
    low, high = _rectangles(table, size)
    count = jnp.where(screen.visible[by_depth], (high[0] - low[0]) * (high[1] - low[1]), 0)
    needed = jnp.sum(count, dtype=jnp.int32)
    rectangle = jnp.stack([*low, high[0] - low[0]], axis=-1)
    sizes = sorted({max(-(-capacity // part), min(_LEAST, capacity)) for part in _PARTS})
    branch = jnp.sum(needed > np.asarray(sizes[:-1], np.int32), dtype=jnp.int32)
    made = lax.switch(
        branch,
        [functools.partial(_lists, size=size, room=room, capacity=capacity) for room in sizes],
        by_depth,
        table,
        count,
        rectangle,
    )
    ids, start, in_tile, missing = made
    longest = jnp.max(in_tile)
    order = stable_order((longest - in_tile).astype(jnp.uint32), capacity.bit_length())
    return Lists(ids, start, in_tile, order, needed, missing)


def stable_order(keys: Array, bits: int) -> Array:
    """The order int32 [n] that sorts keys, uint32 [n] less than 2^bits; equal keys stay as they are.

    Keys are sorted together with their places as single numbers, in as many passes as their bits need: on a CPU a sort
    that carries a payload takes five times as long.
    """
    n = keys.shape[0]
    below = max(1, (n - 1).bit_length())
    step = 32 - below
    order, places = None, jnp.arange(n, dtype=jnp.uint32)
    for first in range(0, bits, step):
        digit = (keys if order is None else keys[order]) >> np.uint32(first)
        digit = digit & np.uint32((1 << min(step, bits - first)) - 1)
        packed = lax.sort((digit << np.uint32(below)) | places, is_stable=False)
        found = (packed & np.uint32((1 << below) - 1)).astype(jnp.int32)
        order = found if order is None else order[found]
    return places.astype(jnp.int32) if order is None else order


def _bits(value: np.float32) -> int:
    return int(value.view(np.uint32))


def _table(screen: Screen, order: Array) -> Array:
    """Rows [N 8]: x, y, conic, reach in sigma, half sides of the box around what is reached."""
    reach = jnp.log(jnp.maximum(screen.opacity / LEAST_ALPHA, 1))
    root = jnp.sqrt(2 * reach)
    a, b, c = screen.conic
    det = jnp.maximum(a * c - b * b, np.finfo(np.float32).tiny)
    half = [root * jnp.sqrt(jnp.maximum(side / det, 0)) for side in (c, a)]
    rows = jnp.stack([screen.x, screen.y, a, b, c, reach, *half], axis=-1)
    return jnp.where(screen.visible[:, None], rows, 0)[order].astype(jnp.float32)


def _rectangles(table: Array, size: tuple[int, int]) -> tuple[list[Array], list[Array]]:
    """First tiles and those after the last, by axis, clipped to the picture."""
    low, high = [], []
    for axis, tiles in enumerate(grid(*size)):
        # Clipped as numbers: far outside they do not fit an int.
        middle, half = table[:, axis], table[:, 6 + axis]
        first = jnp.clip(jnp.floor((middle - half) / SIDE), 0, tiles).astype(jnp.int32)
        last = jnp.clip(jnp.floor((middle + half) / SIDE) + 1, 0, tiles).astype(jnp.int32)
        low.append(first)
        high.append(jnp.maximum(last, first))
    return low, high


def _lists(
    by_depth: Array, table: Array, count: Array, rectangle: Array, *, size: tuple[int, int], room: int, capacity: int
) -> tuple[Array, Array, Array, Array]:
    columns, rows = grid(*size)
    tiles = columns * rows
    pairs = expand(count, room)
    left, top, across = (rectangle[:, k][pairs.ray] for k in range(3))
    # Not `//`, which looks at signs.
    down = lax.div(pairs.rank, jnp.maximum(across, 1))
    column, row = left + pairs.rank - down * across, top + down
    seen = pairs.live & touches(table[pairs.ray], column, row)
    tile = jnp.where(seen, row * columns + column, tiles)
    in_tile = jnp.zeros(tiles + 1, jnp.int32).at[tile].add(1, mode='promise_in_bounds')[:-1]
    ids = by_depth[_by_tile(tile.astype(jnp.uint32), tiles.bit_length(), pairs.ray, by_depth.shape[0])]
    start = prefix_sum(in_tile).astype(jnp.int32) - in_tile
    missing = jnp.sum(jnp.where(pairs.complete, 0, count), dtype=jnp.int32)
    return jnp.pad(ids, (0, capacity - room)), start, in_tile, missing


def _by_tile(tile: Array, bits: int, rank: Array, count: int) -> Array:
    """Ranks by depth, int32 [P] ascending and less than `count`, put in the order of their tiles, of so many bits."""
    below = max(1, (count - 1).bit_length())
    if bits + below > 32:
        return rank[stable_order(tile, bits)]
    # Sorted together as single numbers, without the way round by the places of pairs.
    packed = lax.sort((tile << np.uint32(below)) | rank.astype(jnp.uint32), is_stable=False)
    return (packed & np.uint32((1 << below) - 1)).astype(jnp.int32)


def touches(rows: Array, column: Array, row: Array) -> Array:
    """Whether a Gaussian shows at any point between the centres of a tile's outer pixels.

    Exact: the least of a quadratic form over a rectangle that does not hold its centre is on a side that faces it.

    Args:
        rows: [P 8] of the table.
        column, row: int32 [P] of the tiles.
    """
    x, y, a, b, c, reach = (rows[:, k] for k in range(6))
    left, top = (SIDE * tile.astype(rows.dtype) + 0.5 - middle for tile, middle in ((column, x), (row, y)))
    right, bottom = left + (SIDE - 1), top + (SIDE - 1)
    dx, dy = jnp.clip(0, left, right), jnp.clip(0, top, bottom)

    def form(dx: Array, dy: Array) -> Array:
        return 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy

    upright = form(dx, jnp.clip(-b * dx / jnp.maximum(c, 1e-30), top, bottom))
    level = form(jnp.clip(-b * dy / jnp.maximum(a, 1e-30), left, right), dy)
    # Rounding must not drop what the blending would count.
    return jnp.minimum(upright, level) <= reach * (1 + 1e-4) + 1e-4


def tiled(image: Array) -> Array:
    """Tiles [tiles C 64] of a picture [H W C], padded with zeros."""
    height, width, channels = image.shape
    columns, rows = grid(width, height)
    padded = jnp.pad(image, ((0, rows * SIDE - height), (0, columns * SIDE - width), (0, 0)))
    parts = padded.reshape(rows, SIDE, columns, SIDE, channels).transpose(0, 2, 4, 1, 3)
    return parts.reshape(rows * columns, channels, SIDE * SIDE)


def untiled(parts: Array, size: tuple[int, int]) -> Array:
    """The picture [H W C] of tiles [tiles C 64]."""
    columns, rows = grid(*size)
    channels = parts.shape[1]
    whole = parts.reshape(rows, columns, channels, SIDE, SIDE).transpose(0, 3, 1, 4, 2)
    return whole.reshape(rows * SIDE, columns * SIDE, channels)[: size[1], : size[0]]


def suggested(pairs: int) -> int:
    """A capacity for so many pairs, with an eighth to spare, in whole thousands."""
    return max(1024, math.ceil(pairs * 1.125 / 1024) * 1024)
