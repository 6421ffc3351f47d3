"""One picture of a head that is an ellipsoid with a painted face, and where its 68 landmarks are."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from neurend.data.head_looks import Look, Motion

_FINE = 3  # rays per pixel, on either side
_DISTANCE = 4.0  # from the camera to the middle of the head, in widths of the picture at that distance
_DARK = np.array([0.22, 0.05, 0.05])  # inside the mouth


class EllipsoidHead(NamedTuple):
    """A head's shape.

    Places on the face are (a, b), the first two coordinates on the unit sphere that the ellipsoid is stretched from: a
    to the viewer's right of a head that looks at the viewer, b up.

    Attributes:
        radii: half width, half height and half depth, in widths of the picture.
        eyes: (a, b) of the left eye's centre.
        eye_width: half of it.
        mouth: b of the mouth.
        mouth_width: half of it.
        nose: half the width of the nose.
    """

    radii: tuple[float, float, float]
    eyes: tuple[float, float]
    eye_width: float
    mouth: float
    mouth_width: float
    nose: float


class _Face(NamedTuple):
    """What moves in a face: half height of the eyes' openings, of the mouth's, of its lips, and places."""

    lid: float
    gape: float
    mouth_width: float
    smile: float
    brow: float


def paint(head: EllipsoidHead, look: Look, moving: Motion, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture uint8 `[size size 3]` and the landmarks float32 `[68 2]`, x and y in pixels.

    Args:
        head: its shape.
        look: colours.
        moving: how, in one frame: a `Motion` without its first axis.
        size: of the picture.
    """
    face = _Face(
        lid=0.42 * head.eye_width * (1 - 0.95 * float(moving.blink)),
        gape=0.14 * float(moving.jaw),
        mouth_width=head.mouth_width * (1 + 0.25 * float(moving.smile) - 0.4 * float(moving.pucker)),
        smile=0.08 * float(moving.smile),
        brow=head.eyes[1] + 0.2 + 0.08 * float(moving.brow),
    )
    rotation = _rotation(*np.asarray(moving.angles, np.float64))
    center = np.array([moving.shift[0], moving.shift[1], 0.0])
    sphere, seen = _cast(head, rotation, center, size * _FINE)
    colors = np.where(seen[..., None], _shade(head, look, face, sphere, rotation), np.array(look.backdrop))
    means = colors.reshape(size, _FINE, size, _FINE, 3).mean((1, 3))
    points = _landmarks(head, face)
    surface = np.concatenate([points, np.sqrt(np.maximum(1 - (points**2).sum(-1, keepdims=True), 0))], axis=-1)
    world = (surface * np.array(head.radii)) @ rotation.T + center
    scale = _DISTANCE / (_DISTANCE - world[:, 2:])
    pixels = (np.array([0.5, 0.5]) + world[:, :2] * scale * np.array([1, -1])) * size
    return (255 * np.clip(means, 0, 1) + 0.5).astype(np.uint8), pixels.astype(np.float32)


