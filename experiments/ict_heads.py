"""Films many people's heads with the ICT face model (Li et al., 2020).

Looks and motions are those of the embedded heads (`neurend.data.head_looks`), painted on the vertices of the mesh.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from neurend.data.head_looks import Look, Motion, look
from neurend.data.heads import HeadClip
from neurend.faces import blendshapes, ict
from neurend.faces.blendshapes import FaceModel
from neurend.geometry import cameras, clip, rotations, transforms, triangles
from neurend.render import rasterize, texture
from neurend.typing import Array

_FINE = 2  # pixels drawn per pixel of the picture, on either side
_FIELD = 31.0  # centimetres that a picture shows at the middle of the head
_DISTANCE = 90.0
_PIVOT = np.array([0.0, 2.0, 0.0])  # about which the head turns; the middle of the picture
_SOCKET, _EYE_SOCKETS, _GUMS, _TEETH, _EYES = (
    ict.PARTS[name][0] for name in ('mouth_inside', 'eye_sockets', 'gums', 'teeth', 'left_eyeball')
)
# Irises lie behind corneas, which are painted here.
_EYEBALLS = tuple(slice(*ict.PARTS[name]) for name in ('left_eyeball', 'right_eyeball'))
_MOVES = {
    'jaw': {'jawOpen': 0.7},
    'smile': {'mouthSmile_L': 0.9, 'mouthSmile_R': 0.9},
    'brow': {'browInnerUp_L': 0.8, 'browInnerUp_R': 0.8, 'browOuterUp_L': 0.8, 'browOuterUp_R': 0.8},
    'blink': {'eyeBlink_L': 1.0, 'eyeBlink_R': 1.0},
    'pucker': {'mouthPucker': 0.9},
}

FilmFn = Callable[[int, Motion], HeadClip]
"""`(seed of the person, motion) -> clip`."""


def filming(path: str | Path, *, size: int) -> FilmFn:
    """A function that films somebody, whose shape and colours follow from a seed.

    Args:
        path: of the model, see `neurend.faces.ict.read`.
        size: width and height of pictures, in pixels.

    Raises:
        InputError: the file is missing or is none of these.
    """
    model = ict.read(path)
    faces = jnp.asarray(model.faces)
    moves = np.stack([blendshapes.coefficients(model.names, move) for move in _MOVES.values()])
    deltas = jnp.asarray(np.tensordot(moves, model.expressions, 1))
    points = jnp.asarray(model.landmarks)
    draw = functools.partial(jax.jit(_draw, static_argnames='size'), deltas, faces, points, size=size)

    def film(seed: int, moving: Motion) -> HeadClip:
        person = look(seed)
        vertices, colors = (jnp.asarray(x) for x in somebody(model, seed))
        fixed = [jnp.asarray(x, jnp.float32) for x in (person.backdrop, person.light)]
        weights = np.stack([getattr(moving, name) for name in _MOVES], axis=-1).astype(np.float32)
        pictures = [
            jax.device_get(draw(vertices, colors, *fixed, weights[k], *moving_to(moving.angles[k], moving.shift[k])))
            for k in range(len(weights))
        ]
        return HeadClip(np.stack([image for image, _ in pictures]), np.stack([marks for _, marks in pictures]))

    return film


def somebody(model: FaceModel, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices `[V 3]` at rest, in centimetres, and colours `[V 3]` of the person that a seed stands for."""
    coefficients = np.random.default_rng((seed, 4)).normal(size=len(model.identity)).astype(np.float32)
    colors = paint(model.template, model.landmarks, look(seed))
    return model.template + np.tensordot(coefficients, model.identity, 1), colors


