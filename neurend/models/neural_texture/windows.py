"""Random windows of photographs, with cameras and backgrounds that fit."""

import dataclasses
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from neurend.geometry import clip, grids
from neurend.geometry.cameras import Camera
from neurend.models.neural_texture.deferred import Shot, Window
from neurend.numerics import safe_divide
from neurend.typing import Array, Key


class Crops(Protocol):
    """Which windows are drawn.

    Attributes:
        crop: side in pixels; 0 for whole photographs.
        zoom: they are enlarged by a random factor of up to this.
    """

    @property
    def crop(self) -> int: ...

    @property
    def zoom(self) -> float: ...


class Part(NamedTuple):
    """A window of a photograph.

    Attributes:
        camera: of the whole picture, enlarged by the zoom.
        window: the part of it.
        rgb: [h w 3] what the photograph shows there.
        background: [h w 3] what is behind, or [h w 4].
    """

    camera: Camera
    window: Window
    rgb: Array
    background: Array


def spread(background: Array, width: int, height: int) -> Array:
    """A background [H W c], of one that may be a colour."""
    background = jnp.asarray(background)
    return background if background.ndim == 3 else jnp.broadcast_to(background[None, None], (height, width, 3))


def draw(key: Key, config: Crops, vertices: Array, shot: Shot, rgb: Array, *, even: float = 0.0) -> Part:
    """A window of one photograph about a random vertex of a mesh, or a random point; all of it where `crop` is 0.

    Args:
        key: random.
        config: which windows.
        vertices: [V 3] in the world.
        shot: of the photograph.
        rgb: [H W 3] the photograph.
        even: the share of windows about a random place of the box of all vertices instead: where a mesh is coarse there
            are few vertices.
    """
    height, width = rgb.shape[:2]
    side, behind = config.crop, spread(shot.background, width, height)
    if not side:
        return Part(shot.camera, Window(width, height), rgb, behind)
    where_key, zoom_key = jax.random.split(key)
    chosen = vertices[jax.random.randint(where_key, (), 0, len(vertices))]
    middle = _places(shot.camera, chosen[None])[0]
    if even:
        even_key, box_key = jax.random.split(jax.random.fold_in(key, 1))
        limits = jnp.array([width, height], middle.dtype)
        places = jnp.clip(_places(shot.camera, vertices), 0, limits[None])
        within = jax.random.uniform(box_key, (2,), minval=places.min(0), maxval=places.max(0))
        middle = jnp.where(jax.random.uniform(even_key) < even, within, middle)
    scale = config.zoom ** jax.random.uniform(zoom_key) if config.zoom > 1 else 1
    limit = jnp.floor(jnp.array([width, height]) * scale).astype(jnp.int32) - side
    # A vertex may lie beyond the picture, or behind the camera: the window does not.
    corner = jnp.clip(jnp.round(middle * scale).astype(jnp.int32) - side // 2, 0, limit)
    window, both = Window(side, side, corner), jnp.concatenate([rgb, behind], axis=-1)
    if config.zoom > 1:
        x, y = jnp.meshgrid(jnp.arange(side) + 0.5, jnp.arange(side) + 0.5)
        places = jnp.stack([x, y], axis=-1) + corner.astype(both.dtype)[None, None]
        cut, camera = grids.bilinear(both, places / scale), _enlarged(shot.camera, scale)
    else:
        cut, camera = jax.lax.dynamic_slice(both, (corner[1], corner[0], 0), (side, side, both.shape[-1])), shot.camera
    return Part(camera, window, cut[..., :3], cut[..., 3:])


def _places(camera: Camera, points: Array) -> Array:
    """Where points [n 3] are in the picture, [n 2] in pixels, without a gradient."""
    projected = clip.from_camera(camera, jax.lax.stop_gradient(points))
    return safe_divide(projected[:, :2], projected[:, 3:])


def _enlarged(camera: Camera, scale: Array | float) -> Camera:
    """The camera of its image enlarged; the size stays, since windows are given apart."""
    return dataclasses.replace(camera, focal=camera.focal * scale, center=camera.center * scale)
