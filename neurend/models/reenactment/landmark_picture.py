"""Pictures of 68 landmarks: the lines of a face, in a colour for each of its parts."""

import numpy as np

from neurend import checks
from neurend.geometry import skeletons
from neurend.models.reenactment import shapes
from neurend.models.reenactment.shapes import Canvas

_LINE = 2  # of 1920x1080 pixels
_FINE = 2  # pixels drawn per pixel of the picture, on either side
# First landmark of each part, and its colour: jaw, right and left brow, nose ridge, nostrils, right and left eye, lips
# outside and inside. Left and right differ, so that a mirrored face is another picture.
_PARTS = (
    (0, (255, 255, 255)),
    (17, (255, 128, 0)),
    (22, (255, 255, 0)),
    (27, (0, 160, 255)),
    (31, (0, 255, 255)),
    (36, (0, 255, 0)),
    (42, (128, 255, 128)),
    (48, (255, 0, 0)),
    (60, (255, 0, 255)),
)


def landmark_picture(landmarks: np.ndarray, width: int, height: int, *, frame: tuple[int, int]) -> np.ndarray:
    """Draws the lines of jaw, brows, nose, eyes and lips on black, each part in its colour (Zakharov et al., 2019).

    It is drawn at twice the size and halved, so that lines move by less than a pixel too. The colours are our own.

    Args:
        landmarks: [68 2] or [68 3] of x, y in pixels of the frame and confidence; lines with an end of confidence 0
            are left out.
        width, height: of the picture, in pixels.
        frame: (width, height) of the frame, all of which the picture shows.

    Returns:
        uint8 [H W 3].

    Raises:
        InputError: another shape, values that are not finite, or a size that is not positive.
    """
    points = np.asarray(landmarks)
    if points.shape not in ((68, 2), (68, 3)):
        raise checks.InputError(f'landmarks: got shape {points.shape}, expected (68, 2), or (68, 3) with confidences')
    checks.finite('landmarks', points)
    canvas = Canvas(_FINE * width, _FINE * height, frame)
    picture = np.zeros((_FINE * height, _FINE * width, 3), np.uint8)
    for a, b in skeletons.FACE_EDGES:
        if points.shape[1] == 2 or min(points[a, 2], points[b, 2]) > 0:
            region, mask = shapes.stroke(canvas, points[a], points[b], _LINE)
            picture[region][mask] = _color(min(a, b))
    means = picture.reshape(height, _FINE, width, _FINE, 3).mean((1, 3))
    return (means + 0.5).astype(np.uint8)


def _color(landmark: int) -> tuple[int, int, int]:
    return next(color for first, color in reversed(_PARTS) if landmark >= first)
