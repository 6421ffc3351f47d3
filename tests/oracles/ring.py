"""Pictures of a torus, traced in double precision, for methods that learn how a mesh looks."""

from collections.abc import Callable

import jax
import numpy as np

from neurend.data.posed import PosedImages
from neurend.data.procedural import Torus
from neurend.geometry import cameras

SIZE = 64
RING = Torus((0.0, 0.0, 0.0), 1.0, 0.45, lambda p: p)
ColorFn = Callable[..., np.ndarray]
"""`(u, v, normals [n 3], views [n 3]) -> linear colours [n 3]`: UVs as of `primitives.torus`, unit vectors outwards and
towards the camera."""


def traced(camera, colors: ColorFn, samples=2):
    """RGBA uint8 [SIZE SIZE 4], from `samples`^2 rays for each pixel."""
    steps = (np.arange(SIZE * samples) + 0.5) / samples
    x, y = np.meshgrid(steps, steps)
    focal, pose = float(camera.focal[0]), np.asarray(camera.world_from_camera, np.float64)
    local = np.stack([(x - SIZE / 2) / focal, (y - SIZE / 2) / focal, np.ones_like(x)], axis=-1).reshape(-1, 3)
    directions = local @ pose[:3, :3].T
    t = RING.intersect(pose[None, :3, 3], directions)
    hit = np.isfinite(t)
    p = pose[:3, 3] + np.where(hit, t, 0)[:, None] * directions
    around = np.hypot(p[:, 0], p[:, 1])
    u, v = np.arctan2(p[:, 1], p[:, 0]) / (2 * np.pi), np.arctan2(p[:, 2], around - RING.major) / (2 * np.pi)
    ring = np.stack([p[:, 0], p[:, 1], np.zeros_like(around)], axis=-1) / np.maximum(around, 1e-9)[:, None]
    normals = (p - RING.major * ring) / RING.minor
    views = -directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    linear = colors(u, v, normals, views) * hit[:, None]
    planes = np.concatenate([linear, hit[:, None]], axis=-1).reshape(SIZE, samples, SIZE, samples, 4).mean((1, 3))
    straight = planes[..., :3] / np.maximum(planes[..., 3:], 1e-9)
    encoded = np.where(straight <= 0.0031308, 12.92 * straight, 1.055 * np.maximum(straight, 1e-9) ** (1 / 2.4) - 0.055)
    assert straight.max() < 1
    return np.round(255 * np.concatenate([encoded, planes[..., 3:]], axis=-1)).astype(np.uint8)


def views(poses, colors: ColorFn) -> PosedImages:
    """The torus from poses [n 4 4]."""
    camera = jax.tree.map(np.asarray, cameras.make(poses, 84.0, size=(SIZE, SIZE)))
    images = tuple(traced(jax.tree.map(lambda leaf, k=k: leaf[k], camera), colors) for k in range(len(poses)))
    return PosedImages(tuple(map(str, range(len(poses)))), images, camera, None, 1.0, 6.0, np.eye(4))
