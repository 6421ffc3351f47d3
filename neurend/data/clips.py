"""Clips: frames in order with their conditions, from folders of pictures and from video files."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurend import checks
from neurend.data import pairs as pairs_lib
from neurend.images import io, video


@dataclasses.dataclass(frozen=True)
class Clip:
    """Consecutive frames of one size.

    Attributes:
        name: for messages.
        images: `[t h w 3]` uint8, sRGB.
        conditions: `[t h w c]` uint8, or None where they are still to be drawn (e.g. from keypoints).
        fps: frames per second.

    Raises:
        InputError: no frames, wrong types, or conditions that do not match the images in number and size.
    """

    name: str
    images: np.ndarray
    conditions: np.ndarray | None = None
    fps: float = 25.0

    def __post_init__(self):
        sizes = checks.shape(f'images of clip {self.name}', self.images, 't h w 3')
        if not sizes['t']:
            raise checks.InputError(f'clip {self.name}: no frames, expected at least one')
        if self.conditions is not None:
            what = f'conditions of clip {self.name}'
            checks.shape(what, self.conditions, 't h w c', 'One for each frame, of its size', sizes=sizes)
        for array in (self.images, self.conditions):
            if array is not None and array.dtype != np.uint8:
                raise checks.InputError(f'clip {self.name}: got dtype {array.dtype}, expected uint8')

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int, stop: int) -> 'Clip':
        """The frames from `start` up to but without `stop`; the pixels are shared.

        Raises:
            InputError: not a part of the clip.
        """
        if not 0 <= start < stop <= len(self):
            raise checks.InputError(f'clip {self.name}: got frames {start} to {stop}, expected within 0 to {len(self)}')
        conditions = None if self.conditions is None else self.conditions[start:stop]
        return dataclasses.replace(self, images=self.images[start:stop], conditions=conditions)


def read_frames(
    images: str | Path,
    *,
    conditions: str | Path | None = None,
    fps: float = 25,
    size: tuple[int, int] | None = None,
    labels: bool = False,
) -> Clip:
    """Reads a folder of frames, in the order of the numbers in their names.

    Args:
        images: folder of PNG or JPEG files.
        conditions: folder with a file of the same name (but for the suffix) for each frame.
        fps: frames per second.
        size: (width, height) that all frames are resized to, see `pairs.resize`; as they are by default.
        labels: the conditions name classes: keep their values when resizing.

    Raises:
        InputError: see `pairs.two_folders`; frames of different sizes.
    """
    folder = Path(images)
    if conditions is None:
        names = tuple(path.stem for path in pairs_lib.pictures(folder))
        pictures = tuple(io.read(path, channels=3) for path in pairs_lib.pictures(folder))
        maps = None
    else:
        names, maps, pictures = pairs_lib.two_folders(conditions, folder)
    images_stack = _stack(str(images), names, pictures, size)
    maps_stack = None if maps is None else _stack(str(conditions), names, maps, size, labels=labels)
    return Clip(folder.name, images_stack, maps_stack, fps)


def read_video(path: str | Path, *, size: tuple[int, int] | None = None, limit: int | None = None) -> Clip:
    """Reads a video file; needs the extra `video`.

    Args:
        path: anything that PyAV decodes.
        size: (width, height) that the frames are resized to as they are decoded; as they are by default.
        limit: read no more than this many frames.

    Raises:
        InputError: see `images.video.read`; no frames, or frames of different sizes.
    """
    file = Path(path)
    if limit is not None and limit < 1:
        raise checks.InputError(f'limit: got {limit}, expected at least 1 frame')
    decoded = itertools.islice(video.read(file), limit)
    pictures = [frame if size is None else pairs_lib.resize(frame, size) for frame in decoded]
    if not pictures:
        raise checks.InputError(f'video {file}: no frames could be decoded, expected at least one; is it whole?')
    names = [str(i) for i in range(len(pictures))]
    return Clip(file.stem, _stack(str(file), names, pictures), fps=video.frame_rate(file))


def beside(folder: str | Path, count: int, *, suffix: str = '.json') -> tuple[Path, ...]:
    """The files that describe the frames of a clip, one each (keypoints, landmarks), in order; none is opened.

    Args:
        folder: with the files; numbers in their names give the order.
        count: how many frames there are.
        suffix: of the files, with its dot.

    Raises:
        InputError: no such folder, or another number of files than frames.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise checks.InputError(f'{folder}: no such folder, expected one with {count} {suffix} files')
    found = pairs_lib.in_order([path for path in folder.iterdir() if path.suffix == suffix])
    if len(found) != count:
        raise checks.InputError(f'{folder}: {len(found)} {suffix} files, expected {count}, one for each frame')
    return tuple(found)


def _stack(
    source: str,
    names: Sequence[str],
    pictures: Sequence[np.ndarray],
    size: tuple[int, int] | None = None,
    *,
    labels: bool = False,
) -> np.ndarray:
    if size is not None:
        pictures = [pairs_lib.resize(picture, size, labels=labels) for picture in pictures]
    first = pictures[0].shape
    for name, picture in zip(names, pictures):
        if picture.shape != first:
            raise checks.InputError(
                f'{source}: frame {name} has {picture.shape[1]} x {picture.shape[0]} pixels and {picture.shape[2]} '
                f'channels, the first {first[1]} x {first[0]} and {first[2]}, expected the same; give a size'
            )
    return np.stack(pictures)
