"""Procedural Shepard-Metzler figures: the embedded category, ray traced in NumPy, which needs no download.

A figure is a self-avoiding walk of cubes with bends (Shepard and Metzler 1971), every cube of its own hue as in the
category of Eslami et al. 2018; a fixed light gives each of the six directions of a face another brightness.
"""

import colorsys
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data import frames, posed
from neurend.data.categories import Category
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import transforms

SIDE = 0.3
"""Side of a cube."""
EXTENT = 4
"""Most cubes along an axis."""
RADIUS = 3.0
"""Distance of the cameras from the origin, the middle of the figure."""
_FOCAL = 1.55  # of a picture one wide: figures fill it, and none reaches out of it
_LIGHT = np.array([0.36, 0.48, 0.8])
_SUBSAMPLES = 4


class Figure(NamedTuple):
    """Cubes: `centers` `[c 3]` in the world, the box around them centred on the origin; `colors` `[c 3]` sRGB."""

    centers: np.ndarray
    colors: np.ndarray


def figure(seed: int | tuple[int, ...], *, cubes: int = 7) -> Figure:
    """A random figure, a function of the seed.

    Args:
        seed: which figure.
        cubes: 4 to 20. The walk turns twice at least, and spans `EXTENT` cubes at most along each axis.

    Raises:
        InputError: too few or too many cubes.
    """
    if not 4 <= cubes <= 20:
        raise checks.InputError(f'cubes: got {cubes}, expected 4 to 20')
    random = np.random.default_rng(seed)
    directions = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    while True:
        turns = random.integers(6, size=cubes - 1)
        cells = np.concatenate([np.zeros((1, 3), int), np.cumsum(directions[turns], axis=0)])
        bends = np.count_nonzero(np.diff(turns))
        if bends >= 2 and len(np.unique(cells, axis=0)) == cubes and np.ptp(cells, axis=0).max() < EXTENT:
            break
    hues = random.uniform(size=cubes)
    middle = (cells.min(0) + cells.max(0)) / 2
    return Figure(SIDE * (cells - middle), np.array([colorsys.hsv_to_rgb(hue, 0.75, 0.95) for hue in hues]))


def cameras(seed: int | tuple[int, ...], count: int, *, size: int = 64) -> cameras_lib.Camera:
    """Pinhole cameras `[count]` at random places on the sphere of `RADIUS`, looking at its centre, z upward.

    Args:
        seed: which places.
        count: how many.
        size: width and height in pixels.
    """
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    eyes = RADIUS * directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    poses = transforms.look_at(jnp.asarray(eyes, jnp.float32), jnp.zeros(3), jnp.asarray([0.0, 0.0, 1.0]))
    return posed.host_cameras(
        world_from_camera=np.asarray(poses),
        focal=np.full((count, 2), _FOCAL * size, np.float32),
        center=np.full((count, 2), size / 2, np.float32),
        distortion=np.zeros((count, 6), np.float32),
        size=np.full((count, 2), size, np.int32),
        model='pinhole',
    )


def category(
    count: int, *, views: int = 15, size: int = 64, split: str = 'train', cubes: int = 7, first: int = 0
) -> Category:
    """Figures seen by cameras all around them, all other ones in every split.

    Args:
        count: figures, at least 1.
        views: of each, by cameras of its own.
        size: width and height of the pictures.
        split: 'train', 'val' or 'test'.
        cubes: in a figure.
        first: number of the first figure; figure k of a split is the same whatever the count.

    Raises:
        InputError: a count, or the size, below 1.
    """
    checks.one_of('split', split, frames.SPLITS)
    if min(count, views, size) < 1:
        raise checks.InputError(f'count, views, size: got {count}, {views}, {size}, expected at least 1')
    part = frames.SPLITS.index(split)
    numbers = range(first, first + count)
    seen = [cameras((part, k, 1), views, size=size) for k in numbers]
    images = [
        np.stack([render(shape, camera[v]) for v in range(views)])
        for shape, camera in zip([figure((part, k, 0), cubes=cubes) for k in numbers], seen)
    ]
    leaves = {
        name: np.stack([getattr(camera, name) for camera in seen])
        for name in ('world_from_camera', 'focal', 'center', 'distortion', 'size')
    }
    names = tuple(f'{split}_{k:05d}' for k in numbers)
    return Category(names, np.stack(images), posed.host_cameras(**leaves, model='pinhole'), EXTENT * SIDE)


