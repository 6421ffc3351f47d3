"""Talking heads of many people, filmed without a download: ellipsoids with painted faces. NumPy on the host."""

from typing import NamedTuple

import numpy as np

from neurend import checks
from neurend.data import head_looks, head_paint
from neurend.data.head_looks import Motion
from neurend.data.head_paint import EllipsoidHead


class HeadClip(NamedTuple):
    """Frames of one person.

    Attributes:
        images: `[t h w 3]` uint8, sRGB.
        landmarks: `[t 68 2]` float32, x and y in pixels; those hidden by the head included.
    """

    images: np.ndarray
    landmarks: np.ndarray


def ellipsoid_clip(seed: int, moving: Motion, *, size: int = 64) -> HeadClip:
    """Films a head that is an ellipsoid with a painted face; shapes and colours are functions of the seed.

    Args:
        seed: who.
        moving: how.
        size: width and height of the pictures, in pixels.

    Raises:
        InputError: pictures too small to show a face, or a motion whose parts differ in length.
    """
    if size < 16:
        raise checks.InputError(f'size: got {size}, expected at least 16 pixels')
    count = len(moving.angles)
    if any(len(part) != count for part in moving):
        raise checks.InputError(
            f'moving: got parts of {[len(part) for part in moving]} frames, expected the same for all'
        )
    random = np.random.default_rng((seed, 3))
    head = EllipsoidHead(
        radii=(random.uniform(0.27, 0.33), random.uniform(0.36, 0.41), 0.34),
        eyes=(random.uniform(0.32, 0.42), random.uniform(0.14, 0.24)),
        eye_width=random.uniform(0.13, 0.18),
        mouth=random.uniform(-0.5, -0.4),
        mouth_width=random.uniform(0.22, 0.34),
        nose=random.uniform(0.1, 0.18),
    )
    look = head_looks.look(seed)
    frames = [head_paint.paint(head, look, Motion(*(part[k] for part in moving)), size) for k in range(count)]
    return HeadClip(np.stack([image for image, _ in frames]), np.stack([points for _, points in frames]))
