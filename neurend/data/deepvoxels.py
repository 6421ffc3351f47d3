"""Folders of DeepVoxels (Sitzmann et al. 2019a) and Scene Representation Networks (Sitzmann et al. 2019b).

Both hold `rgb/`, `pose/` (text files, camera-to-world, OpenCV axes) and `intrinsics.txt`, whose lines are

    f cx cy [anything]
    x y z            centre of the object's box
    near             DeepVoxels only; 0 means unknown
    scale            side length of the box
    H W
    [0 or 1]         1: poses are camera_from_world

Intrinsics are read with the first pixel's centre at (0.5, 0.5): a principal point of W / 2 is the middle of the image.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neurend import checks
from neurend.data import frames as frames_lib
from neurend.data import llff, posed
from neurend.images import io

_SPLIT_FOLDERS = {'train': ('train',), 'val': ('validation', 'val'), 'test': ('test',)}


class Calibration(NamedTuple):
    """What `intrinsics.txt` says; `near` is None if unknown, `size` (width, height)."""

    focal: float
    principal: tuple[float, float]
    center: np.ndarray
    near: float | None
    scale: float
    size: tuple[int, int]
    camera_from_world: bool


def read(
    folder: Path,
    *,
    split: str,
    factor: int = 1,
    near: float | None = None,
    far: float | None = None,
    test_every: int = 8,
    hold_val: bool = False,
) -> posed.PosedImages:
    """Reads one object, its box centred on the origin; near and far enclose the ball around the box.

    Args:
        folder: the object's folder. Where it lies as `<root>/train/<object>` beside `<root>/validation/<object>` or
            `<root>/test/<object>`, those are the splits; or the object's folder may hold the split folders itself.
            Otherwise splits are as in `frames.holdout`.
        split: which images.
        factor: integer reduction.
        near, far: instead of those derived; scene units.
        test_every, hold_val: see `frames.holdout`.

    Raises:
        InputError: see `frames.load`; more or fewer poses than images; an image whose shape is not that of H W.
    """
    own = _split_folder(folder, split)
    folder = folder if own is None else own
    calibration, frames = _listed(folder)
    chosen = range(len(frames))
    if own is None:
        chosen = frames_lib.holdout(len(frames), split, test_every=test_every, hold_val=hold_val, what=str(folder))
    return _load(folder, calibration, frames, chosen, factor=factor, near=near, far=far)


def read_object(folder: Path, *, factor: int = 1) -> tuple[posed.PosedImages, float]:
    """All views in one folder, whatever folders are beside it, and the side of the object's box.

    Raises:
        InputError: as for `read`.
    """
    calibration, frames = _listed(folder)
    images = _load(folder, calibration, frames, range(len(frames)), factor=factor, near=None, far=None)
    return images, calibration.scale


def write(folder: str | Path, images: posed.PosedImages, *, scale: float, near: float | None = None) -> Path:
    """Writes one object's folder, whole or not at all; pictures on white, numbered in the order of the images.

    Args:
        folder: where; must not exist.
        images: square, taken with one pinhole camera; the object around the origin.
        scale: side of the object's box.
        near: of DeepVoxels' line for it, 0 if unknown; by default none is written, which makes the folder SRN's.

    Returns:
        The folder.

    Raises:
        InputError: the folder exists; pictures that are not square, or several cameras or a lens, which the format
            cannot say; a scale that is not positive or a negative near.
    """
    folder, cameras = Path(folder), images.cameras
    if folder.exists():
        raise checks.InputError(f'{folder}: exists, expected a new folder; choose another or remove this one')
    if not scale > 0 or (near or 0) < 0:
        raise checks.InputError(f'scale, near: got {scale}, {near}, expected a positive scale and near from 0')
    intrinsics = np.concatenate([cameras.focal, cameras.center, cameras.size], axis=-1).astype(np.float64)
    fx, fy, cx, cy, width, height = intrinsics[0].tolist()
    if width != height:
        raise checks.InputError(f'images: got {width:g}x{height:g} pixels, expected square ones; crop them')
    if cameras.model != 'pinhole' or not np.allclose(intrinsics, intrinsics[:1]) or not np.isclose(fx, fy):
        raise checks.InputError(
            f'cameras: got model {cameras.model!r} and focal lengths {fx:g}, {fy:g}, expected one pinhole camera with '
            'square pixels for all images; undistort and resize them'
        )
    building = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(building, ignore_errors=True)
    for part in ('rgb', 'pose'):
        (building / part).mkdir(parents=True)
    try:
        for k, (image, pose) in enumerate(zip(images.images, np.asarray(cameras.world_from_camera, np.float64))):
            io.write(building / 'rgb' / f'{k:06d}.png', posed.composite(image, 1.0))
            (building / 'pose' / f'{k:06d}.txt').write_text(' '.join(map(repr, pose.ravel().tolist())) + '\n')
        lines = [f'{fx!r} {cx!r} {cy!r} 0.', '0. 0. 0.', *([] if near is None else [repr(float(near))])]
        lines += [repr(float(scale)), f'{int(height)} {int(width)}']
        (building / 'intrinsics.txt').write_text('\n'.join(lines) + '\n')
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def read_intrinsics(path: Path) -> Calibration:
    """Reads `intrinsics.txt` of either kind, told apart by the number of values in each line.

    Raises:
        InputError: it is neither.
    """
    checks.file(path, 'intrinsics')
    try:
        rows = [[float(value) for value in line.split()] for line in path.read_text().splitlines() if line.strip()]
    except ValueError as error:
        raise checks.InputError(f'{path}: not numbers ({error}); see neurend.data.deepvoxels for its lines') from error
    lengths = [len(row) for row in rows]
    flag = lengths[-1:] == [1]
    body = lengths[: len(lengths) - flag]
    if len(body) not in (4, 5) or body[0] < 3 or body[1] != 3 or body[-1] != 2 or body[2:-1] != [1] * (len(body) - 3):
        raise checks.InputError(
            f'{path}: lines of {lengths} values, expected 3 (or more), 3, 1, 2 (SRN) or 3, 3, 1, 1, 2 (DeepVoxels), '
            'then perhaps 1'
        )
    for row in rows:
        checks.finite(str(path), row)
    height, width = rows[len(body) - 1]
    scale = rows[len(body) - 2][0]
    near = rows[2][0] if len(body) == 5 else 0.0
    if scale <= 0 or near < 0 or min(height, width) < 1 or rows[0][0] <= 0:
        raise checks.InputError(f'{path}: focal length, scale and size must be positive, got {rows}')
    return Calibration(
        rows[0][0],
        (rows[0][1], rows[0][2]),
        np.array(rows[1]),
        near or None,
        scale,
        (int(width), int(height)),
        flag and bool(rows[-1][0]),
    )


def _listed(folder: Path) -> tuple[Calibration, list[frames_lib.Frame]]:
    calibration = read_intrinsics(folder / 'intrinsics.txt')
    images = llff.pictures(folder / 'rgb') if (folder / 'rgb').is_dir() else []
    poses = sorted((folder / 'pose').glob('*.txt'))
    if len(images) != len(poses) or not images:
        raise checks.InputError(
            f'{folder}: {len(images)} images in rgb/ and {len(poses)} poses in pose/, expected as many'
        )
    return calibration, [_frame(image, pose, calibration) for image, pose in zip(images, poses)]


def _load(
    folder: Path,
    calibration: Calibration,
    frames: list[frames_lib.Frame],
    chosen: Sequence[int],
    *,
    factor: int,
    near: float | None,
    far: float | None,
) -> posed.PosedImages:
    similarity = np.eye(4)
    similarity[:3, 3] = -calibration.center
    distance = np.linalg.norm(frames_lib.poses(frames)[:, :3, 3] - calibration.center, axis=-1)
    checks.finite(f'camera positions of {folder}', distance)
    ball = np.sqrt(3) / 2 * calibration.scale
    if near is None:
        near = calibration.near or max(float(distance.min() - ball), 0.05 * float(distance.min()))
    if far is None:
        far = float(distance.max() + ball)
    return frames_lib.load(
        [frames[i] for i in chosen], factor=factor, near=near, far=far, scene_from_source=similarity, what=str(folder)
    )


def _frame(image: Path, pose: Path, calibration: Calibration) -> frames_lib.Frame:
    width, height = frames_lib.image_size(image)
    stated = calibration.size
    if width * stated[1] != height * stated[0]:
        raise checks.InputError(
            f'image {image}: {width}x{height} pixels, expected the shape of {stated[0]}x{stated[1]} as intrinsics.txt '
            'says; crop it or correct the intrinsics'
        )
    ratio = width / stated[0]
    return frames_lib.Frame(
        name=image.name,
        image=image,
        world_from_camera=_pose(pose, calibration.camera_from_world),
        focal=(calibration.focal * ratio, calibration.focal * ratio),
        center=(calibration.principal[0] * ratio, calibration.principal[1] * ratio),
        size=(width, height),
    )


def _pose(path: Path, camera_from_world: bool) -> np.ndarray:
    try:
        values = [float(value) for value in path.read_text().split()]
    except ValueError as error:
        raise checks.InputError(f'pose {path}: not numbers ({error}), expected 16') from error
    if len(values) != 16:
        raise checks.InputError(f'pose {path}: {len(values)} numbers, expected 16')
    pose = frames_lib.rigid(np.reshape(values, (4, 4)), f'pose {path}')
    return np.linalg.inv(pose) if camera_from_world else pose


def _split_folder(folder: Path, split: str) -> Path | None:
    """The folder of a split where splits are folders, None where the object's folder holds all images."""
    checks.one_of('split', split, frames_lib.SPLITS)
    everyone = [name for names in _SPLIT_FOLDERS.values() for name in names]
    inner = {name: folder / name for name in everyone if (folder / name / 'intrinsics.txt').exists()}
    outer = {name: folder.parent.parent / name / folder.name for name in everyone}
    outer = {name: path for name, path in outer.items() if (path / 'intrinsics.txt').exists()}
    if folder.resolve().parent.name not in everyone or len(outer) < 2:
        outer = {}
    present = inner or outer
    if not present:
        return None
    for name in _SPLIT_FOLDERS[split]:
        if name in present:
            return present[name]
    raise checks.InputError(f'{folder}: no images for split {split!r}, only folders {", ".join(present)}')
