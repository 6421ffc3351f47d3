"""Silhouettes of an object: drawn of a mesh, batches of them, and the sphere that they suggest."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import poses, transforms, triangles
from neurend.geometry.cameras import Camera
from neurend.models.mesh import pictures
from neurend.scenes import primitives
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key, Source


@flax.struct.dataclass
class Silhouettes:
    """Silhouettes of one object, over leading dims `...`.

    Attributes:
        camera: of each; all of one size.
        mask: uint8 [... H W], how much of each pixel the object covers: 255 for all of it.
    """

    camera: Camera
    mask: Any

    def __getitem__(self, index: Any) -> 'Silhouettes':
        """Indexes the leading dims."""
        return jax.tree.map(lambda leaf: leaf[index], self)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        return self.mask.shape[-1], self.mask.shape[-2]


def draw(mesh: Mesh, camera: Camera, size: tuple[int, int]) -> Silhouettes:
    """Those of a mesh (NumPy), with antialiased outlines.

    Args:
        mesh: in the world.
        camera: [n].
        size: (width, height) in pixels.
    """
    faces, topology = jnp.asarray(mesh.faces), triangles.topology(mesh.faces)
    cover = jax.jit(lambda points, one: pictures.coverage(points, faces, topology, one, size))
    points, camera = jnp.asarray(mesh.vertices), jax.tree.map(np.asarray, camera)
    masks = [
        np.asarray(cover(points, jax.tree.map(lambda leaf, k=k: leaf[k], camera))) for k in range(len(camera.focal))
    ]
    return Silhouettes(camera, np.round(255 * np.clip(masks, 0, 1)).astype(np.uint8))


def source(silhouettes: Silhouettes, views: int) -> Source:
    """Batches of `views` silhouettes drawn at random, none of them twice, from [n] that lie on the device.

    Raises:
        InputError: more views than there are, or none.
    """
    count = len(silhouettes.mask)
    if not 1 <= views <= count:
        raise checks.InputError(f'views: got {views}, expected 1 to {count}, the number of silhouettes')

    def pick(key: Key, data: Silhouettes) -> Silhouettes:
        return data[jax.random.choice(key, count, (views,), replace=False)]

    return Source(data=silhouettes, draw=pick)


def start_sphere(silhouettes: Silhouettes, *, subdivisions: int = 3) -> Mesh:
    """The sphere that covers as many pixels as the silhouettes do on average, where their middles meet.

    Args:
        silhouettes: [n], at least two, of pinhole cameras that look from different directions.
        subdivisions: of the sphere, see `primitives.sphere`.

    Raises:
        InputError: a silhouette is empty, or their middles do not meet in front of the cameras.
    """
    masks = np.asarray(silhouettes.mask, np.float64) / 255
    areas = masks.sum((1, 2))
    empty = np.flatnonzero(areas < 1)
    if len(empty):
        raise checks.InputError(
            f'silhouette {empty[0]}: covers no pixel, expected the object in every view. Leave out such views'
        )
    centers = np.asarray(cameras_lib.pixel_centers(*silhouettes.size))
    middles = np.einsum('nhw,hwc->nc', masks, centers) / areas[:, None]
    cameras = jax.tree.map(jnp.asarray, silhouettes.camera)
    rays = cameras_lib.rays(cameras, jnp.asarray(middles, jnp.float32))
    up = -cameras.world_from_camera[:, :3, 1]
    center = poses.focus_point(transforms.look_at(rays.origins, rays.origins + rays.directions, up))
    _, depth = cameras_lib.project(cameras, center[None])
    if not bool(jnp.all(jnp.isfinite(depth) & (depth > 0))):
        raise checks.InputError(
            'silhouettes: their middles do not meet in front of the cameras, expected views of one object from '
            'different directions'
        )
    focal = np.sqrt(np.prod(np.asarray(cameras.focal), axis=-1))
    radius = np.mean(np.sqrt(areas / np.pi) * np.asarray(depth) / focal)
    sphere = primitives.sphere(subdivisions, float(radius))
    return Mesh((sphere.vertices + np.asarray(center)).astype(np.float32), sphere.faces)


def overlap(cover: Any, target: Any) -> Array:
    """What two silhouettes [... H W] in [0, 1] both cover over what either does."""
    both, either = jnp.minimum(cover, target), jnp.maximum(cover, target)
    return jnp.sum(both, axis=(-2, -1)) / jnp.maximum(jnp.sum(either, axis=(-2, -1)), 1)
