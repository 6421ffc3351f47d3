"""Landmarks of faces from JSON files: one list of 68 pairs [x, y] per frame, in pixels.

The order is that of iBUG (Sagonas et al. 2013), which dlib keeps. One face per file. `read_track` also takes what
OpenPose and MediaPipe write, and brings it to that order.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from neurend import checks
from neurend.data import openpose

_COUNT = 68
# Of MediaPipe's 468 points (and 10 of the irises) those nearest to iBUG's: outline, brows, nose, eyes, lips.
_MESH_COUNTS = (468, 478)
_MESH = np.array([
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
])  # fmt: skip


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads the landmarks of one frame: float32 [68 3], x and y in pixels and confidence 1.

    Raises:
        InputError: the file is missing, not JSON, or not 68 pairs of finite numbers.
    """
    value = openpose.read_json(path, 'landmarks')
    pairs = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
    if not pairs or len(value) != _COUNT or any(type(number) not in (int, float) for pair in value for number in pair):
        came = f'{len(value)} pairs' if pairs else 'something else'
        raise checks.InputError(f'landmarks {path}: got {came}, expected {_COUNT} pairs [x, y] of one face')
    points = openpose.floats(value, f'landmarks {path}')
    return np.concatenate([points, np.ones((_COUNT, 1), np.float32)], axis=1)


def read_folder(folder: str | os.PathLike[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Reads a folder of frames, `*.json` sorted by name.

    Returns:
        The names of the files without suffix, and the landmarks float32 [n 68 3].

    Raises:
        InputError: no such folder, no frames in it, or see `read`.
    """
    paths = openpose.list_json(folder)
    return tuple(path.stem for path in paths), np.stack([read(path) for path in paths])


def read_track(path: str | os.PathLike[str], *, size: tuple[int, int]) -> np.ndarray:
    """Reads the landmarks of a video: float32 [t 68 3], x and y in pixels and confidence; 0 where there is no face.

    Args:
        path: a folder of JSON files, one per frame, sorted by name, each in one of these layouts: 68 pairs [x, y] in
            pixels; OpenPose's, of whose people the one with the largest body counts (70 points of the face, of which
            the pupils are left out); MediaPipe's 468 or 478 points of a face mesh, [x, y], [x, y, z] or {"x", "y"},
            from 0 to 1 over the picture, alone or the first in a list of faces. `[]` is a frame without a face. Or a
            `.npy` of [t 68 2] or [t 68 3].
        size: (width, height) of the pictures.

    Raises:
        InputError: there is nothing to read, or a file is none of these.
    """
    path = Path(path)
    if path.suffix != '.npy':
        return np.stack([_frame(each, size) for each in openpose.list_json(path)])
    try:
        points = np.load(checks.file(path, 'landmarks'), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise checks.InputError(f'landmarks {path}: cannot be read ({error})') from error
    if points.ndim != 3 or points.shape[1] != _COUNT or points.shape[2] not in (2, 3) or points.dtype.kind not in 'iuf':
        raise checks.InputError(f'landmarks {path}: got {points.dtype} {points.shape}, expected floats [t 68 2 or 3]')
    checks.finite(f'landmarks {path}', points, 'Give frames without a face confidence 0')
    sure = np.ones((*points.shape[:2], 1)) if points.shape[2] == 2 else points[..., 2:]
    return np.concatenate([points[..., :2], sure], -1).astype(np.float32)


def _frame(path: Path, size: tuple[int, int]) -> np.ndarray:
    value = openpose.read_json(path, 'landmarks')
    nobody = np.zeros((_COUNT, 3), np.float32)
    if isinstance(value, dict):
        person = openpose.select(openpose.read_frame(path), rule='largest')
        return nobody if person is None or person.face is None else _found(person.face)
    if value == []:
        return nobody
    if isinstance(value, list) and isinstance(value[0], list) and len(value[0]) in _MESH_COUNTS:
        value = value[0]
    if isinstance(value, list) and len(value) in _MESH_COUNTS:
        return from_mesh(openpose.floats([_pair(point, path) for point in value], f'landmarks {path}'), size)
    return read(path)


def from_mesh(points: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
    """The 68 landmarks, float32 [68 3], of MediaPipe's 468 or 478 points of a face from 0 to 1 over the picture.

    Args:
        points: [n 2]; None for no face, whose landmarks have confidence 0.
        size: (width, height) of the picture.

    Raises:
        InputError: another number of points.
    """
    if points is None:
        return np.zeros((_COUNT, 3), np.float32)
    if len(points) not in _MESH_COUNTS:
        raise checks.InputError(f'points: got {len(points)}, expected {" or ".join(map(str, _MESH_COUNTS))}')
    found = points[_MESH] * np.array([size])
    return np.concatenate([found, np.ones((_COUNT, 1))], 1).astype(np.float32)


def _found(face: np.ndarray) -> np.ndarray:
    """Of OpenPose's points those of iBUG; its confidences of points that were not found may be negative."""
    return np.concatenate([face[:_COUNT, :2], np.maximum(face[:_COUNT, 2:], 0)], 1)


def _pair(point: Any, path: Path) -> list[float]:
    pair: list[Any] = (
        [point.get('x'), point.get('y')] if isinstance(point, dict) else point[:2] if isinstance(point, list) else []
    )
    if len(pair) != 2 or any(type(number) not in (int, float) for number in pair):
        raise checks.InputError(f'landmarks {path}: a point is no pair of numbers, expected x and y from 0 to 1')
    return pair
