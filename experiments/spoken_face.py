"""A filmed head prepared for learning to talk: face crops that hold still, landmarks, and features of speech."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.toy_head import toy_head
from neurend import checks
from neurend.data import tracked_head
from neurend.data.tracked_head import TrackedHead
from neurend.faces import procedural
from neurend.geometry import cameras, grids
from neurend.images import resample, statedict
from neurend.typing import Array

# Nose and corners of the eyes. The paper's code aligns by all points of the nose and of an eye and a half, which blink.
_STILL = np.array([*range(27, 36), 36, 39, 42, 45])
_MARGIN = 1.3  # side of the crop, in sides of the square around the landmarks
_ROWS, _COEFFICIENTS = 16, 12  # of the procedural speech
_RATE = 50.0  # its rows in a second


@dataclasses.dataclass(frozen=True)
class SpokenFace:
    """Crops of a face, m of them; landmarks are in [-1, 1] across the crop.

    Attributes:
        images: uint8 [m s s 3], turned, scaled and moved so that nose and eyes hold still.
        landmarks: float32 [m 68 2] as tracked, in `images`.
        spoken: float32 [m 68 2], of the same expressions on a head that does not move.
        windows: float32 [m rows coefficients], features of speech.
        rest: float32 [68 2], landmarks of the mean expression on the head that does not move.
        rests: float32 [m 68 2], landmarks of the mean expression on the moving head, in `images`.
        train: how many frames, the first ones, are to learn from.
        fps: frames per second.
    """

    images: np.ndarray
    landmarks: np.ndarray
    spoken: np.ndarray
    windows: np.ndarray
    rest: np.ndarray
    rests: np.ndarray
    train: int
    fps: float

    def place(self, spoken: np.ndarray, first: int) -> np.ndarray:
        """Landmarks `[t 68 2]` of a head that does not move, brought to the poses of frames from `first` on.

        What differs from the mean expression is turned and foreshortened by the linear map that takes the shape of
        `rest` nearest to that of each frame's `rests`.
        """
        rests = self.rests[first : first + len(spoken)]
        center, centers = self.rest.mean(0), rests.mean(1, keepdims=True)
        maps = np.linalg.pinv(self.rest - center[None]) @ (rests - centers)
        return (rests + (spoken - self.rest[None]) @ maps).astype(np.float32)


def read(data_dir: str, face: str, size: int) -> SpokenFace:
    """Reads a tracked head that speaks, `logits` [t rows letters] of its `tracking.npz`, or makes the procedural one.

    Args:
        data_dir: see `neurend.data.tracked_head.read`; '' for the procedural head, whose features of speech are waves
            of what its mouth does.
        face: file of the face model, '' for the one beside the folder.
        size: side of the crops, in pixels.

    Raises:
        InputError: something cannot be read or does not fit.
    """
    if not data_dir:
        head = toy_head(240, 2 * size)
        return spoken_face(head, babble(head), size)
    path = Path(data_dir) / 'tracking.npz'
    head = tracked_head.read(data_dir, face=face or None)
    tracking = statedict.read(path)
    if 'logits' not in tracking:
        raise checks.InputError(f"{path}: lacks logits, expected the speech recogniser's, rows for each frame")
    return spoken_face(head, tracking['logits'], size)


def spoken_face(head: TrackedHead, windows: np.ndarray, size: int) -> SpokenFace:
    """Aligns frames and landmarks of a head, and standardises its features by those of the frames to learn from.

    Args:
        head: who speaks.
        windows: `[m rows coefficients]`, one for each frame.
        size: side of the crops, in pixels.

    Raises:
        InputError: windows that do not fit or are not finite.
    """
    checks.shape('windows', windows, f'{len(head)} rows coefficients', 'One for each frame')
    checks.finite('windows', windows)
    expressions, poses = head.performance
    mean, pose = expressions[: head.train].mean(0), mean_pose(poses[: head.train])
    tracked = project(head, expressions, poses)
    spoken = project(head, expressions, np.broadcast_to(pose, poses.shape))
    rests = project(head, np.broadcast_to(mean, expressions.shape), poses)
    rest = project(head, mean[None], pose[None])[0]
    low, high = rest.min(0), rest.max(0)
    side = _MARGIN * (high - low).max()
    corner = (low + high) / 2 - side / 2

    def cropped(points: np.ndarray) -> np.ndarray:
        return ((points - corner) / side * 2 - 1).astype(np.float32)

    turns, shifts = similarities(tracked[:, _STILL], rest[_STILL])
    fine = max(1, math.ceil(side / size))
    images = np.stack([
        _crop(image, turn, shift, corner, side, size, fine) for image, turn, shift in zip(head.images, turns, shifts)
    ])  # fmt: skip
    learned = windows[: head.train].astype(np.float64)
    deviation = np.maximum(learned.std((0, 1), keepdims=True), 1e-6)
    features = ((windows - learned.mean((0, 1), keepdims=True)) / deviation).astype(np.float32)
    still, moving = (cropped(_moved(points, turns, shifts)) for points in (tracked, rests))
    return SpokenFace(images, still, cropped(spoken), features, cropped(rest), moving, head.train, head.fps)


def babble(head: TrackedHead) -> np.ndarray:
    """Features of speech `[m 16 12]` that tell of the expressions of the mouth of `toy_head`, and of no other.

    Each row, 50 a second, is a smooth function of the expressions at its time, in the manner of a recogniser's outputs;
    row 8 is the frame's.
    """
    random = np.random.default_rng(0)
    mouth = head.performance.expressions[:, : procedural.SPOKEN].astype(np.float64)
    gains, offsets = 2 * random.normal(size=(procedural.SPOKEN, _COEFFICIENTS)), random.normal(size=_COEFFICIENTS)
    times = np.arange(len(mouth))[:, None] + (np.arange(_ROWS) - 8)[None] * (head.fps / _RATE)
    heard = np.stack([np.interp(times, np.arange(len(mouth)), each) for each in mouth.T], axis=-1)
    return np.tanh(heard @ gains + offsets).astype(np.float32)


def project(head: TrackedHead, expressions: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Landmarks [m 68 2] in pixels of the film."""
    marks = head.mesh.landmarks
    mesh = head.mesh._replace(vertices=head.mesh.vertices[marks], deltas=head.mesh.deltas[:, marks])
    camera = jax.tree.map(jnp.asarray, head.camera)

    @jax.jit
    @jax.vmap
    def marks_of(expression: Array, pose: Array) -> Array:
        return cameras.project(camera, tracked_head.pose(mesh, expression, pose))[0]

    return np.asarray(marks_of(expressions, poses), np.float64)


