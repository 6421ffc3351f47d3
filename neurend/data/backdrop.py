"""What is behind somebody who moves, before a camera that does not."""

from typing import Any

import numpy as np
from scipy import ndimage, spatial

from neurend import checks

_SOFT = 4.0  # pixels over which what nobody has seen is smoothed


def backdrop(images: np.ndarray, covered: np.ndarray, *, margin: int = 0) -> np.ndarray:
    """The picture without whoever covers it, uint8 `[h w 3]`: the median over the frames in which a pixel is free.

    What is never free has the colours of the nearest pixels that are, smoothed.

    Args:
        images: uint8 `[t h w 3]`.
        covered: bool `[t h w]`.
        margin: pixels around it that are not trusted either.

    Raises:
        InputError: shapes that do not fit, or no pixel is ever free.
    """
    sizes = checks.shape('images', images, 't h w 3')
    checks.shape('covered', covered, 't h w', 'Give one mask for each frame', sizes=sizes)
    if margin:
        covered = np.stack([ndimage.binary_dilation(each, iterations=margin) for each in covered])
    seen = np.asarray(~covered.all(0))
    if not seen.any():
        raise checks.InputError('covered: got all pixels of all frames, expected some that are free')
    values = np.where(covered[..., None], np.nan, images.astype(np.float32))
    values[0][~seen] = 0  # a median of nothing
    found = np.nanmedian(values, axis=0)
    if seen.all():
        return np.round(found).astype(np.uint8)
    nearest: Any = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    filled = found[tuple(nearest)]
    smooth = ndimage.gaussian_filter(filled, (_SOFT, _SOFT, 0))
    return np.round(np.where(seen[..., None], filled, smooth)).astype(np.uint8)


def hull(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels whose centres lie within the convex hull of points `[n 2]` in pixels: bool `[h w]`.

    Raises:
        InputError: fewer than three points.
    """
    count = checks.shape('points', points, 'n 2')['n']
    if count < 3:
        raise checks.InputError(f'points: got {count}, expected at least 3')
    sides = spatial.ConvexHull(points).equations
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.ones((height, width), bool)
    for a, b, c in sides:
        inside &= a * x + b * y + c <= 0
    return inside
