"""Windows of a recogniser's logits at the rate of a film, as Neural Voice Puppetry takes them, and their files."""

import os
import re
from pathlib import Path

import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.images import statedict
from neurend.speech.text import CLASSES

RATE = 50.0
"""Rows of logits in a second of the recogniser."""
ROWS = 16
"""Rows of a window."""
CENTER = 8
"""Row of a window that is its frame."""
_FILE = re.compile(r'(\d+)\.deepspeech\.npy')


def interpolate(logits: np.ndarray, fps: float, *, rate: float = RATE, duration: float | None = None) -> np.ndarray:
    """Logits at the rate of a film: linear between rows, the last row beyond them (VOCA; Cudeiro et al., 2019).

    Row i is at time i / rate, frame k at time k / fps.

    Args:
        logits: `[t c]`.
        fps: frames per second of the film.
        rate: rows per second.
        duration: of the sound in seconds; t / rate if None.

    Returns:
        float32 `[round(duration fps) c]`.

    Raises:
        InputError: no logits, not finite ones, or rates that are not positive.
    """
    rows = checks.shape('logits', logits, 't _')['t']
    if not rows or not (fps > 0 and rate > 0):
        raise InputError(f'logits, fps, rate: got {rows} rows, {fps} and {rate}, expected positive numbers')
    checks.finite('logits', logits)
    count = round((rows / rate if duration is None else duration) * fps)
    places = np.minimum(np.arange(count) * (rate / fps), rows - 1)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, rows - 1)
    part = (places - before)[:, None]
    values = np.asarray(logits, np.float64)
    return ((1 - part) * values[before] + part * values[after]).astype(np.float32)


def windows(logits: np.ndarray, fps: float, *, rate: float = RATE, duration: float | None = None) -> np.ndarray:
    """Sixteen rows of logits around each frame of a film; row 8 is the frame, rows beyond the ends are zero.

    Args:
        logits: `[t 29]`, raw.
        fps, rate, duration: see `interpolate`.

    Returns:
        float32 `[frames 16 29]`.

    Raises:
        InputError: see `interpolate`.
    """
    found = interpolate(logits, fps, rate=rate, duration=duration)
    padded = np.pad(found, ((CENTER, ROWS - CENTER), (0, 0)))
    return padded[np.arange(len(found))[:, None] + np.arange(ROWS)[None]]


def read(path: str | os.PathLike[str], *, fps: float = 25.0) -> np.ndarray:
    """Reads precomputed windows, float32 `[frames 16 29]`.

    Args:
        path: a folder in Neural Voice Puppetry's layout, `0.deepspeech.npy`, `1.deepspeech.npy`, ..., of one window
            each, or the folder of a sequence with those in `audio_feature`; or an `.npz` file with `logits`, windows
            `[frames 16 29]`, or rows `[t 29]` at its `rate` per second, 50 if it does not say.
        fps: of the film, for rows; windows are taken to be at its rate.

    Raises:
        InputError: it cannot be read, a frame is missing, or shapes and values are not those of windows.
    """
    place = Path(path)
    if place.is_dir():
        return _checked(str(place), _folder(place))
    arrays = statedict.read(place, what='logits')
    if 'logits' not in arrays:
        raise InputError(f'logits {place}: holds {sorted(arrays)}, expected logits, (frames, 16, 29) or (t, 29)')
    found = arrays['logits']
    if found.ndim == 2:
        checks.shape(f'logits {place}', found, f't {CLASSES}')
        return windows(found, fps, rate=float(arrays.get('rate', RATE)))
    return _checked(str(place), found)


def _folder(folder: Path) -> np.ndarray:
    folder = folder / 'audio_feature' if (folder / 'audio_feature').is_dir() else folder
    found = {int(match[1]): each for each in folder.iterdir() if (match := _FILE.fullmatch(each.name))}
    if not found:
        raise InputError(f'logits {folder}: holds no files such as 0.deepspeech.npy, expected one for each frame')
    missing = sorted(set(range(min(found), max(found) + 1)) - set(found))
    if missing:
        raise InputError(f'logits {folder}: lacks {missing[0]}.deepspeech.npy, expected one for each frame')
    windows = []
    for _, file in sorted(found.items()):
        try:
            windows.append(np.load(file, allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f'logits {file}: cannot be read ({error}). Expected a whole .npy file') from error
        checks.shape(f'logits {file}', windows[-1], f'{ROWS} {CLASSES}')
    return np.stack(windows)


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    checks.shape(f'logits {name}', values, f'frames {ROWS} {CLASSES}', 'Row 8 of a window is its frame')
    checks.finite(f'logits {name}', values)
    return values.astype(np.float32)
