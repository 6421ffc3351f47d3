"""Scenes described by `transforms*.json`: Blender (NeRF synthetic), nerfstudio and instant-ngp.

Poses in these files are camera-to-world with OpenGL axes (x right, y up, looking along -z).
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from neurend import checks
from neurend.data import frames as frames_lib
from neurend.data import posed

# Cameras of the NeRF synthetic scenes lie at this distance from the origin, their content between 2 and 6.
NERF_RADIUS = 4.0311289
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
MODELS = {
    'SIMPLE_PINHOLE': 'pinhole',
    'PINHOLE': 'pinhole',
    'SIMPLE_RADIAL': 'opencv',
    'RADIAL': 'opencv',
    'OPENCV': 'opencv',
    'OPENCV_FISHEYE': 'fisheye',
    'EQUIRECTANGULAR': 'equirectangular',
}


def read_blender(
    folder: Path, *, split: str, factor: int = 1, near: float | None = None, far: float | None = None
) -> posed.PosedImages:
    """Reads `transforms_<split>.json` and its images; the world is left as it is.

    near and far are 2 and 6 for the NeRF synthetic scenes; for cameras at another distance from the origin they scale
    with it, unless the file has `near` and `far` keys or they are passed.

    Source: Mildenhall et al. 2020 (format of the released data).

    Raises:
        InputError: see `frames.load`; the split's file missing or not of this format.
    """
    checks.one_of('split', split, frames_lib.SPLITS)
    path = folder / f'transforms_{split}.json'
    if not path.exists():
        found = sorted(p.stem.removeprefix('transforms_') for p in folder.glob('transforms_*.json'))
        raise checks.InputError(f'{path}: does not exist; splits of this scene: {", ".join(found) or "none"}')
    meta = read_json(path)
    frames = [parse_frame(folder, meta, entry, path) for entry in list_frames(meta, path)]
    radius = float(np.median([np.linalg.norm(frame.world_from_camera[:3, 3]) for frame in frames]))
    checks.finite(f'camera positions of {path}', radius)
    scale = round(radius / NERF_RADIUS, 6)
    return frames_lib.load(
        frames,
        factor=factor,
        near=first(near, number(meta, 'near', path), 2 * scale),
        far=first(far, number(meta, 'far', path), 6 * scale),
        what=str(folder),
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: missing, not JSON, or not an object.
    """
    checks.file(path, 'scene description')
    try:
        value = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise checks.InputError(f'{path}: not JSON ({error}); export it again') from error
    if not isinstance(value, dict):
        raise checks.InputError(f'{path}: holds a {type(value).__name__}, expected an object with "frames"')
    return value


