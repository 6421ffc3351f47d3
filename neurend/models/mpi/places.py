"""Where multi-plane images lie: in front of some of the cameras, around what there is."""

from typing import NamedTuple

import jax
import numpy as np

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.models.mpi.config import MpiConfig
from neurend.render.lift import Cube
from neurend.scenes import planes
from neurend.typing import Array

_NEAREST = 0.05  # depth of the first plane in that of the middle, where a camera stands in what it sees


class Places(NamedTuple):
    """Where multi-plane images lie.

    Attributes:
        cameras: [m] that they face, of the planes' size.
        depths: [m D] of their planes.
        size: (width, height) of every plane.
    """

    cameras: Camera
    depths: Array | np.ndarray
    size: tuple[int, int]


def spread(centers: np.ndarray, count: int) -> list[int]:
    """Which of some points [n 3] to keep, each the farthest from those before; the first is the most central."""
    first = int(np.argmin(np.linalg.norm(centers - centers.mean(axis=0), axis=-1)))
    chosen, distance = [first], np.linalg.norm(centers - centers[first], axis=-1)
    while len(chosen) < min(count, len(centers)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(centers - centers[chosen[-1]], axis=-1))
    return chosen


def border_of(config: MpiConfig, size: tuple[int, int]) -> int:
    """Pixels by which planes reach beyond a photograph of `size`, on every side."""
    return round(config.border * max(size))


def between(config: MpiConfig, cameras: Camera, size: tuple[int, int], *, near: float, far: float) -> Places:
    """Planes between two depths of every camera.

    Args:
        config: how many, and how far they reach beyond photographs.
        cameras: [m] pinhole, of photographs of `size`.
        size: (width, height).
        near, far: depths of the nearest and the farthest plane.
    """
    count = np.asarray(cameras.focal).shape[0]
    depths = np.broadcast_to(planes.depths(near, far, config.planes), (count, config.planes))
    return _placed(config, cameras, size, depths.copy())


def through(config: MpiConfig, cameras: Camera, size: tuple[int, int], cube: Cube) -> Places:
    """Planes through the ball about a cube's faces, which holds most of what the cube does.

    Args:
        config, cameras, size: see `between`.
        cube: around what there is.
    """
    poses = np.asarray(cameras.world_from_camera, np.float64)
    middle = np.sum((np.asarray(cube.center) - poses[:, :3, 3]) * poses[:, :3, 2], axis=-1)
    reach = 0.6 * float(cube.side)
    if np.any(middle <= 0):
        raise checks.InputError(
            f'cameras: {int(np.sum(middle <= 0))} of {len(middle)} look away from what there is, expected it in front '
            'of them; leave them out'
        )
    depths = [planes.depths(max(z - reach, _NEAREST * z), z + reach, config.planes) for z in middle]
    return _placed(config, cameras, size, np.stack(depths))


def _placed(config: MpiConfig, cameras: Camera, size: tuple[int, int], depths: np.ndarray) -> Places:
    checks.one_of('cameras.model', cameras.model, ('pinhole',))
    border = border_of(config, size)
    larger = planes.enlarged(cameras, border)
    return Places(larger, depths, (size[0] + 2 * border, size[1] + 2 * border))


def check_overlap(places: Places, names: tuple[str, ...], cameras: Camera) -> None:
    """Checks that every photograph sees planes of the image nearest to it.

    Raises:
        InputError: one does not.
    """
    eyes = np.asarray(places.cameras.world_from_camera)[:, :3, 3]
    for k, name in enumerate(names):
        camera = jax.tree.map(lambda leaf, k=k: leaf[k], cameras)
        nearest = int(np.argmin(np.linalg.norm(eyes - np.asarray(camera.world_from_camera)[:3, 3], axis=-1)))
        own = jax.tree.map(lambda leaf, at=nearest: np.asarray(leaf)[at], places.cameras)
        near, far = np.asarray(places.depths)[nearest, [0, -1]]
        if planes.sees(own, float(near), float(far), camera) == 0:
            raise checks.InputError(
                f'photograph {name}: sees no plane of the multi-plane image nearest to it, expected views that '
                'overlap; leave it out, or make more images of them'
            )
