"""What the procedural person wears, and their face: colours of points on limbs and on the head."""

import dataclasses
from typing import Literal

import numpy as np

from neurend.data.figure_motion import Proportions
from neurend.data.figure_paint import BallPaint, LimbPaint

Color = tuple[float, float, float]
Pattern = Literal['stripes', 'checks', 'dots', 'plain']
PATTERNS = ('stripes', 'checks', 'dots', 'plain')


@dataclasses.dataclass(frozen=True)
class Appearance:
    """What a person looks like. Colours are sRGB in [0, 1].

    Attributes:
        height: from soles to crown, standing, in metres.
        build: width of body and limbs, 1 is ordinary.
        legs, shoulders: length and breadth relative to an ordinary body of that height.
        skin, hair, eyes, shirt, trousers, shoes: colours.
        accent: second colour of the shirt.
        pattern: of the shirt.
        sleeves: 0 none, 1 to the elbow, 2 to the wrist.
        long_hair: down to the shoulders.
        room: seed of the room the person is filmed in.
    """

    height: float = 1.8
    build: float = 1.0
    legs: float = 1.0
    shoulders: float = 1.0
    skin: Color = (0.87, 0.66, 0.53)
    hair: Color = (0.25, 0.16, 0.1)
    eyes: Color = (0.15, 0.3, 0.5)
    shirt: Color = (0.93, 0.92, 0.9)
    accent: Color = (0.75, 0.12, 0.15)
    trousers: Color = (0.16, 0.24, 0.45)
    shoes: Color = (0.2, 0.18, 0.18)
    pattern: Pattern = 'stripes'
    sleeves: float = 0.62
    long_hair: bool = False
    room: int = 0

    @property
    def proportions(self) -> Proportions:
        """What the skeleton depends on."""
        return Proportions(self.height, self.legs, self.shoulders)


def plain(color: Color) -> LimbPaint:
    """A limb of one colour."""
    return lambda angle, along: np.broadcast_to(_rgb(color), (len(angle), 3))


def ball(color: Color, tone: float) -> BallPaint:
    """An ellipsoid of one colour, `tone` times as bright."""
    return lambda points: np.broadcast_to(_rgb(color) * np.float32(tone), points.shape)


def shirt(look: Appearance) -> LimbPaint:
    """The shirt's pattern with faint folds."""

    def paint(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        if look.pattern == 'stripes':
            weight = np.sin(along * 2 * np.pi * 5.5) > 0.1
        elif look.pattern == 'checks':
            weight = 0.5 * (np.sin(along * 2 * np.pi * 4) > 0.35) + 0.5 * (np.sin(angle * 6) > 0.35)
        elif look.pattern == 'dots':
            weight = np.cos(along * 2 * np.pi * 6) * np.cos(angle * 7) > 0.55
        else:
            weight = np.zeros(len(angle))
        folds = 1 + 0.05 * np.sin(9 * along + 4 * np.sin(3 * angle)) * np.sin(5 * angle + 2)
        return _mix(look.shirt, look.accent, weight) * folds[:, None].astype(np.float32)

    return paint


def sleeve(look: Appearance, segment: int) -> LimbPaint:
    """The upper arm (`segment` 0) or the forearm (1), covered as far as the sleeves reach."""
    cloth = shirt(look)

    def paint(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        reach = along + segment
        covered = reach < look.sleeves
        hem = np.abs(reach - look.sleeves + 0.05) < 0.05
        colors = np.where(covered[:, None], cloth(angle, along * 0.6), _rgb(look.skin))
        return colors * np.where(hem & covered, np.float32(0.78), np.float32(1))[:, None]

    return paint


def denim(color: Color) -> LimbPaint:
    """Trousers: a weave with seams at the sides."""

    def paint(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        weave = 1 + 0.05 * np.sin(40 * along + 3 * angle) + 0.07 * np.sin(6 * along + 2 * angle)
        seam = np.where(np.abs(np.abs(angle) - 1.2) < 0.07, 0.75, 1.0)
        return _rgb(color) * (weave * seam)[:, None].astype(np.float32)

    return paint


def leg(color: Color) -> LimbPaint:
    """The lower leg: trousers down to a hem, and a sock."""
    trousers = denim(color)

    def paint(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        hem = np.where(np.abs(along - 0.94) < 0.03, 0.75, 1.0)
        colors = np.where((along < 0.97)[:, None], trousers(angle, along + 1), _rgb((0.85, 0.85, 0.85)))
        return colors * hem[:, None].astype(np.float32)

    return paint


def shoe(look: Appearance) -> LimbPaint:
    """A shoe with laces."""

    def paint(angle: np.ndarray, along: np.ndarray) -> np.ndarray:
        laces = (np.abs(along - 0.55) < 0.2) & (np.sin(along * 60) > 0.2) & (np.abs(angle) < 0.5)
        return _mix(look.shoes, (0.75, 0.75, 0.75), laces)

    return paint


def face(look: Appearance) -> BallPaint:
    """The head without hair: eyes, brows, cheeks and mouth, in the directions of the skeleton's eyes."""

    def paint(points: np.ndarray) -> np.ndarray:
        x, y, front = points[:, 0], points[:, 1], points[:, 2] < 0
        colors = _mix(look.skin, _rgb(look.skin) * 0.8, np.clip((y - 0.75) / 0.2, 0, 1))
        side = np.abs(x)
        cheek = np.exp(-(((side - 0.5) / 0.22) ** 2) - ((y - 0.3) / 0.2) ** 2) * front
        colors = colors + _rgb((0.06, -0.03, -0.03)) * cheek[:, None].astype(np.float32)

        def put(where: np.ndarray, color: Color | np.ndarray) -> None:
            colors[where & front] = _rgb(color)

        eye = ((side - 0.36) / 0.19) ** 2 + ((y + 0.02) / 0.1) ** 2
        put(eye < 1, (0.96, 0.96, 0.96))
        put((eye < 1) & ((side - 0.36) ** 2 + (y + 0.02) ** 2 < 0.012), look.eyes)
        put((side - 0.36) ** 2 + (y + 0.02) ** 2 < 0.003, (0.03, 0.03, 0.03))
        put((np.abs(side - 0.37) < 0.21) & (np.abs(y + 0.24 - 0.15 * (side - 0.37)) < 0.04), _rgb(look.hair) * 0.9)
        put((x / 0.3) ** 2 + ((y - 0.56) / 0.075) ** 2 < 1, (0.68, 0.28, 0.28))
        put((side < 0.28) & (np.abs(y - 0.56) < 0.018), (0.35, 0.12, 0.12))
        return colors

    return paint


def hairline(points: np.ndarray) -> np.ndarray:
    """Where on the unit ball of the head hair grows: above the forehead, around the ears and on the back."""
    y, z = points[:, 1], points[:, 2]
    return y < 0.06 + np.where(z < 0, 0.72, 0.55) * z


def strands(color: Color) -> BallPaint:
    """Hair."""

    def paint(points: np.ndarray) -> np.ndarray:
        around = np.arctan2(points[:, 0], -points[:, 2])
        tone = 1.05 + 0.16 * np.sin(23 * around + 4 * points[:, 1]) + 0.1 * np.sin(57 * around)
        return _rgb(color) * tone[:, None].astype(np.float32)

    return paint


def _mix(a: Color | np.ndarray, b: Color | np.ndarray, weight: np.ndarray) -> np.ndarray:
    return _rgb(a) + (_rgb(b) - _rgb(a)) * weight.astype(np.float32)[:, None]


def _rgb(color: Color | np.ndarray) -> np.ndarray:
    return np.asarray(color, np.float32)
