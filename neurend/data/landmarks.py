"""Landmarks of faces from JSON files: one list of 68 pairs [x, y] per frame, in pixels.

The order is that of iBUG (Sagonas et al. 2013), which dlib keeps. One face per file.
"""

import os

import numpy as np

from neurend import checks
from neurend.data import openpose

_COUNT = 68


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