def _cast(head: EllipsoidHead, rotation: np.ndarray, center: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where rays meet the ellipsoid, on the unit sphere `[count count 3]`, and which do."""
    along = (np.arange(count) + 0.5) / count - 0.5
    x, y = np.meshgrid(along, -along)
    radii = np.array(head.radii)
    directions = (np.stack([x, y, np.full_like(x, -_DISTANCE)], axis=-1) @ rotation) / radii
    origin = ((np.array([0, 0, _DISTANCE]) - center) @ rotation) / radii
    a, b, c = (directions**2).sum(-1), directions @ origin, origin @ origin - 1
    inside = b * b - a * c
    t = (-b - np.sqrt(np.maximum(inside, 0))) / a
    return origin + t[..., None] * directions, inside > 0


def _shade(head: EllipsoidHead, look: Look, face: _Face, sphere: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    color = _albedo(head, look, face, sphere)
    normals = (sphere / np.array(head.radii)) @ rotation.T
    normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    return color * (0.55 + 0.5 * np.maximum(normals @ np.array(look.light), 0))[..., None]


def _albedo(head: EllipsoidHead, look: Look, face: _Face, sphere: np.ndarray) -> np.ndarray:
    a, b, front = sphere[..., 0], sphere[..., 1], sphere[..., 2]
    color = np.broadcast_to(np.array(look.skin), sphere.shape).copy()

    def put(mask: np.ndarray, value: ArrayLike) -> None:
        color[mask & (front > 0)] = value

    side = np.abs(a) - head.eyes[0]
    up = b - head.eyes[1]
    put((side / head.eye_width) ** 2 + (up / max(face.lid, 1e-6)) ** 2 < 1, 0.95)
    iris = (np.abs(a) - head.eyes[0]) ** 2 + up**2
    opened = (side / head.eye_width) ** 2 + (up / max(face.lid, 1e-6)) ** 2 < 1
    put(opened & (iris < (0.45 * head.eye_width) ** 2), look.iris)
    arch = b - face.brow + 0.3 * side**2 / head.eye_width
    put((np.abs(side) < 1.4 * head.eye_width) & (np.abs(arch) < 0.025 * look.brows), look.hair)
    put((np.abs(a) < head.nose) & (b > -0.2) & (b < -0.15), np.array(look.skin) * 0.7)
    bend = face.smile * (a / face.mouth_width) ** 2
    lips = (a / face.mouth_width) ** 2 + ((b - head.mouth - bend) / (face.gape + 0.06)) ** 2
    put(lips < 1, look.lips)
    hole = (a / (0.85 * face.mouth_width)) ** 2 + ((b - head.mouth - bend) / max(face.gape, 1e-6)) ** 2
    put(hole < 1, _DARK)
    # The hair comes down at the sides, and covers the back.
    color[b > look.hairline - 0.35 * np.abs(a) - 1.6 * np.maximum(0.35 - front, 0)] = look.hair
    return color


def _landmarks(head: EllipsoidHead, face: _Face) -> np.ndarray:
    """(a, b) of the 68 landmarks in the order of iBUG; right ones, which come first, are on the left of the picture."""
    turn = np.linspace(math.pi, 2 * math.pi, 17)
    jaw = np.stack([0.93 * np.cos(turn), 0.05 + 0.93 * np.sin(turn)], axis=-1)
    across = np.linspace(-1.4, 1.4, 5) * head.eye_width
    brow = np.stack([head.eyes[0] + across, face.brow - 0.3 * across**2 / head.eye_width], axis=-1)
    ridge = np.stack([np.zeros(4), np.linspace(head.eyes[1], -0.1, 4)], axis=-1)
    nostrils = np.stack([np.linspace(-1, 1, 5) * head.nose, np.full(5, -0.18)], axis=-1)
    corners = np.radians([0, 60, 120, 180, 240, 300])
    opening = np.stack([head.eye_width * np.cos(corners), face.lid * np.sin(corners)], axis=-1)
    left_eye = np.array([1, 1]) * opening[[3, 2, 1, 0, 5, 4]] + np.array(head.eyes)
    right_eye = opening[[3, 2, 1, 0, 5, 4]] + np.array([-head.eyes[0], head.eyes[1]])
    return np.concatenate(
        [jaw, brow[::-1] * np.array([-1, 1]), brow, ridge, nostrils, right_eye, left_eye, *_mouth(head, face)]
    )


def _mouth(head: EllipsoidHead, face: _Face) -> tuple[np.ndarray, np.ndarray]:
    """Twelve points around the lips and eight around the opening, from the right corner over the top."""

    def around(count: int, width: float, height: float) -> np.ndarray:
        turn = math.pi - np.arange(count) * (2 * math.pi / count)
        a = width * np.cos(turn)
        return np.stack([a, head.mouth + face.smile * (a / face.mouth_width) ** 2 + height * np.sin(turn)], axis=-1)

    return around(12, face.mouth_width, face.gape + 0.06), around(8, 0.85 * face.mouth_width, face.gape)


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turns about y by yaw, about x by pitch (positive looks down), about z by roll, the last first."""
    cy, sy, cp, sp, cr, sr = (f(angle) for angle in (yaw, pitch, roll) for f in (math.cos, math.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z
