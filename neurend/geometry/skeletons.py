"""People as key points: the layouts of OpenPose's joints, its hands and faces, and one person in one frame.

Layouts, limbs and colours are those of OpenPose (Cao et al. 2017) as Chan et al., "Everybody Dance Now" (2019), draw
them. Their code writes its pictures with the channels reversed; the colours here are R, G, B of the finished picture.
All of it is NumPy on the host: key points are read, smoothed and drawn there before a network sees them.
"""

import dataclasses
import itertools
import types
from collections.abc import Callable, Sequence

import numpy as np

from neurend import checks

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Layout:
    """The joints of a body, in the order of the files. Left and right are the person's.

    Attributes:
        name: 'COCO-18', 'BODY-23' or 'BODY-25'.
        joints: their names.
        limbs: pairs of joints, in the order in which they are drawn.
        colors: one per joint, 0-255.
        nose: index of the nose.
        ears: indices of the right and the left ear.
        ankles: indices of the right and the left ankle.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    colors: tuple[Color, ...]

    @property
    def nose(self) -> int:
        return self.joints.index('nose')

    @property
    def ears(self) -> tuple[int, int]:
        return self.joints.index('right ear'), self.joints.index('left ear')

    @property
    def ankles(self) -> tuple[int, int]:
        return self.joints.index('right ankle'), self.joints.index('left ankle')


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.replace('R ', 'right ').replace('L ', 'left ').split(','))


def _limbs(text: str) -> tuple[tuple[int, int], ...]:
    pairs = [pair.split('-') for pair in text.split()]
    return tuple((int(a), int(b)) for a, b in pairs)


def _colors(text: str) -> tuple[Color, ...]:
    """R, G, B from hexadecimal rrggbb."""
    return tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in text.split())


COCO_18 = Layout(
    name='COCO-18',
    joints=_names(
        'nose, neck, R shoulder, R elbow, R wrist, L shoulder, L elbow, L wrist, R hip, R knee, R ankle, L hip, '
        'L knee, L ankle, R eye, L eye, R ear, L ear'
    ),
    limbs=_limbs('1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17'),
    colors=_colors(
        '0000ff 0055ff 00aaff 00ffff 00ffaa 00ff55 00ff00 55ff00 aaff00 ffff00 ffaa00 ff5500 ff0000 ff0055 ff00aa '
        'ff00ff aa00ff 5500ff'
    ),
)

BODY_23 = Layout(
    name='BODY-23',
    joints=_names(
        'neck, R shoulder, R elbow, R wrist, L shoulder, L elbow, L wrist, mid hip, R hip, R knee, R ankle, R big toe, '
        'R small toe, L hip, L knee, L ankle, L big toe, L small toe, nose, R eye, R ear, L eye, L ear'
    ),
    limbs=_limbs(
        '0-1 1-2 2-3 0-4 4-5 5-6 0-7 7-8 8-9 9-10 10-11 10-12 7-13 13-14 14-15 15-16 15-17 0-18 18-19 19-20 18-21 21-22'
    ),
    colors=_colors(
        '0000ff 0037ff 006eff 00a5ff 00d7ff 00ebff 00ffff 0000ff 00ffaf 00ff55 00ff00 55ff00 aaff00 801919 ff5500 '
        'ffaa00 ffd400 ffff00 0000ff ff00ff ee82ee e22b8a 82004b'
    ),
)

BODY_25 = Layout(
    name='BODY-25',
    joints=_names(
        'nose, neck, R shoulder, R elbow, R wrist, L shoulder, L elbow, L wrist, mid hip, R hip, R knee, R ankle, '
        'L hip, L knee, L ankle, R eye, L eye, R ear, L ear, L big toe, L small toe, L heel, R big toe, R small toe, '
        'R heel'
    ),
    limbs=_limbs(
        '0-1 0-15 0-16 1-2 1-5 1-8 2-3 3-4 5-6 6-7 8-9 8-12 9-10 10-11 11-22 11-24 12-13 13-14 14-19 14-21 15-17 16-18 '
        '19-20 22-23'
    ),
    colors=_colors(
        '5500ff 0000ff 0055ff 00aaff 00ffff 00ffaa 00ff55 00ff00 0000ff 55ff00 aaff00 ffff00 ffaa00 ff5500 ff0000 '
        'aa00ff ff00aa ff00ff ff0055 ff0000 ff0000 ff0000 ffff00 ffff00 ffff00'
    ),
)

LAYOUTS = (COCO_18, BODY_23, BODY_25)

HAND_POINTS = 21
HAND_LIMBS = tuple((0 if j % 4 == 1 else j - 1, j) for j in range(1, HAND_POINTS))
"""Thumb to little finger, each from the wrist (0) to its tip."""
HAND_COLORS = _colors(
    '2835e6 4073e7 1f88e9 0da0d5 13c8d9 23d2aa 30e48b 2dd653 2ec04d 85d553 bedf52 c5b850 bd8c4e d07056 d94953 b72e7b '
    'ff66bd e853da bd41e5 8d3dec 9166ff'
)

FACE_POINTS = 70
"""OpenPose's: the 68 landmarks of iBUG (Sagonas et al. 2013) and the pupils."""
FACE_8 = (27, 30, 8, 0, 16, 33, 68, 69)
FACE_9 = (*FACE_8, 62)
FACE_22 = (*FACE_8, 31, 35, 36, 39, 42, 45, 17, 21, 22, 26, 48, 51, 54, 57)
FACE_LINES = types.MappingProxyType(
    {
        'jaw': tuple(range(17)),
        'right brow': tuple(range(17, 22)),
        'left brow': tuple(range(22, 27)),
        'bridge of the nose': tuple(range(27, 31)),
        'nostrils': tuple(range(31, 36)),
        'right eye': (*range(36, 42), 36),
        'left eye': (*range(42, 48), 42),
        'outer lips': (*range(48, 60), 48),
        'inner lips': (*range(60, 68), 60),
    }
)
"""The lines through the 68 landmarks, by name; closed ones end where they begin."""
FACE_EDGES = tuple(pair for line in FACE_LINES.values() for pair in itertools.pairwise(line))


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
    """One person in one frame: points of x, y and confidence. A point of confidence 0 (or less) was not found.

    Attributes:
        body: float32 [j 3], x and y in pixels of the frame, in the order of the layout.
        face: float32 [70 3], or None.
        left_hand, right_hand: float32 [21 3], or None.
        layout: what the joints of the body are.

    Raises:
        InputError: a shape does not fit, or a number is not finite.
    """

    body: np.ndarray
    face: np.ndarray | None
    left_hand: np.ndarray | None
    right_hand: np.ndarray | None
    layout: Layout

    def __post_init__(self):
        counts = {'body': len(self.layout.joints), 'face': FACE_POINTS, 'left_hand': 21, 'right_hand': 21}
        for name, count in counts.items():
            points = getattr(self, name)
            if points is None and name != 'body':
                continue
            checks.shape(name, points, f'{count} 3', f'Give x, y and confidence ({self.layout.name})')
            with np.errstate(over='ignore'):
                points = np.asarray(points, np.float32)
            checks.finite(name, points, 'Points that were not found are 0, 0, 0')
            object.__setattr__(self, name, points)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> 'Person':
        """The person with a function of points [p 3] applied to every part that is there."""
        others = (self.face, self.left_hand, self.right_hand)
        changed = [None if part is None else function(part) for part in others]
        return Person(function(self.body), *changed, layout=self.layout)