def list_frames(meta: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """The entries under "frames".

    Raises:
        InputError: there is no such list of objects, or it is empty.
    """
    entries = meta.get('frames')
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise checks.InputError(f'{path}: no list of objects under "frames"; is it a transforms file?')
    if not entries:
        raise checks.InputError(f'{path}: lists no frames, expected at least one; check the split')
    return entries


def first(*values: float | None) -> float:
    """The first value that is not None; the last must not be."""
    return next(value for value in values if value is not None)


def number(entry: dict[str, Any], key: str, path: Path) -> float | None:
    """A finite number under a key of a JSON object, None if absent.

    Raises:
        InputError: it is anything else.
    """
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise checks.InputError(f'{path}: "{key}" is {value!r}, expected a finite number')
    return float(value)


def _string(entry: dict[str, Any], key: str, path: Path) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value or '\0' in value:
        raise checks.InputError(f'{path}: "{key}" of a frame is {value!r}, expected the path of a file')
    return value


def parse_frame(
    folder: Path, meta: dict[str, Any], entry: dict[str, Any], path: Path, *, factor: int = 1
) -> frames_lib.Frame:
    """One entry of "frames", pose in OpenCV axes; keys of the entry win over those of the file.

    `factor` lets it take a reduced copy of the picture, see `frames.Frame.reduction`.
    """
    relative = _string(entry, 'file_path', path)
    both = {**meta, **entry}
    image, reduction = _reduced(folder, relative, factor)
    size = (number(both, 'w', path), number(both, 'h', path))
    if None in size:
        actual = frames_lib.image_size(image)
        size = tuple(first(stated, own * reduction) for stated, own in zip(size, actual))
    width, height = (int(round(first(value))) for value in size)
    mask = _string(entry, 'mask_path', path) if entry.get('mask_path') else None
    if 'transform_matrix' not in entry:
        raise checks.InputError(f'{path}: frame {relative} has no "transform_matrix", expected a 4x4 pose')
    pose = frames_lib.rigid(entry['transform_matrix'], f'pose of {relative} in {path}') @ OPENCV_FROM_OPENGL
    model, distortion = _lens(both, path)
    return frames_lib.Frame(
        name=relative.removeprefix('./'),
        image=image,
        world_from_camera=pose,
        focal=_focal(both, width, height, path, model),
        center=(first(number(both, 'cx', path), width / 2), first(number(both, 'cy', path), height / 2)),
        size=(width, height),
        distortion=distortion,
        model=model,
        mask=None if mask is None else _reduced(folder, mask, factor)[0],
        reduction=reduction,
    )


def _reduced(folder: Path, relative: str, factor: int) -> tuple[Path, int]:
    """The picture in `images_<k>/` for the largest k that divides the factor, else as named."""
    parts = Path(relative).parts
    for k in range(factor, 1, -1):
        if factor % k == 0 and parts and parts[0] in ('images', 'masks'):
            candidate = frames_lib.with_suffix(checks.inside(folder, Path(f'{parts[0]}_{k}', *parts[1:])))
            if candidate.exists():
                return candidate, k
    return frames_lib.with_suffix(checks.inside(folder, relative)), 1


def _focal(both: dict[str, Any], width: int, height: int, path: Path, model: str) -> tuple[float, float]:
    def from_angle(angle: float | None, length: int) -> float | None:
        if angle is None:
            return None
        if not 0 < angle < math.pi:
            raise checks.InputError(f'{path}: angle of view {angle}, expected between 0 and pi radians')
        return 0.5 * length / math.tan(0.5 * angle)

    def degrees(key: str) -> float | None:
        value = number(both, key, path)
        return None if value is None else math.radians(value)

    candidates_x = [
        number(both, 'fl_x', path),
        from_angle(number(both, 'camera_angle_x', path), width),
        from_angle(degrees('x_fov'), width),
    ]
    fx = next((value for value in candidates_x if value is not None), None)
    candidates_y = [
        number(both, 'fl_y', path),
        from_angle(number(both, 'camera_angle_y', path), height),
        from_angle(degrees('y_fov'), height),
        fx,
    ]
    fy = next((value for value in candidates_y if value is not None), None)
    if model == 'equirectangular':
        return width / (2 * math.pi), height / math.pi
    if fy is None:
        raise checks.InputError(f'{path}: no focal length, expected "fl_x" (pixels) or "camera_angle_x" (radians)')
    return (fy if fx is None else fx), fy


def _lens(both: dict[str, Any], path: Path) -> tuple[str, tuple[float, ...]]:
    distortion = tuple(first(number(both, key, path), 0.0) for key in ('k1', 'k2', 'k3', 'k4', 'p1', 'p2'))
    name = both.get('camera_model', 'OPENCV_FISHEYE' if both.get('is_fisheye') else 'OPENCV')
    if name not in MODELS:
        raise checks.InputError(
            f'{path}: camera model {name!r}, expected one of {", ".join(MODELS)}; '
            'undistort the images with experiments/prepare_data.py'
        )
    model = MODELS[name]
    if model == 'pinhole' and any(distortion):
        model = 'opencv'
    return model, distortion
