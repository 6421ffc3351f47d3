"""Several fields of `fast` over one structure of cells, each shifted by another part of a cell.

What a field makes up between the pixels it was shown depends on where its grid lies and on which rays it saw last; what
it has learned of the scene does not. So the mean of the images of two fields is closer to the truth than either;
whether it beats one field that is given the time of both depends on how far that one overfits.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.models.nerf import fast_render, fast_spans
from neurend.models.nerf.fast_config import FastConfig
from neurend.numerics import safe_divide
from neurend.render.rendering import Rendering
from neurend.scenes.voxels import Voxels
from neurend.typing import Array, PyTree

# In cells. Grids repeat after a cell, so that the first four, and all eight, lie as far apart as they can.
_OFFSETS = 0.25 * np.array(
    [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1), (-1, -1, -1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)], np.float32
)


def shifted(voxels: Voxels, field: int | Array, count: int) -> Voxels:
    """The grid of one of `count` fields where it lies; that of a single field is not shifted."""
    if count == 1:
        return voxels
    return dataclasses.replace(voxels, low=voxels.low + jnp.asarray(_OFFSETS)[field] * voxels.edge)


def refresh(
    config: FastConfig, level: int, voxels: Voxels, fields: tuple[PyTree, ...], cameras: Camera, spans: Array
) -> tuple[Array, Array, Array]:
    """Renders the nodes of all images, see `fast_spans.refresh`.

    Args:
        config: of the method.
        level: of the grid, 0 for the coarsest.
        voxels, fields: the structure, and the tables of each field.
        cameras: leading dim n.
        spans: [n rows columns 2].

    Returns:
        Spans [n rows columns 2] of what any of the fields shows, the greatest weight [m] in each cell in any of them,
        and the mean opacity [n rows columns].
    """
    found = [
        fast_spans.refresh(
            shifted(voxels, k, len(fields)),
            field['density'],
            cameras,
            spans,
            room=config.segments[level],
            longest=config.longest,
            shift=config.shift,
            step=config.step,
        )
        for k, field in enumerate(fields)
    ]
    each, greatest, alpha = (jnp.stack(parts) for parts in zip(*found))
    return jnp.stack([each[..., 0].min(0), each[..., 1].max(0)], axis=-1), greatest.max(0), alpha.mean(0)


def render(
    config: FastConfig, voxels: Voxels, fields: tuple[PyTree, ...], rays: Rays, *, near: float, far: float
) -> Rendering:
    """The mean of what the fields show along rays [n] over black; of distances, the mean weighted by opacity."""
    count = len(fields)

    def one(inputs: tuple[Array, PyTree]) -> Rendering:
        k, field = inputs
        return fast_render.render(
            shifted(voxels, k, count),
            field,
            rays,
            near=near,
            far=far,
            threshold=config.threshold,
            shift=config.shift,
            step=config.render_step,
        )

    if count == 1:
        return one((jnp.int32(0), fields[0]))
    # One after the other: beside the tables, neither memory nor compilation grows with their number.
    each = jax.lax.map(one, (jnp.arange(count), jax.tree.map(lambda *tables: jnp.stack(tables), *fields)))

    def distance(t: Array) -> Array:
        return safe_divide(jnp.sum(t * each.alpha, axis=0), jnp.sum(each.alpha, axis=0))

    return Rendering(
        rgb=each.rgb.mean(0), alpha=each.alpha.mean(0), depth=distance(each.depth), median=distance(each.median)
    )
