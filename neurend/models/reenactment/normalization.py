"""Poses of one person made to fit another: feet where the other's feet go, and the other's size.

Global pose normalisation of Chan et al., "Everybody Dance Now" (2019). The height of the feet in the picture tells how
far away somebody stands; the range of it in one video is mapped to that in the other, and so are the sizes at its ends.

Sound where their code is not: all frames are used instead of a random draw; all layouts work; both ankles are asked for
(theirs tests an ear instead of the left one); the largest height of a video is the largest number; where no frame is
near an end of the range, the nearest frame counts; people are scaled about their own feet, so that these land where the
map says (theirs uses the feet of the first frame); beyond the ends of the range places are extrapolated and sizes are
not, since a jump does not make small; frames before the first valid one are placed like it.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from neurend import checks
from neurend.geometry import skeletons
from neurend.geometry.skeletons import Person
from neurend.images import io

_NEAR_END = 0.05  # of the range: frames whose heights count at its ends
_CLOSE_ENOUGH = 0.9  # of the largest height: what the closest frames must reach to be trusted


@dataclasses.dataclass(frozen=True)
class PoseNormalization:
    """The map from a source person's poses to a target person's.

    Attributes:
        scale_close: the target's size over the source's where they are closest.
        scale_far: the same where they are farthest.
        maxtoe_target, horizon_target: y of the feet where the target is closest and farthest, in pixels.
        maxtoe_source, horizon_source: those of the source.

    Raises:
        InputError: a number is not finite, a scale not positive, or a maxtoe less than its horizon.
    """

    scale_close: float
    scale_far: float
    maxtoe_target: float
    horizon_target: float
    maxtoe_source: float
    horizon_source: float

    def __post_init__(self):
        checks.finite('pose normalisation', dataclasses.astuple(self))
        ranges = self.maxtoe_target - self.horizon_target, self.maxtoe_source - self.horizon_source
        if min(self.scale_close, self.scale_far) <= 0 or min(ranges) < 0:
            raise checks.InputError(f'{self}: expected positive scales, and each maxtoe at least its horizon')

    def apply(self, people: Sequence[Person | None], *, width: int) -> list[Person | None]:
        """Places a clip of the source person as the target would stand.

        Frames without head or without both ankles are placed like the last that had them.

        Args:
            people: one per frame; None stays None.
            width: of the frames, in pixels; x scales about their middle.

        Raises:
            InputError: no frame has head and ankles.
        """
        stances = [_stance(person) for person in people]
        if all(stance is None for stance in stances):
            raise checks.InputError(f'people: none of {len(people)} frames has a head and both ankles, expected one')
        last = next(stance for stance in stances if stance is not None)
        placed = []
        for person, stance in zip(people, stances):
            last = stance or last
            scale, shift = self.placement(last[0], width=width)
            placed.append(None if person is None else skeletons.moved(person, scale=scale, shift=shift))
        return placed

    def placement(self, toe: float, *, width: int) -> tuple[float, tuple[float, float]]:
        """Scale and shift of somebody whose lower ankle is at y = `toe`, for `skeletons.moved`."""
        source = self.maxtoe_source - self.horizon_source
        target = self.maxtoe_target - self.horizon_target
        above = toe - self.horizon_source
        # Without a range of its own the source only moves.
        y = self.horizon_target + above * (target / source if source else 1.0)
        near = min(max(above / source, 0.0), 1.0) if source else 1.0
        scale = self.scale_far + near * (self.scale_close - self.scale_far)
        return scale, (width / 2 * (1 - scale), y - scale * toe)


def fit(
    source_people: Sequence[Person | None], target_people: Sequence[Person | None], *, fraction: float = 0.5
) -> PoseNormalization:
    """Measures two videos, whose frames have the same size.

    Args:
        source_people: the person who drives, one per frame; None and frames without head or ankles are passed over.
        target_people: the person who is to be seen.
        fraction: how far above the median the feet may be, relative to how far below it they come, before it is taken
            for a jump; between 0 and 1, 0.5 or 0.7 in the paper's code.

    Raises:
        InputError: a video without a frame that has a head and both ankles, or a fraction out of range.
    """
    if not 0 < fraction <= 1:
        raise checks.InputError(f'fraction: got {fraction}, expected more than 0 and at most 1')
    source = _stances(source_people, 'source_people')
    target = _stances(target_people, 'target_people')
    maxtoe_source, horizon_source = _range(source[:, 0], fraction)
    maxtoe_target, horizon_target = _range(target[:, 0], fraction)
    if maxtoe_source - horizon_source < maxtoe_target - horizon_target:
        middle = (maxtoe_target + horizon_target) / 2
        half = (maxtoe_source - horizon_source) / 2
        maxtoe_target, horizon_target = middle + half, middle - half
    far = _height(target, horizon_target, maxtoe_target - horizon_target) / _height(
        source, horizon_source, maxtoe_source - horizon_source
    )
    close = _close_height(target, maxtoe_target, horizon_target) / _close_height(source, maxtoe_source, horizon_source)
    return PoseNormalization(close, far, maxtoe_target, horizon_target, maxtoe_source, horizon_source)


def write(path: str | os.PathLike[str], normalization: PoseNormalization) -> None:
    """Writes `norm_params.txt`: the scales close and far; then maxtoe and horizon of the target and of the source.

    Raises:
        InputError: the file cannot be written.
    """
    values = [repr(float(value)) for value in dataclasses.astuple(normalization)]
    io.replace(path, f'{" ".join(values[:2])}\n{" ".join(values[2:])}\n'.encode())


def read(path: str | os.PathLike[str]) -> PoseNormalization:
    """Reads what `write` has written.

    Raises:
        InputError: the file is missing, or is not a line of two numbers and one of four that make sense.
    """
    text = checks.file(path, 'pose normalisation').read_bytes()
    try:
        lines = [[float(word) for word in line.split()] for line in text.decode().strip().splitlines()]
        if [len(line) for line in lines] != [2, 4]:
            raise ValueError(f'got lines of {[len(line) for line in lines]} numbers, expected [2, 4]')
        return PoseNormalization(*lines[0], *lines[1])
    except ValueError as error:
        raise checks.InputError(f'{path}: no pose normalisation ({error}); write it again') from error


def _stance(person: Person | None) -> tuple[float, float] | None:
    """The y of the lower ankle and the distance from the head to the middle of the ankles; None without these."""
    if person is None:
        return None
    head = skeletons.head(person)
    ankles = person.body[list(person.layout.ankles)].astype(np.float64)
    if head is None or not (ankles[:, 2] > 0).all():
        return None
    height = float(np.linalg.norm(head - ankles[:, :2].mean(0)))
    return (float(ankles[:, 1].max()), height) if height > 0 else None


def _stances(people: Sequence[Person | None], name: str) -> np.ndarray:
    found = [stance for stance in map(_stance, people) if stance is not None]
    if not found:
        raise checks.InputError(
            f'{name}: none of {len(people)} frames has a head and both ankles, expected at least one'
        )
    return np.array(found)


def _range(toes: np.ndarray, fraction: float) -> tuple[float, float]:
    """The lowest feet, and the highest that are not a jump."""
    maxtoe, median = float(toes.max()), float(np.median(toes))
    above = median - toes
    plausible = above[(above > 0) & (above < fraction * (maxtoe - median))]
    return maxtoe, median - float(plausible.max(initial=0.0))


def _height(stances: np.ndarray, toe: float, extent: float) -> float:
    """The largest height of frames whose feet are near a place, or of those that are nearest to it."""
    apart = np.abs(stances[:, 0] - toe)
    return float(stances[apart <= max(_NEAR_END * extent, apart.min()), 1].max())


def _close_height(stances: np.ndarray, maxtoe: float, horizon: float) -> float:
    height, largest = _height(stances, maxtoe, maxtoe - horizon), float(stances[:, 1].max())
    return height if height >= _CLOSE_ENOUGH * largest else largest
