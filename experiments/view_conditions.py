"""What tells `experiments.pix2pix_views` where a picture is seen from: rays of the camera, or a proxy drawn by it."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import proxy_meshes
from neurend.data import photographs
from neurend.data.posed import PosedImages
from neurend.geometry import cameras, clip, triangles
from neurend.geometry.cameras import Camera
from neurend.numerics import normalize
from neurend.render import rasterize, texture
from neurend.scenes.meshes import Mesh
from neurend.typing import Array

ConditionFn = Callable[[Camera], Array]
"""From one camera to `h w c` in [0, 1], rounded to 8 bits."""
CHANNELS: dict[Literal['camera', 'proxy'], int] = {'camera': 6, 'proxy': 7}


def from_camera(train: PosedImages) -> ConditionFn:
    """Unit view directions in world axes, and the camera's position, the same for all pixels: six channels.

    Positions are in multiples of the largest coordinate that a training camera has.
    """
    width, height = photographs.size_of(train)
    reach = float(np.abs(np.asarray(train.cameras.world_from_camera)[:, :3, 3]).max())

    def condition(camera: Camera) -> Array:
        rays = cameras.rays(camera, cameras.pixel_centers(width, height))
        return _rounded(jnp.concatenate([rays.viewdirs, rays.origins / reach], axis=-1) / 2 + 0.5)

    return condition


def from_mesh(mesh: Mesh, size: tuple[int, int]) -> ConditionFn:
    """Unit normals and positions of a mesh in the world, and where it shows: seven channels, zeros beside it.

    Positions are fractions of the box around the mesh, of the same scale along each axis.
    """
    width, height = size
    points, faces = jnp.asarray(mesh.vertices), jnp.asarray(mesh.faces)
    low, high = jnp.min(points, axis=0, keepdims=True), jnp.max(points, axis=0, keepdims=True)
    attributes = [triangles.vertex_normals(points, faces), (points - low) / jnp.max(high - low)]

    def condition(camera: Camera) -> Array:
        found = rasterize.rasterize(clip.from_camera(camera, points), faces, width=width, height=height)
        normals, places = (texture.interpolate(attribute, faces, found) for attribute in attributes)
        shows = (found.face >= 0)[..., None].astype(points.dtype)
        return _rounded(jnp.concatenate([(normalize(normals) / 2 + 0.5) * shows, places, shows], axis=-1))

    return condition


def proxy(train: PosedImages, path: str) -> Mesh:
    """A mesh file in the world of the scene's files, or if the path is empty the visual hull of the training images.

    Raises:
        InputError: the file cannot be read; or there are neither masks nor alpha to make a hull of.
    """
    return proxy_meshes.placed(path, train.scene_from_source) if path else proxy_meshes.hull(train)


def _rounded(condition: Array) -> Array:
    # As training pairs are stored, so that a view between them sees nothing else.
    return jnp.round(255 * jnp.clip(condition, 0, 1)) / 255


def drawn(condition: ConditionFn, views: PosedImages) -> tuple[np.ndarray, ...]:
    """The conditions of all cameras, uint8."""
    compiled = jax.jit(condition)
    found = (compiled(jax.tree.map(jnp.asarray, views.camera(k))) for k in range(len(views)))
    return tuple(np.rint(255 * np.asarray(each)).astype(np.uint8) for each in found)
