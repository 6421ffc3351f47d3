"""Resampling with an antialiased box filter: every new pixel is the mean of the area it covers."""

from typing import Any

import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.images import color


def area_downscale(image: Any, factor: int, *, straight_alpha: bool | None = None) -> Any:
    """Shrinks an image by a whole factor: each new pixel is the mean of factor x factor old ones.

    Args:
        image: [H W C], H and W multiples of `factor`; see `resize` for dtypes and alpha.
        factor: at least 1.
        straight_alpha: see `resize`.

    Returns:
        [H/factor W/factor C] of the image's dtype and kind (NumPy or JAX).

    Raises:
        InputError: the size is not a multiple of the factor; crop first, or use `resize`.
    """
    height, width, _ = checks.shape('image', image, 'H W C').values()
    if factor < 1 or height % factor or width % factor:
        raise InputError(
            f'image: got {width} x {height} pixels to shrink by {factor}, expected multiples of a factor >= 1. '
            'Crop the image first, or resize it to a size of your choice'
        )
    return resize(image, width // factor, height // factor, straight_alpha=straight_alpha)


def resize(image: Any, width: int, height: int, *, straight_alpha: bool | None = None) -> Any:
    """Resizes to any size, every new pixel being the mean of the area that it covers, fractions of pixels included.

    For shrinking this is OpenCV's INTER_AREA; the mean of the image is kept exactly whatever the size. Enlarging is
    defined by the same rule and looks almost like nearest neighbour.

    Args:
        image: [H W C]. uint8 (NumPy, rounded to uint8 again) or float (NumPy or JAX, differentiable, jit-able).
        width, height: of the result, static.
        straight_alpha: the image has 4 channels of which the last is straight alpha, so colours are weighted by it
            while filtering: transparent pixels do not bleed into visible ones. By default true for uint8 images of 4
            channels.

    Returns:
        [height width C] of the image's dtype and kind.
    """
    sizes = checks.shape('image', image, 'H W C')
    if width < 1 or height < 1 or 0 in sizes.values():
        raise InputError(
            f'image: got shape {image.shape} to resize to {width} x {height}, expected at least one pixel on each side'
        )
    whole = image.dtype == np.uint8
    if (width, height) == (sizes['W'], sizes['H']):
        return image
    if straight_alpha is None:
        straight_alpha = whole and sizes['C'] == 4
    if straight_alpha and sizes['C'] != 4:
        raise InputError(f'image: got {sizes["C"]} channels with straight_alpha, expected 4')
    values = np.asarray(image, np.float32) if whole else image
    if straight_alpha:
        values = color.premultiply(values)
    values = _box(_box(values, height, 0), width, 1)
    if straight_alpha:
        values = color.unpremultiply(values)
    return np.clip(np.round(values), 0, 255).astype(np.uint8) if whole else values


def _box(values: Any, size: int, axis: int) -> Any:
    """Means over `size` equal stretches of one axis, one tap after the other: a stretch meets few old pixels."""
    old = values.shape[axis]
    edges = np.arange(size + 1) * (old / size)
    first = np.floor(edges[:-1] + 1e-9).astype(np.int64)
    taps = int(np.max(np.ceil(edges[1:] - 1e-9).astype(np.int64) - first))
    shape = [1] * values.ndim
    shape[axis] = size
    total = None
    for tap in range(taps):
        index = first + tap
        covered = np.minimum(edges[1:], index + 1) - np.maximum(edges[:-1], index)
        weight = (np.clip(covered, 0, 1) / (old / size)).reshape(shape).astype(values.dtype)
        term = weight * values.take(np.minimum(index, old - 1), axis=axis)
        total = term if total is None else total + term
    return total
