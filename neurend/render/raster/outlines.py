"""Silhouettes of a mesh in an image: which edges they are, and between which neighbouring pixels they pass."""

from typing import NamedTuple

import jax.numpy as jnp

from neurend.numerics import safe_divide
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Crossings at a time.
PART = 4096


class Outline(NamedTuple):
    """Edges [E] of a mesh as silhouettes; those that are none, or outside of the viewport, cross nothing.

    Attributes:
        edges: int32 [E 2], the vertices.
        side: int32 [E], 1 or -1, the sign of det(a, b, p) for homogeneous pixels p on the surface's side.
        steep: bool [E], whether it passes between pixels side by side (else between one and the one below).
        line: int32 [E], the first row (column) whose centres' line it crosses.
        last: int32 [E], running count of crossings, one for each row (column).
    """

    edges: Array
    side: Array
    steep: Array
    line: Array
    last: Array


class Crossings(NamedTuple):
    """Places [n] where silhouettes cross lines through pixels' centres.

    Attributes:
        edge: int32, which one; `ends` int32 [n 2] are its vertices.
        steep, side: as in `Outline`.
        line: int32, the row (column) of the viewport.
        live: bool, whether it is one.
    """

    edge: Array
    ends: Array
    steep: Array
    side: Array
    line: Array
    live: Array


def outline(vertices: Array, edges: Array, opposite: Array, corner: Array, size: tuple[int, int]) -> Outline:
    """Finds the edges beyond which a surface ends or turns away.

    Args:
        vertices: [V 4] homogeneous pixels.
        edges, opposite: of `neurend.geometry.triangles.topology`.
        corner: int32 [2], the viewport's first pixel; its `size` is (width, height).
    """
    a, b = ([vertices[:, axis].at[edges[:, k]].get(mode='clip') for axis in (0, 1, 3)] for k in (0, 1))
    ordered = a[2] >= b[2]  # the front end has the greater w, so that it is before the camera if one is
    front_x, front_y, front_w = (jnp.where(ordered, p, q) for p, q in zip(a, b))
    back_x, back_y, back_w = (jnp.where(ordered, q, p) for p, q in zip(a, b))
    x, y = safe_divide(front_x, front_w), safe_divide(front_y, front_w)
    # Relative to the front end, so that small triangles keep their digits.
    to_x, to_y = back_x - x * back_w, back_y - y * back_w

    def turn(beyond: Array) -> Array:
        px, py, pw = (vertices[:, axis].at[jnp.maximum(beyond, 0)].get(mode='clip') for axis in (0, 1, 3))
        sign = jnp.sign(to_x * (py - y * pw) - (px - x * pw) * to_y)
        return jnp.where(beyond < 0, 0, jnp.where(ordered, sign, -sign))

    one, other = turn(opposite[:, 0]), turn(opposite[:, 1])
    # Faces on the same side of the plane through the eye and the edge: one of them is seen from behind.
    folded = (one != 0) & ((opposite[:, 1] < 0) | (one == other))
    # An edge through the camera's plane is drawn up to shortly before it.
    behind = back_w <= 0
    part = jnp.where(behind, safe_divide(0.999 * front_w, front_w - back_w), 1)
    part_w = front_w + part * (back_w - front_w)
    end_x = jnp.where(behind, x + safe_divide(part * to_x, part_w), safe_divide(back_x, back_w))
    end_y = jnp.where(behind, y + safe_divide(part * to_y, part_w), safe_divide(back_y, back_w))
    steep = jnp.abs(end_y - y) >= jnp.abs(end_x - x)
    # Along the lines that it crosses (u) and from line to line (v).
    (u, v), (end_u, end_v) = (
        (jnp.where(steep, px - corner[0], py - corner[1]), jnp.where(steep, py - corner[1], px - corner[0]))
        for px, py in ((x, y), (end_x, end_y))
    )
    length, limit = (jnp.where(steep, *pair).astype(x.dtype) for pair in (size, size[::-1]))
    # Where it enters and leaves the viewport, give or take two pixels.
    slope = safe_divide(end_v - v, end_u - u)
    borders = [v + (border - u) * slope for border in (-2, length + 2)]
    upright = jnp.abs(end_u - u) < 1e-6
    enters = jnp.where(upright, 0, jnp.minimum(*borders))
    leaves = jnp.where(upright, jnp.where((u > -2) & (u < length + 2), limit, 0), jnp.maximum(*borders))
    # Half open, so that of two edges that meet on a line one crosses it.
    low = jnp.clip(jnp.ceil(jnp.maximum(jnp.minimum(v, end_v), enters) - 0.5), 0, limit)
    high = jnp.clip(jnp.ceil(jnp.minimum(jnp.maximum(v, end_v), leaves) - 0.5), 0, limit)
    high = jnp.maximum(high, low)
    used = folded & (front_w > 0) & (edges >= 0).all(-1) & jnp.isfinite(end_x - x) & jnp.isfinite(end_y - y)
    return Outline(
        edges,
        jnp.where(one < 0, -1, 1),
        steep,
        jnp.where(used, low, 0).astype(jnp.int32),
        prefix_sum(jnp.where(used, high - low, 0)).astype(jnp.int32),
    )


def crossings(found: Outline, k: Array) -> Crossings:
    """The k-th part, of `PART` places."""
    place = k * PART + jnp.arange(PART, dtype=jnp.int32)
    edge = jnp.minimum(jnp.searchsorted(found.last, place, side='right'), len(found.last) - 1).astype(jnp.int32)
    before = jnp.where(edge > 0, found.last[jnp.maximum(edge - 1, 0)], 0)
    return Crossings(
        edge,
        found.edges[edge],
        found.steep[edge],
        found.side[edge],
        found.line[edge] + place - before,
        place < found.last[-1],
    )


def parts(found: Outline) -> Array:
    """How many parts there are."""
    return (found.last[-1] + PART - 1) // PART


def offset(a: Array, b: Array, steep: Array, base: Array, line: Array) -> Array:
    """How far from pixel `base` towards the next an edge crosses the line through pixels' centres.

    Args:
        a, b: [n 4] homogeneous pixels of its ends.
        steep: bool [n].
        base, line: [n], the pixel's place along the line and the line's number, in the camera's image.
    """
    (ua, va, wa), (ub, vb, wb) = (_relative(end, steep, base, line) for end in (a, b))
    return -safe_divide(ua * vb - va * ub, va * wb - wa * vb)


def side_and_depth(a: Array, b: Array, found: Crossings, base: Array, line: Array) -> tuple[Array, Array]:
    """Whether the surface lies towards the next pixel, and the edge's depth z/w where it crosses; as for `offset`."""
    (_, va, wa), (_, vb, wb) = (_relative(end, found.steep, base, line) for end in (a, b))
    rising = va * wb - wa * vb > 0
    ahead = rising == (jnp.where(found.steep, found.side, -found.side) > 0)
    share = safe_divide(va, va - vb)
    z = a[:, 2] + share * (b[:, 2] - a[:, 2])
    return ahead, safe_divide(z, wa + share * (wb - wa))


def _relative(end: Array, steep: Array, base: Array, line: Array) -> tuple[Array, Array, Array]:
    """Along the line and across it, times w, from the pixel's centre."""
    x, y, w = end[:, 0], end[:, 1], end[:, 3]
    along, across = jnp.where(steep, x, y), jnp.where(steep, y, x)
    return along - (base + 0.5).astype(w.dtype) * w, across - (line + 0.5).astype(w.dtype) * w, w
