"""The field of `fast`: density and colour at the corners of sparse voxels, view dependence at those of a coarser grid.

Tables: 'density' [r] raw, 'color' [r 3] as seen from everywhere, and 'view' [s 3 (h - 1)], the coefficients of the
spherical harmonics of degree 1 and more, for red, then green, then blue. Glossiness varies more slowly than paint: at
twice the pitch its tables are an eighth as large, which both the caches and held-out views like better.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from neurend.geometry.rays import Rays
from neurend.nn import encodings
from neurend.render import segments as segments_lib
from neurend.render.segments import Segments
from neurend.scenes import voxels as voxels_lib
from neurend.scenes.voxels import Voxels
from neurend.typing import Array, PyTree

SEGMENT = 4
"""Samples in a segment."""


@flax.struct.dataclass
class Samples:
    """Samples of rays in a buffer of segments, S * SEGMENT of them, and what compositing needs to know of them.

    Attributes:
        t: [n] distance along the ray.
        place: where they lie, `cell` 0 for those that are not live.
        optical_depth: [n] of their intervals.
        before: [n] in front of them.
        weight: [n] with which they appear.
        segments: whose they are.
    """

    t: Array
    place: voxels_lib.Place
    optical_depth: Array
    before: Array
    weight: Array
    segments: Segments


@flax.struct.dataclass
class Shaded:
    """The samples of greatest weight, k places, in the order of the rays.

    Attributes:
        t: [k]
        place: of the samples.
        before: [k]
        ray: [k] ascending.
        live: [k] whether the place is used.
        complete: [R] whether none of the ray's samples that matter is missing.
        count: how many samples mattered.
    """

    t: Array
    place: voxels_lib.Place
    before: Array
    ray: Array
    live: Array
    complete: Array
    count: Array


def optical_depth(raw: Array, shift: float) -> Array:
    """Optical depth of one cell's length from interpolated raw density: positive after interpolation, so that surfaces
    can be sharp within a cell (Sun et al., "Direct voxel grid optimization", 2022). At most 20, which is opaque.
    """
    # The plain form of softplus: XLA keeps the result of a logarithm, but computes again what ends in cheap operations
    # wherever it is read, all look-ups included; and `log1p` is several times slower.
    return jnp.log(1 + jnp.exp(jnp.minimum(raw + shift, 20)))


def march(
    voxels: Voxels,
    density: Array,
    rays: Rays,
    start: Array,
    stop: Array,
    offset: Array,
    *,
    budget: int,
    longest: int,
    shift: float,
    step: float,
    stretches: Array | None = None,
) -> Samples:
    """Samples rays at equal steps between two distances; without gradient.

    Args:
        voxels: the grid.
        density: [r] the table.
        rays: leading dim R; `viewdirs` are followed.
        start, stop: [R] distances; start > stop for rays that meet nothing.
        offset: [R] in [0, 1], of the first sample, in steps.
        budget: segments in the buffer.
        longest: segments that a ray can have; longer ones are not complete.
        shift: see `optical_depth`.
        step: edges of a cell between samples.
        stretches: [longest R] int32, ascending: which segments each ray has, counted from its start, negative for those
            that it lacks; by default all until it stops.
    """
    spacing = step * voxels.edge
    if stretches is None:
        wanted = jnp.ceil(jnp.clip((stop - start) / (SEGMENT * spacing), 0, longest + 1)).astype(jnp.int32)
    else:
        wanted = jnp.sum(stretches >= 0, axis=0, dtype=jnp.int32)
    segments = segments_lib.expand(wanted, budget)
    too_long = wanted > longest
    packed = jnp.concatenate([rays.origins, rays.viewdirs, jnp.stack([start, stop, offset], axis=-1)], axis=-1)
    mine = packed.at[segments.ray].get(mode='promise_in_bounds').T[:, :, None]
    number = segments.rank if stretches is None else stretches[jnp.clip(segments.rank, 0, longest - 1), segments.ray]
    order = number[:, None] * SEGMENT + jnp.arange(SEGMENT)[None]
    t = mine[6] + (order + mine[8]) * spacing
    points = jnp.stack([(mine[axis] + t * mine[3 + axis]).reshape(-1) for axis in range(3)])
    place = voxels_lib.locate(voxels, points)
    live = (segments.live[:, None] & (t < mine[7])).reshape(-1)
    place = dataclasses.replace(place, cell=jnp.where(live, place.cell, 0))
    raw = _at(density, voxels.fine, place.cell, place.fraction)
    depth = jnp.where(place.cell > 0, step * optical_depth(raw, shift), 0)
    before, _ = segments_lib.optical_depth_before(depth.reshape(-1, SEGMENT), segments, longest=longest)
    before = before.reshape(-1)
    weight = jnp.exp(-before) * (1 - jnp.exp(-depth))
    segments = dataclasses.replace(segments, complete=segments.complete & ~too_long)
    return Samples(t.reshape(-1), place, depth, before, weight, segments)


def choose(samples: Samples, *, threshold: float, budget: int) -> Shaded:
    """Keeps the samples of weight above `threshold`, in a buffer of `budget`."""
    rank = segments_lib.prefix_sum(samples.weight > threshold).astype(jnp.int32)
    kept = (samples.weight > threshold) & (rank <= budget)
    index = (
        jnp.zeros(budget, jnp.int32)
        .at[jnp.where(kept, rank - 1, budget)]
        .set(jnp.arange(rank.shape[0], dtype=jnp.int32), mode='drop')
    )
    live = jnp.arange(budget) < rank[-1]
    rays = samples.segments.complete.shape[0]
    ray = jnp.where(live, samples.segments.ray[index // SEGMENT], rays - 1)
    # The buffer fills in the order of the rays: if it is full, the last ray in it and all behind have lost samples.
    first_lost = jnp.where(rank[-1] > budget, ray[-1], rays)
    place = jax.tree.map(lambda x: x[..., index], samples.place)
    return Shaded(
        t=samples.t[index],
        place=dataclasses.replace(place, cell=jnp.where(live, place.cell, 0)),
        before=samples.before[index],
        ray=ray,
        live=live,
        complete=samples.segments.complete & (jnp.arange(rays) < first_lost),
        count=rank[-1],
    )


def moving(voxels: Voxels, chosen: Shaded, rays: Rays) -> voxels_lib.Place:
    """The places of `chosen` again, with gradients with respect to `rays` [R] at fixed distances along them."""
    packed = jnp.concatenate([rays.origins, rays.viewdirs], axis=-1)[chosen.ray]
    points = packed[:, :3] + chosen.t[:, None] * packed[:, 3:]
    return dataclasses.replace(voxels_lib.locate(voxels, points.T), cell=chosen.place.cell)


def evaluate(voxels: Voxels, params: PyTree, place: voxels_lib.Place, *, shift: float) -> tuple[Array, Array]:
    """Optical depth [k] of one cell's length and colour [k 3] without view dependence, for places [k]; reverse mode.

    Colours are not clipped: they may leave [0, 1] slightly where they are not observed.
    """
    rows = voxels.fine.at[place.cell].get(mode='promise_in_bounds')
    weights = voxels_lib.corner_weights(place.fraction)
    raw = voxels_lib.interpolate(params['density'], rows, weights)
    color = voxels_lib.interpolate(params['color'], rows, weights)
    return jnp.where(place.cell > 0, optical_depth(raw, shift), 0), color


def view_dependence(voxels: Voxels, params: PyTree, place: voxels_lib.Place, viewdirs: Array) -> Array:
    """What is added to the colour [k 3] at places [k] seen along unit directions [k 3]; reverse mode."""
    # The barrier keeps XLA from looking up everything again for each of the three sums.
    coefficients = jax.lax.optimization_barrier(_at(params['view'], voxels.coarse, place.cell, place.coarse_fraction))
    terms = coefficients.shape[-1] // 3
    degree = round((terms + 1) ** 0.5) - 1
    basis = encodings.spherical_harmonics(viewdirs, degree=degree)[..., 1:]
    parts = [jnp.sum(coefficients[:, c * terms : (c + 1) * terms] * basis, axis=-1) for c in range(3)]
    return jnp.where((place.cell > 0)[:, None], jnp.stack(parts, axis=-1), 0)


def _at(table: Array, corners: Array, cell: Array, fraction: Array) -> Array:
    rows = corners.at[cell].get(mode='promise_in_bounds')
    return voxels_lib.interpolate(table, rows, voxels_lib.corner_weights(fraction))
