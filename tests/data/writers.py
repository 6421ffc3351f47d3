"""Writes one truth, cameras and pictures, in every format that the readers know."""

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np

from neurend.images import io

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Truth:
    """Cameras in source units, OpenCV axes, and one random picture each."""

    poses: np.ndarray
    sizes: tuple[tuple[int, int], ...]
    focal: np.ndarray
    center: np.ndarray
    distortion: np.ndarray
    points: np.ndarray
    images: tuple[np.ndarray, ...]

    def __len__(self):
        return len(self.poses)


def truth(n=9, *, mixed=True, distorted=True, square_pixels=False, seed=0):
    """A ring of cameras that look at a cloud around (1, 2, 3), or of one size and lens if not `mixed`."""
    rng = np.random.default_rng(seed)
    middle, poses = np.array([1.0, 2.0, 3.0]), np.tile(np.eye(4), (n, 1, 1))
    for k in range(n):
        angle = 2 * np.pi * k / n
        back = np.array([np.cos(angle), np.sin(angle), 0.4 + 0.1 * np.sin(2 * angle)])
        back = back / np.linalg.norm(back)
        right = np.cross([0, 0, 1], back)
        right = right / np.linalg.norm(right)
        poses[k, :3, :3] = np.stack([right, -np.cross(back, right), -back], axis=-1)
        poses[k, :3, 3] = middle + (5 + 0.3 * np.cos(3 * angle)) * back
    sizes = tuple((20 + 4 * (k % 2), 16) if mixed else (20, 16) for k in range(n))
    focal = rng.uniform(20, 24, (n, 2)) if mixed else np.full((n, 2), 22.0)
    if square_pixels:
        focal = focal[:, :1].repeat(2, axis=1)
    offset = rng.uniform(-1, 1, (n, 2)) if mixed else np.zeros((n, 2))
    lens = np.array([0.05, -0.02, 0, 0, 0.01, -0.005]) if distorted else np.zeros(6)
    return Truth(
        poses=poses,
        sizes=sizes,
        focal=focal,
        center=np.array(sizes) / 2 + offset,
        distortion=np.tile(lens, (n, 1)),
        points=middle + rng.uniform(-1, 1, (40, 3)),
        images=tuple(rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for w, h in sizes),
    )


def name(k):
    return f'view_{k:02d}.png'


def pictures(folder: Path, t: Truth) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(t.images):
        io.write(folder / name(k), image)
    return folder


def blender(folder: Path, t: Truth, split='train') -> Path:
    """Needs square pixels, a centred principal point, no distortion."""
    pictures(folder / split, t)
    frames = [
        {'file_path': f'./{split}/{name(k)[:-4]}', 'transform_matrix': (t.poses[k] @ OPENGL).tolist()}
        for k in range(len(t))
    ]
    angle = 2 * np.arctan(0.5 * t.sizes[0][0] / t.focal[0, 0])
    (folder / f'transforms_{split}.json').write_text(json.dumps({'camera_angle_x': angle, 'frames': frames}))
    return folder


def nerfstudio(folder: Path, t: Truth, **extra) -> Path:
    pictures(folder / 'images', t)
    frames = []
    for k in range(len(t)):
        lens = dict(zip(('k1', 'k2', 'k3', 'k4', 'p1', 'p2'), t.distortion[k].tolist()))
        frames.append(
            {
                'file_path': f'images/{name(k)}',
                'transform_matrix': (t.poses[k] @ OPENGL).tolist(),
                'fl_x': t.focal[k, 0],
                'fl_y': t.focal[k, 1],
                'cx': t.center[k, 0],
                'cy': t.center[k, 1],
                'w': t.sizes[k][0],
                'h': t.sizes[k][1],
                **lens,
            }
        )
    (folder / 'transforms.json').write_text(json.dumps({'camera_model': 'OPENCV', 'frames': frames, **extra}))
    return folder


def llff(folder: Path, t: Truth, *, full=1, suffix='') -> Path:
    """Needs one size, square pixels, no distortion. Metadata speak of images `full` times larger."""
    pictures(folder / f'images{suffix}', t)
    rows = []
    for k in range(len(t)):
        r, d, f, c = t.poses[k, :3].T
        hwf = np.array([t.sizes[k][1], t.sizes[k][0], t.focal[k, 0]]) * full
        matrix = np.stack([d, r, -f, c, hwf], axis=-1)
        depth = (t.points - c) @ f
        rows.append(np.concatenate([matrix.reshape(-1), [depth.min(), depth.max()]]))
    np.save(folder / 'poses_bounds.npy', np.array(rows))
    return folder


