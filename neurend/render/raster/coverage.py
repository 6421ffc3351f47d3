"""Triangles over blocks of pixels: which centres they cover, by edge functions in integers, and their depth there."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from neurend.render.raster.screen import HALF, SUBPIXELS
from neurend.typing import Array

# What an uncovered pixel holds: greater than any depth and triangle.
EMPTY = (1 << 63) - 1
_SATURATED = 1 << 30


Corners = tuple[Array, Array, Array]


class Depth(NamedTuple):
    """Depth z/w over the image, which is linear in a triangle; arrays are [n].

    Attributes:
        x, y: int32, a place in 1/256 pixels.
        there: depth at that place.
        right, down: change per pixel.
        nearest, farthest: float32, least and greatest at the triangle's corners.
    """

    x: Array
    y: Array
    there: Array
    right: Array
    down: Array
    nearest: Array
    farthest: Array


class Triangles(NamedTuple):
    """Snapped triangles [n].

    Attributes:
        x, y: three int32 [n] each, 1/256 pixels.
        depth: over the image.
        face: int32 [n], what is stored where the triangle shows.
        drawn: bool [n]; others cover nothing.
    """

    x: Corners
    y: Corners
    depth: Depth
    face: Array
    drawn: Array


class Edges(NamedTuple):
    """Edge functions of triangles [n] over the pixels of blocks; each of the fields is three arrays, int32 [n].

    Attributes:
        first: value at the block's first pixel; not negative inside of the edge.
        right, down: change per pixel.
    """

    first: list[Array]
    right: list[Array]
    down: list[Array]


def cast(values: Corners, dtype: jnp.dtype) -> Corners:
    """The same in another type."""
    a, b, c = values
    return a.astype(dtype), b.astype(dtype), c.astype(dtype)


def signed_area(x: Corners, y: Corners) -> Array:
    """Twice the area, positive where the corners run clockwise in the image, in 1/256 pixels squared."""
    return (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])


def depth(x: Corners, y: Corners, z: Corners, area: Array, dtype: jnp.dtype) -> Depth:
    """Depth of triangles from that of their snapped corners, three [n] each, and their signed area.

    `dtype` is float64 for large triangles: what is lost on the slopes of a sliver grows with its length.
    """
    inverse = jnp.where(area == 0, 0, SUBPIXELS / jnp.where(area == 0, 1, area).astype(dtype))
    (x1, x2), (y1, y2), (z1, z2) = (((v[1] - v[0]).astype(dtype), (v[2] - v[0]).astype(dtype)) for v in (x, y, z))
    nearest, farthest = jnp.minimum(jnp.minimum(*z[:2]), z[2]), jnp.maximum(jnp.maximum(*z[:2]), z[2])
    right, down = (z1 * y2 - z2 * y1) * inverse, (z2 * x1 - z1 * x2) * inverse
    return Depth(x[0], y[0], z[0].astype(dtype), right, down, nearest, farthest)


def edges(triangles: Triangles, column: Array, row: Array, dtype: jnp.dtype) -> Edges:
    """Edge functions of triangles over blocks that begin at pixel (column, row) [n], int32 each.

    `dtype` is int32 if triangles and blocks are less than 90 pixels apart and across, int64 otherwise.
    """
    x, y = cast(triangles.x, dtype), cast(triangles.y, dtype)
    sign = jnp.where(signed_area(x, y) < 0, -1, 1).astype(dtype)
    px, py = column.astype(dtype) * SUBPIXELS + HALF, row.astype(dtype) * SUBPIXELS + HALF
    first, right, down = [], [], []
    for a, b in ((1, 2), (2, 0), (0, 1)):
        dx, dy = sign * (x[b] - x[a]), sign * (y[b] - y[a])
        # Clockwise with y down: the interior of a left edge is where it goes up, of a top edge where it goes right.
        owned = (dy < 0) | ((dy == 0) & (dx > 0))
        value = dx * (py - y[a]) - dy * (px - x[a]) - jnp.where(owned, 0, 1).astype(dtype)
        # From pixel to pixel it changes by multiples of 256, so that rounding down keeps the sign at every pixel.
        first.append(jnp.clip(value >> 8, -_SATURATED, _SATURATED).astype(jnp.int32))
        right.append(-dy.astype(jnp.int32))
        down.append(dx.astype(jnp.int32))
    return Edges(first, right, down)


def fragments(triangles: Triangles, edges: Edges, column: Array, row: Array, side: int) -> Array:
    """Packed depth and triangle [n side side] int64 at the pixels of blocks, `EMPTY` where not covered.

    Comparing packed values compares depths, and indices where depths are equal.
    """
    steps = jnp.arange(side, dtype=jnp.int32)
    across, along = steps[None, None, :], steps[None, :, None]

    def over(first: Array, right: Array, down: Array) -> Array:
        first, right, down = (value[:, None, None] for value in (first, right, down))
        return first + right * across.astype(first.dtype) + down * along.astype(first.dtype)

    a, b, c = (over(*edge) for edge in zip(*edges))
    depths = over(*(value.astype(jnp.float32) for value in plane(triangles, column, row)))
    nearest, farthest = triangles.depth.nearest, triangles.depth.farthest
    depths = jnp.clip(depths, nearest[:, None, None], farthest[:, None, None])
    inside = ((a | b | c) >= 0) & triangles.drawn[:, None, None]
    return jnp.where(inside, pack(depths, triangles.face[:, None, None]), EMPTY)


def plane(triangles: Triangles, column: Array, row: Array) -> tuple[Array, Array, Array]:
    """Depth at the centres of pixels (column, row) [n], and its changes per pixel to the right and down."""
    depth = triangles.depth
    to_x, to_y = (
        ((pixel * SUBPIXELS + HALF) - place).astype(depth.there.dtype) / SUBPIXELS
        for pixel, place in ((column, depth.x), (row, depth.y))
    )
    return depth.there + depth.right * to_x + depth.down * to_y, depth.right, depth.down


def pack(depth: Array, face: Array) -> Array:
    """int64 that orders by depth (float32), then by face (int32, not negative)."""
    bits = lax.bitcast_convert_type(depth, jnp.int32)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (key.astype(jnp.int64) << 32) | face.astype(jnp.int64)


def unpack(packed: Array) -> tuple[Array, Array]:
    """Depth (infinite where empty) and face (-1 where empty)."""
    key = (packed >> 32).astype(jnp.int32)
    depth = lax.bitcast_convert_type(key ^ ((key >> 31) & 0x7FFFFFFF), jnp.float32)
    empty = packed == EMPTY
    return jnp.where(empty, jnp.inf, depth), jnp.where(empty, -1, (packed & 0xFFFFFFFF).astype(jnp.int32))
