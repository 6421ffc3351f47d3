"""The embedded face: a head of a few thousand vertices with lips, teeth, lids and brows, which needs no file.

Expressions have the names of the ICT face. Centimetres, y up, looking along z, the person's left at +x. The skin is
made of rings about the mouth, from the bottom of its pocket over the slit between the lips to the back of the head, so
that upper and lower lip part. Teeth, eyes, lids and brows are pieces of their own.
"""

import itertools
import math

import numpy as np

from neurend.faces.blendshapes import FaceModel

NAMES = (
    'jawOpen', 'mouthSmile_L', 'mouthSmile_R', 'mouthPucker', 'mouthFunnel', 'mouthUpperUp_L', 'mouthUpperUp_R',
    'mouthLowerDown_L', 'mouthLowerDown_R', 'mouthPress_L', 'mouthPress_R', 'eyeBlink_L', 'eyeBlink_R',
    'browInnerUp_L', 'browInnerUp_R', 'browOuterUp_L', 'browOuterUp_R',
)  # fmt: skip
SPOKEN = 11
"""How many of the expressions, the first ones, move the mouth."""
_RADII = np.array([7.5, 11.0, 9.0])
_MOUTH, _LIPS = np.array([0.0, -4.6]), np.array([2.4, 0.9])
_EYES, _EYE, _IRIS, _PUPIL = np.array([[2.8, 2.0], [-2.8, 2.0]]), np.array([1.5, 0.8]), 0.68, 0.24  # left first
_BROWS, _BROW = np.array([[2.8, 4.0], [-2.8, 4.0]]), np.array([1.7, 0.6])
_AROUND, _SKIN_RINGS, _LIP, _POCKET = 72, 40, 4, 4  # points of a ring; rings before the slit, of lips, of all skin
_EYE_ROWS, _EYE_AROUND, _LID_ROWS, _COLUMNS = 9, 32, 7, 17
_OPEN, _HINGE = 0.3, 1.0  # radians that the jaw turns by; z of its axis
_COLORS = {
    'skin': (0.85, 0.65, 0.52), 'hair': (0.25, 0.15, 0.1), 'brows': (0.3, 0.2, 0.15), 'lips': (0.7, 0.25, 0.25),
    'mouth_inside': (0.2, 0.05, 0.05), 'teeth': (0.92, 0.92, 0.88), 'eyeballs': (0.95, 0.95, 0.95),
    'iris': (0.15, 0.4, 0.7), 'pupil': (0.03, 0.03, 0.03), 'lids': (0.78, 0.57, 0.46),
}  # fmt: skip


def face() -> FaceModel:
    """The face: 17 expressions, 5 modes of identity, 68 landmarks, UVs, colours, and masks of its parts."""
    skin, disc, ring, angle = _skin()
    pieces = [
        ('skin', skin, _strips(_SKIN_RINGS + _POCKET, _AROUND, closed=True)),
        *(('teeth', _teeth(side), _strips(3, _COLUMNS)) for side in (1, -1)),
        *(('eyeballs', _eyeball(eye), _strips(_EYE_ROWS, _EYE_AROUND, closed=True)) for eye in _EYES),
        *(('lids', _lid(eye, 0.0), _strips(_LID_ROWS, _COLUMNS)) for eye in _EYES),
        *(('brows', _brow(middle), _strips(3, _COLUMNS)) for middle in _BROWS),
    ]
    begins = np.cumsum([0, *(len(points) for _, points, _ in pieces)])
    spans = [slice(*pair) for pair in itertools.pairwise(begins)]
    template = np.concatenate([points for _, points, _ in pieces])
    kinds = np.concatenate([np.full(len(points), name, 'U12') for name, points, _ in pieces])
    kinds[spans[0]][ring <= _LIP] = 'lips'
    kinds[spans[0]][ring < 0] = 'mouth_inside'
    masks = {name: kinds == name for name in ('skin', 'lips', 'mouth_inside', 'teeth', 'eyeballs', 'lids', 'brows')}
    masks |= _paint(template, masks)

    expressions = np.zeros((len(NAMES), len(template), 3))
    expressions[:, spans[0]] = _moves(skin, ring, angle)
    for name, delta in _brow_moves(template).items():
        free = masks['skin'] | masks['brows']
        expressions[NAMES.index(name)] = np.where(free[:, None], delta, 0)
    expressions[NAMES.index('jawOpen'), spans[2]] = _jaw(template[spans[2]])
    for eye, side, span in zip(_EYES, 'LR', spans[5:7]):
        expressions[NAMES.index(f'eyeBlink_{side}'), span] = _lid(eye, 1.0) - template[span]
    ways = np.linalg.norm(expressions[:SPOKEN], axis=-1).max(0)
    masks['mouth'] = (masks['skin'] | masks['lips']) & (ways > 0.15)
    uvs = [np.array([[0.42, 0.5]]) + 0.41 * disc, *(_tile(piece[1], k) for k, piece in enumerate(pieces[1:]))]
    colors = np.zeros(template.shape, np.float32)
    for name, color in _COLORS.items():
        colors[masks[name]] = color
    return FaceModel(
        template=template.astype(np.float32),
        identity=_people(template).astype(np.float32),
        expressions=expressions.astype(np.float32),
        faces=np.concatenate([corners + begin for (*_, corners), begin in zip(pieces, begins)]).astype(np.int32),
        uvs=np.concatenate(uvs).astype(np.float32),
        landmarks=_landmarks(skin, ring, begins),
        colors=colors,
        masks={name: mask.astype(np.float32) for name, mask in masks.items()},
        names=NAMES,
    )


