"""Space carving: where the background is known, whatever projects onto it is empty (Kutulakos and Seitz, 2000).

Conservative: a cell is removed only if the whole of its bounding sphere projects onto background in some image. An
image whose border is all background shows its scene whole, so that whatever lies outside of it is background as well.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.typing import Array

_CHUNK = 1 << 15


def background_distance(foreground: Sequence[np.ndarray], *, reach: int) -> np.ndarray:
    """Chessboard distance in pixels to the nearest pixel that is not known to be background, at most `reach`.

    What lies outside an image is background where its whole border is, else it is not known.

    Args:
        foreground: bool [H W] per image; sizes may differ.
        reach: at most 255.

    Returns:
        uint8 [n H W] on the host, H and W of the greatest; smaller images lie at the top left.
    """
    if not 0 < reach <= 255:
        raise checks.InputError(f'reach: got {reach}, expected 1 to 255 pixels')
    height, width = (max(mask.shape[axis] for mask in foreground) for axis in (0, 1))
    empty = np.zeros((len(foreground), height + 2, width + 2), bool)
    for mask, target in zip(foreground, empty):
        target[:] = framed(mask)
        target[1 : mask.shape[0] + 1, 1 : mask.shape[1] + 1] = ~mask
    distance = empty.astype(np.uint8)
    for _ in range(reach - 1):
        # Erosion by 3 x 3, one axis at a time: what remains is one pixel farther away.
        empty[:, 1:-1] = empty[:, 1:-1] & empty[:, :-2] & empty[:, 2:]
        empty[:, :, 1:-1] = empty[:, :, 1:-1] & empty[:, :, :-2] & empty[:, :, 2:]
        distance += empty
    return distance[:, 1:-1, 1:-1]


def framed(foreground: np.ndarray) -> bool:
    """Whether the border of an image's foreground [H W] is all background."""
    return not (foreground[[0, -1]].any() or foreground[:, [0, -1]].any())


class Carver:
    """Decides for spheres whether they may hold anything; compiled once for all numbers of spheres.

    Args:
        cameras: leading dim n.
        foreground: bool [H W] per image: False where the image shows known background.
        radius: of the largest spheres that it will be asked about, to bound the work.
        nearest: depth t of the nearest content, which bounds how large spheres project.
        slack: pixels by which things may be seen beside where the cameras say.
    """

    def __init__(
        self,
        cameras: Camera,
        foreground: Sequence[np.ndarray],
        *,
        radius: float,
        nearest: float,
        slack: float = 0.0,
    ):
        focal = float(np.max(np.asarray(cameras.focal)))
        reach = int(np.clip(np.ceil(_footprint(radius, max(nearest, 1e-6), focal) + slack) + 1, 1, 64 + slack))
        self._distance = jnp.asarray(background_distance(foreground, reach=reach))
        self._framed = jnp.asarray([framed(mask) for mask in foreground])
        self._cameras = jax.tree.map(jnp.asarray, cameras)
        self._slack = slack
        self._carve = jax.jit(_carve)

    def occupied(self, centers: np.ndarray, radius: float) -> np.ndarray:
        """Which spheres around `centers` [m 3] no image shows to be empty: bool [m]."""
        keep = []
        for start in range(0, len(centers), _CHUNK):
            part = np.asarray(centers[start : start + _CHUNK], np.float32)
            padded = np.zeros((_CHUNK, 3), np.float32)
            padded[: len(part)] = part
            kept = self._carve(self._cameras, self._distance, self._framed, padded, radius, self._slack)
            keep.append(np.asarray(kept)[: len(part)])
        return np.concatenate(keep) if keep else np.zeros(0, bool)


def seen(cameras: Camera, centers: np.ndarray, *, near: float, far: float) -> np.ndarray:
    """How many images see each of the points [m 3], between depths `near` and `far`: int32 [m]."""
    count = jax.jit(_seen)
    cameras = jax.tree.map(jnp.asarray, cameras)
    parts = [count(cameras, centers[start : start + _CHUNK], near, far) for start in range(0, len(centers), _CHUNK)]
    return np.concatenate([np.asarray(part) for part in parts])


def _carve(cameras: Camera, distance: Array, whole: Array, centers: Array, radius: Array, slack: Array) -> Array:
    def one(keep, view):
        camera, background, whole = view
        inside, x, y, depth = _visible(camera, centers)
        far_enough = _footprint(radius, jnp.maximum(depth - radius, 1e-6), jnp.max(camera.focal)) + slack + 1
        # The nearest pixel inside answers for what projects outside: pixels in reach of the latter are in its reach.
        emptied = (depth > radius) & (inside | whole) & (background[y, x] > far_enough)
        return keep & ~emptied, None

    return jax.lax.scan(one, jnp.ones(len(centers), bool), (cameras, distance, whole))[0]


def _seen(cameras: Camera, centers: Array, near: Array, far: Array) -> Array:
    def one(count, camera):
        inside, _, _, depth = _visible(camera, centers)
        return count + (inside & (depth >= near) & (depth <= far)), None

    return jax.lax.scan(one, jnp.zeros(len(centers), jnp.int32), cameras)[0]


def _visible(camera: Camera, points: Array) -> tuple[Array, Array, Array, Array]:
    pixels, depth = cameras_lib.project(camera, points)
    x, y = (jnp.floor(pixels[:, axis]).astype(jnp.int32) for axis in (0, 1))
    width, height = camera.size[0], camera.size[1]
    inside = (depth > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return inside, jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1), depth


def _footprint(radius, depth, focal):
    """Pixels that a sphere covers to each side; half as much again for oblique projection and lens distortion."""
    return 1.5 * radius * focal / depth