def render(shape: Figure, camera: cameras_lib.Camera) -> np.ndarray:
    """The picture `[h w 3]` uint8 of a figure on white; pixels of edges are means over a grid of rays.

    Args:
        shape: the figure.
        camera: pinhole, without leading dims, outside the figure.
    """
    width, height = (int(length) for length in np.asarray(camera.size))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2)
    _, face = trace(shape, *_rays(camera, pixels))
    palette = _palette(shape)
    color = palette[face]
    padded = np.pad(face.reshape(height, width), 1, mode='edge')
    windows = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    edges = np.flatnonzero(np.ptp(np.stack(windows), axis=0).reshape(-1))
    offsets = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES - 0.5
    offsets = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(1, -1, 2)
    _, fine = trace(shape, *_rays(camera, (pixels[edges, None] + offsets).reshape(-1, 2)))
    color[edges] = palette[fine].reshape(len(edges), -1, 3).mean(1)
    return np.round(255 * color).astype(np.uint8).reshape(height, width, 3)


def trace(shape: Figure, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First hits of rays from one point outside the figure, exactly: slabs of every cube (Kay and Kajiya 1986).

    Args:
        shape: the figure.
        origin: `[3]`.
        directions: `[n 3]`, of any length; t is in their units.

    Returns:
        t `[n]`, inf for none; the face that is hit `[n]`: 6 times the cube's number, plus the axis, plus 3 if the face
        looks down the axis; -1 for none.
    """
    t, face = np.full(len(directions), np.inf), np.full(len(directions), -1)
    lengths = (directions**2).sum(-1)
    for cube, offset in enumerate(shape.centers - origin):
        # The ball around the cube first: a few of the rays meet it.
        along = directions @ offset
        ball = 0.75 * SIDE**2 * 1.0001
        near = np.flatnonzero(along**2 >= (offset @ offset - ball) * lengths)
        slopes = directions[near].T
        slopes = np.where(slopes == 0, 1e-30, slopes)
        downward = slopes > 0  # such a ray enters through the face that looks down the axis
        half = np.where(downward, SIDE / 2, -SIDE / 2)
        x, y, z = (offset[:, None] - half) / slopes
        enter = np.maximum(np.maximum(x, y), z)
        leave = np.minimum.reduce((offset[:, None] + half) / slopes)
        nearer = (enter < leave) & (enter > 0) & (enter < t[near])
        axis = np.where(x >= np.maximum(y, z), 0, np.where(y >= z, 1, 2))
        hit = near[nearer]
        t[hit] = enter[nearer]
        face[hit] = (6 * cube + axis + 3 * np.choose(axis, downward))[nearer]
    return t, face


def _rays(camera: cameras_lib.Camera, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pose = np.asarray(camera.world_from_camera, np.float64)
    plane = (pixels - np.asarray(camera.center, np.float64)) / np.asarray(camera.focal, np.float64)
    return pose[:3, 3], np.concatenate([plane, np.ones((len(plane), 1))], axis=-1) @ pose[:3, :3].T


def _palette(shape: Figure) -> np.ndarray:
    """Colours of all faces, and of nothing at the end. All six directions differ, those away from the light too."""
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    shade = 0.7 + 0.3 * normals @ _LIGHT
    return np.concatenate([(shape.colors[:, None] * shade[:, None]).reshape(-1, 3), np.ones((1, 3))])
