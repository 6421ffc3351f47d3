"""One self-contained HTML page that shows a result: numbers, before-after sliders, and an orbit to drag.

Everything is in the one file, pictures included; it opens from the disk, asks the network for nothing and forbids the
browser to.
"""

import base64
import html
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from neurend.checks import InputError
from neurend.images import io

_LOSSLESS_PIXELS = 512


class View(NamedTuple):
    """A held-out view on the page.

    Attributes:
        name: e.g. the name of its file.
        pictures: [H W 1 or 3], float in [0, 1] or uint8, by name; 'truth' and 'prediction' get the slider.
        metrics: numbers by name, e.g. {'psnr': 31.2}.
    """

    name: str
    pictures: Mapping[str, Any]
    metrics: Mapping[str, float] = {}


def write(
    path: str | os.PathLike[str],
    *,
    title: str,
    views: Sequence[View] = (),
    metrics: Mapping[str, float] | None = None,
    rows: Mapping[str, Mapping[str, float]] | None = None,
    orbit: Iterable[Any] = (),
    seconds: float = 8.0,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Writes the page.

    Args:
        path: an .html file, in a folder that exists.
        title: heading and window title.
        views: shown with their pictures; truth and prediction without loss up to 512 pixels, so choose a few.
        metrics: averages, shown large under the title.
        rows: metrics of every view by its name, for the table; by default those of `views`.
        orbit: frames [H W 3] along a camera path, to scrub through by dragging; kept as JPEG.
        seconds: for once along the path while it plays by itself.
        details: what a reader must know about the numbers, e.g. the evaluation protocol.

    Raises:
        InputError: nothing to show, or a place that cannot be written.
    """
    frames = [_source(frame, lossless=False) for frame in orbit]
    if not views and not frames:
        raise InputError(f'{path}: got neither views nor orbit frames, expected at least one picture to show')
    rows = {view.name: view.metrics for view in views if view.metrics} if rows is None else rows
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    data = {
        'metrics': _numbers(metrics or {}),
        'orbit': frames,
        'seconds': seconds,
        'views': [
            {
                'name': view.name,
                'metrics': _numbers(view.metrics),
                'pictures': [(name, _source(picture, lossless=True)) for name, picture in view.pictures.items()],
            }
            for view in views
        ],
        'columns': ['view', *columns],
        'rows': [
            [name, *(_number(row[column]) if column in row else '' for column in columns)] for name, row in rows.items()
        ],
        'details': [(name, str(value)) for name, value in (details or {}).items()],
    }
    # Inside a script element only '<' could end it early.
    text = json.dumps(data).replace('<', '\\u003c')
    template = resources.files('neurend.viewer').joinpath('page.html').read_text(encoding='utf-8')
    head, body = template.split('{{data}}')
    page = head.replace('{{title}}', html.escape(title)) + text + body
    io.replace(path, page.encode())


def _source(picture: Any, *, lossless: bool) -> str:
    array = io.to_uint8(picture, name='picture')
    if lossless and max(np.shape(array)[:2]) <= _LOSSLESS_PIXELS:
        kind, data = 'png', io.encode_png(array)
    else:
        kind, data = 'jpeg', io.encode_jpeg(array)
    return f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'


def _numbers(values: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, _number(value)) for name, value in values.items()]


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f'{value:.2f}' if abs(value) >= 2 else f'{value:.4f}'