def moved(person: Person, *, scale: float | Sequence[float] = 1.0, shift: Sequence[float] = (0.0, 0.0)) -> Person:
    """The person with all points that were found at scale * (x, y) + shift.

    Args:
        person: whom.
        scale: one factor, or one of x and one of y.
        shift: of x and y, in pixels after scaling.
    """

    def move(points: np.ndarray) -> np.ndarray:
        placed = points[:, :2] * np.asarray(scale, np.float64) + np.asarray(shift, np.float64)[None]
        found = points[:, 2:] > 0
        return np.concatenate([np.where(found, placed, points[:, :2]), points[:, 2:]], axis=1)

    return person.map(move)


def head(person: Person) -> np.ndarray | None:
    """Where the head is: float32 [2], the nose, else the middle of the ears, else the ear that was found, else None."""
    layout = person.layout
    for joints in ([layout.nose], list(layout.ears)):
        points = person.body[joints]
        found = points[points[:, 2] > 0, :2]
        if len(found):
            return found.mean(0)
    return None


def body_23_from_25(person: Person) -> Person:
    """A BODY-25 person as BODY-23, which has the same joints but the heels, in another order.

    Raises:
        InputError: the person has another layout.
    """
    if person.layout != BODY_25:
        raise checks.InputError(f'person: got layout {person.layout.name}, expected BODY-25')
    order = [BODY_25.joints.index(name) for name in BODY_23.joints]
    return Person(person.body[order], person.face, person.left_hand, person.right_hand, layout=BODY_23)
