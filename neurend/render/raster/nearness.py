"""How far pixels are from the boundaries of triangles, and where on them the nearest point is."""

from collections.abc import Sequence

import jax.numpy as jnp

from neurend.numerics import safe_divide
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
    sign = jnp.sign((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]))
    least = place = margin = None
    for k in range(3):
        along_x, along_y = x[(k + 1) % 3] - x[k], y[(k + 1) % 3] - y[k]
        inverse = safe_divide(1, along_x * along_x + along_y * along_y)
        to_x, to_y = px - x[k], py - y[k]
        share = jnp.clip((to_x * along_x + to_y * along_y) * inverse, 0, 1)
        off_x, off_y = to_x - share * along_x, to_y - share * along_y
        square = off_x * off_x + off_y * off_y
        side = sign * (along_x * to_y - along_y * to_x)
        if least is None:
            least, place, margin = square, 1 + share, side
        else:
            place = jnp.where(square < least, 1 + k + share, place)
            least, margin = jnp.minimum(least, square), jnp.minimum(margin, side)
    inside = margin > 0
    return jnp.where(inside, least, -least), jnp.where(inside, place, -place)


def weights(place: Array) -> tuple[Array, Array, Array]:
    """Barycentrics of places on the boundary, as `closest` gives them, of either sign."""
    along = jnp.abs(place)
    first = jnp.maximum(jnp.maximum(2 - along, along - 3), 0)
    return first, jnp.maximum(1 - jnp.abs(along - 2), 0), jnp.maximum(1 - jnp.abs(along - 3), 0)