def mean_pose(poses: np.ndarray) -> np.ndarray:
    """The pose nearest to all of them."""
    mean = poses.mean(0, dtype=np.float64)
    left, _, right = np.linalg.svd(mean[:3, :3])
    mean[:3, :3] = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return mean.astype(np.float32)


def similarities(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Complex turns and shifts [m], `p -> turn p + shift`, that take points [m k 2] nearest to [k 2]."""
    p, q = points @ [1, 1j], (target @ [1, 1j])[None]
    centered, wanted = p - p.mean(1, keepdims=True), q - q.mean(1, keepdims=True)
    turns = (centered.conj() * wanted).sum(1) / (abs(centered) ** 2).sum(1)
    return turns, q.mean(1) - turns * p.mean(1)


def _moved(points: np.ndarray, turns: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    moved = (points @ [1, 1j]) * turns[:, None] + shifts[:, None]
    return np.stack([np.real(moved), np.imag(moved)], axis=-1)


def _crop(
    image: np.ndarray, turn: complex, shift: complex, corner: np.ndarray, side: float, size: int, fine: int
) -> np.ndarray:
    """The moved picture in a square, sampled `fine` times as densely as its pixels, which are means."""
    steps = (np.arange(size * fine) + 0.5) / (size * fine) * side
    places = (corner[0] + steps[None] + 1j * (corner[1] + steps[:, None]) - shift) / turn
    sampled = _sample(image, np.stack([np.real(places), np.imag(places)], axis=-1).astype(np.float32))
    return (np.asarray(resample.area_downscale(np.asarray(sampled), fine)) + 0.5).astype(np.uint8)


@jax.jit
def _sample(image: Array, places: Array) -> Array:
    return grids.bilinear(image.astype(jnp.float32), places)
