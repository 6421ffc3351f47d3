"""Evaluation during training: averaged metrics and pictures of the first few examples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neurend.checks import InputError
from neurend.images import io
from neurend.models.method import Method
from neurend.models.state import State


def evaluate(
    method: Method, state: State, examples: Sequence[Any], *, folder: Path | None, num_pictures: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Calls `method.evaluate` on each example.

    Args:
        method: what is trained.
        state: on one device, see `mesh.local`.
        examples: whatever the method takes.
        folder: where pictures go as `<number of the example>_<name>.png`; None for no pictures.
        num_pictures: number of examples whose pictures are written.

    Returns:
        Each metric's mean over the examples that report it, and the pictures by file name without the suffix.

    Raises:
        InputError: a picture cannot be written.
    """
    values: dict[str, list[float]] = {}
    kept: dict[str, np.ndarray] = {}
    for index, example in enumerate(examples):
        numbers, pictures = method.evaluate(state, example)
        for name, value in numbers.items():
            values.setdefault(name, []).append(float(value))
        if index < num_pictures:
            kept |= {f'{index}_{name}': np.asarray(jax.device_get(picture)) for name, picture in pictures.items()}
    if folder is not None and kept:
        make(folder)
        for name, picture in kept.items():
            io.write(folder / f'{name}.png', picture)
    return {name: float(np.mean(numbers)) for name, numbers in values.items()}, kept


def make(folder: Path) -> None:
    """Makes a folder.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'folder {folder}: cannot be made ({error.strerror}); choose another --workdir') from error
