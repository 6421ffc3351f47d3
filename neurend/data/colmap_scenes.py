"""Scenes from COLMAP: a sparse model beside the photographs it was made from."""

from pathlib import Path

import numpy as np

from neurend import checks
from neurend.data import colmap, normalize, posed
from neurend.data import frames as frames_lib
from neurend.scenes import points as points_lib
from neurend.scenes.points import Points

# Our model, and where (fx, fy, cx, cy, k1, k2, k3, k4, p1, p2) stand among COLMAP's parameters, -1 for zero.
_LAYOUTS: dict[str, tuple[str, tuple[int, ...]]] = {
    'SIMPLE_PINHOLE': ('pinhole', (0, 0, 1, 2, -1, -1, -1, -1, -1, -1)),
    'PINHOLE': ('pinhole', (0, 1, 2, 3, -1, -1, -1, -1, -1, -1)),
    'SIMPLE_RADIAL': ('opencv', (0, 0, 1, 2, 3, -1, -1, -1, -1, -1)),
    'RADIAL': ('opencv', (0, 0, 1, 2, 3, 4, -1, -1, -1, -1)),
    'OPENCV': ('opencv', (0, 1, 2, 3, 4, 5, -1, -1, 6, 7)),
    'FULL_OPENCV': ('opencv', (0, 1, 2, 3, 4, 5, 8, -1, 6, 7)),
    'OPENCV_FISHEYE': ('fisheye', (0, 1, 2, 3, 4, 5, 6, 7, -1, -1)),
    'SIMPLE_RADIAL_FISHEYE': ('fisheye', (0, 0, 1, 2, 3, -1, -1, -1, -1, -1)),
    'RADIAL_FISHEYE': ('fisheye', (0, 0, 1, 2, 3, 4, -1, -1, -1, -1)),
    'SIMPLE_FISHEYE': ('fisheye', (0, 0, 1, 2, -1, -1, -1, -1, -1, -1)),
    'FISHEYE': ('fisheye', (0, 1, 2, 3, -1, -1, -1, -1, -1, -1)),
}
_FOLDERS = ('sparse/0', 'sparse', 'colmap/sparse/0', 'colmap/sparse', '.')


def model_folder(folder: Path) -> Path | None:
    """Where a scene's sparse model lies, None if it has none."""
    for name in _FOLDERS:
        if any((folder / name / f'cameras{suffix}').exists() for suffix in ('.bin', '.txt')):
            return folder / name
    return None


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
    """Reads the registered photographs of a COLMAP model, in the frame of `normalize`; every camera its own intrinsics.

    Args:
        folder: holds `sparse/0/` (or `sparse/`), `images/` or `images_<factor>/`, and perhaps masks: `masks/<image
            name>.png`, or the image's own name with the suffix .png.
        split: 'test' is every `test_every`-th image by name from the first.
        factor: reduction from the size that the model speaks of.
        near, far: instead of 0.9 times the nearest and 1 times the farthest depth of the points each image sees (0.1
            and 99.9 percentiles, as LLFF); scene units.
        capture: see `normalize.frame`.
        test_every, hold_val: see `frames.holdout`.

    Raises:
        InputError: see `frames.load` and `colmap.read_model`; a camera model beyond `Camera`; no point seen.
    """
    sparse = model_folder(folder)
    if sparse is None:
        raise checks.InputError(f'{folder}: no COLMAP model, expected cameras.bin or cameras.txt in {_FOLDERS[0]}/')
    model = colmap.read_model(sparse)
    if not model.photos:
        raise checks.InputError(f'{sparse}: no registered images; run the mapping again with more overlap')
    images_folder, reduction, remaining = frames_lib.reduced_folder(folder, 'images', factor)
    frames = [_frame(folder, sparse, images_folder, reduction, model, photo) for photo in model.photos]
    poses = frames_lib.poses(frames)
    bounds = depth_bounds(model, poses)
    if bounds is None and (near is None or far is None):
        raise checks.InputError(f'{sparse}: no image sees a point, so depths are unknown; pass near and far')
    own = normalize.frame(poses, bounds, capture=capture, what=str(folder))
    chosen = frames_lib.holdout(len(frames), split, test_every=test_every, hold_val=hold_val, what=str(folder))
    return frames_lib.load(
        [frames[i] for i in chosen],
        factor=remaining,
        near=own.near if near is None else near,
        far=own.far if far is None else far,
        scene_from_source=own.scene_from_source,
        forward_facing=own.forward_facing,
        points=sure_points(model)[1],
        what=str(folder),
    )


