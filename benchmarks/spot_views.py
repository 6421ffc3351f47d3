"""A rasterized mesh beside path-traced pictures of it: silhouettes and depth.

    python -m benchmarks.spot_views --data_root=../shared/data

Mitsuba 3 rendered `spot_views`, with many samples a pixel, from the mesh that is drawn here through the cameras of the
folder: coverage is held against its alpha. Depth, interpolated from vertices, is held against rays that trimesh (extra
`mesh`) casts through the centres of the same pixels, in float64. The last line printed is JSON. `--quick` takes every
fourth view and fewer rays.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend.data import scenes
from neurend.data.posed import PosedImages
from neurend.geometry import cameras, clip, triangles
from neurend.render import antialias, rasterize, texture
from neurend.scenes import obj
from neurend.scenes.meshes import Mesh


def load(data_root: Path) -> tuple[PosedImages, Mesh]:
    """The test views and the mesh they show."""
    return (
        scenes.read(data_root / 'spot_views', split='test'),
        obj.read(data_root / 'meshes' / 'spot_triangulated.obj'),
    )


def renderer(mesh: Mesh, width: int, height: int) -> Callable[[cameras.Camera], tuple[Any, Any, Any]]:
    """Whether pixels' centres are covered, antialiased coverage, and depth along the camera's axis, [H W] each."""
    topology = triangles.topology(mesh.faces)

    @jax.jit
    def draw(camera: cameras.Camera) -> tuple[Any, Any, Any]:
        vertices = clip.from_camera(camera, jnp.asarray(mesh.vertices))
        found = rasterize.rasterize(vertices, mesh.faces, width=width, height=height)
        covered = found.face >= 0
        soft = antialias.antialias(covered[..., None].astype(jnp.float32), found, vertices, topology)
        return covered, soft[..., 0], texture.interpolate(vertices[:, 3:], mesh.faces, found)[..., 0]

    return draw


def iou(coverage: Any, alpha: Any) -> float:
    """Intersection over union of coverages in [0, 1], fractional ones included."""
    return float(np.minimum(coverage, alpha).sum() / np.maximum(coverage, alpha).sum())


class Tracer:
    """trimesh's test of rays against triangles, with bounding boxes in place of the R-tree it would make.

    `bounds` and `intersection` are what it asks such a tree for.
    """

    def __init__(self, mesh: Mesh):
        from trimesh.ray import ray_triangle

        self._trace: Any = ray_triangle.ray_triangle_id
        self._triangles = np.asarray(mesh.vertices, np.float64)[mesh.faces]
        self._low, self._high = self._triangles.min(1), self._triangles.max(1)
        self.bounds = np.concatenate([self._low.min(0), self._high.max(0)])

    def intersection(self, box: Any) -> np.ndarray:
        return np.flatnonzero(((self._low <= box[3:]) & (self._high >= box[:3])).all(1))

    def depth(self, camera: cameras.Camera, pixels: np.ndarray) -> np.ndarray:
        """Depth [n] behind pixels [n 2] of a pinhole camera, infinite where nothing is met."""
        pose = np.asarray(camera.world_from_camera, np.float64)
        plane = (pixels - np.asarray(camera.center, np.float64)) / np.asarray(camera.focal, np.float64)
        directions = np.concatenate([plane, np.ones((len(pixels), 1))], axis=1) @ pose[:3, :3].T
        depth = np.full(len(pixels), np.inf)
        for first in range(0, len(pixels), 512):
            part = slice(first, first + 512)
            origins = np.broadcast_to(pose[:3, 3], directions[part].shape)
            _, ray, place = self._trace(self._triangles, origins, directions[part], tree=self)
            if len(ray):
                np.minimum.at(depth[part], ray, (place - pose[:3, 3]) @ pose[:3, 2])
        return depth


def compare_depth(draw: Any, tracer: Tracer, camera: cameras.Camera, stride: int) -> tuple[np.ndarray, int, int]:
    """Differences at every `stride`-th pixel of every `stride`-th row, and how many only one of both covers.

    Returns:
        Absolute differences where both do; how many we alone cover; how many trimesh alone does.
    """
    covered, _, depth = (np.asarray(part)[stride // 2 :: stride, stride // 2 :: stride] for part in draw(camera))
    height, width = (int(side) for side in np.asarray(camera.size)[::-1])
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x, y], axis=-1)[stride // 2 :: stride, stride // 2 :: stride]
    traced = tracer.depth(camera, pixels.reshape(-1, 2)).reshape(depth.shape)
    both = covered & np.isfinite(traced)
    differences = np.abs(depth[both] - traced[both])
    return differences, int((covered & ~both).sum()), int((np.isfinite(traced) & ~both).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--stride', type=int, default=2, help='of pixels through which trimesh casts rays')
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    views, mesh = load(Path(options.data_root))
    height, width = views.images[0].shape[:2]
    draw, tracer = renderer(mesh, width, height), Tracer(mesh)
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    soft, hard, differences, ours, theirs = [], [], [], 0, 0
    print(f'{"view":10s} {"IoU":>8s} {"at 0.5":>8s}   depth difference / scene size: max, mean')
    for k in range(0, len(views), 4 if options.quick else 1):
        camera, alpha = views.camera(k), views.images[k][..., 3] / 255
        covered, coverage, _ = draw(camera)
        soft.append(iou(coverage, alpha))
        hard.append(iou(covered, alpha >= 0.5))
        found, ours_alone, theirs_alone = compare_depth(draw, tracer, camera, 8 if options.quick else options.stride)
        differences.append(found / size)
        ours, theirs = ours + ours_alone, theirs + theirs_alone
        print(
            f'{views.names[k]:10s} {soft[-1]:8.5f} {hard[-1]:8.5f}   {found.max() / size:.1e}, '
            f'{found.mean() / size:.1e}; covered here only {ours_alone}, there only {theirs_alone}',
            flush=True,
        )
    every = np.concatenate(differences)
    result = {
        'iou_mean': round(float(np.mean(soft)), 5),
        'iou_min': round(min(soft), 5),
        'iou_thresholded_mean': round(float(np.mean(hard)), 5),
        'iou_thresholded_min': round(min(hard), 5),
        'depth_difference_max': float(every.max()),
        'depth_difference_mean': float(every.mean()),
        'depth_off_by_1e-3': int((every > 1e-3).sum()),
        'rays': len(every) + ours + theirs,
        'covered_here_only': ours,
        'covered_there_only': theirs,
        'scene_size': round(size, 4),
    }
    print(json.dumps(result))


if __name__ == '__main__':
    main()
