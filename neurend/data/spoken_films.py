"""Tracked films of people who speak, as files: windows of letter logits and expressions, frame by frame."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.data.expression_batches import Spoken
from neurend.images import statedict
from neurend.speech import windows

_LAYOUT = (
    'Expected an .npz file with logits (t, 16, 29) and expressions (t, e), a folder of such files, or a folder of '
    "sequences in Neural Voice Puppetry's layout, each with audio_feature/ and expression.txt"
)


class Film(NamedTuple):
    """A film by the name of its file or folder."""

    name: str
    spoken: Spoken


def read(path: str | os.PathLike[str]) -> list[Film]:
    """Reads films, each of a speaker of its own, sorted by name.

    Args:
        path: an `.npz` file with `logits` [t 16 29] and `expressions` [t e]; a folder of such files; or a folder of
            sequences as Neural Voice Puppetry (Thies et al., 2020) has them, or one of these: folders with
            `audio_feature/0.deepspeech.npy` and so on, and `expression.txt` with one line of numbers for each frame.

    Raises:
        InputError: nothing of the kind is there, a file cannot be read, or films do not fit together.
    """
    place = Path(path)
    if not place.exists():
        raise InputError(f'films {place}: does not exist. {_LAYOUT}')
    if not place.is_dir() or (place / 'expression.txt').is_file():
        files = [place]
    else:
        folders = [each.parent for each in place.glob('*/expression.txt')]
        files = sorted(folders) or sorted(place.glob('*.npz'))
    if not files:
        raise InputError(f'films {place}: holds none. {_LAYOUT}')
    films = [Film(file.stem, _read(file, speaker)) for speaker, file in enumerate(files)]
    widths = {film.spoken.expressions.shape[1] for film in films}
    if len(widths) > 1:
        raise InputError(f'films {place}: got {sorted(widths)} expressions, expected films tracked with one face model')
    return films


def _read(file: Path, speaker: int) -> Spoken:
    if file.is_dir():
        heard, expressions = windows.read(file), _lines(file / 'expression.txt')
    else:
        heard = windows.read(file)
        expressions = statedict.read(file, what='film').get('expressions')
        if expressions is None:
            raise InputError(f'film {file}: lacks expressions. {_LAYOUT}')
    sizes = {'t': len(heard)}
    checks.shape(f'expressions of film {file}', expressions, 't e', 'One line for each window', sizes=sizes)
    checks.finite(f'expressions of film {file}', expressions)
    return Spoken(heard, expressions.astype(np.float32), speaker)


def _lines(file: Path) -> np.ndarray:
    try:
        return np.loadtxt(checks.file(file, 'expressions'), dtype=np.float32, ndmin=2)
    except (ValueError, OSError) as error:
        raise InputError(f'expressions {file}: {error}. Expected lines of as many numbers') from error
