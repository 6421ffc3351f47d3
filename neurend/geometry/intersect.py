"""Where rays meet boxes, spheres and planes. Directions need not be unit; results are in their `t`."""

import jax.numpy as jnp

from neurend.geometry.leading import align
from neurend.numerics import safe_sqrt
from neurend.typing import Array


def ray_box(origins: Array, directions: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Slab test of rays against axis-aligned boxes (Kay and Kajiya, 1986).

    Args:
        origins: [... 3].
        directions: [... 3]; components may be zero.
        low: [... 3] least corner.
        high: [... 3] greatest corner.

    Returns:
        Parameters [...] where the line enters and leaves. The ray meets the box if `leave > max(enter, 0)`; a line that
        misses has enter > leave. Both are finite unless a whole direction is zero.
    """
    origins, directions, low, high = align((origins, 1), (directions, 1), (low, 1), (high, 1))
    parallel = directions == 0
    along = jnp.where(parallel, 1, directions)
    first, second = (low - origins) / along, (high - origins) / along
    within = (origins >= low) & (origins <= high)
    enter = jnp.where(parallel, jnp.where(within, -jnp.inf, jnp.inf), jnp.minimum(first, second))
    leave = jnp.where(parallel, jnp.where(within, jnp.inf, -jnp.inf), jnp.maximum(first, second))
    greatest, least = jnp.max(enter, axis=-1), jnp.min(leave, axis=-1)
    limit = jnp.finfo(greatest.dtype).max
    return jnp.clip(greatest, -limit, limit), jnp.clip(least, -limit, limit)


def ray_sphere(origins: Array, directions: Array, center: Array, radius: Array | float) -> tuple[Array, Array, Array]:
    """Intersects rays with spheres.

    Args:
        origins: [... 3].
        directions: [... 3], not zero.
        center: [... 3].
        radius: [...].

    Returns:
        Parameters [...] where the line enters and leaves, and whether it meets the sphere at all [...] bool; where it
        does not, both parameters are that of the point nearest to the centre.
    """
    radius = jnp.asarray(radius, jnp.result_type(origins))
    origins, directions, center, radius = align((origins, 1), (directions, 1), (center, 1), (radius, 0))
    offset = origins - center
    squared = jnp.sum(directions * directions, axis=-1)
    nearest = -jnp.sum(offset * directions, axis=-1) / squared
    # From the point nearest to the centre: no cancellation when the origin is far away.
    closest = offset + nearest[..., None] * directions
    inside = radius * radius - jnp.sum(closest * closest, axis=-1)
    half = safe_sqrt(inside / squared)
    return nearest - half, nearest + half, inside >= 0


def ray_plane(origins: Array, directions: Array, normal: Array, offset: Array | float) -> Array:
    """Parameter [...] where rays meet the planes `normal . x = offset`; infinite for rays parallel to their plane.

    Args:
        origins: [... 3].
        directions: [... 3].
        normal: [... 3], of any length.
        offset: [...].
    """
    offset = jnp.asarray(offset, jnp.result_type(origins))
    origins, directions, normal, offset = align((origins, 1), (directions, 1), (normal, 1), (offset, 0))
    across = jnp.sum(normal * directions, axis=-1)
    parallel = across == 0
    t = (offset - jnp.sum(normal * origins, axis=-1)) / jnp.where(parallel, 1, across)
    return jnp.where(parallel, jnp.inf, t)
