"""The solids that make up the procedural figure in one frame: limbs, head and hair around the bones of its skeleton."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from neurend.data import figure_clothes, figure_motion, figure_paint, figure_room
from neurend.data.figure_clothes import Appearance
from neurend.data.figure_motion import Skeleton
from neurend.data.figure_paint import BallPaint, Canvas, Ellipsoid, Limb, LimbPaint

PARTS = (
    'torso', 'pelvis', 'neck', 'head', 'hair', 'nose', 'long_hair',
    'l_upper_arm', 'l_forearm', 'l_hand', 'l_thigh', 'l_shank', 'l_foot', 'l_ear',
    'r_upper_arm', 'r_forearm', 'r_hand', 'r_thigh', 'r_shank', 'r_foot', 'r_ear',
)  # fmt: skip
"""Names of the parts; part k has the number k + 1 in `FigureClip.iuv`."""


class PaintedLimb(NamedTuple):
    """A limb and what covers it; `number` is that of its part."""

    number: int
    solid: Limb
    paint: LimbPaint


class PaintedBall(NamedTuple):
    """An ellipsoid and what covers it; `number` is that of its part."""

    number: int
    solid: Ellipsoid
    paint: BallPaint


def draw(canvas: Canvas, look: Appearance, skeleton: Skeleton, k: int) -> None:
    """Paints the body of frame `k` onto a square canvas."""
    for part in solids(look, skeleton, k, len(canvas.depth)):
        if isinstance(part, PaintedLimb):
            figure_paint.limb(canvas, part.solid, part.number, part.paint)
        else:
            figure_paint.ellipsoid(canvas, part.solid, part.number, part.paint)


def solids(look: Appearance, skeleton: Skeleton, k: int, size: int) -> Iterator[PaintedLimb | PaintedBall]:
    """Yields the parts of frame `k` in pixels of a picture `size` wide and high."""
    joints = {name: joint[k] for name, joint in skeleton.joints.items()}
    at = {name: figure_room.project(joint, size) for name, joint in joints.items()}
    height, wide = look.height, look.height * look.build

    def scale(point: np.ndarray) -> float:
        return figure_room.FOCAL * size / point[2]

    def bone(
        name: str,
        start: np.ndarray,
        end: np.ndarray,
        widths: tuple[float, ...],
        paint: LimbPaint,
        *,
        caps: tuple[float, float] | None = None,
        thickness: float | None = None,
        turn: float = 0.0,
    ) -> PaintedLimb:
        """Widths, caps and thickness are fractions of the height (times the build)."""
        pixels = wide * scale((start + end) / 2)
        ends = (widths[0], widths[-1]) if caps is None else caps
        depth = wide * (max(widths) if thickness is None else thickness)
        solid = Limb(start, end, np.array(widths) * pixels, (ends[0] * pixels, ends[1] * pixels), depth, turn)
        return PaintedLimb(PARTS.index(name) + 1, solid, paint)

    def ball(
        name: str,
        center: np.ndarray,
        radii: np.ndarray,
        paint: BallPaint,
        keep: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> PaintedBall:
        solid = Ellipsoid(center, head, radii, scale(center), keep)
        return PaintedBall(PARTS.index(name) + 1, solid, paint)

    chest, pelvis, head = skeleton.chest[k], skeleton.pelvis[k], skeleton.head[k]
    turn = math.atan2(chest[0, 2], chest[2, 2])
    skin, trousers = figure_clothes.plain(look.skin), figure_clothes.denim(look.trousers)

    def breadth(axes: np.ndarray, *halves: tuple[float, float]) -> tuple[float, ...]:
        """Half widths as seen: of ellipses with these half axes from side to side and from back to front."""
        return tuple(math.hypot(x * axes[0, 0], z * axes[0, 2]) for x, z in halves)

    shoulders = look.shoulders / look.build**0.5
    sides = (0.107, 0.098, 0.087, 0.088, 0.097, 0.106 * shoulders, 0.096 * shoulders, 0.036)
    torso = breadth(chest, *zip(sides, (0.075, 0.07, 0.065, 0.066, 0.067, 0.066, 0.055, 0.034)))
    low, high = (_between(at['mid_hip'], at['neck'], share) for share in (-0.08, 1.06))
    yield bone('torso', low, high, torso, figure_clothes.shirt(look), caps=(0.008, 0.004), thickness=0.074, turn=turn)
    hips = breadth(pelvis, (0.09, 0.068), (0.088, 0.066), (0.06, 0.06))
    crotch = _between(at['mid_hip'], at['waist'], -0.9)
    yield bone('pelvis', at['mid_hip'], crotch, hips, trousers, caps=(0.02, 0.03), thickness=0.06)
    jaw = _between(at['neck'], at['head'], 0.7)
    yield bone('neck', _between(at['mid_hip'], at['neck'], 0.93), jaw, (0.036, 0.031, 0.03), skin, caps=(0.03, 0.01))
    for side in ('l', 'r'):
        joint = {name.removeprefix(f'{side}_'): point for name, point in at.items() if name.startswith(f'{side}_')}
        armpit = _between(_between(joint['shoulder'], at['neck'], 0.1), joint['elbow'], 0.1)
        yield bone(
            f'{side}_upper_arm',
            armpit,
            joint['elbow'],
            (0.035, 0.034, 0.03, 0.026),
            figure_clothes.sleeve(look, 0),
            turn=turn,
        )
        yield bone(
            f'{side}_forearm',
            joint['elbow'],
            joint['wrist'],
            (0.026, 0.027, 0.022, 0.017),
            figure_clothes.sleeve(look, 1),
            turn=turn,
        )
        yield bone(f'{side}_hand', joint['wrist'], joint['hand'], (0.016, 0.022, 0.019, 0.012), skin, thickness=0.016)
        yield bone(
            f'{side}_thigh', joint['hip'], joint['knee'], (0.046, 0.056, 0.05, 0.042), trousers, caps=(0.03, 0.04)
        )
        yield bone(
            f'{side}_shank',
            joint['knee'],
            joint['ankle'],
            (0.041, 0.043, 0.035, 0.028),
            figure_clothes.leg(look.trousers),
        )
        toe = (joint['big_toe'] + joint['small_toe']) / 2
        yield bone(
            f'{side}_foot', joint['heel'], toe, (0.024, 0.027, 0.03, 0.026), figure_clothes.shoe(look), thickness=0.03
        )
        ear = height * np.array([0.008, 0.017, 0.011])
        yield ball(f'{side}_ear', joint['ear'], ear, figure_clothes.ball(look.skin, 0.9))
    radii = height * np.array(figure_motion.HEAD_RADII)
    yield ball('head', at['head'], radii, figure_clothes.face(look))
    yield ball('hair', at['head'], radii * 1.1, figure_clothes.strands(look.hair), figure_clothes.hairline)
    bridge = _between(at['head'], at['nose'], 0.72)
    tip = height * np.array([0.0095, 0.017, 0.02])
    yield ball('nose', bridge, tip, figure_clothes.ball(look.skin, 0.97))
    if look.long_hair:
        back = figure_room.project(joints['head'] + head @ (height * np.array([0, 0.035, 0.03])), size)
        curtain = height * np.array([0.066, 0.1, 0.04])
        yield ball('long_hair', back, curtain, figure_clothes.strands(look.hair))


def _between(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return a + share * (b - a)
