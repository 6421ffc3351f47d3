"""Pictures for people: depth, normals, errors and labelled contact sheets, uint8 [H W 3] on the host."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from neurend import checks
from neurend.images import color, io

# Polynomial of degree five through Google's Turbo colormap (Mikhailov 2019), rows red, green, blue, lowest power first.
_TURBO = np.array([
    [0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
    [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
    [0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
])  # fmt: skip
_INK = (32, 32, 32)


def turbo(values: Any) -> np.ndarray:
    """Colours [... 3] in [0, 1] for values [...] clipped to [0, 1]: dark blue, green, dark red."""
    x = np.clip(np.asarray(values, np.float64), 0, 1)[..., None]
    powers = x ** np.arange(6)
    return np.clip(powers @ _TURBO.T, 0, 1).astype(np.float32)


def depth_picture(
    depth: Any, alpha: Any = None, *, near: float | None = None, far: float | None = None, background: float = 1.0
) -> np.ndarray:
    """Colours a depth map: near is red, far is blue.

    Args:
        depth: [H W]; values that are not finite show the background.
        alpha: [H W] in [0, 1], how much there is at each pixel; blends the background in.
        near, far: the depths at the two ends of the colours; by default the 2nd and 98th percentile where alpha is
            above 0.5.
        background: gray value behind.

    Returns:
        uint8 [H W 3]
    """
    depth = np.asarray(depth, np.float32)
    sizes = checks.shape('depth', depth, 'H W')
    alpha = np.ones_like(depth) if alpha is None else np.clip(np.nan_to_num(np.asarray(alpha, np.float32)), 0, 1)
    checks.shape('alpha', alpha, 'H W', sizes=sizes)
    finite = np.isfinite(depth)
    alpha = np.where(finite, alpha, 0)
    seen = depth[finite & (alpha > 0.5)]
    if seen.size:
        low, high = np.percentile(seen, (2, 98))
    else:
        low, high = 0.0, 1.0
    near = float(low) if near is None else near
    far = float(high) if far is None else far
    nearness = (far - np.where(finite, depth, far)) / max(far - near, 1e-6)
    colors = np.concatenate([turbo(nearness), alpha[..., None]], axis=-1)
    return io.to_uint8(color.composite(colors, background))


def normal_picture(normal: Any, alpha: Any = None, *, background: float = 1.0) -> np.ndarray:
    """Colours unit normals [H W 3] by (n + 1) / 2 over the background where alpha [H W] is below 1; uint8 [H W 3]."""
    normal = np.nan_to_num(np.asarray(normal, np.float32))
    sizes = checks.shape('normal', normal, 'H W 3')
    alpha = np.ones(normal.shape[:2], np.float32) if alpha is None else np.asarray(alpha, np.float32)
    checks.shape('alpha', alpha, 'H W', sizes={'H': sizes['H'], 'W': sizes['W']})
    rgba = np.concatenate([np.clip(normal * 0.5 + 0.5, 0, 1), alpha[..., None]], axis=-1)
    return io.to_uint8(color.composite(rgba, background))


def error_picture(prediction: Any, truth: Any, *, maximum: float = 0.2) -> np.ndarray:
    """Heat map of the mean absolute error over channels; `maximum`, fixed so that pictures compare, is the hottest.

    Args:
        prediction, truth: [H W C], float in [0, 1] or uint8.

    Returns:
        uint8 [H W 3]
    """
    prediction, truth = io.to_uint8(prediction), io.to_uint8(truth)
    sizes = checks.shape('prediction', prediction, 'H W C')
    checks.shape('truth', truth, 'H W C', 'It must match the prediction', sizes=sizes)
    error = np.abs(prediction.astype(np.float32) - truth.astype(np.float32)).mean(-1) / 255
    return io.to_uint8(turbo(error / maximum))


def comparison(truth: Any, prediction: Any, depth: Any, alpha: Any = None) -> list[np.ndarray]:
    """The row truth, prediction, depth, error of a contact sheet; images [H W 3], depth and alpha [H W]."""
    return [io.to_uint8(truth), io.to_uint8(prediction), depth_picture(depth, alpha), error_picture(prediction, truth)]


COMPARISON = ('truth', 'prediction', 'depth', 'error')


def contact_sheet(
    rows: Sequence[Sequence[Any]], *, columns: Sequence[str] = (), labels: Sequence[str] = (), gap: int = 4
) -> np.ndarray:
    """Lays pictures out in rows on white, with a title over each column and a label over each row.

    Args:
        rows: pictures [H W 1 or 3] or [H W], float in [0, 1] or uint8, of any sizes; rows may have different lengths.
            Columns are as wide as their widest picture, or as their title.
        columns: titles of the columns, e.g. `COMPARISON`; none by default.
        labels: one line for each row, e.g. the view's name and PSNR; none by default.
        gap: pixels between pictures.

    Returns:
        uint8 [H W 3]
    """
    cells = [[_rgb(picture) for picture in row] for row in rows]
    if not any(cells):
        raise checks.InputError('rows: got no picture, expected at least one')
    count = max(len(row) for row in cells)
    widest = [max((row[i].shape[1] for row in cells if i < len(row)), default=0) for i in range(count)]
    text = int(np.clip(max(widest) / 12, 11, 28))
    font = ImageFont.load_default(text)
    titles = [math.ceil(font.getlength(title)) for title in columns[:count]]
    widths = [max(pair) for pair in itertools.zip_longest(widest, titles, fillvalue=0)]
    line = round(1.5 * text)
    heights = [max((cell.shape[0] for cell in row), default=0) for row in cells]
    longest = max((math.ceil(font.getlength(label)) for label in labels), default=0)
    total_width = max(sum(widths) + gap * (count + 1), longest + 2 * gap)
    lines = bool(columns) + (len(cells) if labels else 0)
    total_height = sum(heights) + gap * (len(cells) + 1) + line * lines
    sheet = Image.new('RGB', (total_width, total_height), 'white')
    draw = ImageDraw.Draw(sheet)
    lefts = [gap + sum(widths[:i]) + gap * i for i in range(count)]
    top = gap
    if columns:
        for left, width, title in zip(lefts, widths, columns):
            draw.text((left + width / 2, top), title, fill=_INK, font=font, anchor='ma')
        top += line
    for i, row in enumerate(cells):
        if labels:
            draw.text((gap, top), labels[i], fill=_INK, font=font)
            top += line
        for left, width, pictures, cell in zip(lefts, widths, widest, row):
            sheet.paste(Image.fromarray(cell), (left + (width - pictures) // 2, top))
        top += heights[i] + gap
    return np.array(sheet)


def _rgb(picture: Any) -> np.ndarray:
    array = io.to_uint8(picture, name='picture')
    array = array[..., None] if array.ndim == 2 else array
    if checks.shape('picture', array, 'H W C')['C'] not in (1, 3):
        raise checks.InputError(
            f'picture: got shape {array.shape}, expected (H, W, 1) or (H, W, 3). Composite alpha first'
        )
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
