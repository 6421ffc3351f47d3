"""Descriptors of points drawn at several sizes, gaps filled from the smaller: what the network sees."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.models.neural_texture.deferred import Window
from neurend.models.points.config import PointsConfig
from neurend.numerics import materialize_rows
from neurend.render import splat
from neurend.render.shade import vectors
from neurend.scenes import textures
from neurend.typing import Array


class Pixels(NamedTuple):
    """What is known of a window.

    Attributes:
        inputs: [H W c] what the network sees: descriptors, multiplied by harmonics, the direction towards the camera,
            and whether there is a point.
        coarser: [H >> k, W >> k, c - 3] the same at the other sizes, k from 1, without directions.
        color: [H W 3] the points' own colours, gaps filled, and zero where there are none around.
        seen: [H W] 1 where there is a point within a pixel or two, else 0.
        depth: [H W] of points, 0 where there are none.
    """

    inputs: Array
    coarser: list[Array]
    color: Array
    seen: Array
    depth: Array


def pixels(
    config: PointsConfig, positions: Array, descriptors: Array, size: float, camera: Camera, window: Window
) -> Pixels:
    """Draws points, looks their descriptors up and fills gaps.

    Args:
        config: what the network sees.
        positions: [n 3] in the world.
        descriptors: [n c].
        size: of the cloud, which `config.thickness` is a part of.
        camera: of the whole picture.
        window: the part of it that is drawn, sides multiples of `config.multiple`; it may go beyond the picture.
    """
    corner = jnp.asarray(window.corner, positions.dtype)
    projected, depth = jax.lax.stop_gradient(cameras.project(camera, positions))
    found = splat.nearest(
        projected - corner[None],
        depth,
        (window.width, window.height),
        levels=config.levels,
        thickness=config.thickness * size,
    )
    centers = cameras.pixel_centers(window.width, window.height) + corner[None, None]
    view = -vectors.unit(cameras.rays(camera, centers).directions)[0]
    # Sizes are looked up together: the gradients of many look-ups in one table take longer.
    index = jnp.concatenate([each.reshape(-1) for each, _ in found])
    rows = materialize_rows(descriptors[jnp.maximum(index, 0)])
    levels, begin = [], 0
    for k, (each, _) in enumerate(found):
        seen = (each >= 0)[..., None].astype(rows.dtype)
        features = rows[begin : begin + each.size].reshape(*each.shape, -1)
        begin += each.size
        if config.harmonics >= 0:
            # That of the pixel in its middle, or next to it.
            toward = view[2**k >> 1 :: 2**k, 2**k >> 1 :: 2**k]
            features = textures.modulate(features, toward, degree=config.harmonics)
        levels.append(jnp.concatenate([features * seen, seen], axis=-1))
    filled = levels[-1]
    for each in reversed(levels[:-1]):
        filled = jnp.where(each[..., -1:] > 0, each, _enlarged(filled))
    around = levels[0][..., -1]
    for each in levels[1:2]:
        around = jnp.maximum(around, _enlarged(each)[..., -1])
    shown, color = filled[..., -1:], 0.5 + filled[..., :3]
    inputs = jnp.concatenate([filled[..., :-1], view * shown, levels[0][..., -1:]], axis=-1)
    return Pixels(inputs, levels[1:], color * shown, around, found[0][1])


def channels(config: PointsConfig) -> int:
    """How many channels `Pixels.inputs` has."""
    return config.channels + 4


def _enlarged(image: Array) -> Array:
    return jnp.repeat(jnp.repeat(image, 2, axis=0), 2, axis=1)
