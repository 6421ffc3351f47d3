"""Descriptors of points drawn at several sizes, gaps filled from the smaller: what the network sees."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.models.neural_texture.deferred import Window
from neurend.models.points.config import PointsConfig
from neurend.numerics import materialize_rows
from neurend.render import splat
from neurend.render.shade import vectors
from neurend.scenes import points, textures
from neurend.scenes.points import Points
from neurend.typing import Array


class Table(NamedTuple):
    """Where points are, and which descriptors they have beside their own.

    Attributes:
        positions: [n 3] in the world.
        size: of the cloud, which `config.thickness` is a part of.
        cells: int32 [n] for each further descriptor, its number.
        counts: how many descriptors there are of each kind, the points' own first.
    """

    positions: Array
    size: float
    cells: tuple[Array, ...]
    counts: tuple[int, ...]


class Pixels(NamedTuple):
    """What is known of a window.

    Attributes:
        inputs: [H W c] what the network sees: descriptors, multiplied by harmonics, the direction towards the camera,
            and whether there is a point.
        coarser: [H >> k, W >> k, c - 3] the same at the other sizes, k from 1, without directions.
        color: [H W 3] the points' own colours, gaps filled, and zero where there are none around.
        seen: [H W] 1 where there is a point within a pixel or two, a half within four, else 0.
        depth: [H W] of points, 0 where there are none.
    """

    inputs: Array
    coarser: list[Array]
    color: Array
    seen: Array
    depth: Array


def table(config: PointsConfig, cloud: Points) -> Table:
    """What of a cloud stays as it is."""
    positions = np.asarray(cloud.positions)
    apart = float(np.median(points.spacing(positions)))
    cells = [points.cells(positions, apart * 4**k) for k in range(1, config.shared + 1)]
    counts = (len(positions), *(int(each.max()) + 1 for each in cells))
    size = float(np.linalg.norm(np.ptp(positions, axis=0)))
    return Table(jnp.asarray(positions), size, tuple(jnp.asarray(each) for each in cells), counts)


def descriptors(which: Table, levels: Sequence[Array], index: Array) -> Array:
    """Those [m c] of some points, int32 [m], of levels [n c] by point and by cell."""
    # Materialised, since the gradients of fused look-ups take longer.
    found = materialize_rows(levels[0][index])
    for cell, level in zip(which.cells, levels[1:]):
        found = found + materialize_rows(level[cell[index]])
    return found


def pixels(config: PointsConfig, which: Table, levels: Sequence[Array], camera: Camera, window: Window) -> Pixels:
    """Draws points, looks their descriptors up and fills gaps.

    Args:
        config: what the network sees.
        which: the points.
        levels: of their descriptors, see `descriptors`.
        camera: of the whole picture.
        window: the part of it that is drawn, sides multiples of `config.multiple`; it may go beyond the picture.
    """
    corner = jnp.asarray(window.corner, which.positions.dtype)
    projected, depth = jax.lax.stop_gradient(cameras.project(camera, which.positions))
    found = splat.nearest(
        projected - corner[None],
        depth,
        (window.width, window.height),
        levels=config.levels,
        thickness=config.thickness * which.size,
    )
    centers = cameras.pixel_centers(window.width, window.height) + corner[None, None]
    view = -vectors.unit(cameras.rays(camera, centers).directions)[0]
    # Sizes are looked up together: the gradients of many look-ups in one table take longer.
    index = jnp.concatenate([each.reshape(-1) for each, _ in found])
    rows = descriptors(which, levels, jnp.maximum(index, 0))
    drawn, begin = [], 0
    for k, (each, _) in enumerate(found):
        seen = (each >= 0)[..., None].astype(rows.dtype)
        features = rows[begin : begin + each.size].reshape(*each.shape, -1)
        begin += each.size
        if config.harmonics >= 0:
            # That of the pixel in its middle, or next to it.
            toward = view[2**k >> 1 :: 2**k, 2**k >> 1 :: 2**k]
            features = textures.modulate(features, toward, degree=config.harmonics)
        drawn.append(jnp.concatenate([features * seen, seen], axis=-1))
    filled, hits = drawn[-1], []
    for each in reversed(drawn[:-1]):
        filled = jnp.where(each[..., -1:] > 0, each, _enlarged(filled, 2))
    for k, each in enumerate(drawn[:3]):
        hits.append(_enlarged(each[..., -1], 2**k))
    close = jnp.stack(hits[:2]).max(axis=0)
    seen = (close + jnp.maximum(close, hits[-1])) / 2
    shown, color = filled[..., -1:], 0.5 + filled[..., :3]
    inputs = jnp.concatenate([filled[..., :-1], view * shown, drawn[0][..., -1:]], axis=-1)
    return Pixels(inputs, drawn[1:], color * shown, seen, found[0][1])


def channels(config: PointsConfig) -> int:
    """How many channels `Pixels.inputs` has."""
    return config.channels + 4


def _enlarged(image: Array, factor: int) -> Array:
    return jnp.repeat(jnp.repeat(image, factor, axis=0), factor, axis=1)
