"""Curves over time as pictures, uint8 [H W 3] on the host."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from neurend import checks

COLORS = ((40, 40, 40), (214, 90, 20), (30, 110, 190), (40, 150, 70))
"""Of the lines of a panel, in order: the truth comes first."""
_GRID, _INK, _FINE = (222, 222, 222), (32, 32, 32), 3


def curves(
    lines: Sequence[np.ndarray],
    *,
    titles: Sequence[str] = (),
    names: Sequence[str] = (),
    width: int = 900,
    height: int = 90,
) -> np.ndarray:
    """Draws k panels below each other, in each of which the curves of all lines lie over one another.

    Args:
        lines: arrays [t k], of one shape; the first is drawn dark, the others in `COLORS`. Each panel is scaled to the
            range of its curves. Values that are not finite break a line.
        titles: of the panels, k or none.
        names: of the lines, for a legend above; as many or none.
        width, height: of a panel in pixels.

    Returns:
        uint8 [H W 3]

    Raises:
        InputError: no lines, more than there are colours, of different shapes, or of fewer than two moments.
    """
    if not 1 <= len(lines) <= len(COLORS):
        raise checks.InputError(f'lines: got {len(lines)}, expected 1 to {len(COLORS)}')
    sizes = checks.shape('line 0', lines[0], 't k')
    for k, line in enumerate(lines[1:], 1):
        checks.shape(f'line {k}', line, 't k', 'Lines must be of one shape', sizes=sizes)
    if sizes['t'] < 2 or not sizes['k']:
        raise checks.InputError(f'lines: got shape {np.shape(lines[0])}, expected at least 2 moments and a panel')
    values = np.stack([np.asarray(line, np.float64) for line in lines])
    font, line_height = ImageFont.load_default(12), 18
    head = line_height if names else 0
    sheet = Image.new('RGB', (width, head + sizes['k'] * (height + line_height)), 'white')
    draw, left = ImageDraw.Draw(sheet), 4
    for name, color in zip(names, COLORS):
        draw.text((left, 2), name, fill=color, font=font)
        left += font.getlength(name) + 16
    for k in range(sizes['k']):
        top = head + k * (height + line_height)
        if k < len(titles):
            draw.text((4, top + 2), titles[k], fill=_INK, font=font)
        sheet.paste(_panel(values[:, :, k], width, height), (0, top + line_height))
    return np.array(sheet)


def _panel(values: np.ndarray, width: int, height: int) -> Image.Image:
    """Curves [lines t], drawn finer and brought down so that their edges are smooth."""
    panel = Image.new('RGB', (width * _FINE, height * _FINE), 'white')
    draw = ImageDraw.Draw(panel)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    middle, half = (low + high) / 2, max((high - low) / 2, 1e-12)
    if abs(middle) <= half:
        zero = height * _FINE * (0.5 + 0.46 * middle / half)
        draw.line([(0, zero), (width * _FINE, zero)], fill=_GRID, width=_FINE)
    across = (np.arange(values.shape[1]) / (values.shape[1] - 1)) * (width * _FINE - 1)
    for line, color in zip(values, COLORS):
        down = height * _FINE * (0.5 - 0.46 * (line - middle) / half)
        whole = np.isfinite(line)
        for run in np.split(np.arange(len(line)), np.flatnonzero(np.diff(whole)) + 1):
            if whole[run[0]] and len(run) > 1:
                draw.line([*zip(across[run], down[run])], fill=color, width=2 * _FINE - 1, joint='curve')
    return panel.resize((width, height), Image.Resampling.BOX)
