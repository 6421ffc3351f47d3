"""Point clouds: places with a size and whatever they show."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from neurend import checks
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.typing import Array


@flax.struct.dataclass
class Points:
    """A point cloud, over any leading dims `...` shared by all leaves.

    Attributes:
        positions: [... n 3] in the world.
        features: [... n c], colours in [0, 1] or descriptors that are learned.
        radii: [... n] in the world, above 0.
    """

    positions: Array
    features: Array
    radii: Array


def make(positions: np.ndarray, features: np.ndarray, *, radii: np.ndarray | float | None = None) -> Points:
    """Points, checked on the host.

    Args:
        positions: [n 3].
        features: [n c].
        radii: [n], or one for all; half the mean distance to the three nearest others if not given.

    Raises:
        InputError: no points, numbers that are not finite, or radii that are not above 0.
    """
    count = checks.shape('positions', positions, 'n 3')['n']
    checks.shape('features', features, f'{count} c')
    if not count:
        raise checks.InputError('positions: got none, expected at least one point')
    checks.finite('positions', positions, 'Leave such points out')
    checks.finite('features', features)
    sizes = spacing(positions) / 2 if radii is None else np.broadcast_to(np.asarray(radii, np.float32), (count,))
    checks.finite('radii', sizes)
    if np.any(sizes <= 0):
        raise checks.InputError(f'radii: got {float(sizes.min())} as the smallest, expected all above 0')
    return Points(*(jnp.asarray(x, jnp.float32) for x in (positions, features, sizes)))


def spacing(positions: np.ndarray, *, neighbors: int = 3) -> np.ndarray:
    """Mean distance [n] of each point to the nearest others, float32; points that coincide count as apart by little."""
    positions = np.asarray(positions, np.float32)
    extent = float(np.ptp(positions, axis=0).max()) or 1.0
    if len(positions) < 2:
        return np.full(len(positions), extent, np.float32)
    count = min(neighbors, len(positions) - 1)
    near, _ = KDTree(positions).query(positions, k=count + 1)
    # The nearest is the point itself.
    return np.maximum(near[:, 1:].mean(axis=1), 1e-6 * extent).astype(np.float32)


def from_depth(rgb: np.ndarray, depth: np.ndarray, camera: Camera, *, where: np.ndarray | None = None) -> Points:
    """A point for each pixel of a picture whose depth is known, as large as the pixel is there.

    Args:
        rgb: [h w c].
        depth: [h w] along the rays of the camera, above 0 where something is.
        camera: one.
        where: bool [h w], which pixels; those of positive depth if not given.

    Raises:
        InputError: see `make`.
    """
    sizes = checks.shape('rgb', rgb, 'h w c')
    checks.shape('depth', depth, 'h w', sizes=sizes)
    there = np.asarray(depth) > 0 if where is None else np.asarray(where)
    pixels = cameras.pixel_centers(sizes['w'], sizes['h'])
    points = np.asarray(cameras.unproject(camera, pixels, jnp.where(there, depth, 1)))[there]
    half = np.sqrt(0.5) / float(np.sqrt(np.prod(np.asarray(camera.focal))))
    radii = half * (1 if camera.model == 'orthographic' else np.asarray(depth)[there])
    return make(points, np.asarray(rgb)[there], radii=radii)


def concatenate(clouds: list[Points]) -> Points:
    """One cloud of several."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *clouds)
