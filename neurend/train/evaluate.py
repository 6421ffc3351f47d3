"""Tables of held-out quality: every view, the averages, and the protocol without which numbers do not compare."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from neurend.checks import InputError
from neurend.images import lpips, metrics
from neurend.models.method import Method
from neurend.models.state import State

_MEANINGS = {
    'psnr': '-10 log10 of the mean squared error of all pixels of an image, in dB; averaged over images',
    'psnr_masked': 'psnr over the pixels inside the mask',
    'ssim': '11 x 11 Gaussian window, sigma 1.5, windows inside the image (Wang et al. 2004; TensorFlow, NeRF)',
    'ssim_uniform': '7 x 7 uniform window, sample covariance (scikit-image)',
    'lpips_alex': 'LPIPS 0.1, AlexNet with linear layers (Zhang et al. 2018), of 8-bit images',
    'lpips_vgg': 'LPIPS 0.1, VGG16 with linear layers (Zhang et al. 2018), of 8-bit images',
}


class Example(Protocol):
    """What this module asks of an example held out, such as a view or a pair; the rest is the method's affair."""

    @property
    def name(self) -> str:
        """Of the example, unique."""
        ...

    @property
    def mask(self) -> np.ndarray | None:
        """[H W], positive where 'psnr_masked' is measured, or None."""
        ...


@dataclasses.dataclass(frozen=True)
class Table:
    """What an evaluation found.

    Attributes:
        rows: metrics by name, for each view by name, in the order evaluated.
        protocol: how: the caller's entries, then the number of views, the rounding and what each metric means.
        baselines: mean metrics of simple guesses, by their names, to compare with.
    """

    rows: dict[str, dict[str, float]]
    protocol: dict[str, Any]
    baselines: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> dict[str, float]:
        """Each metric's mean over the views that report it."""
        return {name: float(np.mean([row[name] for row in self.rows.values() if name in row])) for name in self.columns}

    @property
    def columns(self) -> list[str]:
        """Names of the metrics."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))

    def text(self) -> str:
        """The protocol as comments, then one line per view, then the mean, and that of each baseline."""
        lines = [f'# {name}: {value}' for name, value in self.protocol.items()]
        cells = [['view', *self.columns]]
        for name, row in (*self.rows.items(), ('mean', self.mean), *self.baselines.items()):
            cells.append([name, *(f'{row[column]:.4f}' if column in row else '-' for column in self.columns)])
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        for line in cells:
            aligned = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
            lines.append('  '.join(aligned).rstrip())
        return '\n'.join(lines) + '\n'

    def write(self, folder: str | os.PathLike[str], name: str = 'evaluation') -> None:
        """Writes `name.json` and `name.txt` into a folder, made if needed.

        Keys of the first are 'protocol', 'mean', 'views' and, where there are some, 'baselines'.

        Numbers that JSON does not know, such as the PSNR of equal images, are the strings 'inf' and 'nan'.

        Raises:
            InputError: the folder cannot be made or written.
        """
        content = {
            'protocol': self.protocol,
            'mean': _plain(self.mean),
            'views': {view: _plain(row) for view, row in self.rows.items()},
        }
        if self.baselines:
            content['baselines'] = {name: _plain(row) for name, row in self.baselines.items()}
        target = Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
            (target / f'{name}.json').write_text(
                json.dumps(content, indent=2, allow_nan=False) + '\n', encoding='utf-8'
            )
            (target / f'{name}.txt').write_text(self.text(), encoding='utf-8')
        except OSError as error:
            raise InputError(
                f'{target}: cannot be written ({error.strerror}). Choose a writable folder with room'
            ) from error


def evaluate(
    method: Method,
    state: State,
    views: Sequence[Example],
    *,
    protocol: Mapping[str, Any],
    quantize: bool = False,
    perceptual: Sequence[lpips.Weights] = (),
    each: Callable[[str, dict[str, float], dict[str, np.ndarray]], None] | None = None,
) -> Table:
    """Evaluates a method on held-out views.

    Args:
        method: whose `evaluate` gives metrics and the pictures 'truth' and 'prediction', uint8 [H W 3].
        state: of the method.
        views: held out, as the method's `evaluate` takes them.
        protocol: background, downscaling, split, crop, mask and whatever else a reader needs to compare the numbers.
        quantize: PSNR and SSIM of truth and prediction rounded to 8 bits, as if read back from files, in place of the
            method's own of float predictions.
        perceptual: LPIPS measures to add, as 'lpips_alex' and 'lpips_vgg'.
        each: called with name, metrics and pictures of each view as it is done, e.g. to write them.

    Returns:
        The table.

    Raises:
        InputError: no views, two of one name, or a view that the method cannot evaluate.
    """
    names = [view.name for view in views]
    if not names or len(set(names)) != len(names):
        raise InputError(
            f'views: got {len(names)} with {len(set(names))} names, expected at least one, of unique names'
        )
    distance = jax.jit(lpips.distance)
    rows: dict[str, dict[str, float]] = {}
    for view in views:
        values, pictures = method.evaluate(state, view)
        truth, prediction = (pictures[name].astype(np.float32) / 255 for name in ('truth', 'prediction'))
        if quantize:
            values = {**values, **_measure(truth, prediction, view.mask)}
        for weights in perceptual:
            values[f'lpips_{weights.backbone}'] = float(distance(weights, truth, prediction))
        rows[view.name] = values
        if each is not None:
            each(view.name, values, pictures)
    found = dict.fromkeys(name for row in rows.values() for name in row)
    rounding = 'predictions rounded to 8 bits' if quantize else 'predictions in float, clipped to [0, 1]'
    meanings = {name: _MEANINGS[name] for name in found if name in _MEANINGS}
    return Table(rows, {**protocol, 'views': len(rows), 'rounding': rounding, **meanings})


_psnr = jax.jit(metrics.psnr)
_ssim = jax.jit(metrics.ssim, static_argnames='convention')


def _measure(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None) -> dict[str, float]:
    values = {
        'psnr': _psnr(truth, prediction),
        'ssim': _ssim(truth, prediction, convention='gaussian'),
        'ssim_uniform': _ssim(truth, prediction, convention='uniform'),
    }
    if mask is not None:
        values['psnr_masked'] = _psnr(truth, prediction, (mask > 0).astype(np.float32))
    return {name: float(value) for name, value in values.items()}


def _plain(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
