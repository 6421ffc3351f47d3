"""A procedural head that moves and talks: what the experiments with tracked heads show where there is no data."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from experiments.face_drawing import surface_of
from neurend.data import tracked_head
from neurend.data.tracked_head import PARTS, FaceMesh, Performance, TrackedHead
from neurend.geometry import cameras, transforms
from neurend.models.reenactment import face_conditions
from neurend.typing import Array

_NAMES = ('jawOpen', 'mouthSmile_L', 'mouthSmile_R', 'browUp_L', 'browUp_R')
_RADII = np.array([7.5, 11.0, 9.0], np.float32)  # centimetres
_EYES, _EYE, _IRIS = np.array([[-2.7, 2.0], [2.7, 2.0]]), np.array([1.5, 0.85]), 0.55
_MOUTH, _LIPS = np.array([0.0, -4.6]), np.array([2.6, 1.0])
_BROWS = np.array([[-2.8, 4.2], [2.8, 4.2]])
_TO_LAMP = np.array([0.5, 0.6, 0.62], np.float32)


def tracked_or_toy(data_dir: str, *, face: str, size: int) -> TrackedHead:
    """The tracked head of a folder, its pictures `size` pixels wide and high; the procedural one if there is no folder.

    Args:
        data_dir: see `neurend.data.tracked_head.read`.
        face: file of the face model; '' for that beside the folder.
        size: in pixels.

    Raises:
        InputError: it cannot be read.
    """
    return tracked_head.read(data_dir, face=face or None, size=size) if data_dir else toy_head(size=size)


def toy_head(frames: int = 400, size: int = 128, *, train: int | None = None) -> TrackedHead:
    """An ellipsoid with eyes, brows and a mouth, lit from one side, that turns and talks; a function of its arguments.

    Args:
        frames: how many.
        size: width and height of the pictures, in pixels.
        train: how many of them are to learn from; four fifths if not given.
    """
    mesh, performance = _mesh(), _performance(frames)
    eye = jnp.array([0.0, 0.0, 80.0])
    pose = transforms.look_at(eye, jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    camera = cameras.make(pose, 3.2 * size, size=(size, size))
    across, down = np.meshgrid(*[(np.arange(size) + 0.5) / size * 2 - 1] * 2)
    wall = np.stack([0.35 + 0.1 * across, 0.45 - 0.1 * down, 0.55 + 0.05 * np.sin(9 * across)], -1).astype(np.float32)
    surface = surface_of(mesh)

    @jax.jit
    def film(expression: Array, world_from_head: Array) -> Array:
        points = tracked_head.pose(mesh, expression, world_from_head)
        maps = face_conditions.face_maps(surface, camera, points, width=size, height=size)
        normal = transforms.rotate(camera.world_from_camera, maps.normal)
        light = 0.35 + 0.65 * jnp.maximum(normal @ jnp.asarray(_TO_LAMP), 0.0)
        color = _painted((2 * maps.code - 1) * _RADII[None, None]) * light[..., None]
        return jnp.round(255 * jnp.where(maps.mask[..., None], color, wall)).astype(jnp.uint8)

    images = np.stack([np.asarray(film(*pair)) for pair in zip(*performance)])
    background = np.round(255 * wall).astype(np.uint8)
    count = frames * 4 // 5 if train is None else train
    return TrackedHead(images, background, mesh, _NAMES, performance, jax.device_get(camera), count)


def _painted(points: Array) -> Array:
    """Colour of points [h w 3] of the head without expression."""
    x, y, front = points[..., 0], points[..., 1], points[..., 2] > 0

    def inside(middle: np.ndarray, half: np.ndarray) -> Array:
        return front & (((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 < 1)

    layers = [(front | ~front, (0.85, 0.65, 0.52)), (y > 7.5, (0.25, 0.15, 0.1))]
    for middle in _BROWS:
        layers.append((inside(middle, np.array([1.7, 0.4])), (0.3, 0.2, 0.15)))
    for middle in _EYES:
        layers += [(inside(middle, _EYE), (0.95, 0.95, 0.95)), (inside(middle, np.full(2, _IRIS)), (0.2, 0.4, 0.6))]
    layers += [(inside(_MOUTH, _LIPS), (0.7, 0.25, 0.25)), (inside(_MOUTH, _LIPS * [0.85, 0.3]), (0.2, 0.05, 0.05))]
    color = jnp.zeros(points.shape)
    for where, value in layers:
        color = jnp.where(where[..., None], jnp.array([[value]]), color)
    return color


def _mesh(rows: int = 48, columns: int = 64) -> FaceMesh:
    u, v = np.meshgrid(np.arange(columns + 1) / columns, np.arange(rows + 1) / rows)
    around, up = 2 * math.pi * (u.ravel() - 0.5), math.pi * (v.ravel() - 0.5)
    ball = np.stack([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)], -1)
    vertices = (ball * _RADII).astype(np.float32)
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)[None]).reshape(-1, 1)
    low, high = [0, 1, columns + 2], [0, columns + 2, columns + 1]
    faces = np.concatenate([corner + low, corner + high]).astype(np.int32)
    x, y, front = vertices[:, 0], vertices[:, 1], vertices[:, 2] > 0

    def bump(middle: tuple[float, float], reach: float) -> np.ndarray:
        return front * np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / reach**2)

    deltas = np.zeros((len(_NAMES), len(vertices), 3), np.float32)
    deltas[0, :, 1] = -3.5 * bump((0, -7.0), 2.6)
    for k, side in enumerate((1, -1)):  # the head's left is at +x
        deltas[1 + k, :, :2] = bump((side * 2.6, -4.6), 1.6)[:, None] * [side * 0.8, 1.2]
        deltas[3 + k, :, 1] = 1.2 * bump((side * 2.8, 4.2), 1.8)
    parts = np.full(len(vertices), PARTS.index('skin'), np.uint8)
    for middle in _EYES:
        away = vertices[:, :2] - middle[None]
        parts[front & ((away / _EYE[None]) ** 2 @ np.ones(2) < 1)] = PARTS.index('sclera')
        parts[front & (np.linalg.norm(away, axis=-1) < _IRIS)] = PARTS.index('iris')
    marks = _landmarks()
    distance = np.linalg.norm(vertices[None, :, :2] - marks[:, None], axis=-1) + 100 * ~front[None]
    uvs = np.stack([u.ravel(), v.ravel()], -1).astype(np.float32)
    return FaceMesh(vertices, deltas, faces, uvs, parts, distance.argmin(1).astype(np.int32))


def _landmarks() -> np.ndarray:
    """Places [68 2] of iBUG's landmarks on the head, the person's right first, which is at -x."""

    def ring(middle: np.ndarray, half: np.ndarray, count: int) -> np.ndarray:
        """From the person's right over the top."""
        angle = math.pi - 2 * math.pi * np.arange(count) / count
        return middle[None] + half[None] * np.stack([np.cos(angle), np.sin(angle)], -1)

    angle = math.pi * (1 + np.arange(17) / 16)
    jaw = np.stack([6.8 * np.cos(angle), 2 + 11.5 * np.sin(angle)], -1)
    brows = [np.linspace(middle - [1.7, 0], middle + [1.7, 0], 5) for middle in _BROWS]
    bridge = np.stack([np.zeros(4), np.linspace(2.0, -1.0, 4)], -1)
    nostrils = np.stack([np.linspace(-1.2, 1.2, 5), np.full(5, -1.8)], -1)
    eyes = [ring(middle, _EYE, 6) for middle in _EYES]
    return np.concatenate(
        [jaw, *brows, bridge, nostrils, *eyes, ring(_MOUTH, _LIPS, 12), ring(_MOUTH, _LIPS * [0.85, 0.3], 8)]
    )


def _performance(frames: int) -> Performance:
    time = np.arange(frames) / 25.0
    talk = np.maximum(np.sin(2 * math.pi * 1.7 * time) * np.sin(2 * math.pi * 0.31 * time + 1), 0)
    smile, brows = (np.maximum(np.sin(2 * math.pi * rate * time + 0.5), 0) ** 2 for rate in (0.23, 0.37))
    expressions = np.stack([talk, smile, smile, brows, brows], -1).astype(np.float32)
    turn, nod = 0.35 * np.sin(2 * math.pi * 0.19 * time), 0.15 * np.sin(2 * math.pi * 0.41 * time)
    zero = np.zeros_like(time)
    twist = np.stack([zero, 0.8 * nod, zero, nod, turn, zero], -1).astype(np.float32)
    return Performance(expressions, np.asarray(transforms.se3_exp(jnp.asarray(twist))))
