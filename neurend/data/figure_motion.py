"""How the procedural figure moves: joint angles as sums of sines, joints by forward kinematics, in NumPy float64.

Body axes are x to the person's left, y down, z to the back; turned by no angle the person faces the camera, which looks
along +z, so that body and world axes agree. Lengths are in metres, angles in radians.
"""

import dataclasses
import math
from typing import Literal, NamedTuple, Protocol

import numpy as np

from neurend.geometry import skeletons

Kind = Literal['all', 'walk', 'wave', 'dance']
KINDS = ('all', 'walk', 'wave', 'dance')
BODY_25 = tuple(
    name.replace('right ', 'r_').replace('left ', 'l_').replace(' ', '_') for name in skeletons.BODY_25.joints
)
"""Names here of the joints of `neurend.geometry.skeletons.BODY_25`, in its order."""
HEAD_RADII = (0.047, 0.067, 0.058)
"""Semi-axes of the head along its own axes, as fractions of the height."""
# On the unit ball that HEAD_RADII stretch, in the head's axes; of the left side.
_EYE = (0.36, -0.02, -0.93)
_EAR = (1.0, 0.08, 0.05)
_NOSE = (0.0, 0.22, -1.2)
_SOLE = 0.012


@dataclasses.dataclass(frozen=True)
class Motion:
    """What a person does, where.

    Attributes:
        kind: 'walk' and 'dance' are on the spot, 'wave' with either arm; 'all' passes from one to the other.
        x: metres to the right of the camera's axis around which the person moves.
        near, far: distances from the camera in metres between which the person slowly comes and goes.
        period: of coming and going, in seconds.
        tempo: speed of everything else; 1 is a walk of about one double step a second.
        seed: of the phases.
    """

    kind: Kind = 'all'
    x: float = 0.0
    near: float = 3.9
    far: float = 5.0
    period: float = 12.0
    tempo: float = 1.0
    seed: int = 0


class Proportions(NamedTuple):
    """Lengths of a body: its height in metres, the others as fractions of an ordinary body's of that height."""

    height: float
    legs: float = 1.0
    shoulders: float = 1.0


class Skeleton(NamedTuple):
    """Joints and frames of a moving body over `t` instants, world axes.

    Attributes:
        joints: `[t 3]` each, by the names of `BODY_25`, and 'l_hand', 'r_hand', 'head' (its centre), 'waist'.
        pelvis, chest, head: `[t 3 3]`, world from body axes.
    """

    joints: dict[str, np.ndarray]
    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray


class Sine(Protocol):
    """A sine `[t]` of some rate (in cycles per second at tempo 1), with the k-th random phase."""

    def __call__(self, rate: float, k: int, shift: float = 0.0) -> np.ndarray: ...


def move(motion: Motion, body: Proportions, times: np.ndarray, ground: float) -> Skeleton:
    """The skeleton at times `[t]` in seconds; its lower foot stands on the plane y = `ground`."""
    angles = _angles(motion, times)
    height = body.height
    pelvis = _turn(angles['yaw'])
    chest = pelvis @ _tilt(angles['side']) @ _flex(-angles['lean']) @ _turn(angles['twist'])
    head = chest @ _turn(angles['look']) @ _flex(angles['nod'])
    joints = {'mid_hip': np.zeros((len(times), 3))}
    spine = 0.30 - 0.52 * (body.legs - 1)
    joints['waist'] = _at(joints['mid_hip'], chest, 0, -0.35 * spine * height, 0)
    joints['neck'] = _at(joints['mid_hip'], chest, 0, -spine * height, 0)
    joints['head'] = _at(_at(joints['neck'], chest, 0, -0.03 * height, 0), head, 0, -0.074 * height, -0.008 * height)
    for name, place in (('nose', _NOSE), ('l_eye', _EYE), ('l_ear', _EAR)):
        joints[name] = _at(joints['head'], head, *(np.multiply(place, HEAD_RADII) * height))
    for name, (x, y, z) in (('r_eye', _EYE), ('r_ear', _EAR)):
        joints[name] = _at(joints['head'], head, *(np.multiply((-x, y, z), HEAD_RADII) * height))
    for side, sign in (('l', 1), ('r', -1)):
        a = {name.removeprefix(f'{side}_'): value for name, value in angles.items()}
        _add_arm(joints, a, chest, side, sign, body)
        _add_leg(joints, a, pelvis, side, sign, body)
    root = np.stack([motion.x + angles['x'], ground - floor(joints, height), angles['z']], axis=-1)
    return Skeleton({name: joint + root for name, joint in joints.items()}, pelvis, chest, head)


