"""Key points from OpenPose's JSON files (Cao et al. 2017): one file per frame, everybody in it."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neurend import checks
from neurend.geometry import skeletons
from neurend.geometry.skeletons import Person

Rule = Literal['largest', 'nearest']
_LAYOUTS = {3 * len(layout.joints): layout for layout in skeletons.LAYOUTS}
_PARTS = {
    'face_keypoints_2d': 3 * skeletons.FACE_POINTS,
    'hand_left_keypoints_2d': 3 * skeletons.HAND_POINTS,
    'hand_right_keypoints_2d': 3 * skeletons.HAND_POINTS,
}


@dataclasses.dataclass(frozen=True)
class Clip:
    """One person through the frames of a video.

    Attributes:
        names: of the files, without suffix, sorted.
        people: one per frame; None where nobody was found.
        empty: names of the frames in which nobody was found.
        crowded: names of the frames in which somebody had to be chosen.
    """

    names: tuple[str, ...]
    people: tuple[Person | None, ...]
    empty: tuple[str, ...]
    crowded: tuple[str, ...]


def read_frame(path: str | os.PathLike[str]) -> list[Person]:
    """Reads everybody in one frame; people without a single joint of the body are left out.

    The length of `pose_keypoints_2d` decides the layout: 54 is COCO-18, 69 BODY-23, 75 BODY-25. Face and hands that are
    empty or absent are None.

    Raises:
        InputError: the file is missing, not OpenPose's JSON, or has a vector of a wrong length or with numbers that are
            not finite.
    """
    value = read_json(path, 'key points')
    if not isinstance(value, dict) or not isinstance(value.get('people'), list):
        raise checks.InputError(f'{path}: no list under "people", expected the JSON that OpenPose writes per frame')
    people = [_person(entry, f'{path}: person {i}') for i, entry in enumerate(value['people'])]
    return [person for person in people if (person.body[:, 2] > 0).any()]


def select(people: list[Person], *, rule: Rule, previous: Person | None = None) -> Person | None:
    """Chooses one of the people in a frame.

    Args:
        people: any number, of one layout.
        rule: 'largest', the one whose joints of the body have the largest bounding box (the first among equals);
            'nearest', the one whose joints are nearest to those of `previous`, by the mean distance of the joints found
            in both, and the largest where there is no previous person or none shares a joint with it.
        previous: who was chosen in an earlier frame.

    Returns:
        The person, None if there is nobody.

    Raises:
        InputError: an unknown rule.
    """
    checks.one_of('rule', rule, ('largest', 'nearest'))
    if not people:
        return None
    if rule == 'nearest' and previous is not None:
        distances = [_distance(person, previous) for person in people]
        if np.isfinite(min(distances)):
            return people[int(np.argmin(distances))]
    return people[int(np.argmax([_area(person) for person in people]))]


def read_folder(folder: str | os.PathLike[str], *, rule: Rule = 'nearest') -> Clip:
    """Reads a folder of frames, `*.json` sorted by name, and follows one person through it.

    Args:
        folder: which.
        rule: see `select`; the previous person is that of the last frame in which there was one.

    Raises:
        InputError: no such folder, no frames in it, frames of different layouts, or see `read_frame`.
    """
    paths = list_json(folder)
    people: list[Person | None] = []
    empty, crowded, previous = [], [], None
    for path in paths:
        everybody = read_frame(path)
        layouts = {person.layout.name for person in [*everybody, *([previous] if previous else [])]}
        if len(layouts) > 1:
            raise checks.InputError(f'{path}: layouts {", ".join(sorted(layouts))} in one clip, expected one; split it')
        chosen = select(everybody, rule=rule, previous=previous)
        if chosen is None:
            empty.append(path.stem)
        elif len(everybody) > 1:
            crowded.append(path.stem)
        people.append(chosen)
        previous = chosen or previous
    return Clip(tuple(path.stem for path in paths), tuple(people), tuple(empty), tuple(crowded))


def list_json(folder: str | os.PathLike[str]) -> list[Path]:
    """The JSON files of a folder, sorted by name.

    Raises:
        InputError: no such folder, or no such file in it.
    """
    if not Path(folder).is_dir():
        raise checks.InputError(f'{folder}: no such folder')
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix == '.json')
    if not paths:
        raise checks.InputError(f'{folder}: holds no .json files, expected one per frame')
    return paths


def read_json(path: str | os.PathLike[str], what: str) -> Any:
    """The value in a JSON file; `what` names the file in errors.

    Raises:
        InputError: missing, or not JSON.
    """
    try:
        return json.loads(checks.file(path, what).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        if isinstance(error, checks.InputError):
            raise
        raise checks.InputError(f'{what} {path}: not JSON ({error}); export it again') from error


def floats(value: list, name: str) -> np.ndarray:
    """Numbers of a JSON file, nested as they may be, as float32; `name` names them in errors.

    Raises:
        InputError: one is not finite as a float32.
    """
    try:
        with np.errstate(over='ignore'):
            array = np.array(value, np.float64).astype(np.float32)
    except OverflowError as error:
        raise checks.InputError(f'{name}: holds an integer too large for pixels; export it again') from error
    checks.finite(name, array, 'Export it again')
    return array


def _person(entry: Any, name: str) -> Person:
    if not isinstance(entry, dict):
        raise checks.InputError(f'{name} is a {type(entry).__name__}, expected an object with "pose_keypoints_2d"')
    body = _vector(entry, 'pose_keypoints_2d', tuple(_LAYOUTS), name)
    if body is None:
        raise checks.InputError(f'{name} has no "pose_keypoints_2d", expected {_lengths(tuple(_LAYOUTS))} numbers')
    parts = [_vector(entry, key, (length,), name) for key, length in _PARTS.items()]
    return Person(body, *parts, layout=_LAYOUTS[body.size])


def _vector(entry: dict[str, Any], key: str, lengths: tuple[int, ...], name: str) -> np.ndarray | None:
    """Points [p 3] under a key, None if there are none."""
    value = entry.get(key)
    if value is None or value == []:
        return None
    label = f'{name}, "{key}"'
    numbers = isinstance(value, list) and all(type(number) in (int, float) for number in value)
    if not numbers or len(value) not in lengths:
        came = f'{len(value)} numbers' if numbers else 'something else than a list of numbers'
        raise checks.InputError(f'{label}: got {came}, expected {_lengths(lengths)} of x, y, confidence')
    return floats(value, label).reshape(-1, 3)


def _lengths(lengths: tuple[int, ...]) -> str:
    return ' or '.join(str(length) for length in lengths)


def _area(person: Person) -> float:
    found = person.body[person.body[:, 2] > 0, :2]
    return float(np.prod(np.ptp(found, axis=0))) if len(found) else 0.0


def _distance(person: Person, other: Person) -> float:
    if person.layout != other.layout:
        return float('inf')
    both = (person.body[:, 2] > 0) & (other.body[:, 2] > 0)
    apart = np.linalg.norm(person.body[both, :2] - other.body[both, :2], axis=1)
    return float(apart.mean()) if both.any() else float('inf')
