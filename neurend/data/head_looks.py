"""Who talking heads are and how they move: colours and waves, functions of a seed. NumPy on the host."""

import math
from typing import NamedTuple

import numpy as np

Rgb = tuple[float, float, float]


class Look(NamedTuple):
    """Colours of a head in its picture, sRGB in [0, 1], and where its hair is.

    Attributes:
        skin, hair, iris, lips, backdrop: colours.
        hairline: height above the middle of the face at which the hair begins, in half heights of the face.
        brows: thickness, 1 for usual ones.
        light: direction towards the lamp, unit, in the camera's frame with y up and z to the viewer.
    """

    skin: Rgb
    hair: Rgb
    iris: Rgb
    lips: Rgb
    backdrop: Rgb
    hairline: float
    brows: float
    light: Rgb


class Motion(NamedTuple):
    """How a head moves over t frames.

    Attributes:
        angles: `[t 3]` yaw, pitch and roll in radians.
        shift: `[t 2]` right and up, in widths of the picture.
        jaw, smile, brow: `[t]` in [0, 1].
        blink: `[t]` in [0, 1], 1 with closed eyes.
        pucker: `[t]` in [0, 1].
    """

    angles: np.ndarray
    shift: np.ndarray
    jaw: np.ndarray
    smile: np.ndarray
    brow: np.ndarray
    blink: np.ndarray
    pucker: np.ndarray


def look(seed: int) -> Look:
    """Somebody's colours, a function of the seed."""
    random = np.random.default_rng((seed, 1))
    skin = _mix(random.uniform(), (0.93, 0.76, 0.65), (0.36, 0.22, 0.15)) * random.uniform(0.92, 1.05, 3)
    hairs = ((0.07, 0.05, 0.04), (0.3, 0.18, 0.09), (0.75, 0.57, 0.3), (0.55, 0.2, 0.08), (0.6, 0.6, 0.6))
    irises = ((0.2, 0.11, 0.05), (0.25, 0.42, 0.6), (0.27, 0.42, 0.2), (0.4, 0.4, 0.42))
    hair = np.array(hairs[random.integers(len(hairs))]) * random.uniform(0.8, 1.2)
    lips = skin * np.array([0.95, 0.62, 0.62]) * random.uniform(0.8, 1.1)
    light = np.array([random.uniform(-0.9, 0.9), random.uniform(0.0, 0.8), 1.0])
    return Look(
        *(_rgb(color) for color in (skin, hair, irises[random.integers(len(irises))], lips)),
        backdrop=_rgb(random.uniform(0.25, 0.85, 3)),
        hairline=random.uniform(0.5, 0.8),
        brows=random.uniform(0.6, 1.6),
        light=tuple((light / np.linalg.norm(light)).tolist()),
    )


def motion(seed: int, times: np.ndarray) -> Motion:
    """How somebody moves and speaks, a function of seed and times in seconds: sums of slow and fast waves.

    Args:
        seed: of the person, or of the clip.
        times: `[t]`, in any order.
    """
    random = np.random.default_rng((seed, 2))
    times = np.asarray(times, np.float64)

    def wave(slow: float, fast: float) -> np.ndarray:
        """In [-1, 1], mostly well within."""
        rates, phases = random.uniform(slow, fast, 3), random.uniform(0, 2 * math.pi, 3)
        return np.sin(2 * math.pi * rates * times[:, None] + phases) @ np.array([0.55, 0.3, 0.15])

    angles = np.stack([0.5 * wave(0.1, 0.35), 0.25 * wave(0.1, 0.35), 0.15 * wave(0.08, 0.3)], axis=-1)
    shift = 0.04 * np.stack([wave(0.1, 0.3), wave(0.1, 0.3)], axis=-1)
    jaw = np.clip(1.1 * wave(1.2, 2.8), 0, 1)
    smile, brow, pucker = (np.clip(1.3 * wave(0.15, 0.5), 0, 1) for _ in range(3))
    blink = np.clip(12 * wave(0.25, 0.45) - 9.0, 0, 1)
    return Motion(angles, shift, jaw, smile, brow, blink, pucker * (1 - smile))


def _mix(share: float, a: Rgb, b: Rgb) -> np.ndarray:
    return np.array(a) * (1 - share) + np.array(b) * share


def _rgb(color: np.ndarray | Rgb) -> Rgb:
    r, g, b = np.clip(color, 0, 1).tolist()
    return r, g, b