def floor(joints: dict[str, np.ndarray], height: float) -> np.ndarray:
    """The y `[...]` of the ground under joints `[... 3]`, on which the lower foot stands, for a body of a height."""
    soles = [joints[f'{side}_{part}'][..., 1] for side in 'lr' for part in ('heel', 'big_toe')]
    return np.max(soles, axis=0) + _SOLE * height


def _add_arm(joints: dict, a: dict, chest: np.ndarray, side: str, sign: int, body: Proportions) -> None:
    height = body.height
    across = sign * 0.105 * body.shoulders * height
    shoulder = _at(joints['neck'], chest, across, 0.03 * height, 0)
    upper = chest @ _tilt(sign * a['arm_out']) @ _flex(a['arm']) @ _turn(sign * a['arm_twist'])
    fore = upper @ _flex(a['elbow'])
    elbow = _at(shoulder, upper, 0, 0.172 * height, 0)
    wrist = _at(elbow, fore, 0, 0.15 * height, 0)
    joints |= {f'{side}_shoulder': shoulder, f'{side}_elbow': elbow, f'{side}_wrist': wrist}
    joints[f'{side}_hand'] = _at(wrist, fore, 0, 0.062 * height, -0.008 * height)


def _add_leg(joints: dict, a: dict, pelvis: np.ndarray, side: str, sign: int, body: Proportions) -> None:
    height, length = body.height, body.legs * body.height
    hip = _at(joints['mid_hip'], pelvis, sign * 0.052 * height, 0.01 * height, 0)
    thigh = pelvis @ _tilt(sign * a['leg_out']) @ _flex(a['leg'])
    knee = _at(hip, thigh, 0, 0.245 * length, 0)
    shank = thigh @ _flex(-a['knee'])
    ankle = _at(knee, shank, 0, 0.235 * length, 0)
    # A foot stays nearly level, and points down where the leg is behind.
    foot = pelvis @ _turn(sign * 0.25 + 0 * a['leg']) @ _flex(0.45 * np.minimum(a['leg'] - a['knee'], 0.3))
    joints |= {f'{side}_hip': hip, f'{side}_knee': knee, f'{side}_ankle': ankle}
    joints[f'{side}_heel'] = _at(ankle, foot, 0, 0.03 * height, 0.022 * height)
    joints[f'{side}_big_toe'] = _at(ankle, foot, -sign * 0.01 * height, 0.034 * height, -0.098 * height)
    joints[f'{side}_small_toe'] = _at(ankle, foot, sign * 0.016 * height, 0.034 * height, -0.08 * height)


def _angles(motion: Motion, times: np.ndarray) -> dict[str, np.ndarray]:
    """All angles `[t]` by name, mixed from the kinds; x and z are places in metres."""
    phase = np.random.default_rng(motion.seed).uniform(0, 2 * math.pi, 32)
    beat = 2 * math.pi * motion.tempo * times

    def sine(rate: float, k: int, shift: float = 0.0) -> np.ndarray:
        return np.sin(rate * beat + phase[k] + shift)

    kinds = {'walk': _walk(sine), 'wave': _wave(sine), 'dance': _dance(sine)}
    names = tuple(kinds)
    if motion.kind == 'all':
        clock = beat / 14 + phase[31]
        weight = np.stack([np.exp(4 * np.cos(clock - 2 * math.pi * k / 3)) for k in range(3)])
        weight /= weight.sum(axis=0)
    else:
        weight = np.stack([np.full(len(times), float(name == motion.kind)) for name in names])
    mixed = {key: np.sum([w * kinds[name][key] for w, name in zip(weight, names)], axis=0) for key in kinds['walk']}
    middle, reach = (motion.near + motion.far) / 2, (motion.far - motion.near) / 2
    mixed['z'] = middle + reach * np.sin(2 * math.pi * times / motion.period + phase[30])
    mixed['yaw'] = mixed['yaw'] + 0.25 * sine(0.09, 29)
    return {key: np.broadcast_to(value, times.shape) for key, value in mixed.items()}


