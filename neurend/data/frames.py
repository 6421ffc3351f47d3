"""From the frames that a format lists to `PosedImages`: the part that all readers share."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurend import checks
from neurend.data import posed
from neurend.images import io, resample

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.PNG', '.JPG', '.JPEG')
SPLITS = ('train', 'val', 'test')


@dataclasses.dataclass(frozen=True)
class Frame:
    """One image as a format describes it, before its pixels are read.

    Attributes:
        name: unique within the scene.
        image: path of the picture, checked to lie in the scene's folder.
        world_from_camera: `[4 4]` float64, OpenCV axes, source units.
        focal: (fx, fy) in pixels of an image of `size`.
        center: (cx, cy) in the same pixels, the first pixel's centre at (0.5, 0.5).
        size: (width, height) that the intrinsics refer to; the file may be a smaller copy of the same shape.
        distortion: (k1, k2, k3, k4, p1, p2).
        model: a model of `geometry.cameras.Camera`.
        mask: path of the object mask, or None.
        reduction: how many times smaller than `size` the file at `image` must be.
    """

    name: str
    image: Path
    world_from_camera: np.ndarray
    focal: tuple[float, float]
    center: tuple[float, float]
    size: tuple[int, int]
    distortion: tuple[float, ...] = (0.0,) * 6
    model: str = 'pinhole'
    mask: Path | None = None
    reduction: float = 1


def load(
    frames: Sequence[Frame],
    *,
    factor: int = 1,
    near: float,
    far: float,
    scene_from_source: np.ndarray | None = None,
    forward_facing: bool = False,
    points: np.ndarray | None = None,
    what: str = 'scene',
) -> posed.PosedImages:
    """Reads the pictures of frames and checks everything that a file could have got wrong.

    Args:
        frames: what the format lists, in order.
        factor: integer by which every picture is reduced further (area averages), once read.
        near: nearest content along the rays, in SCENE units.
        far: farthest.
        scene_from_source: `[4 4]` similarity to apply to the cameras; identity when None.
        forward_facing: see `PosedImages`.
        points: `[m 3]` of surfaces, in source units, if they are known.
        what: the scene's name in messages.

    Raises:
        InputError: no frames; a picture missing, broken or of another size than stated; a pose that is not a rigid
            motion; models that cannot share one batch of cameras; masks for some pictures only.
    """
    if not frames:
        raise checks.InputError(
            f'{what}: no images in this split; check the split and the files that list it, and that there are at least '
            'two images where some are held out'
        )
    if factor < 1 or factor != int(factor):
        raise checks.InputError(f'factor: got {factor}, expected a positive integer')
    similarity = np.eye(4) if scene_from_source is None else np.asarray(scene_from_source, np.float64)
    moved = [rigid(frame.world_from_camera, f'pose of {frame.name}') for frame in frames]
    moved = transform_poses(similarity, np.stack(moved))
    images, masks, focal, center, size = [], [], [], [], []
    for frame in frames:
        image = _read_sized(frame.image, frame, factor)
        images.append(image)
        if frame.mask is not None:
            masks.append(_read_mask(frame.mask, frame, factor))
            if masks[-1].shape != image.shape[:2]:
                raise checks.InputError(
                    f'mask {frame.mask}: {masks[-1].shape[::-1]} pixels, expected {image.shape[1::-1]} like the image'
                )
        # Pixels cropped to a multiple of `factor` are at the right and bottom, so the centre only scales.
        file_scale = _file_scale(frame, image, factor)
        focal.append([frame.focal[0] * file_scale[0] / factor, frame.focal[1] * file_scale[1] / factor])
        center.append([frame.center[0] * file_scale[0] / factor, frame.center[1] * file_scale[1] / factor])
        size.append(image.shape[1::-1])
    if masks and len(masks) != len(frames):
        raise checks.InputError(f'{what}: {len(masks)} of {len(frames)} images have masks, expected all or none')
    intrinsics = np.concatenate([focal, center, [frame.distortion for frame in frames]], axis=-1)
    for frame, row in zip(frames, intrinsics):
        checks.finite(f'intrinsics of {frame.name}', row)
        if min(row[:2]) <= 0:
            raise checks.InputError(f'intrinsics of {frame.name}: focal length {tuple(row[:2])}, expected positive')
    cameras = posed.host_cameras(
        world_from_camera=moved.astype(np.float32),
        focal=intrinsics[:, :2].astype(np.float32),
        center=intrinsics[:, 2:4].astype(np.float32),
        distortion=intrinsics[:, 4:].astype(np.float32),
        size=np.asarray(size, np.int32),
        model=_common_model(frames, what),
    )
    return posed.PosedImages(
        names=tuple(frame.name for frame in frames),
        images=tuple(images),
        cameras=cameras,
        masks=tuple(masks) if masks else None,
        near=float(near),
        far=float(far),
        scene_from_source=similarity.astype(np.float32),
        forward_facing=forward_facing,
        points=None if points is None else _moved(similarity, points),
    )


def _moved(similarity: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = points @ similarity[:3, :3].T + similarity[:3, 3]
    return moved[np.isfinite(moved).all(-1)].astype(np.float32)


def rigid(matrix: Any, name: str) -> np.ndarray:
    """A `[4 4]` float64 rigid motion from numbers of a file (3x4 or 4x4), its rotation made exactly orthonormal.

    Raises:
        InputError: of another shape, not finite, singular, mirrored, or further than 1% from a rotation.
    """
    try:
        given = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise checks.InputError(f'{name}: not a matrix of numbers ({error}), expected 4x4') from error
    if given.shape not in ((4, 4), (3, 4)):
        raise checks.InputError(f'{name}: got shape {given.shape}, expected (4, 4)')
    checks.finite(name, given, 'Estimate the pose again or leave the image out.')
    u, scales, vt = np.linalg.svd(given[:3, :3])
    if scales[2] < 1e-6 * max(scales[0], 1e-300):
        raise checks.InputError(
            f'{name}: its rotation is singular, expected an orthonormal matrix; leave the image out'
        )
    if np.linalg.det(given[:3, :3]) < 0:
        raise checks.InputError(f'{name}: its rotation mirrors, expected determinant 1; check the order of the axes')
    if np.abs(scales - 1).max() > 1e-2:
        raise checks.InputError(f'{name}: its rotation has scales {np.round(scales, 4)}, expected 1; divide them out')
    return np.block([[u @ vt, given[:3, 3:]], [np.zeros((1, 3)), np.ones((1, 1))]])


def poses(listed: Sequence[Frame]) -> np.ndarray:
    """The poses `[n 4 4]` of listed frames."""
    return np.stack([frame.world_from_camera for frame in listed])


def transform_poses(similarity: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Cameras `[n 4 4]` moved by a similarity `[4 4]`: its scale acts on their centres, not on their axes."""
    scale = np.cbrt(np.linalg.det(similarity[:3, :3]))
    moved = np.array(poses, dtype=np.float64)
    moved[:, :3, :3] = similarity[:3, :3] / scale @ poses[:, :3, :3]
    moved[:, :3, 3] = poses[:, :3, 3] @ similarity[:3, :3].T + similarity[:3, 3]
    return moved


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture from its header alone.

    Raises:
        InputError: missing, or not a picture.
    """
    info = io.probe(path)
    return info.width, info.height


def with_suffix(path: Path) -> Path:
    """A picture named with or without its suffix, as it is on the disk; unchanged if there is none."""
    if not path.exists():
        for suffix in IMAGE_SUFFIXES:
            if path.with_name(path.name + suffix).exists():
                return path.with_name(path.name + suffix)
    return path


def reduced_folder(root: Path, name: str, factor: int) -> tuple[Path, int, int]:
    """The folder of pictures nearest to a reduction: `<name>_<k>` with the largest k that divides it, else `<name>`.

    Args:
        root: the scene's folder.
        name: 'images' or 'masks'.
        factor: the reduction wanted.

    Returns:
        The folder, by how much its pictures are reduced already, and the factor that remains.

    Raises:
        InputError: none of them is there; the message lists what is.
    """
    if factor < 1 or factor != int(factor):
        raise checks.InputError(f'factor: got {factor}, expected a positive integer')
    for k in range(factor, 1, -1):
        if factor % k == 0 and (root / f'{name}_{k}').is_dir():
            return root / f'{name}_{k}', k, factor // k
    if (root / name).is_dir():
        return root / name, 1, factor
    present = sorted(p.name for p in root.glob(f'{name}_*') if p.is_dir()) if root.is_dir() else []
    raise checks.InputError(
        f'{root}: no folder {name}/ nor a reduced one for factor {factor}, found {", ".join(present) or "none"}; '
        'pass a factor that is a multiple of one of those'
    )


def holdout(count: int, split: str, *, test_every: int, hold_val: bool, what: str) -> list[int]:
    """Indices of a split of a capture that has no splits of its own.

    Test is every `test_every`-th image from the first (Mildenhall et al. 2019). With `hold_val` the images half-way
    between are taken from train for val.

    Raises:
        InputError: val asked for without `hold_val`.
    """
    checks.one_of('split', split, SPLITS)
    if test_every < 0:
        raise checks.InputError(f'test_every: got {test_every}, expected 0 (no test images) or more')
    if split == 'val' and not hold_val:
        raise checks.InputError(f'{what}: has no val split; pass hold_val=True to take one out of its train images')
    test = set(range(0, count, test_every)) if test_every else set()
    step = test_every or 8
    val = set(range(step // 2, count, step)) - test if hold_val else set()
    chosen = {'test': test, 'val': val, 'train': set(range(count)) - test - val}[split]
    return sorted(chosen)


def _file_scale(frame: Frame, image: np.ndarray, factor: int) -> tuple[float, float]:
    if frame.reduction == 1:
        return 1.0, 1.0
    # A reduced copy has rounded sizes; the exact ratio is that of the rounded file where nothing was cropped since.
    if factor == 1:
        return image.shape[1] / frame.size[0], image.shape[0] / frame.size[1]
    width, height = image_size(frame.image)
    return width / frame.size[0], height / frame.size[1]


def _read_sized(path: Path, frame: Frame, factor: int) -> np.ndarray:
    image = io.read(checks.file(path, 'image', f'It is listed as {frame.name}.'))
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=-1)
    came = image.shape[1::-1]
    if any(abs(c * frame.reduction - s) > frame.reduction for c, s in zip(came, frame.size)) or (
        frame.reduction == 1 and came != tuple(frame.size)
    ):
        expected = f'{frame.size[0]}x{frame.size[1]}' + (
            f' reduced {frame.reduction:g} times' if frame.reduction != 1 else ''
        )
        raise checks.InputError(
            f'image {path}: {came[0]}x{came[1]} pixels, expected {expected} as its metadata says; '
            'restore the original image or correct the metadata'
        )
    return _reduce(image, factor, path)


def _reduce(image: np.ndarray, factor: int, path: Path) -> np.ndarray:
    if factor == 1:
        return np.ascontiguousarray(image)
    height, width = (size // factor * factor for size in image.shape[:2])
    if not height or not width:
        raise checks.InputError(f'image {path}: {image.shape[1]}x{image.shape[0]} pixels is less than factor {factor}')
    return resample.area_downscale(np.ascontiguousarray(image[:height, :width]), factor)


def _read_mask(path: Path, frame: Frame, factor: int) -> np.ndarray:
    mask = io.read(checks.file(path, 'mask', f'It belongs to {frame.name}.'))
    # A mask saved with alpha holds its shape there; any other is grey.
    return _reduce(mask[..., 3:4] if mask.shape[2] == 4 else mask[..., :1], factor, path)[..., 0]


def _common_model(frames: Sequence[Frame], what: str) -> str:
    models = {frame.model for frame in frames}
    if models <= {'pinhole', 'opencv'}:
        distorted = any(any(frame.distortion) for frame in frames)
        return 'opencv' if distorted else 'pinhole'
    if len(models) > 1:
        raise checks.InputError(
            f'{what}: camera models {", ".join(sorted(models))} in one scene, expected one kind of lens; '
            'undistort the images with experiments/prepare_data.py, which makes all of them pinhole'
        )
    return models.pop()
