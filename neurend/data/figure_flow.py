"""Where every pixel of the procedural figure was in the frame before: optical flow by what was drawn.

A point of the body keeps its part and its surface coordinates (`FigureClip.iuv`); its place in either frame follows
from the solid that the part was. The room does not move, though shadows do.
"""

import numpy as np

from neurend import checks
from neurend.data import figure_body
from neurend.data.figure import FigureClip
from neurend.data.figure_clothes import Appearance
from neurend.data.figure_motion import Skeleton
from neurend.data.figure_paint import Ellipsoid, Limb

_STEPS = 255  # of a surface coordinate


def flow(appearance: Appearance, skeleton: Skeleton, clip: FigureClip) -> tuple[np.ndarray, np.ndarray]:
    """Flow backwards in time, as `neurend.losses.temporal` has it, of `clip = figure.film(appearance, skeleton, size)`.

    Args:
        appearance, skeleton, clip: what was filmed.

    Returns:
        `[t-1 h w 2]` float32: what pixel p of frame k + 1 shows was at p + flow[k](p) in frame k, in pixels; and
        `[t-1 h w]` bool, whether frame k showed it too: the point faced the camera and all pixels between which it lies
        show its part. Points on the rounded ends of limbs, whose coordinates do not tell where they are, do not count.

    Raises:
        InputError: the clip has another number of frames than the skeleton.
    """
    if len(clip.iuv) != len(skeleton.chest):
        raise checks.InputError(f'clip: got {len(clip.iuv)} frames, expected the {len(skeleton.chest)} of the skeleton')
    count, height, width = clip.iuv.shape[:3]
    flows = np.zeros((count - 1, height, width, 2), np.float32)
    seen = np.zeros((count - 1, height, width), bool)
    y, x = np.mgrid[:height, :width] + 0.5
    before = _solids(appearance, skeleton, 0, width)
    for k in range(count - 1):
        now = _solids(appearance, skeleton, k + 1, width)
        numbers = clip.iuv[k + 1, ..., 0]
        seen[k] = numbers == 0
        for number in np.unique(numbers[numbers > 0]).tolist():
            here = numbers == number
            uv = (clip.iuv[k + 1, here, 1:].astype(np.float64) + 0.5) / _STEPS
            old, facing = _place(before[number], uv)
            new, _ = _place(now[number], uv)
            inner = np.ones(len(uv), bool) if isinstance(now[number], Ellipsoid) else abs(uv[:, 1] - 0.5) < 0.498
            flows[k, here] = old - new
            seen[k, here] = facing & inner
        seen[k] &= _shows(clip.iuv[k, ..., 0], numbers, x + flows[k, ..., 0], y + flows[k, ..., 1])
        before = now
    return flows, seen


def _solids(appearance: Appearance, skeleton: Skeleton, k: int, size: int) -> dict[int, Limb | Ellipsoid]:
    return {part.number: part.solid for part in figure_body.solids(appearance, skeleton, k, size)}


def _place(solid: Limb | Ellipsoid, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels `[n 2]` of points with surface coordinates `[n 2]`, and whether they face the camera `[n]`."""
    angle = 2 * np.pi * uv[:, 0]
    if isinstance(solid, Limb):
        angle, along = angle - solid.turn, uv[:, 1]
        axis = (solid.end - solid.start)[:2]
        across = np.array([-axis[1], axis[0]]) / max(float(np.hypot(*axis)), 1e-3)
        width = np.interp(along * (len(solid.widths) - 1), np.arange(len(solid.widths)), solid.widths)
        place = solid.start[:2] + along[:, None] * axis + (np.sin(angle) * width)[:, None] * across
        return place, np.cos(angle) > 0
    y = np.clip(2 * uv[:, 1] - 1, -1, 1)
    ring = np.sqrt(1 - y * y)
    ball = np.stack([ring * np.sin(angle), y, -ring * np.cos(angle)], axis=-1)
    place = solid.center[:2] + solid.scale * (ball * solid.radii @ solid.axes.T)[:, :2]
    return place, (ball / solid.radii) @ solid.axes[2] < 0


def _shows(before: np.ndarray, numbers: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether the four pixels around (x, y) in the frame before all show the same part."""
    height, width = before.shape
    left, top = np.floor(x - 0.5).astype(int), np.floor(y - 0.5).astype(int)
    same = np.ones(before.shape, bool)
    for dx in (0, 1):
        for dy in (0, 1):
            same &= before[np.clip(top + dy, 0, height - 1), np.clip(left + dx, 0, width - 1)] == numbers
    return same