def quaternion(rotation):
    """(w, x, y, z) of a rotation, by the eigenvector of the symmetric matrix of Bar-Itzhack (2000)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    k = np.array(
        [
            [a - e - i, d + b, g + c, h - f],
            [d + b, e - a - i, h + f, c - g],
            [g + c, h + f, i - a - e, d - b],
            [h - f, c - g, d - b, a + e + i],
        ]
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    return np.array([w, x, y, z])


def colmap_records(t: Truth):
    """Camera parameters, camera_from_world and names, in COLMAP's order; OPENCV cameras, one per image."""
    for k in range(len(t)):
        r = t.poses[k, :3, :3].T
        params = np.concatenate([t.focal[k], t.center[k], t.distortion[k, [0, 1, 4, 5]]])
        yield k + 1, params, quaternion(r), -r @ t.poses[k, :3, 3], name(k)


def track(t: Truth, point: int) -> str:
    return ' '.join(f'{i + 1} {point}' for i in range(len(t)))


def colmap_text(folder: Path, t: Truth) -> Path:
    pictures(folder / 'images', t)
    sparse = folder / 'sparse' / '0'
    sparse.mkdir(parents=True)
    cameras, images, points = ['# cameras'], ['# images'], ['# points']
    for i, params, q, translation, image in colmap_records(t):
        width, height = t.sizes[i - 1]
        cameras.append(f'{i} OPENCV {width} {height} ' + ' '.join(map(repr, params.tolist())))
        numbers = ' '.join(map(repr, [*q.tolist(), *translation.tolist()]))
        images += [f'{i} {numbers} {i} {image}', ' '.join(f'1.5 2.5 {p + 1}' for p in range(len(t.points)))]
    for p, point in enumerate(t.points):
        points.append(f'{p + 1} ' + ' '.join(map(repr, point.tolist())) + ' 255 0 0 0.5 ' + track(t, p))
    for stem, lines in (('cameras', cameras), ('images', images), ('points3D', points)):
        (sparse / f'{stem}.txt').write_text('\n'.join(lines) + '\n')
    return folder


def colmap_binary(folder: Path, t: Truth) -> Path:
    pictures(folder / 'images', t)
    sparse = folder / 'sparse' / '0'
    sparse.mkdir(parents=True)
    cameras, images = [struct.pack('<Q', len(t))], [struct.pack('<Q', len(t))]
    for i, params, q, translation, image in colmap_records(t):
        cameras.append(struct.pack('<iiQQ8d', i, 4, *t.sizes[i - 1], *params))
        images.append(struct.pack('<I7di', i, *q, *translation, i) + image.encode() + b'\0')
        images.append(struct.pack('<Q', len(t.points)))
        images += [struct.pack('<2dq', 1.5, 2.5, p + 1) for p in range(len(t.points))]
    points = [struct.pack('<Q', len(t.points))]
    for p, point in enumerate(t.points):
        points.append(struct.pack('<Q3d3BdQ2i', p + 1, *point, 255, 0, 0, 0.5, 1, 1, p))
    for stem, parts in (('cameras', cameras), ('images', images), ('points3D', points)):
        (sparse / f'{stem}.bin').write_bytes(b''.join(parts))
    return folder


def voxels(folder: Path, t: Truth, *, near=True, camera_from_world=False) -> Path:
    """DeepVoxels with a near line, SRN without; needs one size and lens, square pixels, no distortion."""
    pictures(folder / 'rgb', t)
    (folder / 'pose').mkdir()
    for k, pose in enumerate(t.poses):
        matrix = np.linalg.inv(pose) if camera_from_world else pose
        text = ' '.join(map(repr, matrix.reshape(-1).tolist()))
        (folder / 'pose' / f'view_{k:02d}.txt').write_text(text)
    width, height = t.sizes[0]
    lines = [f'{t.focal[0, 0]} {t.center[0, 0]} {t.center[0, 1]} 0.', '1. 2. 3.']
    lines += ['0.'] if near else []
    lines += ['2.0', f'{height} {width}'] + (['1'] if camera_from_world else [])
    (folder / 'intrinsics.txt').write_text('\n'.join(lines) + '\n')
    return folder
