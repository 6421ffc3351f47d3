"""A procedural person with known joints, filmed in a room: pairs of pose and picture that need no download.

Limbs are tapered solids (`figure_body`) around the bones of a moving skeleton (`figure_motion`), with clothes that turn
with them (`figure_clothes`), drawn into a depth buffer of twice the size (`figure_paint`) in front of a still room
(`figure_room`). `figure_flow` tells where each pixel was in the frame before.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from neurend import checks
from neurend.data import figure_body, figure_motion, figure_paint, figure_room
from neurend.data.figure_body import PARTS as PARTS
from neurend.data.figure_clothes import PATTERNS, Appearance
from neurend.data.figure_motion import BODY_25, Motion, Skeleton
from neurend.data.figure_paint import Canvas

_FINE = 2  # pixels of the canvas per pixel of the picture, on either side


class Person(NamedTuple):
    """Somebody and what they do: `frames(*person('a'), count, size)`."""

    appearance: Appearance
    motion: Motion


class FigureClip(NamedTuple):
    """A filmed person.

    Attributes:
        images: `[t h w 3]` uint8, sRGB.
        keypoints: `[t 25 3]` float32, BODY-25: x, y in pixels and confidence 1; those hidden or outside included.
        iuv: `[t h w 3]` uint8, which part each pixel shows (its number in `PARTS`, from 1; 0 is the room) and the
            surface coordinates there, u around and v along the part, over 0 to 255.
        background: `[h w 3]` uint8, the room without person and shadow.
        fps: frames per second.
    """

    images: np.ndarray
    keypoints: np.ndarray
    iuv: np.ndarray
    background: np.ndarray
    fps: float


def person(name: Literal['a', 'b']) -> Person:
    """One of two persons: 'a' is tall, in stripes, left of the middle; 'b' small and broader, in checks, on the right.

    Their heights are 1.84 and 1.58 metres; b stands farther away, so that the two differ in size and place.
    """
    checks.one_of('name', name, ('a', 'b'))
    if name == 'a':
        return Person(Appearance(height=1.84, build=0.97), Motion(x=-0.18, near=3.9, far=5.0, seed=1))
    appearance = Appearance(
        height=1.58,
        build=1.08,
        legs=0.97,
        shoulders=0.95,
        skin=(0.55, 0.38, 0.28),
        hair=(0.1, 0.07, 0.06),
        eyes=(0.25, 0.15, 0.08),
        shirt=(0.15, 0.48, 0.42),
        accent=(0.95, 0.8, 0.3),
        trousers=(0.5, 0.42, 0.33),
        shoes=(0.85, 0.85, 0.82),
        pattern='checks',
        sleeves=1.95,
        long_hair=True,
        room=1,
    )
    return Person(appearance, Motion(x=0.25, near=4.0, far=5.3, period=9.0, seed=2))


def frames(appearance: Appearance, motion: Motion, count: int, size: int = 256, *, fps: float = 25) -> FigureClip:
    """Films a person; a function of its arguments.

    Args:
        appearance: who.
        motion: what they do, and where.
        count: number of frames, t.
        size: width and height of the pictures in pixels.
        fps: frames per second.

    Raises:
        InputError: no frames, pictures too small to show anything, a motion that comes too near, or an unknown pattern
            or kind of motion.

    >>> clip = frames(*person('a'), count=250)   # doctest: +SKIP
    """
    return film(appearance, pose(appearance, motion, count, fps=fps), size, fps=fps)


def pose(appearance: Appearance, motion: Motion, count: int, *, fps: float = 25) -> Skeleton:
    """The skeleton that `frames` films; the arguments are the same."""
    checks.one_of('kind', motion.kind, figure_motion.KINDS)
    if count < 1 or fps <= 0:
        raise checks.InputError(f'count, fps: got {count} and {fps}, expected at least 1 and above 0')
    if not 1.5 <= motion.near <= motion.far:
        raise checks.InputError(f'near, far: got {motion.near}, {motion.far}, expected 1.5 metres at least, in order')
    return figure_motion.move(motion, appearance.proportions, np.arange(count) / fps, figure_room.CAMERA_HEIGHT)


def film(appearance: Appearance, skeleton: Skeleton, size: int = 256, *, fps: float = 25) -> FigureClip:
    """Films a person in given poses, e.g. those of another: see `placed`.

    Args:
        appearance: who; limbs are as wide as theirs, and as long as the skeleton's.
        skeleton: one pose per frame.
        size, fps: as for `frames`.

    Raises:
        InputError: see `frames`.
    """
    checks.one_of('pattern', appearance.pattern, PATTERNS)
    if size < 16 or fps <= 0:
        raise checks.InputError(f'size, fps: got {size} and {fps}, expected at least 16 and above 0')
    fine = figure_room.draw(size * _FINE, appearance.room)
    count = len(skeleton.chest)
    images = np.empty((count, size, size, 3), np.uint8)
    iuv = np.empty((count, size, size, 3), np.uint8)
    for k in range(count):
        canvas = figure_paint.canvas(fine)
        _shadow(canvas, skeleton, k, appearance.height)
        figure_body.draw(canvas, appearance, skeleton, k)
        images[k] = _shrink(canvas.rgb)
        iuv[k] = canvas.iuv[::_FINE, ::_FINE]
    points = figure_room.project(np.stack([skeleton.joints[name] for name in BODY_25], axis=1), size)
    points[..., 2] = 1
    return FigureClip(images, points.astype(np.float32), iuv, _shrink(fine), fps)


def placed(skeleton: Skeleton, scale: Any, shift: Any, *, size: int, growth: float = 1.0) -> Skeleton:
    """The skeleton elsewhere: filmed, its joints are at `scale * (x, y) + shift` instead of (x, y), to the pixel.

    It keeps its orientation and moves to the distance at which a body `growth` times as large looks `scale` times as
    large. So `film(a, placed(b, ..., growth=height of a / height of b))` is a in the poses of b.

    Args:
        skeleton: of t frames.
        scale: t numbers.
        shift: t times x and y, in pixels.
        size: width and height of the picture in pixels.
        growth: size of the body that it is filmed with, over that of its own.
    """
    checks.shape('shift', shift, 't 2', sizes=checks.shape('scale', scale, 't', sizes={'t': len(skeleton.chest)}))
    scale, shift = np.asarray(scale, np.float64), np.asarray(shift, np.float64)

    def place(joint: np.ndarray) -> np.ndarray:
        pixels = figure_room.project(joint, size)
        moved = scale[:, None] * pixels[:, :2] + shift
        return figure_room.unproject(np.column_stack([moved, pixels[:, 2] * growth / scale]), size)

    return skeleton._replace(joints={name: place(joint) for name, joint in skeleton.joints.items()})


def _shrink(fine: np.ndarray) -> np.ndarray:
    height, width = fine.shape[0] // _FINE, fine.shape[1] // _FINE
    mean = fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]
    return (mean * (255 / 4) + 0.5).astype(np.uint8).reshape(height, width, 3)


def _shadow(canvas: Canvas, skeleton: Skeleton, k: int, height: float) -> None:
    joints = {name: joint[k] for name, joint in skeleton.joints.items()}
    feet = np.stack([joints['l_ankle'], joints['r_ankle'], joints['mid_hip']])
    feet[:, 1] = figure_motion.floor(joints, height)
    projected = figure_room.project(feet, len(canvas.depth))
    figure_room.shadow(canvas.rgb, projected[:2], 0.17)
    figure_room.shadow(canvas.rgb, projected[2:], 0.4)
