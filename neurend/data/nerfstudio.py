"""Captures described by one `transforms.json`: nerfstudio's and instant-ngp's dialects."""

from pathlib import Path
from typing import Any

import numpy as np

from neurend import checks
from neurend.data import frames as frames_lib
from neurend.data import normalize, posed
from neurend.data import transforms_json as transforms


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
    """Reads `transforms.json` and its images; every frame may have its own intrinsics, distortion and mask.

    Splits are the lists `train_filenames`, `val_filenames` and `test_filenames` where the file has them, else as in
    `frames.holdout`. nerfstudio's world is normalised as in `normalize`. instant-ngp's (known by `aabb_scale`) becomes
    2 (scale x + offset) - 1, so that its unit cube is [-1, 1]^3, and near and far enclose its box.

    Args:
        folder: holds `transforms.json`.
        split: which images.
        factor: reduction; `images_<k>/` is read where there is one.
        near, far: instead of those derived; scene units.
        capture: see `normalize.frame`.
        test_every, hold_val: see `frames.holdout`.

    Raises:
        InputError: see `frames.load` and `transforms_json.parse_frame`.
    """
    path = folder / 'transforms.json'
    meta = transforms.read_json(path)
    entries = sorted(transforms.list_frames(meta, path), key=lambda entry: str(entry.get('file_path')))
    frames = [transforms.parse_frame(folder, meta, entry, path, factor=factor) for entry in entries]
    own = _box_frame(meta, frames, path)
    if own is None:
        own = normalize.frame(frames_lib.poses(frames), None, capture=capture, what=str(folder))
    chosen = _chosen(meta, frames, split, path, test_every=test_every, hold_val=hold_val)
    reductions = {frame.reduction for frame in chosen}
    if len(reductions) > 1:
        raise checks.InputError(
            f'{folder}: only some images have a copy reduced for factor {factor}, expected all or none'
        )
    return frames_lib.load(
        chosen,
        factor=factor // int(reductions.pop()) if reductions else factor,
        near=own.near if near is None else near,
        far=own.far if far is None else far,
        scene_from_source=own.scene_from_source,
        forward_facing=own.forward_facing,
        what=str(folder),
    )


def _box_frame(meta: dict[str, Any], frames: list[frames_lib.Frame], path: Path) -> normalize.Frame | None:
    """The frame that instant-ngp's scale, offset and box define (Mueller et al. 2022), None without a box."""
    side = transforms.number(meta, 'aabb_scale', path)
    if side is None:
        return None
    scale = transforms.first(transforms.number(meta, 'scale', path), 0.33)
    if side <= 0 or scale <= 0:
        raise checks.InputError(f'{path}: aabb_scale {side} and scale {scale}, expected positive numbers')
    offset = np.array(_offset(meta, path))
    similarity = np.diag([2 * scale, 2 * scale, 2 * scale, 1.0])
    similarity[:3, 3] = 2 * offset - 1
    centers = frames_lib.transform_poses(similarity, frames_lib.poses(frames))[:, :3, 3]
    distance, corner = np.linalg.norm(centers, axis=-1), np.sqrt(3) * side
    return normalize.Frame(
        similarity, max(float(distance.min() - corner), 0.05), float(distance.max() + corner), forward_facing=False
    )


def _offset(meta: dict[str, Any], path: Path) -> list[float]:
    given = meta.get('offset', [0.5, 0.5, 0.5])
    if not isinstance(given, list) or len(given) != 3:
        raise checks.InputError(f'{path}: "offset" is {given!r}, expected three numbers')
    return [transforms.first(transforms.number({'offset': value}, 'offset', path), 0.5) for value in given]


def _chosen(
    meta: dict[str, Any],
    frames: list[frames_lib.Frame],
    split: str,
    path: Path,
    *,
    test_every: int,
    hold_val: bool,
) -> list[frames_lib.Frame]:
    checks.one_of('split', split, frames_lib.SPLITS)
    if any(f'{name}_filenames' in meta for name in frames_lib.SPLITS):
        names = meta.get(f'{split}_filenames', [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise checks.InputError(f'{path}: "{split}_filenames" is no list of names')
        listed = {name.removeprefix('./') for name in names}
        unknown = listed - {frame.name for frame in frames}
        if unknown:
            raise checks.InputError(f'{path}: "{split}_filenames" lists {min(unknown)!r}, which is no frame')
        return [frame for frame in frames if frame.name in listed]
    picked = frames_lib.holdout(len(frames), split, test_every=test_every, hold_val=hold_val, what=str(path))
    return [frames[i] for i in picked]
