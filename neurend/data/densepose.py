"""Maps of body parts and surface coordinates as DensePose writes them (Güler et al. 2018).

I is the part, 0 (background) or 1 to 24; U and V are coordinates on it, 0 to 255 for 0 to 1. The files come from a
library that writes channels in reverse: I is their blue channel, V their red one.
"""

import os

import numpy as np

from neurend import checks
from neurend.images import io

PARTS = 24


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a map: uint8 [H W 3] of I, U, V.

    Raises:
        InputError: the file is missing or no image of three channels; or its blue channel exceeds 24.
    """
    image = io.read(path)
    if image.shape[2] != 3:
        raise checks.InputError(f'{path}: {image.shape[2]} channels, expected the 3 of a DensePose map')
    iuv = np.ascontiguousarray(image[..., ::-1])
    if iuv[..., 0].max() > PARTS:
        raise checks.InputError(
            f'{path}: its blue channel reaches {iuv[..., 0].max()}, expected parts 0 to {PARTS}; store it as a PNG, '
            'I as the blue channel and V as the red one'
        )
    return iuv


def condition(iuv: np.ndarray) -> np.ndarray:
    """A map as networks take it: float32 [... 3] in [0, 1], I / 24, U / 255 and V / 255. Background is 0.

    Networks stretch their inputs to [-1, 1] themselves, which makes 2 I / 24 - 1 of the first channel.

    Args:
        iuv: uint8 [... 3].

    Raises:
        InputError: another shape or type, or a part above 24.
    """
    checks.shape('iuv', iuv, '... 3')
    highest = iuv[..., 0].max(initial=0)
    if iuv.dtype != np.uint8 or highest > PARTS:
        raise checks.InputError(f'iuv: got {iuv.dtype} with parts to {highest}, expected uint8 with parts to {PARTS}')
    return iuv.astype(np.float32) / np.array([PARTS, 255, 255], np.float32)
