"""Where the face is: the square that a face generator works on."""

import math
from typing import NamedTuple

from neurend import checks
from neurend.geometry import skeletons
from neurend.geometry.skeletons import Person


class Box(NamedTuple):
    """Rows top to bottom - 1 and columns left to right - 1 of a picture."""

    top: int
    bottom: int
    left: int
    right: int


def face_box(person: Person, width: int, height: int, *, frame: tuple[int, int], size: int = 128) -> Box | None:
    """A square around the nose, else the middle of the ears, else the ear that was found, moved to lie in the picture.

    As in Chan et al., "Everybody Dance Now" (2019), for 1024x512 pictures of 1920x1080 frames. There 70 pixels of the
    frame to each side are taken first and then brought to `size` about the same centre, which leaves only the centre.

    Args:
        person: whom.
        width, height: of the picture, in pixels.
        frame: (width, height) of the frame that the person's pixels are of; the picture shows all of it.
        size: of the square's sides, in pixels of the picture.

    Returns:
        The square, None where neither nose nor ears were found.

    Raises:
        InputError: the square is empty or does not fit into the picture.
    """
    if not 1 <= size <= min(width, height):
        raise checks.InputError(f'size: got {size}, expected 1 to {min(width, height)} for {width}x{height} pixels')
    center = skeletons.head(person)
    if center is None:
        return None
    top = _start(float(center[1]) * height / frame[1], size, height)
    left = _start(float(center[0]) * width / frame[0], size, width)
    return Box(top, top + size, left, left + size)


def _start(center: float, size: int, limit: int) -> int:
    return min(max(math.floor(center - size / 2 + 0.5), 0), limit - size)
