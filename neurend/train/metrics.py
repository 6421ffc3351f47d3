"""What a run reports: JSON lines, TensorBoard, and a progress line."""

import contextlib
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurend.checks import InputError


class Writer:
    """Writes numbers by step to `workdir/metrics.jsonl`, and to TensorBoard where tensorboardX is installed.

    Each line is one JSON object: 'step', 'kind' ('train' or 'evaluation'), 'time' (seconds since 1970), and the
    numbers; a number that is not finite is written as null.
    """

    def __init__(self, workdir: Path, *, start: int, tensorboard: bool = True):
        """Opens the file; lines after step `start`, which a run that died has written, are dropped.

        Raises:
            InputError: the file cannot be written.
        """
        self._path = workdir / 'metrics.jsonl'
        try:
            kept = [line for line in _lines(self._path) if _step(line) <= start]
            part = self._path.with_suffix('.part')
            part.write_text(''.join(kept), encoding='utf-8')
            os.replace(part, self._path)
            self._file = open(self._path, 'a', encoding='utf-8')  # noqa: SIM115  closed by close
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._board = None
        if tensorboard and importlib.util.find_spec('tensorboardX'):
            import tensorboardX

            self._board = tensorboardX.SummaryWriter(str(workdir / 'tensorboard'), purge_step=start + 1)

    def write(self, step: int, kind: str, numbers: Mapping[str, float]) -> None:
        """Writes one line.

        Raises:
            InputError: the disk is full.
        """
        line = {'step': step, 'kind': kind, 'time': round(time.time(), 3)}
        line |= {name: float(value) if math.isfinite(value) else None for name, value in numbers.items()}
        try:
            self._file.write(json.dumps(line) + '\n')
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(f'{kind}/{name}', value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Shows a picture (H W C, uint8) in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats='HWC')

    def close(self) -> None:
        """Ends the files."""
        with contextlib.suppress(OSError):  # a full disk, of which `write` has told
            self._file.close()
        if self._board is not None:
            self._board.close()


def progress(step: int, steps: int, *, rate: float, numbers: Mapping[str, float], main: str) -> str:
    """One line: step, steps per second, time left, the loss and the main metric.

    >>> progress(1200, 5000, rate=20.0, numbers={'loss': 0.0123, 'psnr': 31.25}, main='psnr')
    'step 1200/5000  20.0 steps/s  3:10 left  loss 0.0123  psnr 31.25'
    """
    left = round((steps - step) / rate) if rate > 0 else 0
    hours, minutes, seconds = left // 3600, left // 60 % 60, left % 60
    clock = f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
    shown = {name: numbers[name] for name in ('loss', main) if name in numbers}
    words = [f'step {step}/{steps}', f'{rate:.3g} steps/s' if rate < 10 else f'{rate:.1f} steps/s', f'{clock} left']
    return '  '.join(words + [f'{name} {value:.4g}' for name, value in shown.items()])


def show(line: str, *, last: bool = False) -> None:
    """Prints a progress line: on a terminal over the one before, else on a line of its own."""
    if sys.stdout.isatty():
        print(f'\r\x1b[K{line}', end='\n' if last else '', flush=True)
    else:
        print(line, flush=True)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding='utf-8').splitlines(keepends=True) if path.exists() else []


def _step(line: str) -> float:
    try:
        value: Any = json.loads(line)['step']
        return value if line.endswith('\n') else math.inf
    except (ValueError, KeyError, TypeError):  # a line cut short by the death of its writer
        return math.inf


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f'{path}: cannot be written ({error.strerror}); make room, or choose another --workdir')
