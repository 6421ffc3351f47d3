"""Maps of limbs, joints and faces with a channel for each, made by NumPy on the host."""

import numpy as np

from neurend import checks
from neurend.geometry import skeletons
from neurend.geometry.skeletons import Person
from neurend.models.reenactment import shapes
from neurend.models.reenactment.drawing import HAND_CONFIDENCE
from neurend.models.reenactment.shapes import Canvas

# Of 1920x1080 pixels.
_LIMB, _FINGER, _LINE = 4, 2, 2


def limb_maps(person: Person, width: int, height: int, *, frame: tuple[int, int]) -> np.ndarray:
    """One channel per limb in the order of the layout, then the left hand, the right hand and the face.

    BODY-25 gives the 27 channels of vid2vid (Wang et al. 2018). A limb is the ellipse of `drawing.stick_figure` and is
    whole in its channel, whatever else is at the same place.

    Args:
        person: whom; limbs with an end of confidence 0 are left out, fingers with one of 0.05 or less.
        width, height: of the maps, in pixels.
        frame: (width, height) of the frame that the person's pixels are of; the maps show all of it.

    Returns:
        float32 [H W limbs+3], 0 or 1.

    Raises:
        InputError: a size is not positive.
    """
    canvas = Canvas(width, height, frame)
    limbs = person.layout.limbs
    maps = np.zeros((height, width, len(limbs) + 3), np.float32)
    for channel, (a, b) in enumerate(limbs):
        if min(person.body[a, 2], person.body[b, 2]) > 0:
            region, mask = shapes.ellipse(canvas, person.body[a], person.body[b], _LIMB)
            maps[..., channel][region][mask] = 1
    for channel, hand in enumerate((person.left_hand, person.right_hand), start=len(limbs)):
        if hand is None:
            continue
        for a, b in skeletons.HAND_LIMBS:
            if min(hand[a, 2], hand[b, 2]) > HAND_CONFIDENCE:
                region, mask = shapes.ellipse(canvas, hand[a], hand[b], _FINGER)
                maps[..., channel][region][mask] = 1
    if person.face is not None:
        _face_lines(maps[..., -1], canvas, person.face)
    return maps


def joint_maps(person: Person, width: int, height: int, *, frame: tuple[int, int], sigma: float = 8.0) -> np.ndarray:
    """One channel per joint of the body: exp(-d^2 / (2 sigma^2)) of the distance d from it, 0 where it was not found.

    Args:
        person: whom.
        width, height, frame: as for `limb_maps`.
        sigma: in pixels of a 1920x1080 frame; it scales with the frame, see `shapes`.

    Returns:
        float32 [H W joints] in [0, 1].

    Raises:
        InputError: a size is not positive.
    """
    if not sigma > 0:
        raise checks.InputError(f'sigma: got {sigma}, expected a positive number of pixels')
    canvas = Canvas(width, height, frame)
    x, y = canvas.centers()
    spread = canvas.length(sigma)
    body = person.body.astype(np.float64)
    columns = np.exp(-0.5 * ((x[:, None] - body[None, :, 0]) / spread) ** 2)
    rows = np.exp(-0.5 * ((y[:, None] - body[None, :, 1]) / spread) ** 2) * (body[None, :, 2] > 0)
    return rows.astype(np.float32)[:, None] * columns.astype(np.float32)[None]


def face_edges(face: np.ndarray, width: int, height: int, *, frame: tuple[int, int]) -> np.ndarray:
    """Draws the lines of jaw, brows, nose, eyes and lips through 68 landmarks, straight from point to point.

    Few-shot vid2vid (Wang et al. 2019) fits curves through the points and mirrors the brows to a forehead.

    Args:
        face: [68 3] or [70 3] of x, y and confidence; lines with an end of confidence 0 are left out.
        width, height: of the picture, in pixels.
        frame: (width, height) of the frame that the pixels are of.

    Returns:
        float32 [H W 1], 0 or 1.

    Raises:
        InputError: another shape, or a size that is not positive.
    """
    if np.shape(face) not in ((68, 3), (skeletons.FACE_POINTS, 3)):
        raise checks.InputError(f'face: got shape {np.shape(face)}, expected (68, 3) or (70, 3) of x, y, confidence')
    checks.finite('face', face)
    picture = np.zeros((height, width), np.float32)
    _face_lines(picture, Canvas(width, height, frame), np.asarray(face))
    return picture[..., None]


def _face_lines(picture: np.ndarray, canvas: Canvas, face: np.ndarray) -> None:
    for a, b in skeletons.FACE_EDGES:
        if min(face[a, 2], face[b, 2]) > 0:
            region, mask = shapes.stroke(canvas, face[a], face[b], _LINE)
            picture[region][mask] = 1
