"""LLFF captures: `poses_bounds.npy` beside `images/` or `images_<factor>/` (Mildenhall et al. 2019)."""

from pathlib import Path

import numpy as np

from neurend import checks
from neurend.data import colmap, colmap_scenes, normalize, posed
from neurend.data import frames as frames_lib


def read(
    folder: Path,
    *,
    split: str,
    factor: int = 1,
    near: float | None = None,
    far: float | None = None,
    capture: str = 'auto',
    test_every: int = 8,
    hold_val: bool = False,
) -> posed.PosedImages:
    """Reads a capture in LLFF's format, in the frame of `normalize`.

    Args:
        folder: holds `poses_bounds.npy`, images and perhaps masks (`masks/` or `masks_<factor>/`, one per image, in the
            order of the sorted names), and perhaps the COLMAP model that the poses are of, for its points.
        split: 'test' is every `test_every`-th image from the first.
        factor: reduction from the full resolution that the poses speak of: `images_<k>/` is read, with the largest k
            that divides it, and reduced further.
        near, far: instead of 0.9 times the nearest and 1 times the farthest bound; scene units.
        capture: see `normalize.frame`; forward-facing captures may be rendered in NDC, with t from 0 to 1.
        test_every, hold_val: see `frames.holdout`.

    Raises:
        InputError: see `frames.load`; the poses are not `[n 17]` numbers, or there are more or fewer than images.
    """
    rows = _rows(folder / 'poses_bounds.npy')
    images_folder, reduction, remaining = frames_lib.reduced_folder(folder, 'images', factor)
    images = pictures(images_folder)
    if len(images) != len(rows):
        raise checks.InputError(
            f'{folder}: {len(rows)} poses but {len(images)} images in {images_folder.name}/, expected as many; '
            'restore the missing images or estimate the poses again'
        )
    masks = _masks(folder, reduction, len(images))
    frames = []
    for row, image, mask in zip(rows, images, masks):
        matrix = row[:15].reshape(3, 5)
        height, width, focal = matrix[:, 4]
        checks.finite(f'size and focal length of {image.name}', matrix[:, 4])
        pose = frames_lib.rigid(
            np.stack([matrix[:, 1], matrix[:, 0], -matrix[:, 2], matrix[:, 3]], axis=-1), f'pose of {image.name}'
        )
        frames.append(
            frames_lib.Frame(
                name=image.name,
                image=image,
                world_from_camera=pose,
                focal=(focal, focal),
                center=(width / 2, height / 2),
                size=(int(width), int(height)),
                mask=mask,
                reduction=reduction,
            )
        )
    own = normalize.frame(frames_lib.poses(frames), rows[:, 15:], capture=capture, what=str(folder))
    chosen = frames_lib.holdout(len(frames), split, test_every=test_every, hold_val=hold_val, what=str(folder))
    return frames_lib.load(
        [frames[i] for i in chosen],
        factor=remaining,
        near=own.near if near is None else near,
        far=own.far if far is None else far,
        scene_from_source=own.scene_from_source,
        forward_facing=own.forward_facing,
        points=_points(folder),
        what=str(folder),
    )


def pictures(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix in frames_lib.IMAGE_SUFFIXES)


def _rows(path: Path) -> np.ndarray:
    checks.file(path, 'poses')
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise checks.InputError(f'{path}: not an array of numbers ({error}); write it again with np.save') from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 17 or rows.dtype.kind not in 'fiu':
        shape = getattr(rows, 'shape', type(rows).__name__)
        raise checks.InputError(f'{path}: got {shape}, expected (n, 17) numbers: 3x5 matrices and two bounds')
    if not len(rows):
        raise checks.InputError(f'{path}: no poses, expected at least one')
    return rows.astype(np.float64)


def _points(folder: Path) -> np.ndarray | None:
    """Of the model that LLFF made the poses from, in whose world they are."""
    sparse = colmap_scenes.model_folder(folder)
    if sparse is None or not any((sparse / f'points3D{suffix}').exists() for suffix in ('.bin', '.txt')):
        return None
    return colmap_scenes.sure_points(colmap.read_model(sparse))[1]


def _masks(folder: Path, reduction: int, count: int) -> list[Path | None]:
    name = 'masks' if reduction == 1 else f'masks_{reduction}'
    if not (folder / name).is_dir():
        return [None] * count
    masks = pictures(folder / name)
    if len(masks) != count:
        raise checks.InputError(f'{folder / name}: {len(masks)} masks, expected {count}, one per image')
    return list(masks)
