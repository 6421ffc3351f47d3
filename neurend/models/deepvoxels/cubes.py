"""Cubes for volumes: around what photographs show, and how much of it a cube holds."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import cameras as cameras_lib
from neurend.geometry import intersect
from neurend.geometry.cameras import Camera
from neurend.render.lift import Cube
from neurend.scenes import hull

_CELLS = 64
_SPARE = 1.04  # side of the cube in that of what it holds


def around(cameras: Camera, foreground: Sequence[np.ndarray] | None, *, near: float, far: float) -> Cube:
    """The cube around what lies between two depths, or around its visual hull.

    Args:
        cameras: [n], looking at the origin of their world.
        foreground: bool [H W] for each camera, False where nothing is; None where that is not known.
        near, far: depths of the nearest and the farthest content. Without `foreground` the cube is that whose
            corners lie on the ball about the origin between them, as in the folders of DeepVoxels.

    Raises:
        InputError: nothing is on all of `foreground`.
    """
    if foreground is None:
        return Cube(jnp.zeros(3), jnp.float32((far - near) / 3**0.5))
    found = hull.carve(cameras, foreground, radius=(far - near) / 2, cells=_CELLS, nearest=near)
    where = np.argwhere(np.asarray(found.cells))
    low, high = where.min(0), where.max(0) + 1
    center = np.asarray(found.low) + (low + high) / 2 * float(found.edge)
    return Cube(jnp.asarray(center, jnp.float32), jnp.float32(_SPARE * (high - low).max() * float(found.edge)))


def held(cube: Cube, cameras: Camera, foreground: Sequence[np.ndarray] | None, *, sizes: np.ndarray) -> float:
    """Part of the pixels whose rays meet the cube: of those that show something, or of all.

    Args:
        cube: see there.
        cameras: [n].
        foreground: bool [H W] for each, True where something is; None for all pixels.
        sizes: [n 2] width and height of each picture.
    """
    hits, count = 0, 0
    for k, (width, height) in enumerate(np.asarray(sizes)):
        counted = np.ones((height, width), bool) if foreground is None else foreground[k]
        camera = jax.tree.map(lambda leaf, k=k: jnp.asarray(leaf[k]), cameras)
        hits += int(np.sum(np.asarray(_meets(cube, camera, int(width), int(height))) & counted))
        count += int(np.sum(counted))
    return hits / count if count else 0.0


def _meets(cube: Cube, camera: Camera, width: int, height: int) -> jax.Array:
    rays = cameras_lib.rays(camera, cameras_lib.pixel_centers(width, height))
    half = cube.side / 2
    enter, leave = intersect.ray_box(rays.origins, rays.directions, cube.center - half, cube.center + half)
    return leave > jnp.maximum(enter, 0)