def _walk(sine: Sine) -> dict[str, np.ndarray]:
    step, angles = sine(0.95, 0), {}
    for sign, side in ((1, 'l'), (-1, 'r')):
        swing = 0.5 + 0.5 * sign * sine(0.95, 0, math.pi / 2)  # 1 where the leg swings forward fastest
        angles |= {
            f'{side}_leg': 0.12 + sign * 0.33 * step + 0.2 * swing**2,
            f'{side}_knee': 0.12 + 0.75 * swing**2,
            f'{side}_leg_out': 0.03 + 0 * step,
            f'{side}_arm': -sign * 0.42 * step,
            f'{side}_arm_out': 0.14 + 0.03 * sine(0.4, 1),
            f'{side}_arm_twist': 0 * step,
            f'{side}_elbow': 0.35 - sign * 0.2 * step,
        }
    body = {'yaw': 0 * step, 'twist': 0.1 * step, 'side': 0.03 * sine(0.95, 2), 'lean': 0.04 + 0.02 * sine(1.9, 3)}
    return angles | body | {'look': 0.15 * sine(0.21, 4), 'nod': 0.05 * sine(0.5, 5), 'x': 0.04 * sine(0.13, 6)}


def _wave(sine: Sine) -> dict[str, np.ndarray]:
    either = np.tanh(2.5 * sine(0.12, 7))
    sway, angles = sine(0.3, 8), {}
    for sign, side in ((1, 'l'), (-1, 'r')):
        up = 0.5 + 0.5 * sign * either
        angles |= {
            f'{side}_leg': 0.05 + sign * 0.04 * sway,
            f'{side}_knee': 0.1 + sign * 0.07 * sway,
            f'{side}_leg_out': 0.07 + sign * 0.03 * sway,
            f'{side}_arm': 0.1 + 0.15 * up * sine(0.6, 9),
            f'{side}_arm_out': 0.18 + up * (1.25 + 0.12 * sine(0.5, 10)),
            f'{side}_arm_twist': 1.5 * up,
            f'{side}_elbow': 0.3 + up * (0.85 + 0.5 * sine(1.4, 11)),
        }
    body = {'yaw': 0.1 * sway, 'twist': 0.05 * sway, 'side': 0.06 * sway, 'lean': 0.02 * sine(0.5, 12)}
    return angles | body | {'look': 0.25 * sine(0.17, 13), 'nod': 0.06 * sine(0.6, 14), 'x': 0.06 * sway}


def _dance(sine: Sine) -> dict[str, np.ndarray]:
    angles = {}
    for k, side in ((0, 'l'), (1, 'r')):
        bend = 0.35 + 0.28 * sine(1.0, 15 + k)
        angles |= {
            f'{side}_leg': 0.6 * bend + 0.1 * sine(0.5, 17),
            f'{side}_knee': bend + 0.05,
            f'{side}_leg_out': 0.16 + 0.08 * sine(0.5, 18 + k),
            f'{side}_arm': 0.35 + 0.55 * sine(0.5, 20 + k),
            f'{side}_arm_out': 0.75 + 0.55 * sine(0.35, 22 + k),
            f'{side}_arm_twist': 0.5 + 0.7 * sine(0.27, 24 + k),
            f'{side}_elbow': 1.0 + 0.6 * sine(0.7, 26 + k),
        }
    body = {'yaw': 0.35 * sine(0.23, 28), 'twist': 0.2 * sine(0.5, 0), 'side': 0.14 * sine(0.5, 1)}
    rest = {'lean': 0.08 * sine(1.0, 2), 'look': 0.3 * sine(0.31, 3), 'nod': 0.1 * sine(1.0, 4)}
    return angles | body | rest | {'x': 0.16 * sine(0.25, 5)}


def _at(origin: np.ndarray, axes: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    return origin + axes @ np.array([x, y, z])


def _flex(angle: np.ndarray) -> np.ndarray:
    """Around the x axis: what hangs down swings to the front."""
    c, s, o, i = np.cos(angle), np.sin(angle), 0 * angle, 0 * angle + 1
    return np.stack([i, o, o, o, c, s, o, -s, c], axis=-1).reshape(-1, 3, 3)


def _tilt(angle: np.ndarray) -> np.ndarray:
    """Around the z axis: what hangs down swings to the left."""
    c, s, o, i = np.cos(angle), np.sin(angle), 0 * angle, 0 * angle + 1
    return np.stack([c, s, o, -s, c, o, o, o, i], axis=-1).reshape(-1, 3, 3)


def _turn(angle: np.ndarray) -> np.ndarray:
    """Around the y axis: the front turns to the left."""
    c, s, o, i = np.cos(angle), np.sin(angle), 0 * angle, 0 * angle + 1
    return np.stack([c, o, -s, o, i, o, s, o, c], axis=-1).reshape(-1, 3, 3)