def _strips(rows: int, columns: int, *, closed: bool = False) -> np.ndarray:
    """Triangles [f 3] of a grid of points, row after row; columns go around by the left of the way that rows go."""
    row, column = (x.ravel() for x in np.mgrid[0 : rows - 1, 0 : columns - (not closed)])
    corner, beside = row * columns + column, row * columns + (column + 1) % columns
    first = np.stack([corner, corner + columns, beside + columns], -1)
    return np.concatenate([first, np.stack([corner, beside + columns, beside], -1)])


def _bump(x: np.ndarray, y: np.ndarray, middle: np.ndarray | tuple[float, float], reach: float) -> np.ndarray:
    return np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / reach**2)


def _front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Points [n 3] of the skin in front."""
    z = _RADII[2] * np.sqrt(np.maximum(1 - (x / _RADII[0]) ** 2 - (y / _RADII[1]) ** 2, 0))
    return np.stack([x, y, z + _relief(x, y, z)], -1)


def _relief(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How far the skin stands out of the ellipsoid along z: nose, chin and the hollows of the eyes."""
    nose = 2.2 * np.exp(-((x / 1.1) ** 2) - np.where(y < -1, (y + 1) / 0.9, (y + 1) / 2.6) ** 2)
    hollows = sum(0.7 * np.exp(-(((x - eye[0]) / 1.9) ** 2) - ((y - eye[1]) / 1.4) ** 2) for eye in _EYES)
    return (nose + 0.8 * _bump(x, y, (0, -8.6), 1.9) - hollows) * np.clip(z / 4, 0, 1)


