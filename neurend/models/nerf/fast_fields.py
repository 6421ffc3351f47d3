"""Several fields of `fast` over one structure of cells, each shifted by another part of a cell.

What a field makes up between the pixels it was shown depends on where its grid lies and on which rays it saw last; what
it has learned of the scene does not. So the mean of the images of two fields is closer to the truth than either;
whether it beats one field that is given the time of both depends on how far that one overfits.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.models.nerf import fast_field, fast_render, fast_spans
from neurend.models.nerf.fast_config import FastConfig
from neurend.models.state import State
from neurend.nn import encodings
from neurend.numerics import normalize, safe_divide
from neurend.render.rendering import Rendering
from neurend.scenes import voxels as voxels_lib
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


def field_fn(config: FastConfig, state: State, k: int = 0) -> Callable[[Array, Array], tuple[Array, Array]]:
    """One of the learned fields as a function, for `neurend.render.volume.integrate`.

    `Method.render` packs rays and has no derivatives; this function has them in both modes, with respect to points,
    directions and tables, at the price of evaluating every sample.

    Args:
        config: of the method.
        state: of it.
        k: which of its fields.

    Returns:
        `field_fn(points [... 3], directions [... 3]) -> (density [...], colour [... 3])`.

    Example:
        field = fast_fields.field_fn(settings.fast, state)
        image = volume.integrate(field, rays, edges, background=jnp.ones(3)).rgb
    """
    fields = state.weights['fields']
    voxels, tables = shifted(state.aux['voxels'], k, len(fields)), fields[k]
    terms = (config.degree + 1) ** 2 - 1

    def field(points: Array, directions: Array) -> tuple[Array, Array]:
        leading = points.shape[:-1]
        place = voxels_lib.locate(voxels, points.reshape(-1, 3).T)
        fine, coarse = (rows.at[place.cell].get(mode='promise_in_bounds') for rows in (voxels.fine, voxels.coarse))

        def at(table: Array, rows: Array, fraction: Array) -> Array:
            weights = voxels_lib.corner_weights(fraction).T
            return jnp.sum(weights[..., None] * table.reshape(len(table), -1)[rows], axis=-2)

        color = at(tables['color'], fine, place.fraction)
        coefficients = at(tables['view'], coarse, place.coarse_fraction).reshape(len(color), 3, terms)
        viewdirs = normalize(jnp.broadcast_to(directions, points.shape)).reshape(-1, 3)
        basis = encodings.spherical_harmonics(viewdirs, degree=config.degree)[:, None, 1:]
        color = color + jnp.sum(coefficients * basis, axis=-1)
        raw = at(tables['density'], fine, place.fraction)[:, 0]
        density = jnp.where(place.cell > 0, fast_field.optical_depth(raw, config.shift) / voxels.edge, 0)
        return density.reshape(leading), color.reshape(*leading, 3)

    return field
