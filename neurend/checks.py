"""Checks of what users hand in: one message that names what came, what was expected and the remedy."""

import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class InputError(ValueError):
    """Something a user gave is wrong; the message alone is enough to put it right."""


def shape(
    name: str, array: Any, pattern: str, remedy: str = '', *, sizes: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Checks an array's shape against a pattern, at trace time.

    Args:
        name: what to call the array in the message.
        array: anything with a shape, or that NumPy can give one.
        pattern: axis by axis, separated by spaces: a number is that size; a name is any size, the same wherever the
            name recurs; `_` is any size; one `...` is any number of axes.
        remedy: a sentence for the message that says what to do.
        sizes: sizes of names known beforehand, e.g. the result of an earlier check.

    Returns:
        The sizes of the named axes, those of `sizes` included.

    Raises:
        InputError: the shape does not fit.

    >>> shape('colors', np.zeros((2, 64, 3)), '... n 3')
    {'n': 64}
    >>> shape('colors', np.zeros((3, 64)), '... n 3')
    Traceback (most recent call last):
    neurend.checks.InputError: colors: got shape (3, 64), expected (..., n, 3)
    """
    came = tuple(np.shape(array))
    axes = pattern.split()
    found = dict(sizes or {})
    if _fits(came, axes, found):
        return found
    known = {axis: f'{axis}={sizes[axis]}' for axis in axes if sizes and axis in sizes}
    expected = ', '.join(known.get(axis, axis) for axis in axes) + (',' if len(axes) == 1 and axes != ['...'] else '')
    raise InputError(_sentence(f'{name}: got shape {came}, expected ({expected})', remedy))


def _fits(came: tuple[int, ...], axes: list[str], found: dict[str, int]) -> bool:
    if '...' in axes:
        front = axes.index('...')
        back = len(axes) - front - 1
        if len(came) < front + back:
            return False
        came = came[:front] + came[len(came) - back :]
        axes = axes[:front] + axes[front + 1 :]
    if len(came) != len(axes):
        return False
    for size, axis in zip(came, axes):
        if axis.isdigit():
            if size != int(axis):
                return False
        elif axis != '_' and found.setdefault(axis, size) != size:
            return False
    return True


def finite(name: str, array: Any, remedy: str = '') -> None:
    """Checks that a host array (NumPy, any shape) holds no NaN and no infinity.

    Raises:
        InputError: with the number of such values and the index of the first.
    """
    values = np.asarray(array)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        where = f' at index {index}' if index else ''
        count = f'{len(bad)} of {math.prod(values.shape)} values not finite, the first' if index else 'the value'
        raise InputError(_sentence(f'{name}: {count} {values[index]}{where}, expected finite numbers', remedy))


def one_of(name: str, value: Any, choices: Collection[Any]) -> None:
    """Checks that a value is one of the choices.

    Raises:
        InputError: it is none of them.
    """
    if value not in choices:
        raise InputError(f'{name}: got {value!r}, expected one of {", ".join(repr(choice) for choice in choices)}')


def file(path: str | os.PathLike[str], what: str, remedy: str = '') -> Path:
    """Checks that a file is there and readable, and returns its path.

    Args:
        path: the file.
        what: what the file is to the user, e.g. 'image' or 'flag file'.
        remedy: a sentence that says what to do.

    Raises:
        InputError: it is missing, a folder, or may not be read.
    """
    checked = Path(path)
    if checked.is_dir():
        problem = 'is a folder, expected a file'
    elif not checked.exists():
        problem = 'does not exist'
    elif not os.access(checked, os.R_OK):
        problem = 'may not be read'
    else:
        return checked
    raise InputError(_sentence(f'{what} {checked}: {problem}', remedy))


def inside(folder: str | os.PathLike[str], relative: str | os.PathLike[str]) -> Path:
    """Joins a path found in a stranger's file to its folder, refusing to leave the folder.

    Links are followed before the comparison, so that a link cannot lead out either. The file need not exist.

    Raises:
        InputError: the path is absolute, climbs out by `..`, or leads out by a link.
    """
    root = Path(folder).resolve()
    try:
        joined = (root / relative).resolve()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL byte, a loop of links
        raise InputError(f'path {str(relative)!r} in {folder}: cannot be followed ({error})') from error
    if Path(relative).is_absolute() or not joined.is_relative_to(root):
        raise InputError(
            f'path {str(relative)!r} leaves its folder {folder}: expected a relative path inside; move the file there'
        )
    return joined


def _sentence(problem: str, remedy: str) -> str:
    return f'{problem}. {remedy}' if remedy else problem