def _skin() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points [n 3], their places in a disc [n 2], ring (the slit is 0, the inside negative) and angle."""
    ring, step = (x.ravel() for x in np.mgrid[-_POCKET:_SKIN_RINGS, 0:_AROUND])
    angle = 2 * math.pi * step / _AROUND
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    across, up = circle.T
    # The head as a disc, whose radius is the angle from the z axis: rings go from the outline of the lips to its rim.
    ball = (_MOUTH[None] + _LIPS[None] * circle) / _RADII[None, :2]
    sine = np.linalg.norm(ball, axis=-1, keepdims=True)
    outline = ball / sine * np.arcsin(sine) / math.pi
    share = (np.maximum(ring - _LIP, 0) / (_SKIN_RINGS - 1 - _LIP))[:, None] ** 1.4
    disc = (1 - share) * outline + share * circle
    radius = np.linalg.norm(disc, axis=-1, keepdims=True)
    head = np.concatenate([np.sin(math.pi * radius) * disc / radius, np.cos(math.pi * radius)], -1) * _RADII[None]
    head[:, 2] += _relief(*head.T)
    # Lips from their outline to the slit, full between; the pocket is high behind the slit and ends in a line.
    inward = np.clip(1 - ring / _LIP, 0, 1)
    back = np.maximum(-ring / _POCKET, 0)
    lips = _front(_LIPS[0] * across, _MOUTH[1] + _LIPS[1] * up * (1 - inward))
    lips[:, 2] += (0.6 * np.sin(math.pi * 0.8 * inward) - 0.15 * inward) * np.abs(up) ** 0.5 - 3.5 * back
    lips[:, 1] += 0.9 * up * ((back > 0) & (back < 1))
    middle = np.arcsin(_MOUTH / _RADII[:2])[None] / math.pi
    mouth = (ring <= _LIP)[:, None]
    inner = middle + (np.minimum(ring, _LIP) + _POCKET)[:, None] / (_LIP + _POCKET) * (outline - middle)
    return np.where(mouth, lips, head), np.where(mouth, inner, disc), ring, angle


def _jaw(points: np.ndarray) -> np.ndarray:
    """What opening adds to points [n 3] that the jaw carries."""
    return _OPEN * np.stack([np.zeros(len(points)), _HINGE - points[:, 2], points[:, 1]], -1)


def _moves(points: np.ndarray, ring: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """What expressions of the mouth add to the skin, [e n 3], and zeros for others."""
    x, y = points[:, 0], points[:, 1]
    front, up = (points[:, 2] > 0) & (ring >= 0), np.sin(angle)
    near = np.clip(1 + ring / _POCKET, 0.25, 1) / (1 + np.exp((ring - 9) / 1.8))  # the mouth, less of its inside
    neck = np.clip((30 - ring) / 12, 0, 1)
    below = np.maximum(-up, 1e-9) ** (0.6 + 0.6 * np.clip(ring / 10, 0, 1)) * (up < 0)
    carried = below * neck**2 * (3 - 2 * neck) * np.clip(1 + ring / _POCKET, 0.25, 1)
    pressed = np.exp(-(((ring - 2) / 2.5) ** 2))
    zero, ahead = np.zeros_like(x), np.ones_like(x)
    moves = {name: np.zeros_like(points) for name in NAMES}
    moves['jawOpen'] = carried[:, None] * _jaw(points)
    moves['mouthPucker'] = near[:, None] * np.stack([-0.45 * x, zero, 1.1 * ahead], -1)
    moves['mouthFunnel'] = near[:, None] * np.stack([-0.25 * x, 0.7 * up, 0.8 * ahead], -1)
    for k, side in enumerate((1, -1)):
        half = 1 / (1 + np.exp(-2.5 * side * x))
        raised, lowered = (near * half * np.maximum(sign * up, 0) for sign in (1, -1))
        ways = {
            'mouthSmile': (front * _bump(x, y, (side * _LIPS[0], _MOUTH[1]), 1.9), (side * 0.8, 1.1, -0.4)),
            'mouthUpperUp': (raised, (0, 0.8, 0.1)),
            'mouthLowerDown': (lowered, (0, -0.9, 0)),
        }
        for name, (weight, way) in ways.items():
            moves[f'{name}_{"LR"[k]}'] = weight[:, None] * np.array(way)[None]
        moves[f'mouthPress_{"LR"[k]}'] = (half * pressed)[:, None] * np.stack([zero, -0.2 * up, -0.35 * ahead], -1)
    return np.stack([moves[name] for name in NAMES])


def _brow_moves(points: np.ndarray) -> dict[str, np.ndarray]:
    """What the expressions of the brows add to points [n 3] of the skin, by name."""
    x, y, z = points.T
    moves = {}
    for middle, side, letter in zip(_BROWS, (1, -1), 'LR'):
        for name, shift in (('Inner', -1.2), ('Outer', 1.0)):
            weight = (z > 0) * _bump(x, y, middle + np.array([side * shift, 0]), 1.7)
            moves[f'brow{name}Up_{letter}'] = weight[:, None] * np.array([[0, 1.1, 0.1]])
    return moves


def _teeth(side: int) -> np.ndarray:
    """A row of teeth [n 3] behind the lips, the upper one of side 1; rows go up."""
    row, column = (x.ravel() for x in np.mgrid[0:3, 0:_COLUMNS])
    angle = 0.8 * math.pi * (0.5 - column / (_COLUMNS - 1))
    z = _front(*_MOUTH[:, None])[0, 2] - 0.9 - 1.6 * (1 - np.cos(angle))
    return np.stack(
        [1.9 * np.sin(angle), _MOUTH[1] - 0.12 + 0.06 * side + 0.35 * (row if side > 0 else row - 2), z], -1
    )


def _eyeball(eye: np.ndarray) -> np.ndarray:
    """Points [n 3] of what is seen of an eye, in rings around its middle."""
    row, step = (x.ravel() for x in np.mgrid[0:_EYE_ROWS, 0:_EYE_AROUND])
    radius, angle = row / (_EYE_ROWS - 1), 2 * math.pi * step / _EYE_AROUND
    points = _front(eye[0] + _EYE[0] * radius * np.cos(angle), eye[1] + _EYE[1] * radius * np.sin(angle))
    points[:, 2] += 0.1 + 0.12 * (1 - radius**2)
    return points


def _lid(eye: np.ndarray, closed: float) -> np.ndarray:
    """Points [n 3] of an upper lid; its lower edge, the first row, is above the eye if open, and below if closed."""
    row, column = (x.ravel() for x in np.mgrid[0:_LID_ROWS, 0:_COLUMNS])
    angle, height = math.pi * column / (_COLUMNS - 1), row / (_LID_ROWS - 1)
    edge = 0.75 - 1.8 * closed
    points = _front(
        eye[0] + 1.06 * _EYE[0] * np.cos(angle), eye[1] + _EYE[1] * np.sin(angle) * (edge + (1.3 - edge) * height)
    )
    points[:, 2] += np.where(height < 1, 0.3, 0.05)
    return points


def _brow(middle: np.ndarray) -> np.ndarray:
    """Points [n 3] of a brow, an arc that is thin at its ends; rows go up."""
    row, column = (x.ravel() for x in np.mgrid[0:3, 0:_COLUMNS])
    angle = math.pi * column / (_COLUMNS - 1)
    thick = 0.05 + _BROW[1] * np.sin(angle) ** 0.5
    points = _front(middle[0] + _BROW[0] * np.cos(angle), middle[1] + 0.35 * np.sin(angle) + thick * (row - 1) / 2)
    points[:, 2] += 0.12
    return points


def _paint(points: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Which points belong to what has no piece of its own: hair, iris and pupil."""
    x, y, z = points.T

    away = np.linalg.norm(points[:, None, :2] - _EYES[None], axis=-1).min(1)
    hair = masks['skin'] & (y > 7.5 - 1.2 * np.maximum(4 - z, 0)) & ((np.abs(x) < 6.9) | (z < 0))
    return {'hair': hair} | {k: masks['eyeballs'] & (away < r) for k, r in (('iris', _IRIS), ('pupil', _PUPIL))}


