"""A procedural scene of analytic solids, ray traced in NumPy float64: truth that needs no download.

A toy duck in a swim ring, with a ball on its back, inside the ball of radius 1.3 around the origin; z is up. Solids are
ellipsoids and a torus, colours smooth patterns on them, light is Lambert's with a Blinn-Phong highlight and a Fresnel
rim (Schlick 1994), so that the picture changes with the viewing direction, gently enough for low-degree harmonics.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from neurend import checks
from neurend.geometry import cameras as cameras_lib

BOUND = 1.3
_LIGHT = np.array([0.45, 0.35, 0.82]) / np.linalg.norm([0.45, 0.35, 0.82])
_SKY = np.array([0.75, 0.85, 1.0])

Pattern = Callable[[np.ndarray], np.ndarray]
"""Linear albedo `[n 3]` of points `[n 3]` in the frame of their solid."""


class Hits(NamedTuple):
    """First hits of rays: `t` `[n]` (inf for none), `rgb` `[n 3]` sRGB in [0, 1] and `solid` `[n]` (-1 for none)."""

    t: np.ndarray
    rgb: np.ndarray
    solid: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ellipsoid:
    """The unit ball, scaled by `radii`, pitched (nose up) by an angle around y, moved to `center`."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    albedo: Pattern
    pitch: float = 0.0
    gloss: float = 0.15

    @property
    def _local(self) -> np.ndarray:
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) / np.array(self.radii)[:, None]

    def points(self, world: np.ndarray) -> np.ndarray:
        """World points in the frame where the solid is the unit ball."""
        return (world - self.center) @ self._local.T

    def intersect(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The first positive t, from outside; inf where the ray misses."""
        o, d = self.points(origins), directions @ self._local.T
        a, b, c = _dot(d, d), _dot(o, d), _dot(o, o) - 1
        discriminant = b * b - a * c
        hit = discriminant > 0
        t = np.full(len(d), np.inf)
        t[hit] = (-b[hit] - np.sqrt(discriminant[hit])) / a[hit]
        return np.where(t > 0, t, np.inf)

    def normals(self, world: np.ndarray) -> np.ndarray:
        """Outward normals at points of the surface, not normalised."""
        return self.points(world) @ self._local


@dataclasses.dataclass(frozen=True)
class Torus:
    """A torus around the vertical axis through `center`."""

    center: tuple[float, float, float]
    major: float
    minor: float
    albedo: Pattern
    gloss: float = 0.15

    def points(self, world: np.ndarray) -> np.ndarray:
        """World points relative to the centre."""
        return world - np.asarray(self.center)

    def _distance(self, p: np.ndarray) -> np.ndarray:
        around = np.sqrt(p[:, 0] ** 2 + p[:, 1] ** 2)
        return np.sqrt((around - self.major) ** 2 + p[:, 2] ** 2) - self.minor

    def intersect(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """The first positive t, from outside: sphere tracing, polished by Newton's method to rounding error."""
        result = np.full(len(directions), np.inf)
        o = np.broadcast_to(self.points(origins), directions.shape)
        enter, leave = self._slab(o, directions)
        index = np.flatnonzero((leave > enter) & (leave > 0))
        o, d, t, leave = o[index], directions[index], np.maximum(enter[index], 0), leave[index]
        speed = np.sqrt(_dot(d, d))
        touching = []
        for _ in range(25):
            for _ in range(8):
                distance = self._distance(o + t[:, None] * d)
                t = t + distance / speed
            touching.append((index[distance < 1e-4], t[distance < 1e-4]))
            keep = (distance >= 1e-4) & (t < leave)
            index, o, d, t, leave, speed = index[keep], o[keep], d[keep], t[keep], leave[keep], speed[keep]
            if not len(index):
                break
        index, t = (np.concatenate(parts) for parts in zip(*touching))
        o, d = self.points(origins)[index] if len(origins) > 1 else self.points(origins), directions[index]
        for _ in range(5):
            p = o + t[:, None] * d
            slope = _dot(self.normals(p + self.center), d)
            t = t - self._distance(p) / np.where(slope < -1e-9, slope, -np.inf)
        exact = np.abs(self._distance(o + t[:, None] * d)) < 1e-9
        result[index[exact]] = t[exact]
        return result

    def _slab(self, o: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays enter and leave the horizontal slab and the ball that hold the torus."""
        a, b = _dot(directions, directions), _dot(o, directions)
        root = np.sqrt(np.maximum(b * b - a * (_dot(o, o) - (self.major + self.minor) ** 2), 0))
        with np.errstate(divide='ignore', invalid='ignore'):
            low, high = (-self.minor - o[:, 2]) / directions[:, 2], (self.minor - o[:, 2]) / directions[:, 2]
        enter = np.fmax((-b - root) / a, np.fmin(low, high))
        return enter, np.fmin((-b + root) / a, np.fmax(low, high))

    def normals(self, world: np.ndarray) -> np.ndarray:
        """Unit normals of the level set of the distance through the points."""
        p = self.points(world)
        around = np.hypot(p[:, 0], p[:, 1])
        across = np.stack([(1 - self.major / around) * p[:, 0], (1 - self.major / around) * p[:, 1], p[:, 2]], axis=-1)
        return across / np.sqrt(_dot(across, across))[:, None]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


def _mix(a: tuple[float, ...], b: tuple[float, ...], weight: np.ndarray) -> np.ndarray:
    return np.asarray(a) + (np.asarray(b) - np.asarray(a)) * weight[:, None]


def _step(x: np.ndarray, width: float) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(x / width)


def _plain(*color: float) -> Pattern:
    return lambda p: np.broadcast_to(np.asarray(color), p.shape)


def _plumage(p: np.ndarray) -> np.ndarray:
    speckle = np.sin(7 * p[:, 0]) * np.sin(6 * p[:, 1]) * np.sin(5 * p[:, 2] + 1)
    return _mix((0.95, 0.62, 0.05), (1.0, 0.82, 0.25), 0.5 + 0.5 * speckle)


def _feathers(p: np.ndarray) -> np.ndarray:
    return _mix((0.9, 0.5, 0.03), (1.0, 0.85, 0.4), _step(np.sin(9 * p[:, 0] + 4 * p[:, 2] ** 2), 0.6))


def _stripes(p: np.ndarray) -> np.ndarray:
    return _mix((0.75, 0.05, 0.06), (0.9, 0.9, 0.88), _step(np.sin(6 * np.arctan2(p[:, 1], p[:, 0])), 0.25))


def _wedges(p: np.ndarray) -> np.ndarray:
    phase = 3 * np.arctan2(p[:, 1], p[:, 0])
    wedge = _mix((0.05, 0.25, 0.7), (0.1, 0.6, 0.35), _step(np.sin(phase), 0.3))
    cap = _step(np.abs(p[:, 2]) - 0.85, 0.06)[:, None]
    return wedge * (1 - cap) + np.array([0.92, 0.9, 0.85]) * cap


def _eye(p: np.ndarray) -> np.ndarray:
    return _mix((0.02, 0.02, 0.03), (0.25, 0.25, 0.3), _step(p[:, 2] - 0.75, 0.2))


_BEAK = _plain(0.9, 0.3, 0.02)
SOLIDS: tuple[Ellipsoid | Torus, ...] = (
    Ellipsoid((0.0, 0.0, -0.12), (0.82, 0.58, 0.48), _plumage, pitch=0.1),
    Ellipsoid((0.52, 0.0, 0.5), (0.36, 0.34, 0.36), _plumage),
    Ellipsoid((-0.78, 0.0, 0.18), (0.34, 0.24, 0.13), _feathers, pitch=-0.6),
    Ellipsoid((-0.1, 0.5, 0.0), (0.46, 0.14, 0.26), _feathers, pitch=-0.2),
    Ellipsoid((-0.1, -0.5, 0.0), (0.46, 0.14, 0.26), _feathers, pitch=-0.2),
    Ellipsoid((0.9, 0.0, 0.47), (0.2, 0.17, 0.06), _BEAK, pitch=0.15),
    Ellipsoid((0.88, 0.0, 0.4), (0.16, 0.13, 0.05), _BEAK, pitch=-0.1),
    Ellipsoid((0.76, 0.2, 0.62), (0.07, 0.06, 0.08), _eye, gloss=0.3),
    Ellipsoid((0.76, -0.2, 0.62), (0.07, 0.06, 0.08), _eye, gloss=0.3),
    Ellipsoid((-0.3, 0.0, 0.58), (0.25, 0.25, 0.25), _wedges, gloss=0.25),
    Torus((0.0, 0.0, -0.3), 0.95, 0.2, _stripes, gloss=0.2),
)


def trace(origins: np.ndarray, directions: np.ndarray) -> Hits:
    """Traces rays through the scene, without antialiasing.

    Args:
        origins: `[n 3]`, or `[1 3]` if they share it; outside the solids.
        directions: `[n 3]`, of any length; t is in their units.
    """
    origins, directions = np.asarray(origins, np.float64), np.asarray(directions, np.float64)
    n = checks.shape('directions', directions, 'n 3')['n']
    checks.shape('origins', origins, '_ 3')
    hits = Hits(np.full(n, np.inf), np.zeros((n, 3)), np.full(n, -1))
    b = _dot(origins, directions)
    inside = np.flatnonzero(b * b > _dot(directions, directions) * (_dot(origins, origins) - BOUND**2))
    if len(origins) > 1:
        origins = origins[inside]
    directions = directions[inside]
    nearest, solid = hits.t[inside], hits.solid[inside]
    for i, shape in enumerate(SOLIDS):
        t = shape.intersect(origins, directions)
        nearer = t < nearest
        nearest[nearer], solid[nearer] = t[nearer], i
    hits.t[inside], hits.solid[inside] = nearest, solid
    for i, shape in enumerate(SOLIDS):
        mine = np.flatnonzero(solid == i)
        start = origins[mine] if len(origins) > 1 else origins
        points = start + nearest[mine, None] * directions[mine]
        hits.rgb[inside[mine]] = _shade(shape, points, -directions[mine])
    return hits


def render(camera: cameras_lib.Camera, *, subsamples: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Renders the scene as one pinhole camera sees it.

    Pixels where solids or colours change are averaged over `subsamples` x `subsamples` rays, in sRGB, as a volume
    renderer trained on sRGB images composites.

    Args:
        camera: without leading dims, model 'pinhole', outside the ball of radius `BOUND`.
        subsamples: rays per pixel along each axis, at edges.

    Returns:
        rgb `[H W 3]` float64 sRGB, straight (not premultiplied); alpha `[H W]`; exact depth `[H W]` at pixel centres,
        inf where the central ray meets nothing.
    """
    checks.one_of('camera.model', camera.model, ('pinhole',))
    width, height = (int(length) for length in np.asarray(camera.size))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2)
    hits = trace(*_rays(camera, pixels))
    color = np.concatenate([hits.rgb, (hits.solid >= 0)[:, None]], axis=-1)
    edges = np.flatnonzero(_varies(np.concatenate([color, hits.solid[:, None]], -1).reshape(height, width, 5)))
    offsets = (np.arange(subsamples) + 0.5) / subsamples - 0.5
    offsets = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(1, -1, 2)
    fine = trace(*_rays(camera, (pixels[edges, None] + offsets).reshape(-1, 2)))
    covered = (fine.solid >= 0).reshape(len(edges), -1)
    count = covered.sum(-1)
    color[edges, :3] = fine.rgb.reshape(len(edges), -1, 3).sum(1) / np.maximum(count, 1)[:, None]
    color[edges, 3] = count / offsets.shape[1]
    color = color.reshape(height, width, 4)
    return color[..., :3], color[..., 3], hits.t.reshape(height, width)


def _rays(camera: cameras_lib.Camera, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pose = np.asarray(camera.world_from_camera, np.float64)
    plane = (pixels - np.asarray(camera.center, np.float64)) / np.asarray(camera.focal, np.float64)
    directions = np.concatenate([plane, np.ones((len(plane), 1))], axis=-1) @ pose[:3, :3].T
    return pose[None, :3, 3], directions


def _varies(image: np.ndarray) -> np.ndarray:
    """Whether `[H W]` pixels differ from one of their eight neighbours."""
    height, width, _ = image.shape
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode='edge')
    windows = np.stack([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)])
    return (np.ptp(windows, axis=0) > 0.1).any(-1).reshape(-1)


def _shade(solid: Ellipsoid | Torus, points: np.ndarray, to_eye: np.ndarray) -> np.ndarray:
    normal = solid.normals(points)
    normal = normal / np.sqrt(_dot(normal, normal))[:, None]
    view = to_eye / np.sqrt(_dot(to_eye, to_eye))[:, None]
    half = view + _LIGHT
    half = half / np.sqrt(_dot(half, half))[:, None]
    lit = np.maximum(normal @ _LIGHT, 0)
    highlight = np.maximum(_dot(normal, half), 0) ** 12 * np.minimum(4 * lit, 1)
    rim = (1 - np.clip(_dot(normal, view), 0, 1)) ** 3
    ambient = _mix((0.28, 0.25, 0.24), (0.42, 0.45, 0.5), 0.5 + 0.5 * normal[:, 2])
    linear = solid.albedo(solid.points(points)) * (ambient + 0.75 * lit[:, None])
    linear = linear + solid.gloss * (highlight[:, None] + 0.5 * rim[:, None] * _SKY)
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