def lens(intrinsics: colmap.Intrinsics, where: str) -> tuple[str, tuple[float, ...]]:
    """Our camera model and (fx, fy, cx, cy, k1, k2, k3, k4, p1, p2) of a COLMAP camera.

    Raises:
        InputError: `Camera` has no such model.
    """
    rational = intrinsics.model == 'FULL_OPENCV' and any(intrinsics.params[9:])
    if intrinsics.model not in _LAYOUTS or rational:
        name = intrinsics.model + (' with k4 to k6' if rational else '')
        raise checks.InputError(
            f'{where}: camera model {name} is not supported, expected one of {", ".join(_LAYOUTS)}; '
            'undistort the images with experiments/prepare_data.py'
        )
    model, layout = _LAYOUTS[intrinsics.model]
    return model, tuple(intrinsics.params[i] if i >= 0 else 0.0 for i in layout)


def depth_bounds(model: colmap.Model, poses: np.ndarray) -> np.ndarray | None:
    """Nearest and farthest depth `[n 2]` of the sure points each image sees; those of all where one sees none."""
    bounds = np.full((len(poses), 2), np.nan)
    known_ids, known_points = sure_points(model)
    for i, (photo, pose) in enumerate(zip(model.photos, poses)):
        points = known_points[np.isin(known_ids, photo.point_ids)]
        depth = (points - pose[:3, 3]) @ pose[:3, 2]
        depth = depth[np.isfinite(depth) & (depth > 0)]
        if len(depth) > 1:
            bounds[i] = np.percentile(depth, [0.1, 99.9])
    known = np.isfinite(bounds[:, 0])
    if not known.any():
        return None
    bounds[~known] = bounds[known].min(0)[0], bounds[known].max(0)[1]
    return bounds


def sure_points(model: colmap.Model) -> tuple[np.ndarray, np.ndarray]:
    """Ids `[m]` and points `[m 3]`; none that only two images see, if there are others: wrong matches make these."""
    seen, views = np.unique(np.concatenate([photo.point_ids for photo in model.photos]), return_counts=True)
    sure = np.isin(model.point_ids, seen[views > 2])
    return (model.point_ids[sure], model.points[sure]) if sure.any() else (model.point_ids, model.points)


def cloud(folder: Path) -> Points:
    """The coloured `sure_points` of a scene's sparse model, in the world of its files.

    Args:
        folder: see `read`.

    Raises:
        InputError: see `colmap.read_model`; there is no model, or it has no points.
    """
    sparse = model_folder(folder)
    if sparse is None:
        raise checks.InputError(f'{folder}: no COLMAP model, expected cameras.bin or cameras.txt in {_FOLDERS[0]}/')
    model = colmap.read_model(sparse)
    ids, places = sure_points(model)
    try:
        return points_lib.make(places, model.colors[np.isin(model.point_ids, ids)] / np.float32(255))
    except checks.InputError as error:
        raise checks.InputError(f'{sparse}: {error}') from error


def _frame(
    folder: Path, sparse: Path, images: Path, reduction: int, model: colmap.Model, photo: colmap.Photo
) -> frames_lib.Frame:
    intrinsics = model.cameras[photo.camera_id]
    kind, values = lens(intrinsics, f'{sparse}, image {photo.name}')
    where = f'pose of {photo.name} in {sparse}'
    checks.finite(where, np.concatenate([photo.quaternion, photo.translation]), 'Leave the image out.')
    rotation = _rotation(photo.quaternion, where)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.T, -rotation.T @ photo.translation
    return frames_lib.Frame(
        name=photo.name,
        image=checks.inside(images, photo.name),
        world_from_camera=pose,
        focal=(values[0], values[1]),
        center=(values[2], values[3]),
        size=intrinsics.size,
        distortion=values[4:],
        model=kind,
        mask=_mask(folder, reduction, photo.name),
        reduction=reduction,
    )


def _rotation(quaternion: np.ndarray, where: str) -> np.ndarray:
    norm = float(np.linalg.norm(quaternion))
    if norm < 1e-6:
        raise checks.InputError(f'{where}: its quaternion is zero, a singular rotation; leave the image out')
    w, x, y, z = quaternion / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _mask(folder: Path, reduction: int, name: str) -> Path | None:
    masks = folder / ('masks' if reduction == 1 else f'masks_{reduction}')
    for candidate in (f'{name}.png', str(Path(name).with_suffix('.png')), name):
        if masks.is_dir() and checks.inside(masks, candidate).exists():
            return checks.inside(masks, candidate)
    return None
