"""Triangles that cross the near plane or the guard band, cut to what lies inside (Sutherland and Hodgman, 1974)."""

import jax
import jax.numpy as jnp

from neurend.render.raster.coverage import Corners, Depth, Triangles
from neurend.render.raster.screen import GUARD, HALF, SUBPIXELS
from neurend.typing import Array

# A triangle cut by five planes has at most eight corners.
_CORNERS = 8


def clip(corners: Array, face: Array, drawn: Array, corner: Array, near: float) -> Triangles:
    """Clips triangles and divides what is left into triangles.

    An edge shared by two triangles is cut at the same point in both, bit for bit, so that no gap opens.

    Args:
        corners: [n 3 4] homogeneous pixels; float64, or corners cut near the camera's plane are off by pixels.
        face: int32 [n].
        drawn: bool [n].
        corner: [2] int32, the viewport's first pixel (x, y).
        near: smallest w that is shown.

    Returns:
        [6 n] triangles inside the guard band.
    """
    x, y, z, w = (corners[..., axis] for axis in range(4))
    whole = jnp.stack([x - corner[0] * w, y - corner[1] * w, z, w], axis=-1)
    polygon = jnp.pad(whole, ((0, 0), (0, _CORNERS - 3), (0, 0)))
    count = jnp.where(drawn, 3, 0)
    limit = float(GUARD - 1)
    planes = (
        (0.0, 0.0, 1.0, -near),
        (1.0, 0.0, limit, 0.0),
        (-1.0, 0.0, limit, 0.0),
        (0.0, 1.0, limit, 0.0),
        (0.0, -1.0, limit, 0.0),
    )
    for by_x, by_y, by_w, offset in planes:
        distance = by_x * polygon[..., 0] + by_y * polygon[..., 1] + by_w * polygon[..., 3] + offset
        polygon, count = _cut(polygon, count, distance)
    w = jnp.maximum(polygon[..., 3], near)
    place = jnp.round(polygon[..., :2] / w[..., None] * SUBPIXELS)
    place = jnp.clip(place, -GUARD * SUBPIXELS, GUARD * SUBPIXELS).astype(jnp.int32)
    used = jnp.arange(_CORNERS)[None, :] < count[:, None]

    def fan(values: Array) -> Corners:
        hub = jnp.broadcast_to(values[:, :1], (values.shape[0], _CORNERS - 2))
        return hub.ravel(), values[:, 1:-1].ravel(), values[:, 2:].ravel()

    def repeated(values: Array) -> Array:
        return jnp.broadcast_to(values[:, None], (values.shape[0], _CORNERS - 2)).ravel()

    depth = jax.tree.map(repeated, _depth(whole, polygon[..., 2] / w, used))
    return Triangles(fan(place[..., 0]), fan(place[..., 1]), depth, repeated(face), used[:, 2:].ravel())


def _depth(corners: Array, depths: Array, used: Array) -> Depth:
    """Depth of triangles [n 3 4] as they were before the cut, within that of the corners [n k] that are left."""
    x, y, z, w = (corners[..., axis] for axis in range(4))
    places = jnp.stack([x, y, w], axis=-1)
    normals = jnp.cross(jnp.roll(places, -1, axis=1), jnp.roll(places, -2, axis=1))
    volume = jnp.sum(places[:, 0] * normals[:, 0], axis=-1)
    plane = jnp.sum(z[..., None] * normals, axis=1) / jnp.where(volume == 0, 1, volume)[:, None]
    first = 0.5 * plane[:, 0] + 0.5 * plane[:, 1] + plane[:, 2]
    nearest = jnp.min(jnp.where(used, depths, jnp.inf), axis=-1)
    farthest = jnp.max(jnp.where(used, depths, -jnp.inf), axis=-1)
    place = jnp.full(first.shape, HALF, jnp.int32)
    return Depth(
        place, place, first, plane[:, 0], plane[:, 1], nearest.astype(jnp.float32), farthest.astype(jnp.float32)
    )


def _cut(polygon: Array, count: Array, distance: Array) -> tuple[Array, Array]:
    """The part of polygons [n k 4], of which `count` corners are in use, where the distance [n k] is not negative."""
    slots = jnp.arange(_CORNERS)[None, :]
    following = jnp.where(slots + 1 == count[:, None], 0, jnp.minimum(slots + 1, _CORNERS - 1))
    ahead = jnp.take_along_axis(polygon, following[..., None], axis=1)
    distance_ahead = jnp.take_along_axis(distance, following, axis=1)
    used = slots < count[:, None]
    inside, inside_ahead = distance >= 0, distance_ahead >= 0
    kept, crossed = used & inside, used & (inside != inside_ahead)
    # From the inner end, whichever way round the triangle has the edge.
    flip = inside[..., None]
    inner, outer = jnp.where(flip, polygon, ahead), jnp.where(flip, ahead, polygon)
    d_inner = jnp.where(inside, distance, distance_ahead)
    d_outer = jnp.where(inside, distance_ahead, distance)
    share = d_inner / jnp.where(crossed, d_inner - d_outer, 1)
    crossing = inner + share[..., None] * (outer - inner)
    emitted = kept.astype(jnp.int32) + crossed.astype(jnp.int32)
    place = jnp.cumsum(emitted, axis=1) - emitted
    rows = jnp.arange(polygon.shape[0])[:, None]
    result = jnp.zeros_like(polygon)
    result = result.at[rows, jnp.where(kept, place, _CORNERS)].set(polygon, mode='drop')
    result = result.at[rows, jnp.where(crossed, place + kept, _CORNERS)].set(crossing, mode='drop')
    return result, jnp.sum(emitted, axis=1)