def moving_to(angles: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A turn by yaw, pitch and roll and a shift in centimetres, for widths of the picture."""
    axes = np.eye(3, dtype=np.float32)[[1, 0, 2]]
    yaw, pitch, roll = (
        rotations.exp(jnp.asarray(axis * angle)) for axis, angle in zip(axes, angles.astype(np.float32))
    )
    return np.asarray(yaw @ pitch @ roll), np.array([*(_FIELD * shift), 0], np.float32)


def paint(neutral: np.ndarray, landmarks: np.ndarray, person: Look) -> np.ndarray:
    """Colours `[V 3]` of the vertices: skin, hair, brows, lips, eyes, teeth.

    Args:
        neutral: `[V 3]` vertices of the face at rest, the same for all people.
        landmarks: `[68]` vertices of the landmarks.
        person: colours, and where the hair begins.
    """
    x, y, z = neutral.T
    marks = neutral[landmarks]
    colors = np.tile(np.array(person.skin, np.float32), (len(neutral), 1))
    outside = np.arange(len(neutral)) < _SOCKET
    lips = outside & (z > 8) & _within(marks[48:60, :2], x, y)
    colors[lips] = person.lips
    brows = np.concatenate([_between(marks[17:22]), _between(marks[22:27])])
    distance = np.sqrt(((neutral[:, None] - brows[None]) ** 2).sum(-1).min(1))
    colors[outside & (distance < 0.45 * person.brows)] = person.hair
    # The line of the hair falls from the forehead to the neck.
    ears = (np.abs(x) > 7.6) & (y < 5.5)
    colors[outside & ~ears & (y > 4.5 + 8 * person.hairline - 1.1 * np.maximum(7 - z, 0))] = person.hair
    colors[_SOCKET:_EYE_SOCKETS] = (0.25, 0.06, 0.06)
    colors[_EYE_SOCKETS:_GUMS] *= 0.8
    colors[_GUMS:_TEETH] = (0.45, 0.16, 0.16)
    colors[_TEETH:_EYES] = 0.92
    colors[_EYES:] = 0.95
    for part in _EYEBALLS:
        middle = neutral[part][np.argmax(z[part])]
        radius = np.hypot(x[part] - middle[0], y[part] - middle[1])
        colors[part][radius < 0.62] = person.iris
        colors[part][radius < 0.25] = 0.03
    return colors


def _draw(
    deltas: Array,
    faces: Array,
    landmarks: Array,
    vertices: Array,
    colors: Array,
    backdrop: Array,
    light: Array,
    weights: Array,
    rotation: Array,
    shift: Array,
    *,
    size: int,
) -> tuple[Array, Array]:
    pivot = jnp.asarray(_PIVOT, jnp.float32)
    world = vertices + jnp.tensordot(weights, deltas, 1)
    world = (world - pivot[None]) @ rotation.T + (pivot + shift)[None]
    pose = transforms.look_at(pivot + jnp.array([0, 0, _DISTANCE]), pivot, jnp.array([0.0, 1, 0]))
    camera = cameras.make(pose, size * _DISTANCE / _FIELD, size=(size, size))
    marks = clip.from_camera(camera, world[landmarks])
    picture = draw(camera, world, faces, colors, light, backdrop, size=size)
    return picture, marks[:, :2] / marks[:, 3:]


def draw(
    camera: cameras.Camera, vertices: Array, faces: Array, colors: Array, light: Array, backdrop: Array, *, size: int
) -> Array:
    """The picture `[size size 3]` uint8 of a mesh with coloured vertices, averaged over `_FINE` x `_FINE` samples.

    Args:
        camera: of that size.
        vertices: `[V 3]` in the world.
        faces: `[F 3]`.
        colors: `[V 3]` sRGB.
        light: `[3]` direction towards the lamp in the world, unit.
        backdrop: `[3]` colour behind.
        size: of the picture.
    """
    fine = _FINE * size
    projected = clip.from_camera(cameras.resize(camera, _FINE), vertices)
    found = rasterize.rasterize(projected, faces, width=fine, height=fine)
    attributes = jnp.concatenate([colors, triangles.vertex_normals(vertices, faces)], axis=-1)
    color, normal = jnp.split(texture.interpolate(attributes, faces, found), 2, axis=-1)
    facing = jnp.maximum(normal @ light, 0) / jnp.maximum(jnp.linalg.norm(normal, axis=-1), 1e-6)
    picture = jnp.where(
        (found.face >= 0)[..., None], color * (0.55 + 0.5 * facing)[..., None], backdrop.reshape(1, 1, 3)
    )
    picture = jnp.clip(picture, 0, 1).reshape(size, _FINE, size, _FINE, 3).mean((1, 3))
    return (255 * picture + 0.5).astype(jnp.uint8)


def _within(polygon: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points are in a polygon `[n 2]`: a ray to the right crosses its outline an odd number of times."""
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0)):
        crosses = (ay > y) != (by > y)
        inside ^= crosses & (x < ax + (y - ay) * (bx - ax) / (by - ay if by != ay else 1.0))
    return inside


def _between(points: np.ndarray) -> np.ndarray:
    """Points densely along a line through others."""
    shares = np.linspace(0, 1, 6)[:, None, None]
    return (points[None, :-1] * (1 - shares) + points[None, 1:] * shares).reshape(-1, 3)
