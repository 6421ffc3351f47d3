"""Regularisers of the densities and weights along rays, and of grids.

Histograms are weights `... n` over intervals with ends `... n+1`. Ends are best in a normalised parameter s in [0, 1],
so that the losses do not depend on the scene's scale. All return the mean over the leading dims `...`.
"""

import jax
import jax.numpy as jnp

from neurend.typing import Array


def distortion(weights: Array, edges: Array) -> Array:
    """Distortion loss (Barron et al., "Mip-NeRF 360", 2022, eq. 15): pulls each ray's weight into one short run.

    `sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (s_{i+1} - s_i)` with m the middles, in time linear in n: the middles
    ascend, so the absolute values resolve into cumulative sums (Sun et al., 2022).
    """
    lengths = jnp.diff(edges, axis=-1)
    middles = 0.5 * (edges[..., 1:] + edges[..., :-1])
    # Relative to the ray's mean, so that the difference of the two sums below loses no digits far from the origin.
    middles = middles - middles.mean(-1, keepdims=True)
    moments = weights * middles
    weight_before = jnp.cumsum(weights, axis=-1) - weights
    moment_before = jnp.cumsum(moments, axis=-1) - moments
    between = 2 * (weights * (middles * weight_before - moment_before)).sum(-1)
    within = (jnp.square(weights) * lengths).sum(-1) / 3
    return (between + within).mean()


def histogram_bound(edges: Array, proposal_weights: Array, proposal_edges: Array) -> Array:
    """Upper bound `... n` on the weight of each interval: the sum of all proposal weights that overlap it.

    Args:
        edges: `... n+1`, ascending.
        proposal_weights: `... m`.
        proposal_edges: `... m+1`, ascending.
    """
    total = jnp.cumsum(proposal_weights, axis=-1)
    total = jnp.concatenate([jnp.zeros_like(total[..., :1]), total], axis=-1)
    search = jnp.vectorize(_search, excluded={2}, signature='(m),(n)->(n)')
    last = proposal_weights.shape[-1]
    first_after = jnp.clip(search(proposal_edges, edges[..., :-1], 'right') - 1, 0, last)
    last_before = jnp.clip(search(proposal_edges, edges[..., 1:], 'left'), 0, last)
    return jnp.take_along_axis(total, last_before, -1) - jnp.take_along_axis(total, first_after, -1)


def interlevel(weights: Array, edges: Array, proposal_weights: Array, proposal_edges: Array) -> Array:
    """Teaches a proposal histogram to envelop the field's (Barron et al., "Mip-NeRF 360", 2022, eq. 13).

    `mean(sum_i max(0, w_i - bound_i)^2 / w_i)`; no gradient flows into the field's weights and edges.

    Args:
        weights: `... n` of the field, the teacher.
        edges: `... n+1`.
        proposal_weights: `... m`, the student.
        proposal_edges: `... m+1`.
    """
    weights, edges = jax.lax.stop_gradient((weights, edges))
    excess = jnp.maximum(weights - histogram_bound(edges, proposal_weights, proposal_edges), 0)
    return (jnp.square(excess) / (weights + jnp.finfo(weights.dtype).eps)).sum(-1).mean()


def opacity_entropy(alpha: Array) -> Array:
    """Mean binary entropy, in nats, of opacities `...` in [0, 1]: pushes them to 0 or 1 (Neural Volumes, 2019)."""
    alpha = jnp.clip(alpha, 1e-6, 1 - 1e-6)
    return -(alpha * jnp.log(alpha) + (1 - alpha) * jnp.log1p(-alpha)).mean()


def total_variation(grid: Array, *, dims: int = 3) -> Array:
    """Mean squared difference of neighbours along the `dims` axes before the last, summed over those axes.

    Args:
        grid: `... x_1 .. x_dims c`, each of those axes at least 2 long.
        dims: how many spatial axes there are: 1 for lines, 2 for planes, 3 for volumes.
    """
    return sum((jnp.square(jnp.diff(grid, axis=-2 - axis)).mean() for axis in range(dims)), jnp.zeros((), grid.dtype))


def _search(ascending: Array, values: Array, side: str) -> Array:
    return jnp.searchsorted(ascending, values, side=side)
