"""Camera paths of video clips as RealEstate10K lists them (Zhou et al., 2018), to read and write."""

import os
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from neurend import checks
from neurend.data import frames as formats
from neurend.data import posed, stereo
from neurend.data.posed import PosedImages
from neurend.geometry.cameras import Camera
from neurend.images import io

_NUMBERS = 19  # of a line: the time, fx fy cx cy k1 k2, and camera_from_world [3 4] row by row


class CameraPath(NamedTuple):
    """The cameras of a clip.

    Attributes:
        url: of the video.
        timestamps: int64 [n], microseconds from its start.
        cameras: [n], NumPy leaves, of frames of the size they were read for.
    """

    url: str
    timestamps: np.ndarray
    cameras: Camera


def read(path: str | os.PathLike[str], *, size: tuple[int, int]) -> CameraPath:
    """Reads the camera file of a clip. Its intrinsics are parts of a picture's size, so that any size will do.

    Args:
        path: a text file: the video's address, then a line for each frame.
        size: (width, height) of the frames.

    Raises:
        InputError: a line that does not hold 19 numbers, or a pose that is none.
    """
    lines = checks.file(path, 'camera file').read_text().splitlines()
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.split()]
        except ValueError as error:
            raise checks.InputError(f'{path}, line {number}: not numbers ({error}), expected {_NUMBERS}') from error
        if len(row) != _NUMBERS:
            raise checks.InputError(f'{path}, line {number}: {len(row)} numbers, expected {_NUMBERS}')
        rows.append((number, row))
    if not rows:
        raise checks.InputError(
            f'{path}: no frames, expected an address and then a line of {_NUMBERS} numbers for each'
        )
    values = np.array([row for _, row in rows])
    poses = []
    for number, row in rows:
        camera_from_world = formats.rigid(np.reshape(row[7:], (3, 4)), f'{path}, line {number}: pose')
        poses.append(np.linalg.inv(camera_from_world))
    sides = np.array(size, np.float64)
    distortion = np.concatenate([values[:, 5:7], np.zeros((len(rows), 4))], axis=-1)
    cameras = posed.host_cameras(
        world_from_camera=np.stack(poses).astype(np.float32),
        focal=(values[:, 1:3] * sides).astype(np.float32),
        center=(values[:, 3:5] * sides).astype(np.float32),
        distortion=distortion.astype(np.float32),
        size=np.broadcast_to(np.array(size, np.int32), (len(rows), 2)).copy(),
        model='opencv' if distortion.any() else 'pinhole',
    )
    return CameraPath(lines[0].strip(), values[:, 0].astype(np.int64), cameras)


def clips(folder: str | os.PathLike[str], *, size: int, frames: int = 7, stride: int = 5) -> list[PosedImages]:
    """The middles of clips: a folder with `<id>.txt` and, of each, frames `images/<id>/<id>_<timestamp>.jpg`.

    Frames are cut to squares and reduced, see `neurend.data.stereo.fitted`. Content lies between depths 1 and 100, as
    stereo magnification takes it to.

    Args:
        folder: where.
        size: width and height of the result.
        frames: of each clip; shorter ones are left out.
        stride: of all frames every so many are taken.

    Raises:
        InputError: no camera files, none of a clip that is long enough, or frames missing or of several sizes.
    """
    root = Path(folder)
    paths = sorted(root.glob('*.txt'))
    if not paths:
        raise checks.InputError(
            f'{root}: no camera files, expected <id>.txt for each clip and images/<id>/ with frames'
        )
    found = []
    for path in paths:
        listed = read(path, size=(size, size)).timestamps
        first = (len(listed) - (frames - 1) * stride - 1) // 2
        if first >= 0:
            found.append(_clip(path, first + stride * np.arange(frames), size))
    if not found:
        raise checks.InputError(
            f'{root}: no clip of {(frames - 1) * stride + 1} frames, expected some; choose a smaller stride'
        )
    return found


def _clip(path: Path, chosen: np.ndarray, size: int) -> PosedImages:
    """Some frames of a clip, fitted."""
    names = [f'{path.stem}_{time}' for time in read(path, size=(size, size)).timestamps[chosen]]
    images = [io.read(path.parent / 'images' / path.stem / f'{name}.jpg', channels=3) for name in names]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise checks.InputError(f'{path}: frames of {len(shapes)} sizes, expected one')
    height, width = images[0].shape[:2]
    clip = PosedImages(
        names=tuple(names),
        images=tuple(images),
        cameras=jax.tree.map(lambda leaf: leaf[chosen], read(path, size=(width, height)).cameras),
        masks=None,
        near=1.0,
        far=100.0,
        scene_from_source=np.eye(4, dtype=np.float32),
        forward_facing=True,
    )
    return stereo.fitted(clip, size)


def write(path: str | os.PathLike[str], clip: CameraPath) -> None:
    """Writes the camera file of a clip; lens distortion beyond k1 and k2 has no place in it.

    Raises:
        InputError: cameras of another model, such distortion, or as many timestamps as there are no cameras.
    """
    cameras = clip.cameras
    count = len(clip.timestamps)
    checks.shape('cameras.world_from_camera', cameras.world_from_camera, 'n 4 4', sizes={'n': count})
    checks.one_of('cameras.model', cameras.model, ('pinhole', 'opencv'))
    distortion = np.asarray(cameras.distortion, np.float64)
    if distortion[:, 2:].any():
        raise checks.InputError(
            'cameras.distortion: got more than k1 and k2, expected only these; undistort the frames'
        )
    sides = np.asarray(cameras.size, np.float64)
    optics = np.concatenate([np.asarray(cameras.focal) / sides, np.asarray(cameras.center) / sides], axis=-1)
    poses = np.linalg.inv(np.asarray(cameras.world_from_camera, np.float64))[:, :3].reshape(count, 12)
    lines = [clip.url]
    for k in range(count):
        numbers = [*optics[k], *distortion[k, :2], *poses[k]]
        lines.append(' '.join([str(int(clip.timestamps[k])), *(f'{number:.9f}' for number in numbers)]))
    io.replace(Path(path), ('\n'.join(lines) + '\n').encode())
