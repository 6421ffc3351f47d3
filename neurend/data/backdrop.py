"""What is behind somebody who moves: of a camera that does not, or of every frame, but for a hole about them."""

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
    return np.round(_filled(found, seen)).astype(np.uint8)


def hole(covered: np.ndarray, margin: float = 1.0) -> np.ndarray:
    """Where a film does not show what is behind a face, or may not once the face speaks: bool `[h w]`.

    Below a face its chin moves, and beside it lie its shadow and what its mesh lacks. Of pictures 512 pixels high
    Thies et al. (2020) leave 40 pixels below, 8 above and 15 to either side.

    Args:
        covered: bool `[h w]`, where the face is seen.
        margin: factor of these distances, at least 0.
    """
    height = checks.shape('covered', covered, 'h w')['h']
    below, above, beside = (round(margin * each * height / 512) for each in (40, 8, 15))
    rows = np.arange(-below, below + 1) >= -above  # by how many pixels what is covered may have moved down
    grown = ndimage.binary_dilation(covered, rows[:, None])
    return np.asarray(ndimage.binary_dilation(grown, np.ones((1, 2 * beside + 1))))


def around(images: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Frames without a hole in each, uint8 `[t h w 4]`: there alpha is 0, and colours are like the nearest around it.

    Args:
        images: uint8 `[t h w 3]`.
        holes: bool `[t h w]`.

    Raises:
        InputError: shapes that do not fit, or a frame that is all hole.
    """
    sizes = checks.shape('images', images, 't h w 3')
    checks.shape('holes', holes, 't h w', 'Give one for each frame', sizes=sizes)
    if holes.all((1, 2)).any():
        raise checks.InputError(
            f'holes: got a frame ({int(holes.all((1, 2)).argmax())}) that is all hole, expected pixels around it. '
            'Make the margin smaller'
        )
    known = 255 * ~holes[..., None]
    filled = [np.round(_filled(image.astype(np.float32), ~lost)) for image, lost in zip(images, holes)]
    return np.concatenate([np.stack(filled), known], axis=-1).astype(np.uint8)


def _filled(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Colours of what is not seen: those of the nearest pixels that are, smoothed."""
    if seen.all():
        return picture
    nearest: Any = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    filled = picture[tuple(nearest)]
    smooth = ndimage.gaussian_filter(filled, (_SOFT, _SOFT, 0))
    return np.where(seen[..., None], filled, smooth)


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
