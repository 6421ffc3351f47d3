"""Folders of multi-plane images in LLFF's format (Mildenhall et al., 2019), to read and write.

`metadata.txt` holds "N W H D"; each `mpiXX/` has its own: "H W D focal", the camera's axes (right, up, backward) and
centre as four rows, and the farthest and nearest depth; `mpi.b` holds bytes [D H W 4] of straight RGBA, the farthest
plane first.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras, transforms
from neurend.images import io
from neurend.scenes.planes import Planes, depths

_REMEDY = 'Write the folder again'


def read(folder: str | os.PathLike[str]) -> list[Planes]:
    """Reads the multi-plane images of a folder; the optical axis meets the middle of each.

    Raises:
        InputError: a file is missing, or does not hold what the format says.
    """
    folder = Path(folder)
    count, width, height, planes = (int(x) for x in _numbers(folder / 'metadata.txt', [4])[0])
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name.startswith('mpi'))
    if len(names) != count:
        raise checks.InputError(
            f'{folder}: {len(names)} folders mpiXX, expected {count} as metadata.txt says. {_REMEDY}'
        )
    return [_read_one(folder / name, (planes, height, width)) for name in names]


def _read_one(folder: Path, shape: tuple[int, int, int]) -> Planes:
    rows = _numbers(folder / 'metadata.txt', [4, 3, 3, 3, 3, 2])
    height, width, count, focal = rows[0]
    if (count, height, width) != shape:
        raise checks.InputError(
            f'{folder}: {int(count)} planes of {int(width)} x {int(height)}, expected {shape[0]} of {shape[2]} x '
            f'{shape[1]} as the metadata.txt above says. {_REMEDY}'
        )
    far, near = rows[5]
    path = checks.file(folder / 'mpi.b', 'multi-plane image')
    data = np.frombuffer(path.read_bytes(), np.uint8)
    if data.size != np.prod(shape) * 4:
        raise checks.InputError(f'{path}: {data.size} bytes, expected {np.prod(shape) * 4}. {_REMEDY}')
    rgba = data.reshape(*shape, 4)[::-1].astype(np.float32) / 255
    pose = np.eye(4)
    pose[:3] = np.stack(rows[1:5], axis=-1)
    checks.finite(f'pose of {folder}', pose)
    # Float64 until the axes are turned, so that written poses come back as they were.
    pose = pose * np.array([1, -1, -1, 1])
    camera = cameras.make(jnp.asarray(pose, jnp.float32), float(focal), size=(int(width), int(height)))
    return Planes(jnp.asarray(rgba), jnp.asarray(depths(float(near), float(far), int(count))), camera)


def _numbers(path: Path, lengths: Sequence[int]) -> list[np.ndarray]:
    """The first lines of a file of numbers, which must have these lengths."""
    lines = [line.split() for line in checks.file(path, 'metadata').read_text().splitlines() if line.strip()]
    try:
        rows = [np.array([float(x) for x in line]) for line in lines[: len(lengths)]]
    except ValueError as error:
        raise checks.InputError(f'{path}: not numbers ({error}). {_REMEDY}') from error
    if [len(row) for row in rows] != list(lengths):
        raise checks.InputError(
            f'{path}: lines of {[len(row) for row in rows]} numbers, expected {list(lengths)}. {_REMEDY}'
        )
    return rows


def write(folder: str | os.PathLike[str], images: Sequence[Planes]) -> None:
    """Writes multi-plane images of one size.

    Args:
        folder: made if it is not there.
        images: RGBA of planes uniform in disparity, whose cameras have one focal length and the optical axis in the
            middle; colours are rounded to bytes.

    Raises:
        InputError: what the format cannot hold.
    """
    if not images:
        raise checks.InputError('images: got none, expected at least one multi-plane image')
    sizes = checks.shape('images[0].rgba', images[0].rgba, 'D H W 4', 'The format holds colours and opacity')
    header = f'{len(images)} {sizes["W"]} {sizes["H"]} {sizes["D"]}\n'
    texts = []
    for k, image in enumerate(images):
        checks.shape(f'images[{k}].rgba', image.rgba, 'D H W 4', 'All of one size', sizes=sizes)
        texts.append(_metadata(f'images[{k}]', image, sizes))
    folder = Path(folder)
    digits = max(2, len(str(len(images) - 1)))
    for k, (image, text) in enumerate(zip(images, texts)):
        own = folder / f'mpi{k:0{digits}d}'
        own.mkdir(parents=True, exist_ok=True)
        io.replace(own / 'metadata.txt', text.encode())
        io.replace(own / 'mpi.b', np.ascontiguousarray(io.to_uint8(np.asarray(image.rgba))[::-1]).tobytes())
    io.replace(folder / 'metadata.txt', header.encode())


def _metadata(name: str, image: Planes, sizes: dict[str, int]) -> str:
    focal, center = np.asarray(image.camera.focal, np.float64), np.asarray(image.camera.center, np.float64)
    middle = np.array([sizes['W'], sizes['H']]) / 2
    if image.camera.model != 'pinhole' or not np.allclose(focal[0], focal[1], rtol=1e-4):
        raise checks.InputError(f'{name}.camera: got focal lengths {focal}, expected a pinhole camera with one')
    if not np.allclose(center, middle, atol=0.01):
        raise checks.InputError(
            f'{name}.camera: its axis meets the picture at {center}, expected its middle {middle}; enlarge the planes '
            'on one side'
        )
    near, far = float(image.depths[0]), float(image.depths[-1])
    expected = depths(near, far, sizes['D']) if sizes['D'] > 1 else np.array([near])
    if not np.allclose(1 / np.asarray(image.depths), 1 / expected, rtol=1e-3):
        raise checks.InputError(f'{name}.depths: got {np.asarray(image.depths)}, expected them uniform in disparity')
    pose = np.asarray(transforms.opencv_from_opengl(image.camera.world_from_camera), np.float64)
    rows = [[sizes['H'], sizes['W'], sizes['D'], float(focal[0])], *pose[:3].T, [far, near]]
    return ''.join(' '.join(f'{value:.10g}' for value in row) + '\n' for row in rows)
