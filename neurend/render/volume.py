"""Volume rendering: integrates any field along rays at a fixed number of samples.

A field is a function `field_fn(points, directions) -> (density, features)` of world points `... 3` and unit view
directions `... 3`, giving density `...` (at least 0, per unit length) and features `... c` (colour first). Flatten
inside it where matrix products should be large.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import rays as ray_geometry
from neurend.geometry.rays import Rays
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.typing import Array

FieldFn = Callable[[Array, Array], tuple[Array, Array]]


def composite(
    density: Array,
    features: Array,
    edges: Array,
    directions: Array,
    *,
    samples: Array | None = None,
    background: Array | None = None,
    last: float | None = None,
    opaque: bool = False,
) -> Rendering:
    """Composites what a field gave at the samples of a ray.

    Args:
        density: `... n`, at least 0, per unit of world length.
        features: `... n c`, e.g. colours.
        edges: `... n+1` ascending ends of the samples' intervals, in t.
        directions: `... 3` of the rays, as they march (not unit in general).
        samples: `... n` where in its interval each sample lies, in t, for the expected depth; the middle by default.
        background: `... c` or `c`, put behind the ray; by default none, so that the colour is multiplied by alpha.
        last: length in t that replaces the last interval's (NeRF, 2020: 1e10).
        opaque: the last interval stops every ray (mip-NeRF 360, 2022).
    """
    sizes = checks.shape('edges', edges, '... k')
    checks.shape('density', density, '... n', 'Edges are one more than samples.', sizes={'n': sizes['k'] - 1})
    checks.shape('features', features, '... n c', sizes={'n': sizes['k'] - 1})
    if samples is None:
        samples = 0.5 * (edges[..., 1:] + edges[..., :-1])
    lengths = compositing.interval_lengths(edges, directions, last=last)
    weights = compositing.weights(density, lengths, opaque=opaque)
    rgb = compositing.accumulate(weights, features)
    alpha = weights.sum(-1)
    if background is not None:
        rgb = compositing.on_background(rgb, alpha, background)
    return Rendering(
        rgb=rgb,
        alpha=alpha,
        depth=compositing.expected_depth(weights, samples),
        median=compositing.median_depth(weights, edges),
        weights=weights,
        edges=edges,
    )


def integrate(
    field_fn: FieldFn,
    rays: Rays,
    edges: Array,
    *,
    samples: Array | None = None,
    background: Array | None = None,
    last: float | None = None,
    opaque: bool = False,
) -> Rendering:
    """Integrates a field along rays, one evaluation per interval.

    Args:
        field_fn: see the module.
        rays: any leading dims `...`.
        edges: `... n+1` ascending, in t.
        samples: `... n`, where to evaluate the field in each interval, in t; the middle by default.
        background: see `composite`, as are `last` and `opaque`.

    Returns:
        A Rendering over `...` with weights and edges.

    >>> import jax.numpy as jnp
    >>> ray = Rays(origins=jnp.zeros(3), directions=jnp.array([0.0, 0.0, 1.0]), viewdirs=jnp.array([0.0, 0.0, 1.0]),
    ...            radii=jnp.zeros(1), index=jnp.zeros((), int))
    >>> fog = lambda points, directions: (jnp.full(points.shape[:-1], 0.5), jnp.ones_like(points))
    >>> bool(jnp.allclose(integrate(fog, ray, jnp.linspace(0.0, 2.0, 5)).alpha, 1 - jnp.exp(-0.5 * 2.0)))
    True
    """
    if samples is None:
        samples = 0.5 * (edges[..., 1:] + edges[..., :-1])
    points = ray_geometry.at(rays, samples)
    density, features = field_fn(points, jnp.broadcast_to(rays.viewdirs[..., None, :], points.shape))
    return composite(
        density,
        features,
        edges,
        rays.directions,
        samples=samples,
        background=background,
        last=last,
        opaque=opaque,
    )


@flax.struct.dataclass
class Compacted:
    """The places of the live entries of an array of N, in a buffer of fixed size M.

    Attributes:
        index: `M` int32 places of the first M live entries, ascending; N where there were fewer.
        mask: `M` bool, which places of the buffer are in use.
        kept: `N` bool, which entries are in the buffer.
        overflow: int32 scalar, how many live entries found no place.
    """

    index: Array
    mask: Array
    kept: Array
    overflow: Array


def compact(live: Array, budget: int) -> Compacted:
    """Collects the places where `live` (`N` bool) holds, at most `budget` of them, whatever their number.

    Shapes depend on the budget alone, so that nothing recompiles as occupancy changes.

    >>> import jax.numpy as jnp
    >>> compact(jnp.array([False, True, True, False, True]), 2).index.tolist()
    [1, 2]
    """
    checks.shape('live', live, 'n', 'Flatten rays and samples first.')
    if budget < 1:
        raise checks.InputError(f'budget: got {budget}, expected at least 1 place in the buffer')
    count = live.shape[0]
    rank = jnp.cumsum(live, dtype=jnp.int32)
    kept = live & (rank <= budget)
    index = jnp.full((budget,), count, jnp.int32)
    index = index.at[jnp.where(kept, rank - 1, budget)].set(jnp.arange(count, dtype=jnp.int32), mode='drop')
    return Compacted(index=index, mask=index < count, kept=kept, overflow=jnp.maximum(rank[-1] - budget, 0))


def integrate_compacted(
    field_fn: FieldFn,
    rays: Rays,
    edges: Array,
    live: Array,
    *,
    budget: int,
    background: Array | None = None,
    opaque: bool = False,
) -> Rendering:
    """Like `integrate`, evaluating the field at live samples only, in a buffer of fixed size.

    Samples that are not live count as empty. The buffer fills ray by ray; rays that lost samples to a full buffer are
    reported so that a loss can leave them out.

    Args:
        field_fn: see the module; called once, with `budget` points. Unused places repeat the first live sample (the
            first of all if none is), and what the field says there is discarded.
        rays: one leading dim `r`.
        edges: `r n+1` ascending, in t.
        live: `r n` bool, e.g. from an occupancy grid or `visible`.
        budget: size of the buffer, at least 1.
        background: see `composite`, as is `opaque`.

    Returns:
        A Rendering over `r` whose extras hold 'overflow' (int32 scalar, live samples that found no place) and
        'complete' (`r` bool, rays that lost none).
    """
    sizes = checks.shape('live', live, 'r n')
    checks.shape('edges', edges, 'r k', sizes={'r': sizes['r'], 'k': sizes['n'] + 1})
    chosen = compact(live.reshape(-1), budget)
    # Unused places repeat the first live sample, where the field is as well behaved as anywhere it was asked for.
    place = jnp.where(chosen.mask, chosen.index, jnp.where(chosen.mask[0], chosen.index[0], 0))
    ray = place // sizes['n']
    middle = 0.5 * (edges[:, 1:] + edges[:, :-1]).reshape(-1)[place]
    points = rays.origins[ray] + middle[:, None] * rays.directions[ray]
    density, features = field_fn(points, rays.viewdirs[ray])
    density = jnp.where(chosen.mask, density, 0)
    features = jnp.where(chosen.mask[:, None], features, 0)
    size = sizes['r'] * sizes['n']
    dense_density = jnp.zeros(size, density.dtype).at[chosen.index].set(density, mode='drop')
    dense_features = jnp.zeros((size, features.shape[-1]), features.dtype)
    dense_features = dense_features.at[chosen.index].set(features, mode='drop')
    rendering = composite(
        dense_density.reshape(live.shape),
        dense_features.reshape(*live.shape, -1),
        edges,
        rays.directions,
        background=background,
        opaque=opaque,
    )
    complete = (chosen.kept.reshape(live.shape) == live).all(-1)
    return dataclasses.replace(rendering, extras={'overflow': chosen.overflow, 'complete': complete})


def visible(density: Array, deltas: Array, *, min_transmittance: float = 1e-3) -> Array:
    """Which samples (`... n` bool) light still reaches, given an estimate of the density: early ray termination.

    Use the result, and an occupancy test, as `live` of `integrate_compacted`. No gradient flows through it.

    Args:
        density: `... n` estimate, e.g. of a coarse grid or a proposal.
        deltas: `... n` interval lengths in world units.
        min_transmittance: samples behind this transmittance are dropped; they could add at most that to a pixel.
    """
    return compositing.transmittance(jax.lax.stop_gradient(density), deltas) > min_transmittance