def _people(points: np.ndarray) -> np.ndarray:
    """What numbers of identity add to points [n 3]: width, height, depth, nose and chin, [5 n 3]."""
    x, y, z = points.T
    nose, chin = (z > 0) * _bump(x, y, (0, -1), 2.0), (z > 0) * _bump(x, y, (0, -9), 3.5)
    sizes = [np.where(np.arange(3)[None] == axis, points * share, 0) for axis, share in enumerate((0.06, 0.05, 0.05))]
    return np.stack([*sizes, nose[:, None] * np.array([[0, 0, 0.5]]), chin[:, None] * np.array([[0, -0.6, 0.4]])])


def _tile(points: np.ndarray, number: int) -> np.ndarray:
    """UVs [n 2] of one of eight pieces, in the strip that the disc of the skin leaves on the right."""
    low, high = points[:, :2].min(0, keepdims=True), points[:, :2].max(0, keepdims=True)
    return np.array([[0.85, (number + 0.08) / 8]]) + 0.105 * (points[:, :2] - low) / (high - low)


def _landmarks(skin: np.ndarray, ring: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Vertices [68] of iBUG's landmarks, the person's right first, which is at -x."""
    angle = math.pi * (1 + np.arange(17) / 16)
    jaw = np.stack([6.8 * np.cos(angle), 2 + 11.5 * np.sin(angle)], -1)
    brows = [np.linspace(middle - [1.7, 0], middle + [1.7, 0], 5) for middle in _BROWS[::-1]]
    bridge = np.stack([np.zeros(4), np.linspace(2.0, -1.0, 4)], -1)
    nostrils = np.stack([np.linspace(-1.2, 1.2, 5), np.full(5, -1.9)], -1)
    places = np.concatenate([jaw, *brows, bridge, nostrils])
    hidden = (skin[:, 2] < 0) | (ring <= _LIP)
    distance = np.linalg.norm(skin[None, :, :2] - places[:, None], axis=-1) + 100 * hidden[None]
    # Eyes and lips go from the person's right over the top; the upper edge of an eye is that of its lid.
    rim, lid = (_EYE_ROWS - 1) * _EYE_AROUND, (11, 5)
    eyes = [[eye + rim + 16, *(lids + k for k in lid), eye + rim, eye + rim + 27, eye + rim + 21]
            for eye, lids in ((begins[4], begins[6]), (begins[3], begins[5]))]  # fmt: skip
    turns = [(_POCKET + at) * _AROUND + (_AROUND // 2 - _AROUND // count * np.arange(count)) % _AROUND
             for at, count in ((_LIP, 12), (0, 8))]  # fmt: skip
    return np.concatenate([distance.argmin(1), *eyes, *turns]).astype(np.int32)
