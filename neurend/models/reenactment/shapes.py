"""Discs, ellipses and strokes on a grid of pixels: a pixel belongs to a shape if its centre does.

NumPy on the host. Sizes are given in pixels of a frame of 1920x1080. In another frame they are what they would be had
it been scaled to fit into 1920x1080 before; a picture of other proportions than the frame shows all of it stretched,
shapes too. Radii, half axes and half widths are at least 3/4 of a picture's pixel, so that lines in small pictures do
not break up.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from neurend import checks

Region = tuple[slice, slice]
_LEAST = 0.75  # pixels; more than half the diagonal of one


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A picture of a frame. Shapes are placed in pixels of the frame, the first pixel's centre at (0.5, 0.5).

    Attributes:
        width, height: of the picture, in pixels.
        frame: (width, height) of the frame, in its pixels.

    Raises:
        InputError: a size is not positive.
    """

    width: int
    height: int
    frame: tuple[int, int]

    def __post_init__(self):
        if min(self.width, self.height, *self.frame) < 1:
            raise checks.InputError(
                f'picture of {self.width}x{self.height} pixels of a frame of {self.frame[0]}x{self.frame[1]}: expected '
                'positive sizes'
            )

    def length(self, size: float) -> float:
        """Pixels of the frame that `size` pixels of a 1920x1080 frame are, or the least length that shows."""
        unit = max(self.frame[0] / 1920, self.frame[1] / 1080)
        return max(size * unit, _LEAST * max(self.frame[0] / self.width, self.frame[1] / self.height))

    def centers(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the centres of the picture's columns [W] and rows [H] are in the frame."""
        x, y = np.arange(self.width) + 0.5, np.arange(self.height) + 0.5
        return x * (self.frame[0] / self.width), y * (self.frame[1] / self.height)


def disc(canvas: Canvas, center: Sequence[float], radius: float) -> tuple[Region, np.ndarray]:
    """A filled circle.

    Args:
        canvas: where.
        center: x and y, in pixels of the frame.
        radius: in pixels of a 1920x1080 frame.

    Returns:
        A rectangle of the picture, empty where the shape is out of it, and which of its pixels are covered: bool [h w].
    """
    r = canvas.length(radius)
    return _ellipse(canvas, float(center[0]), float(center[1]), r, r, 1.0, 0.0)


def ellipse(
    canvas: Canvas, start: Sequence[float], end: Sequence[float], half_width: float
) -> tuple[Region, np.ndarray]:
    """A filled ellipse whose long axis goes from `start` to `end`; otherwise as `disc`."""
    x0, y0, x1, y1 = float(start[0]), float(start[1]), float(end[0]), float(end[1])
    length = math.hypot(x1 - x0, y1 - y0)
    cos, sin = ((x1 - x0) / length, (y1 - y0) / length) if length else (1.0, 0.0)
    half_length = max(length / 2, canvas.length(0))
    return _ellipse(canvas, (x0 + x1) / 2, (y0 + y1) / 2, half_length, canvas.length(half_width), cos, sin)


def stroke(
    canvas: Canvas, start: Sequence[float], end: Sequence[float], half_width: float
) -> tuple[Region, np.ndarray]:
    """A line with round ends: all that is within a half width of the segment; otherwise as `disc`."""
    x0, y0, x1, y1 = float(start[0]), float(start[1]), float(end[0]), float(end[1])
    r = canvas.length(half_width)
    region, x, y = _window(canvas, (min(x0, x1) - r, min(y0, y1) - r), (max(x0, x1) + r, max(y0, y1) + r))
    dx, dy = x1 - x0, y1 - y0
    along = ((x - x0) * dx)[None] + ((y - y0) * dy)[:, None]
    t = np.clip(along / max(dx * dx + dy * dy, 1e-12), 0, 1)
    return region, (x[None] - x0 - t * dx) ** 2 + (y[:, None] - y0 - t * dy) ** 2 <= r * r


def _ellipse(
    canvas: Canvas, x: float, y: float, a: float, b: float, cos: float, sin: float
) -> tuple[Region, np.ndarray]:
    reach = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)
    region, columns, rows = _window(canvas, (x - reach[0], y - reach[1]), (x + reach[0], y + reach[1]))
    columns, rows = columns - x, rows - y
    u = (columns * (cos / a))[None] + (rows * (sin / a))[:, None]
    v = (rows * (cos / b))[:, None] - (columns * (sin / b))[None]
    return region, u * u + v * v <= 1


def _window(
    canvas: Canvas, low: tuple[float, float], high: tuple[float, float]
) -> tuple[Region, np.ndarray, np.ndarray]:
    """The pixels whose centres lie in a rectangle of the frame: their region, and x [w] and y [h] in the frame."""
    slices, centers = [], []
    for axis, count in enumerate((canvas.width, canvas.height)):
        step = canvas.frame[axis] / count
        first = math.ceil(min(max(low[axis] / step - 0.5, 0), count))
        last = math.floor(min(max(high[axis] / step - 0.5, -1), count - 1))
        stop = max(last + 1, first)
        slices.append(slice(first, stop))
        centers.append((np.arange(first, stop) + 0.5) * step)
    return (slices[1], slices[0]), centers[0], centers[1]
