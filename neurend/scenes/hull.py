"""Visual hulls: where the silhouettes of an object allow it to be (Laurentini, 1994), as cells that a field can ask."""

from collections.abc import Sequence

import flax.struct
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.scenes import carving
from neurend.typing import Array


@flax.struct.dataclass
class Hull:
    """Cells of a box; nothing is outside of it.

    Attributes:
        low: [3] least corner, world.
        edge: [] of a cell.
        cells: [X Y Z] bool, which may hold something.
    """

    low: Array
    edge: Array
    cells: Array

    def contains(self, points: Array) -> Array:
        """Whether world points [... 3] lie in a cell that may hold something: bool [...]."""
        sizes = np.array(self.cells.shape)
        scaled = [(points[..., axis] - self.low[axis]) / self.edge for axis in range(3)]
        index = [jnp.clip(u.astype(jnp.int32), 0, size - 1) for u, size in zip(scaled, sizes)]
        inside = [(u >= 0) & (u < size) for u, size in zip(scaled, sizes)]
        return inside[0] & inside[1] & inside[2] & self.cells[index[0], index[1], index[2]]


def carve(cameras: Camera, foreground: Sequence[np.ndarray], *, radius: float, cells: int, nearest: float) -> Hull:
    """Carves a box around the origin.

    Args:
        cameras: leading dim n.
        foreground: bool [H W] per image: False where the image shows that nothing is.
        radius: half the side of the box.
        cells: along a side.
        nearest: depth of the nearest content, see `carving.Carver`.

    Raises:
        InputError: nothing is left.

    >>> from neurend.geometry import cameras as cameras_lib, transforms
    >>> eyes = [np.array(eye) for eye in ([3.0, 0, 0], [0, 3.0, 0])]
    >>> poses = jnp.stack([transforms.look_at(eye, np.zeros(3), np.array([0, 0, 1.0])) for eye in eyes])
    >>> disc = np.hypot(*(np.mgrid[:32, :32] + 0.5 - 16)) < 4
    >>> cameras = cameras_lib.make(poses, 32.0, size=np.full((2, 2), 32))
    >>> hull = carve(cameras, [disc, disc], radius=1, cells=32, nearest=2)
    >>> hull.contains(jnp.array([[0.0, 0, 0], [0.9, 0.9, 0], [0, 0, 2]])).tolist()
    [True, False, False]
    """
    edge = 2 * radius / cells
    reach = 0.5 * 3**0.5 * edge
    axis = (np.arange(cells) + 0.5) * edge - radius
    centers = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), axis=-1).astype(np.float32)
    carver = carving.Carver(cameras, foreground, radius=reach, nearest=nearest)
    occupied = carver.occupied(centers.reshape(-1, 3), reach)
    if not occupied.any():
        raise checks.InputError(
            f'hull: nothing within {radius:g} of the origin is on all masks; check poses, masks and the radius'
        )
    low = jnp.full(3, -radius, jnp.float32)
    return Hull(low, jnp.float32(edge), jnp.asarray(occupied.reshape(cells, cells, cells)))
