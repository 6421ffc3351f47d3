"""Painting rounded solids into a depth buffer, in NumPy: tapered limbs with a profile, and ellipsoids.

Coordinates are pixels of the canvas, x right and y down, the first pixel's centre at (0.5, 0.5); depth is in metres,
less is nearer. Solids are projected orthographically, each at its own scale, which for parts of a body a few metres
away differs from perspective by less than their roundness shows.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LimbPaint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""sRGB `[n 3]` in [0, 1] of points of a limb, by their angles `[n]` around it (radians, 0 in front) and places `[n]`
along it (0 to 1, beyond at its caps)."""
BallPaint = Callable[[np.ndarray], np.ndarray]
"""sRGB `[n 3]` in [0, 1] of points of an ellipsoid, given as points `[n 3]` of the unit ball in its own axes."""

_LIGHT = np.array([-0.42, -0.62, -0.66], np.float32)
_AMBIENT = 0.52


class Canvas(NamedTuple):
    """What is painted on; changed in place.

    Attributes:
        rgb: `[h w 3]` float32.
        depth: `[h w]` float32, inf where nothing was painted.
        iuv: `[h w 3]` uint8: number of the part (0 for none) and its two surface coordinates over 0 to 255.
    """

    rgb: np.ndarray
    depth: np.ndarray
    iuv: np.ndarray


class Limb(NamedTuple):
    """A solid of revolution, or a flattened one, along a segment.

    Attributes:
        start, end: (x, y, depth).
        widths: half widths in pixels at evenly spaced places from start to end.
        caps: how far it is rounded beyond start and end, in pixels.
        thickness: in metres, from its axis to its front.
        turn: angle added to that of the surface, so that a pattern turns with the body.
    """

    start: np.ndarray
    end: np.ndarray
    widths: np.ndarray
    caps: tuple[float, float]
    thickness: float
    turn: float = 0.0


class Ellipsoid(NamedTuple):
    """An ellipsoid.

    Attributes:
        center: (x, y, depth).
        axes: `[3 3]` rotation, canvas from its own axes.
        radii: in metres along its own axes.
        scale: pixels per metre.
        keep: which points `[n 3]` of the unit ball in its own axes there are; None for all.
    """

    center: np.ndarray
    axes: np.ndarray
    radii: np.ndarray
    scale: float
    keep: Callable[[np.ndarray], np.ndarray] | None = None


def canvas(background: np.ndarray) -> Canvas:
    """An empty canvas before a background `[h w 3]` float32."""
    size = background.shape[:2]
    return Canvas(background.copy(), np.full(size, np.inf, np.float32), np.zeros((*size, 3), np.uint8))


def limb(on: Canvas, solid: Limb, part: int, paint: LimbPaint) -> None:
    """Paints a limb where nothing nearer is."""
    reach = float(max(*solid.widths, *solid.caps))
    low, high = np.minimum(solid.start, solid.end)[:2] - reach, np.maximum(solid.start, solid.end)[:2] + reach
    box, x, y = _grid(on, low, high)
    axis = (solid.end - solid.start)[:2]
    length = max(float(np.hypot(*axis)), 1e-3)
    ux, uy = (axis / length).astype(np.float32)
    dx, dy = x - np.float32(solid.start[0]), y - np.float32(solid.start[1])
    along, across = dx * ux + dy * uy, dy * ux - dx * uy
    inner = np.clip(along, 0, length)
    place = inner * np.float32((len(solid.widths) - 1) / length)
    knot = np.minimum(place.astype(np.int32), len(solid.widths) - 2)
    widths = solid.widths.astype(np.float32)
    width = widths[knot] + np.diff(widths)[knot] * (place - knot)
    excess = along - inner
    a, e = across / width, excess / np.where(excess < 0, np.float32(solid.caps[0]), np.float32(solid.caps[1]))
    square = a * a + e * e
    front = np.sqrt(np.maximum(1 - square, 0))
    slope = np.float32((solid.end[2] - solid.start[2]) / length)
    depth = np.float32(solid.start[2]) + slope * inner - np.float32(solid.thickness) * front
    seen = (square < 1) & (depth < on.depth[box])
    a, e, front, along = a[seen], e[seen], front[seen], along[seen] / np.float32(length)
    angle = np.arcsin(a) + np.float32(solid.turn)
    # Towards the light, the normal's three parts.
    lit = -np.float32(_LIGHT[2]) * front + (_LIGHT[1] * ux - _LIGHT[0] * uy) * a + (_LIGHT[0] * ux + _LIGHT[1] * uy) * e
    uv = np.stack([angle / (2 * np.pi) % 1, np.clip(along, 0, 1)], axis=-1)
    _store(on, box, seen, depth, paint(angle, along), lit, part, uv)


def ellipsoid(on: Canvas, solid: Ellipsoid, part: int, paint: BallPaint) -> None:
    """Paints an ellipsoid where nothing nearer is."""
    reach = float(max(solid.radii)) * solid.scale
    box, x, y = _grid(on, solid.center[:2] - reach, solid.center[:2] + reach)
    inverse = (solid.axes.T / solid.radii[:, None]).astype(np.float32)
    x, y = ((p - np.float32(c)) / np.float32(solid.scale) for p, c in zip((x, y), solid.center))
    ball = [inverse[i, 0] * x + inverse[i, 1] * y for i in range(3)]
    a = float(inverse[:, 2] @ inverse[:, 2])
    b = sum(inverse[i, 2] * ball[i] for i in range(3))
    c = sum(ball[i] * ball[i] for i in range(3)) - 1
    discriminant = b * b - a * c
    z = (-b - np.sqrt(np.maximum(discriminant, 0))) / a
    depth = np.float32(solid.center[2]) + z
    seen = (discriminant > 0) & (depth < on.depth[box])
    points = np.stack([ball[i][seen] + inverse[i, 2] * z[seen] for i in range(3)], axis=-1)
    if solid.keep is not None:
        kept = solid.keep(points)
        seen[seen] = kept
        points = points[kept]
    normals = (points / solid.radii.astype(np.float32)) @ solid.axes.T.astype(np.float32)
    lit = normals @ _LIGHT / np.sqrt(np.einsum('ij,ij->i', normals, normals))
    uv = np.stack([np.arctan2(points[:, 0], -points[:, 2]) / (2 * np.pi) % 1, (points[:, 1] + 1) / 2], axis=-1)
    _store(on, box, seen, depth, paint(points), lit, part, uv)


def _grid(on: Canvas, low: np.ndarray, high: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The pixels of a box, clipped to the canvas: slices, x `[1 w]` and y `[h 1]` of their centres."""
    height, width = on.depth.shape
    left, right = np.clip([int(low[0]), int(high[0]) + 2], 0, width)
    top, bottom = np.clip([int(low[1]), int(high[1]) + 2], 0, height)
    x = np.arange(left, right, dtype=np.float32)[None] + np.float32(0.5)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
    return (slice(top, bottom), slice(left, right)), x, y


def _store(
    on: Canvas,
    box: tuple[slice, slice],
    seen: np.ndarray,
    depth: np.ndarray,
    color: np.ndarray,
    lit: np.ndarray,
    part: int,
    uv: np.ndarray,
) -> None:
    shade = _AMBIENT + (1.06 - _AMBIENT) * np.maximum(lit, 0)
    on.rgb[box][seen] = np.clip(color * shade[:, None], 0, 1)
    on.depth[box][seen] = depth[seen]
    number = np.full(len(uv), part, np.uint8)
    on.iuv[box][seen] = np.column_stack([number, (np.clip(uv, 0, 1) * 255).astype(np.uint8)])
