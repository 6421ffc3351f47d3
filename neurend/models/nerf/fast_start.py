"""What `fast` finds out before training: a box, the cells that may hold something, and the pixels that can see them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from neurend import checks
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.models.nerf import fast_backdrop, fast_spans
from neurend.models.nerf.fast_config import FastConfig
from neurend.scenes import carving
from neurend.scenes import voxels as voxels_lib
from neurend.scenes.voxels import Voxels

_FIRST_GRID = 64
_HALF_DIAGONAL = 0.5 * 3**0.5


@dataclasses.dataclass(frozen=True)
class Start:
    """The state of knowledge before the first step; all arrays are on the host.

    Attributes:
        voxels: the coarsest grid.
        rows: how many rows its two tables need.
        spans: [n rows columns 2] see `fast_spans`.
        cameras: leading dim n.
        carver: decides about finer cells, None where the background is not known.
        colors: [n rows columns 3] of the images at the nodes of the spans where the background is not known, else None.
        variance: of these colours about their mean, summed over the channels; None where the background is known.
        plates: [m 3] uint8, what lies behind each pixel of all images, row by row, where that is known from elsewhere
            than the batch, else None.
        active: int32, the pixels that can see anything, for the source that draws batches.
        near, far: bounds of t.
    """

    voxels: Voxels
    rows: tuple[int, int]
    spans: np.ndarray
    cameras: Camera
    carver: carving.Carver | None
    colors: np.ndarray | None
    variance: float | None
    plates: np.ndarray | None
    active: np.ndarray
    near: float
    far: float


def prepare(
    config: FastConfig,
    cameras: Camera,
    foreground: Sequence[np.ndarray] | None,
    *,
    near: float,
    far: float,
    images: Sequence[np.ndarray] = (),
    plates: Sequence[np.ndarray] | None = None,
    slack: float = 0.0,
) -> Start:
    """Carves a box around the scene from what is known before training.

    Args:
        config: see `FastConfig`.
        cameras: of the training images, leading dim n.
        foreground: bool [H W] per image, False on known background; None where the background is unknown.
        near, far: bounds of the rays' t.
        images: uint8 [H W c], needed where the background is unknown.
        plates: uint8 [H W 3] per image, what lies behind, if it is neither one colour nor unknown.
        slack: pixels by which the images may show things beside where the cameras say.

    Raises:
        InputError: nothing is left, because cameras, masks and bounds do not fit together.
    """
    if foreground is None and len(images) != len(cameras.focal):
        raise checks.InputError(f'images: got {len(images)}, expected one for each camera where no foreground is given')
    cameras = jax.tree.map(np.asarray, cameras)
    low, high = _bounds(cameras, near, far)
    edge = float(np.max(high - low)) / _FIRST_GRID
    carver = None
    if foreground is not None:
        carver = carving.Carver(cameras, foreground, radius=_HALF_DIAGONAL * edge, nearest=near, slack=slack)
    centers = _centers(low, edge, np.ceil((high - low) / edge).astype(int))
    views = carving.seen(cameras, centers, near=near, far=far)
    enough = max(2, (0.1 if carver else config.seen_by) * len(cameras.focal))
    keep = views >= enough
    if carver is not None:
        keep[keep] = carver.occupied(centers[keep], _HALF_DIAGONAL * edge)
    if not keep.any():
        raise checks.InputError(
            'fast: no part of the box that the cameras see is left after carving; check poses, masks, near and far'
        )
    low, high = centers[keep].min(0) - 0.5 * edge, centers[keep].max(0) + 0.5 * edge
    finest = config.cell_pixels * _pixel_size(cameras, 0.5 * (low + high))
    edge = finest * 2 ** (len(config.rays) - 1)
    sizes = -(-np.ceil((high - low) / edge).astype(int) // 2) * 2
    low = 0.5 * (low + high) - 0.5 * edge * sizes
    centers = _centers(low, edge, sizes)
    keep = carving.seen(cameras, centers, near=near, far=far) >= enough
    if carver is not None:
        keep[keep] = carver.occupied(centers[keep], _HALF_DIAGONAL * edge)
    voxels, rows = voxels_lib.build(keep.reshape(sizes), low=low, edge=edge)
    image_sizes = np.asarray(cameras.size)
    grid = fast_spans.shape(image_sizes, config.node_pixels)
    device_voxels: Any = jax.tree.map(jax.numpy.asarray, voxels)
    spans = np.asarray(fast_spans.first_spans(device_voxels, cameras, grid, near=near, far=far))
    pixel_spans = np.asarray(fast_spans.between(jax.numpy.asarray(spans)))
    active = fast_spans.active_pixels(pixel_spans, image_sizes).astype(np.int32)
    colors = fast_backdrop.at_nodes(images, grid) if foreground is None else None
    variance = None if colors is None else float(colors.reshape(-1, 3).var(0).sum())
    behind = None if plates is None else np.concatenate([plate.reshape(-1, 3) for plate in plates])
    return Start(voxels, rows, spans, cameras, carver, colors, variance, behind, active, near, far)


def finer(start: Start, voxels: Voxels, keep: np.ndarray) -> np.ndarray:
    """Which children [2X 2Y 2Z] of the cells in `keep` [m] may hold something, for `voxels.subdivide`."""
    live = keep[np.asarray(voxels.cells)] & (np.asarray(voxels.cells) > 0)
    children = live.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    if start.carver is None:
        return children
    edge = float(voxels.edge) / 2
    where = np.argwhere(children)
    centers = (np.asarray(voxels.low) + (where + 0.5) * edge).astype(np.float32)
    kept = where[start.carver.occupied(centers, _HALF_DIAGONAL * edge)]
    children[:] = False
    children[tuple(kept.T)] = True
    return children


def _bounds(cameras: Camera, near: float, far: float) -> tuple[np.ndarray, np.ndarray]:
    """The box of what lies between near and far of the cameras' corner and middle rays."""
    size = cameras.size.astype(np.float32)
    points = []
    for across in (0.0, 0.5, 1.0):
        for down in (0.0, 0.5, 1.0):
            rays = cameras_lib.rays(cameras, size * np.array([across, down], np.float32))
            points += [np.asarray(rays.origins + t * rays.directions) for t in (near, far)]
    stacked = np.concatenate(points)
    return stacked.min(0), stacked.max(0)


def _pixel_size(cameras: Camera, middle: np.ndarray) -> float:
    """Median over the cameras of a pixel's width at a point [3]."""
    _, depth = cameras_lib.project(cameras, middle.astype(np.float32))
    scale = np.ones_like(depth) if cameras.model == 'orthographic' else np.maximum(np.asarray(depth), 0)
    return float(np.median(scale / np.asarray(cameras.focal)[:, 0]))


def _centers(low: np.ndarray, edge: float, sizes: np.ndarray) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(size) for size in sizes), indexing='ij')
    return (low + (np.stack(axes, -1).reshape(-1, 3) + 0.5) * edge).astype(np.float32)
