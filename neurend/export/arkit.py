"""Tables of face coefficients under the 52 names of Apple's ARKit, to and from the 53 of the ICT face.

`_L` and `_R` become `Left` and `Right`. Where the ICT face has two expressions, of the left and of the right, ARKit has
one `browInnerUp` and one `cheekPuff`; ARKit's `tongueOut` the ICT face has not. ARKit's coefficients lie in [0, 1].
"""

import csv
import io as text_io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neurend import checks
from neurend.images import io

_SIDED = (
    'browDown', 'browOuterUp', 'cheekSquint', 'eyeBlink', 'eyeLookDown', 'eyeLookIn', 'eyeLookOut', 'eyeLookUp',
    'eyeSquint', 'eyeWide', 'mouthDimple', 'mouthFrown', 'mouthLowerDown', 'mouthPress', 'mouthSmile', 'mouthStretch',
    'mouthUpperUp', 'noseSneer',
)  # fmt: skip
_MIDDLE = (
    'browInnerUp', 'cheekPuff', 'jawForward', 'jawLeft', 'jawOpen', 'jawRight', 'mouthClose', 'mouthFunnel',
    'mouthLeft', 'mouthPucker', 'mouthRight', 'mouthRollLower', 'mouthRollUpper', 'mouthShrugLower', 'mouthShrugUpper',
    'tongueOut',
)  # fmt: skip
_JOINED = ('browInnerUp', 'cheekPuff')  # two of the ICT face
_WITHOUT = 'tongueOut'
NAMES = tuple(sorted([*_MIDDLE, *(name + side for name in _SIDED for side in ('Left', 'Right'))]))
"""ARKit's, in alphabetical order."""


class Table(NamedTuple):
    """Coefficients over time.

    Attributes:
        times: float64 [t], seconds.
        coefficients: float32 [t 52] in [0, 1], in the order of `NAMES`.
    """

    times: np.ndarray
    coefficients: np.ndarray


def from_ict(expressions: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """ARKit's coefficients float32 [t 52], clipped to [0, 1], of expressions [t e] with names of the ICT face.

    The one that stands for two is their mean. What no expression stands for is 0.

    Raises:
        InputError: the expressions are not as many as the names, or a name is none of the ICT face.
    """
    expressions = np.asarray(expressions, np.float32)
    checks.shape('expressions', expressions, f't {len(names)}')
    checks.finite('expressions', expressions)
    table = np.zeros((len(expressions), len(NAMES)), np.float32)
    for name, values in zip(names, expressions.T):
        column, share = _column(name)
        table[:, column] += share * values
    return np.clip(table, 0, 1)


def to_ict(coefficients: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Expressions float32 [t e] of the ICT face, in the order of its `names`, of ARKit's coefficients [t 52].

    Both of the two that one stands for are it.

    Raises:
        InputError: there are not 52 coefficients, or a name is none of the ICT face.
    """
    coefficients = np.asarray(coefficients, np.float32)
    checks.shape('coefficients', coefficients, f't {len(NAMES)}')
    return coefficients[:, np.array([_column(name)[0] for name in names], int)]


def write(path: str | os.PathLike[str], coefficients: np.ndarray, *, fps: float) -> None:
    """Writes a CSV file with a row of names (`time`, then `NAMES`) and a row for every frame, whole or not at all.

    Args:
        path: where to; its folder must exist.
        coefficients: [t 52] in [0, 1].
        fps: frames per second.

    Raises:
        InputError: the coefficients are of another shape or range, or the place cannot be written.
    """
    coefficients = np.asarray(coefficients, np.float32)
    checks.shape('coefficients', coefficients, f't {len(NAMES)}')
    if not fps > 0:
        raise checks.InputError(f'fps: got {fps}, expected more than 0')
    if not ((coefficients >= 0) & (coefficients <= 1)).all():
        raise checks.InputError('coefficients: expected numbers in [0, 1]; from_ict gives such')
    lines = [','.join(['time', *NAMES])]
    lines += [','.join(f'{value:.6g}' for value in (k / fps, *row)) for k, row in enumerate(coefficients.tolist())]
    io.replace(Path(path), ('\n'.join(lines) + '\n').encode())


def read(path: str | os.PathLike[str]) -> Table:
    """Reads such a file. Columns may come in any order, with capital letters; other columns are passed over.

    Raises:
        InputError: the file is missing, lacks `time` or a coefficient other than `tongueOut`, which is 0 then, or a
            row is short or has what is no number.
    """
    path = checks.file(path, 'table of coefficients')
    rows = list(csv.reader(text_io.StringIO(path.read_text(encoding='utf-8', errors='replace'))))
    header = [name.strip().lower() for name in rows[0]] if rows else []
    missing = [name for name in ('time', *NAMES) if name.lower() not in header and name != _WITHOUT]
    if missing:
        raise checks.InputError(
            f'table of coefficients {path}: lacks {", ".join(missing[:5])}, expected a row of names'
        )
    table = np.zeros((len(rows) - 1, 1 + len(NAMES)))
    for k, name in enumerate(('time', *NAMES)):
        if name.lower() not in header:
            continue
        column = header.index(name.lower())
        for row, values in enumerate(rows[1:]):
            try:
                table[row, k] = float(values[column])
            except (ValueError, IndexError) as error:
                raise checks.InputError(
                    f'table of coefficients {path}, line {row + 2}: {name} is missing or no number ({error})'
                ) from error
    checks.finite(f'table of coefficients {path}', table)
    return Table(table[:, 0], np.clip(table[:, 1:], 0, 1).astype(np.float32))


def _column(name: str) -> tuple[int, float]:
    """Where ARKit has an expression of the ICT face, and what it counts there."""
    stem, side = (name[:-2], {'_L': 'Left', '_R': 'Right'}[name[-2:]]) if name[-2:] in ('_L', '_R') else (name, '')
    known = stem in _JOINED if side and stem not in _SIDED else f'{stem}{side}' in NAMES
    if not known or (not side and stem in (*_JOINED, _WITHOUT)):
        raise checks.InputError(f'expression {name!r} has no counterpart, expected names of the ICT face')
    return (NAMES.index(stem), 0.5) if stem in _JOINED else (NAMES.index(stem + side), 1.0)
