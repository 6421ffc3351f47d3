"""How far pixels are from the boundaries of triangles, and where on them the nearest point is."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neurend.numerics import materialize, safe_divide
from neurend.typing import Array


def closest(corners: Sequence[Array], px: Array, py: Array) -> tuple[Array, Array]:
    """The nearest points of triangles' boundaries.

    Args:
        corners: x0, y0, x1, y1, x2, y2, which broadcast with the pixels.
        px, py: pixels' centres.

    Returns:
        Squared distance, positive inside and negative outside; and place on the boundary, from 1 at corner 0 by 2 and 3
        at the others to 4 at corner 0 again, with the same sign. A triangle without area has no inside.
    """
    x, y = corners[0::2], corners[1::2]
    turn = jnp.sign((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]))
    found = []
    for k in range(3):
        along_x, along_y = x[(k + 1) % 3] - x[k], y[(k + 1) % 3] - y[k]
        inverse = safe_divide(1, along_x * along_x + along_y * along_y)
        to_x, to_y = px - x[k], py - y[k]
        share = jnp.clip((to_x * along_x + to_y * along_y) * inverse, 0, 1)
        off_x, off_y = to_x - share * along_x, to_y - share * along_y
        found.append((off_x * off_x + off_y * off_y, 1 + k + share, turn * (along_x * to_y - along_y * to_x)))
    least, place, margin = found[0]
    for square, there, side in found[1:]:
        place = jnp.where(square < least, there, place)
        least, margin = jnp.minimum(least, square), jnp.minimum(margin, side)
    inside = margin > 0
    return jnp.where(inside, least, -least), jnp.where(inside, place, -place)


def weights(place: Array) -> tuple[Array, Array, Array]:
    """Barycentrics of places on the boundary, as `closest` gives them; of either sign."""
    along = jnp.abs(place)
    first = jnp.maximum(jnp.maximum(2 - along, along - 3), 0)
    return first, jnp.maximum(1 - jnp.abs(along - 2), 0), jnp.maximum(1 - jnp.abs(along - 3), 0)


def square(corners: Sequence[Array], place: Array, px: Array, py: Array) -> tuple[Array, Array, Array]:
    """The signed squared distance from pixels to places that `closest` gave, and its derivatives.

    The derivatives are with respect to x and y of the place; times its `weights`, with respect to those of the corners:
    that the place itself moves along the boundary changes nothing in first order.
    """
    shares = weights(place)
    off_x = px - sum(share * x for share, x in zip(shares, corners[0::2]))
    off_y = py - sum(share * y for share, y in zip(shares, corners[1::2]))
    side = jnp.sign(place)
    return side * (off_x * off_x + off_y * off_y), -2 * side * off_x, -2 * side * off_y


@jax.custom_jvp
def signed_square(corners: Sequence[Array], px: Array, py: Array) -> Array:
    """The signed squared distance of `closest`, with its derivatives with respect to the corners."""
    return closest(corners, px, py)[0]


@signed_square.defjvp
def _signed_square_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    corners, px, py = primals
    signed, place = materialize(closest(corners, px, py))
    by_x, by_y = materialize(square(corners, place, px, py)[1:])
    changes = zip(weights(place), tangents[0][0::2], tangents[0][1::2])
    return signed, functools.reduce(jnp.add, [share * (by_x * dx + by_y * dy) for share, dx, dy in changes])


def barycentrics(corners: Sequence[Array], px: Array, py: Array) -> tuple[Array, Array]:
    """The weights of corners 1 and 2 at pixels, negative or beyond 1 outside; a third where there is no area.

    Arguments are those of `closest`.
    """
    x, y = corners[0::2], corners[1::2]
    (x1, x2), (y1, y2) = ((values[1] - values[0], values[2] - values[0]) for values in (x, y))
    area = x1 * y2 - x2 * y1
    # Below this the area is rounding, and its inverse squared may overflow.
    least = 1e-6 * jnp.maximum(jnp.maximum(x1 * x1 + y1 * y1, x2 * x2 + y2 * y2), 1e-6)
    flat = jnp.abs(area) <= least
    inverse = jnp.where(flat, 0, 1 / jnp.where(flat, 1, area))
    to_x, to_y = px - x[0], py - y[0]
    third = jnp.where(flat, 1 / 3, 0)
    return third + (to_x * y2 - to_y * x2) * inverse, third + (x1 * to_y - y1 * to_x) * inverse
