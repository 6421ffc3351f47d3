"""The embedded default scene: `procedural` seen from cameras around it, written in Blender's format."""

import json
import math
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from neurend import checks
from neurend.data import posed, procedural
from neurend.geometry import cameras as cameras_lib
from neurend.images import io

RADIUS = 4.0311289
FIELD_OF_VIEW = 0.6911112
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def cameras(count: int, *, size: int = 100, split: str = 'train') -> cameras_lib.Camera:
    """Pinhole cameras `[count]` with NumPy float64 poses, looking at the origin from the distance of NeRF's.

    They spread evenly over the upper part of the sphere and a little below its equator; every split has its own.

    Args:
        count: how many, at least 1.
        size: width and height in pixels.
        split: 'train', 'val' or 'test'.
    """
    checks.one_of('split', split, ('train', 'val', 'test'))
    if count < 1 or size < 1:
        raise checks.InputError(f'count, size: got {count}, {size}, expected at least 1')
    turn = {'train': 0.0, 'val': 1.1, 'test': 2.3}[split]
    k = np.arange(count)
    z = -0.2 + 1.12 * (k + 0.5) / count
    longitude = k * math.pi * (3 - math.sqrt(5)) + turn
    level = np.sqrt(1 - z * z)
    back = np.stack([level * np.cos(longitude), level * np.sin(longitude), z], axis=-1)
    right = np.stack([-np.sin(longitude), np.cos(longitude), np.zeros(count)], axis=-1)
    pose = np.broadcast_to(np.eye(4), (count, 4, 4)).copy()
    pose[:, :3, :3] = np.stack([right, -np.cross(back, right), -back], axis=-1)
    pose[:, :3, 3] = RADIUS * back
    return posed.host_cameras(
        world_from_camera=pose,
        focal=np.full((count, 2), 0.5 * size / math.tan(0.5 * FIELD_OF_VIEW)),
        center=np.full((count, 2), size / 2),
        distortion=np.zeros((count, 6)),
        size=np.full((count, 2), size, np.int32),
        model='pinhole',
    )


def write_scene(folder: str | Path, *, size: int = 100, train: int = 80, val: int = 10, test: int = 20) -> Path:
    """Renders the scene and writes it as a Blender-format folder, unless it is there already.

    The folder appears complete or not at all. What is rendered depends on the arguments alone.

    Args:
        folder: where; read it with `scenes.read(folder)`.
        size: width and height of the images in pixels.
        train, val, test: images in each split.

    Returns:
        The folder.

    Raises:
        InputError: the folder exists and holds something else, or another size of this scene.
    """
    folder = Path(folder)
    stamp = {'scene': 'duck', 'version': 1, 'size': size, 'train': train, 'val': val, 'test': test}
    if folder.exists():
        _check_same(folder, stamp)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    try:
        for split, count in (('train', train), ('val', val), ('test', test)):
            _write_split(building, split, count, size)
        (building / 'scene.json').write_text(json.dumps(stamp))
        building.chmod(0o755)
        try:
            building.rename(folder)
        except OSError:  # another process was faster
            _check_same(folder, stamp)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def _check_same(folder: Path, stamp: dict[str, object]) -> None:
    try:
        found = json.loads((folder / 'scene.json').read_text())
    except (OSError, ValueError):
        found = None
    if found != stamp:
        raise checks.InputError(
            f'{folder}: exists and holds {found or "something else"}, expected {stamp}; '
            'choose another folder or remove this one'
        )


def _write_split(folder: Path, split: str, count: int, size: int) -> None:
    (folder / split).mkdir()
    batch = cameras(count, size=size, split=split)
    frames = []
    for i in range(count):
        rgb, alpha, _ = procedural.render(batch[i])
        io.write(folder / split / f'r_{i}.png', np.concatenate([rgb, alpha[..., None]], axis=-1))
        pose = np.asarray(batch.world_from_camera)[i] @ _OPENGL_FROM_OPENCV
        frames.append({'file_path': f'./{split}/r_{i}', 'transform_matrix': pose.tolist()})
    text = json.dumps({'camera_angle_x': FIELD_OF_VIEW, 'frames': frames}, indent=1)
    with open(folder / f'transforms_{split}.json', 'w') as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
