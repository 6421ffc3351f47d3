"""Stick figures: the pictures of poses that a generator turns into pictures of a person.

The drawing is that of Chan et al., "Everybody Dance Now" (2019), by NumPy on the host. Theirs is made at 1920x1080,
with corners and angles cut to integers, and then reduced; this one asks for every pixel of the final picture whether
its centre lies in the shape at the same place, so that sizes and angles are exact.
"""

from collections.abc import Sequence

import numpy as np

from neurend.geometry import skeletons
from neurend.geometry.skeletons import Color, Person
from neurend.models.reenactment import shapes
from neurend.models.reenactment.shapes import Canvas

# Of 1920x1080 pixels.
_JOINT, _LIMB = 8, 4
_FACE = 4
_KNUCKLE, _FINGER = 3, 2
HAND_CONFIDENCE = float(np.float32(0.05))  # as key points have it, so that 0.05 itself is not above it
FACE_CONFIDENCE = 0.2


def stick_figure(
    person: Person,
    width: int,
    height: int,
    *,
    frame: tuple[int, int],
    face_points: Sequence[int] = skeletons.FACE_8,
    hands: bool = True,
) -> np.ndarray:
    """Draws a person on white: joints, then limbs, dots of the face, hands.

    Joints are circles of radius 8 in their own colour. Limbs are ellipses between two joints of half width 4, in the
    colour of the first; they are blended one after the other, 0.6 of the colour over 0.4 of what is there, in the order
    of the layout. The face is black dots of radius 4, left out where the mean confidence of its points is below 0.2.
    Hands are circles of radius 3 and ellipses of half width 2 in the colour of the second joint, of points with a
    confidence above 0.05.

    Args:
        person: whom; points of confidence 0 and limbs with such an end are left out.
        width, height: of the picture, in pixels.
        frame: (width, height) of the frame that the person's pixels are of. The picture shows all of it, stretched
            where proportions differ (1024x512 of 1920x1080 in the paper). Sizes are those of a 1920x1080 frame and
            scale with it, see `shapes`.
        face_points: which of the 70 points of the face to draw; () for none.
        hands: whether to draw the hands.

    Returns:
        uint8 [H W 3].

    Raises:
        InputError: a size is not positive.
    """
    canvas = Canvas(width, height, frame)
    picture = np.full((height, width, 3), 255, np.uint8)
    layout = person.layout
    first_colors = [layout.colors[a] for a, _ in layout.limbs]
    _sticks(picture, canvas, person.body, layout.colors, layout.limbs, first_colors, (_JOINT, _LIMB), 0)
    if person.face is not None and person.face[:, 2].mean() >= FACE_CONFIDENCE:
        for x, y, confidence in person.face[list(face_points)].tolist():
            if confidence > 0:
                _fill(picture, shapes.disc(canvas, (x, y), _FACE), (0, 0, 0))
    second_colors = [skeletons.HAND_COLORS[b] for _, b in skeletons.HAND_LIMBS]
    for hand in (person.left_hand, person.right_hand) if hands else ():
        if hand is not None:
            limbs = skeletons.HAND_LIMBS
            sizes = (_KNUCKLE, _FINGER)
            _sticks(picture, canvas, hand, skeletons.HAND_COLORS, limbs, second_colors, sizes, HAND_CONFIDENCE)
    return picture


def _sticks(
    picture: np.ndarray,
    canvas: Canvas,
    points: np.ndarray,
    colors: Sequence[Color],
    limbs: Sequence[tuple[int, int]],
    limb_colors: Sequence[Color],
    sizes: tuple[float, float],
    threshold: float,
) -> None:
    values = points.tolist()
    for (x, y, confidence), color in zip(values, colors):
        if confidence > threshold:
            _fill(picture, shapes.disc(canvas, (x, y), sizes[0]), color)
    for (a, b), color in zip(limbs, limb_colors):
        if min(values[a][2], values[b][2]) > threshold:
            region, mask = shapes.ellipse(canvas, values[a], values[b], sizes[1])
            under = picture[region]
            under[mask] = np.rint(0.4 * under[mask] + 0.6 * np.array([color]))


def _fill(picture: np.ndarray, shape: tuple[shapes.Region, np.ndarray], color: Color) -> None:
    region, mask = shape
    picture[region][mask] = color
