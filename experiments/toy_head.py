"""A procedural head that moves and talks: what the experiments with tracked heads show where there is no data."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from neurend.data import tracked_head
from neurend.data.tracked_head import PARTS, FaceMesh, Performance, TrackedHead
from neurend.faces import procedural
from neurend.faces.blendshapes import FaceModel
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.numerics import normalize
from neurend.render import rasterize, texture
from neurend.typing import Array

_PARTS = {
    'mouth_inside': 'mouth',
    'teeth': 'teeth',
    'eyeballs': 'sclera',
    'iris': 'iris',
    'hair': 'neck',
}  # others: skin
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


def toy_head(
    frames: int = 400, size: int = 128, *, train: int | None = None, lips: np.ndarray | None = None
) -> TrackedHead:
    """The procedural face, lit from one side, that turns, talks and blinks; a function of its arguments.

    Args:
        frames: how many.
        size: width and height of the pictures, in pixels.
        train: how many of them are to learn from; four fifths if not given.
        lips: `[frames procedural.SPOKEN]`, what the mouth does; something of its own if not given.
    """
    face = procedural.face()
    mesh, performance = _mesh(face), _performance(frames)
    if lips is not None:
        performance.expressions[:, : procedural.SPOKEN] = lips
    eye = jnp.array([0.0, 0.0, 80.0])
    pose = transforms.look_at(eye, jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    camera = cameras.make(pose, 3.2 * size, size=(size, size))
    across, down = np.meshgrid(*[(np.arange(size) + 0.5) / size * 2 - 1] * 2)
    wall = np.stack([0.35 + 0.1 * across, 0.45 - 0.1 * down, 0.55 + 0.05 * np.sin(9 * across)], -1).astype(np.float32)
    faces, colors = jnp.asarray(mesh.faces), jnp.asarray(face.colors)

    @jax.jit
    def film(expression: Array, world_from_head: Array) -> Array:
        points = tracked_head.pose(mesh, expression, world_from_head)
        found = rasterize.rasterize(clip.from_camera(camera, points), faces, width=size, height=size)
        values = jnp.concatenate([colors, triangles.vertex_normals(points, faces)], axis=-1)
        color, normal = jnp.split(texture.interpolate(values, faces, found), 2, axis=-1)
        light = 0.35 + 0.65 * jnp.maximum(normalize(normal) @ jnp.asarray(_TO_LAMP), 0.0)
        shown = jnp.where((found.face >= 0)[..., None], color * light[..., None], wall)
        return jnp.round(255 * shown).astype(jnp.uint8)

    images = np.stack([np.asarray(film(*pair)) for pair in zip(*performance)])
    background = np.round(255 * wall).astype(np.uint8)
    count = frames * 4 // 5 if train is None else train
    return TrackedHead(images, background, mesh, face.names, performance, jax.device_get(camera), count)


def _mesh(face: FaceModel) -> FaceMesh:
    parts = np.full(len(face.template), PARTS.index('skin'), np.uint8)
    for mask, part in _PARTS.items():
        parts[face.masks[mask] > 0] = PARTS.index(part)
    return FaceMesh(face.template, face.expressions, face.faces, face.uvs, parts, face.landmarks)


def _performance(frames: int) -> Performance:
    time = np.arange(frames) / 25.0
    voice = np.sin(2 * math.pi * 1.7 * time) * np.sin(2 * math.pi * 0.31 * time + 1)
    smile, brows = (np.maximum(np.sin(2 * math.pi * rate * time + 0.5), 0) ** 2 for rate in (0.23, 0.37))
    lids = np.maximum(1 - np.abs((time + 0.15) % 2.9 - 1.45) / 0.12, 0)  # every 2.9 seconds, first at 1.3
    moves = {'jawOpen': np.maximum(voice, 0), 'mouthPucker': np.maximum(-voice, 0)}
    moves |= {f'mouthSmile_{side}': smile for side in 'LR'} | {f'eyeBlink_{side}': lids for side in 'LR'}
    moves |= {f'brow{part}Up_{side}': brows for part in ('Inner', 'Outer') for side in 'LR'}
    zero = np.zeros_like(time)
    expressions = np.stack([moves.get(name, zero) for name in procedural.NAMES], -1).astype(np.float32)
    turn, nod = 0.35 * np.sin(2 * math.pi * 0.19 * time), 0.15 * np.sin(2 * math.pi * 0.41 * time)
    twist = np.stack([zero, 0.8 * nod, zero, nod, turn, zero], -1).astype(np.float32)
    return Performance(expressions, np.asarray(transforms.se3_exp(jnp.asarray(twist))))
