"""People on film with their key points, for the reenactment of bodies: folders, videos, and the embedded figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from neurend import app
from neurend.checks import InputError
from neurend.data import clips, figure, figure_flow, openpose, pairs
from neurend.data.figure import FigureClip
from neurend.data.figure_clothes import Appearance
from neurend.data.figure_motion import Skeleton
from neurend.geometry import skeletons
from neurend.geometry.skeletons import Person
from neurend.images import io, video
from neurend.models.reenactment import smoothing
from neurend.models.reenactment.normalization import PoseNormalization


class Film(NamedTuple):
    """The embedded figure: all that is known about it."""

    appearance: Appearance
    skeleton: Skeleton
    clip: FigureClip

    def flow(self) -> tuple[np.ndarray, np.ndarray]:
        """See `figure_flow.flow`."""
        return figure_flow.flow(*self)

    def part(self, start: int, stop: int) -> 'Film':
        """Some of its frames."""
        skeleton, clip, part = self.skeleton, self.clip, slice(start, stop)
        joints = {name: joint[part] for name, joint in skeleton.joints.items()}
        skeleton = Skeleton(joints, skeleton.pelvis[part], skeleton.chest[part], skeleton.head[part])
        clip = clip._replace(images=clip.images[part], keypoints=clip.keypoints[part], iuv=clip.iuv[part])
        return Film(self.appearance, skeleton, clip)


class Footage(NamedTuple):
    """One person on film.

    Attributes:
        images: `[t h w 3]` uint8.
        people: one per frame, in pixels of the images; None where nobody was found.
        fps: frames per second.
        film: of the embedded figure, else None.
    """

    images: np.ndarray
    people: Sequence[Person | None]
    fps: float
    film: Film | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.images.shape[2], self.images.shape[1]

    def part(self, start: int, stop: int) -> 'Footage':
        """The frames from `start` up to but without `stop`."""
        film = None if self.film is None else self.film.part(start, stop)
        return Footage(self.images[start:stop], self.people[start:stop], self.fps, film)


def embedded(name: Literal['a', 'b'], frames: int, size: tuple[int, int]) -> Footage:
    """The figure 'a' or 'b' at 25 frames a second.

    Raises:
        InputError: the pictures are not square.
    """
    if size[0] != size[1]:
        raise InputError(f'size: got {size[0]} x {size[1]}, expected a square for the embedded figure')
    appearance, motion = figure.person(name)
    return filmed(appearance, figure.pose(appearance, motion, frames), size[0])


def filmed(appearance: Appearance, skeleton: Skeleton, size: int) -> Footage:
    """The embedded figure in given poses."""
    clip = figure.film(appearance, skeleton, size)
    people = [Person(points, None, None, None, layout=skeletons.BODY_25) for points in clip.keypoints]
    return Footage(clip.images, people, clip.fps, Film(appearance, skeleton, clip))


def read(frames: str, keypoints: str, size: tuple[int, int]) -> Footage:
    """Footage from files.

    Args:
        frames: folder of pictures, or video.
        keypoints: folder with OpenPose's JSON of each frame; of several people the one who is followed from the first.
        size: (width, height) that frames, and points with them, are stretched to.

    Raises:
        InputError: something is missing or damaged, nobody was found at all, there is not one file per frame, or files
            are not in the order of their numbers when sorted by name.
    """
    if not keypoints:
        raise InputError(f"{frames}: got no key points beside it, expected a folder with OpenPose's JSON of each frame")
    if Path(frames).is_dir():
        first = io.probe(pairs.pictures(Path(frames))[0])
        whole = first.width, first.height
        clip = clips.read_frames(frames, size=size)
    else:
        image = next(iter(video.read(frames)), None)
        whole = (1, 1) if image is None else (image.shape[1], image.shape[0])
        clip = clips.read_video(frames, size=size)
    numbered = [path.stem for path in clips.beside(keypoints, len(clip))]
    found = openpose.read_folder(keypoints)
    if numbered != list(found.names):
        raise InputError(f'{keypoints}: the order by number and by name differ; pad the numbers with zeros')
    for names, what in ((found.empty, 'nobody'), (found.crowded, 'several people, of whom one was followed,')):
        if names:
            app.say(f'{keypoints}: {what} in {len(names)} of {len(clip)} frames, first in {names[0]}')
    if len(found.empty) == len(clip):
        raise InputError(f'{keypoints}: nobody in any of {len(clip)} frames')
    scale = size[0] / whole[0], size[1] / whole[1]
    people = [None if person is None else skeletons.moved(person, scale=scale) for person in found.people]
    return Footage(clip.images, people, clip.fps)


def smoothed(source: Footage, window: int) -> Footage:
    """With medians of the key points over a window; half a window of frames is lost at both ends."""
    people = smoothing.smooth_people(source.people, window=window)
    return source.part(window // 2, len(source.people) - window // 2)._replace(people=people)


def runs(people: Sequence[Person | None]) -> list[tuple[int, int]]:
    """The stretches (start, stop) of consecutive frames in which somebody was found."""
    found = np.concatenate([[0], [person is not None for person in people], [0]]).astype(int)
    change = np.diff(found)
    return list(zip(np.flatnonzero(change == 1).tolist(), np.flatnonzero(change == -1).tolist()))


def middle(people: Sequence[Person | None]) -> float:
    """Where somebody is from left to right: the median over frames of the mean x of the joints found, in pixels."""
    found = [person.body[person.body[:, 2] > 0, 0] for person in people if person is not None]
    return float(np.median([x.mean() for x in found if len(x)]))


def driven(target: Film, source: Film, placement: PoseNormalization, *, sideways: float = 0.0) -> Footage:
    """What the embedded target looks like in the poses of the embedded source, placed as it would stand.

    Args:
        target, source: who is seen, and who drives.
        placement: of poses of the source.
        sideways: added to x, in pixels.
    """
    ankles = list(skeletons.BODY_25.ankles)
    width = source.clip.images.shape[2]
    # Where everybody is found, the lower ankle is all that placement depends on.
    places = [placement.placement(float(points[ankles, 1].max()), width=width) for points in source.clip.keypoints]
    growth = target.appearance.height / source.appearance.height
    scale = np.array([s for s, _ in places])
    shift = np.array([t for _, t in places]) + np.array([[sideways, 0]])
    return filmed(target.appearance, figure.placed(source.skeleton, scale, shift, size=width, growth=growth), width)
