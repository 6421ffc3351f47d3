"""Where to sample along rays: stratified first, then where a first pass found weight.

A histogram along a ray is `edges` [... n + 1], not decreasing, with `weights` [... n], not negative. Its density within
an interval is constant, so its cdf is linear between edges and is inverted exactly.

No gradient flows through resampled positions, as in every published method (NeRF to Zip-NeRF): the functions that read
weights stop it.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import align, floating
from neurend.typing import Array, Key

Spacing = Literal['linear', 'disparity']


def t_from_s(s: Array, near: Array | float, far: Array | float, *, spacing: Spacing = 'linear') -> Array:
    """Ray parameters of normalised ones.

    Args:
        s: [... n] in [0, 1].
        near: [...] parameter at s = 0; positive if the spacing is in disparity.
        far: [...] parameter at s = 1; may be infinite if the spacing is in disparity.
        spacing: 'linear' in t, or 'disparity': linear in 1 / t.

    Returns:
        [... n]
    """
    checks.one_of('spacing', spacing, ('linear', 'disparity'))
    s, near, far = _with_bounds(s, near, far)
    if spacing == 'linear':
        return near * (1 - s) + far * s
    return 1 / ((1 - s) / near + s / far)


def s_from_t(t: Array, near: Array | float, far: Array | float, *, spacing: Spacing = 'linear') -> Array:
    """Normalised parameters [... n] in [0, 1] of ray parameters: the inverse of `t_from_s`."""
    checks.one_of('spacing', spacing, ('linear', 'disparity'))
    t, near, far = _with_bounds(t, near, far)
    if spacing == 'linear':
        return (t - near) / (far - near)
    return (1 / near - 1 / t) / (1 / near - 1 / far)


def stratified(
    key: Key | None,
    near: Array | float,
    far: Array | float,
    num: int,
    *,
    spacing: Spacing = 'linear',
    single_jitter: bool = False,
) -> Array:
    """Samples one parameter in each stratum between `near` and `far` (NeRF: Mildenhall et al., 2020).

    The strata meet halfway between `num` evenly spaced parameters, the first and the last of which are the bounds. The
    same call with `num + 1` gives the jittered edges of mip-NeRF.

    Args:
        key: None for the evenly spaced parameters themselves, as at test time.
        near: [...] first parameter.
        far: [...] last parameter.
        num: number of samples, at least 2.
        spacing: evenly spaced in t ('linear') or in 1 / t ('disparity'); the jitter is uniform in t.
        single_jitter: one random offset for all samples of a ray instead of one for each.

    Returns:
        [... num], increasing.
    """
    near, far = jnp.broadcast_arrays(floating(near), floating(far))
    t = t_from_s(jnp.linspace(0, 1, num, dtype=near.dtype), near, far, spacing=spacing)
    if key is None:
        return t
    middle = midpoints(t)
    lower = jnp.concatenate([t[..., :1], middle], axis=-1)
    upper = jnp.concatenate([middle, t[..., -1:]], axis=-1)
    jitter = jax.random.uniform(key, (*near.shape, 1 if single_jitter else num), t.dtype)
    return lower + (upper - lower) * jitter


def inverse_cdf(
    key: Key | None,
    edges: Array,
    weights: Array,
    num: int,
    *,
    draw: Literal['independent', 'stratified', 'single'] = 'independent',
    padding: float = 1e-5,
) -> Array:
    """Samples a histogram by inverting its cdf.

    Args:
        key: None for the quantiles at `num` evenly spaced levels from 0 to 1.
        edges: [... n + 1] not decreasing.
        weights: [... n] not negative, of any sum; all zeros count as all equal.
        num: number of samples.
        draw: 'independent' uniform levels (NeRF; the result is not sorted), 'stratified' (one level in each of `num`
            equal strata; sorted), or 'single' (stratified, with one random offset for the ray; sorted).
        padding: added to every weight, as in NeRF, so that no interval is out of reach.

    Returns:
        [... num] positions, through which no gradient flows.
    """
    checks.one_of('draw', draw, ('independent', 'stratified', 'single'))
    _check_histogram(edges, weights)
    leading = weights.shape[:-1]
    if key is None:
        levels = jnp.broadcast_to(jnp.linspace(0, 1, num, dtype=weights.dtype), (*leading, num))
    elif draw == 'independent':
        levels = jax.random.uniform(key, (*leading, num), weights.dtype)
    else:
        levels = _stratified_levels(key, leading, num, weights.dtype, single=draw == 'single')
    return _quantiles(edges, weights + padding, levels)


def hierarchical(key: Key | None, t: Array, weights: Array, num: int) -> Array:
    """Adds samples where the coarse pass found weight, by NeRF's conventions.

    The histogram's edges are the midpoints of the coarse samples and its weights those of the inner samples, each plus
    1e-5 (Mildenhall et al., 2020, their code).

    Args:
        key: None for evenly spaced levels of the cdf, as at test time.
        t: [... n] coarse samples, increasing.
        weights: [... n] compositing weights of the coarse samples.
        num: number of samples to add.

    Returns:
        [... n + num] coarse and added samples, sorted, through which no gradient flows.
    """
    checks.shape('weights', weights, '... n', sizes={'n': t.shape[-1]}, remedy='One weight for each sample in t')
    added = inverse_cdf(key, midpoints(t), weights[..., 1:-1], num)
    return jnp.sort(jnp.concatenate([jax.lax.stop_gradient(t), added], axis=-1), axis=-1)


def resample_edges(key: Key | None, edges: Array, weights: Array, num: int, *, padding: float = 0.01) -> Array:
    """Draws new edges by mip-NeRF's conventions: blurred weights, stratified levels (Barron et al., 2021).

    Args:
        key: None for evenly spaced levels of the cdf, the first and last edge among them.
        edges: [... n + 1] increasing.
        weights: [... n] compositing weights.
        num: number of new intervals.
        padding: added to every blurred weight.

    Returns:
        [... num + 1] edges, sorted, through which no gradient flows.
    """
    return inverse_cdf(key, edges, blur_pool(weights), num + 1, draw='stratified', padding=padding)


def resample_intervals(
    key: Key | None,
    edges: Array,
    weights: Array,
    num: int,
    *,
    single_jitter: bool = True,
    domain: tuple[float, float] = (0.0, 1.0),
) -> Array:
    """Draws new intervals by mip-NeRF 360's conventions (Barron et al., 2022).

    Stratified levels of the cdf give the centres of the intervals; the edges lie halfway between centres, and the outer
    two mirror their neighbours about the first and last centre, within the domain.

    Args:
        key: None for levels in the middle of their strata, as at test time.
        edges: [... n + 1] not decreasing.
        weights: [... n] not negative, of any sum; all zeros count as all equal.
        num: number of new intervals, at least 2.
        single_jitter: one random offset for a ray instead of one for each of its samples.
        domain: bounds that no edge passes, in the units of the edges.

    Returns:
        [... num + 1] edges, sorted, through which no gradient flows.
    """
    _check_histogram(edges, weights)
    levels = _stratified_levels(key, weights.shape[:-1], num, weights.dtype, single=single_jitter)
    centers = _quantiles(edges, weights, levels)
    middle = midpoints(centers)
    first = jnp.maximum(2 * centers[..., :1] - middle[..., :1], domain[0])
    last = jnp.minimum(2 * centers[..., -1:] - middle[..., -1:], domain[1])
    return jnp.concatenate([first, middle, last], axis=-1)


def blur_pool(weights: Array) -> Array:
    """Widens weights [... n] to their neighbours: mip-NeRF's max pool of 2, then its average pool of 2 [... n]."""
    padded = jnp.concatenate([weights[..., :1], weights, weights[..., -1:]], axis=-1)
    greatest = jnp.maximum(padded[..., :-1], padded[..., 1:])
    return (greatest[..., :-1] + greatest[..., 1:]) / 2


def anneal(edges: Array, weights: Array, fraction: Array | float, *, slope: float = 10.0) -> Array:
    """Flattens a proposal histogram early in training (mip-NeRF 360).

    Weights are raised to `slope f / ((slope - 1) f + 1)`: flat at the start of training, unchanged at its end.
    Intervals of zero width get zero weight.

    Args:
        edges: [... n + 1].
        weights: [... n].
        fraction: scalar f in [0, 1], the part of training that is done.
        slope: how fast the exponent approaches one.

    Returns:
        [... n]
    """
    exponent = slope * fraction / ((slope - 1) * fraction + 1)
    # A gradient has no way through: the positions sampled from these weights stop it.
    flattened = jax.lax.stop_gradient(weights) ** exponent
    return jnp.where(edges[..., 1:] > edges[..., :-1], flattened, 0)


def dilate(
    edges: Array, weights: Array, dilation: Array | float, *, domain: tuple[float, float] = (0.0, 1.0)
) -> tuple[Array, Array]:
    """Widens a histogram so that sampling it is robust to small motions of the rays (mip-NeRF 360).

    The density becomes its maximum within `dilation` to either side; weights are renormalised to sum to one.

    Args:
        edges: [... n + 1] increasing.
        weights: [... n] not negative.
        dilation: scalar, in the units of the edges. mip-NeRF 360 uses .0025 + .5 / (number of intervals so far).
        domain: bounds that no edge passes.

    Returns:
        edges [... 3n - 1] and weights [... 3n - 2], as after that paper's code drops the outer two edges.
    """
    _check_histogram(edges, weights)
    edges, weights = jax.lax.stop_gradient((edges, weights))
    density = jnp.where(edges[..., 1:] > edges[..., :-1], weights / _widths(edges), 0)
    start, stop = edges[..., :-1] - dilation, edges[..., 1:] + dilation
    all_edges = jnp.clip(jnp.sort(jnp.concatenate([edges, start, stop], axis=-1), axis=-1), *domain)
    left = all_edges[..., :-1, None]
    covers = (start[..., None, :] <= left) & (stop[..., None, :] > left)
    dilated = jnp.max(jnp.where(covers, density[..., None, :], 0), axis=-1) * jnp.diff(all_edges, axis=-1)
    total = jnp.sum(dilated, axis=-1, keepdims=True)
    dilated = dilated / jnp.maximum(total, jnp.finfo(dilated.dtype).tiny)
    return all_edges[..., 1:-1], dilated[..., 1:-1]


def midpoints(edges: Array) -> Array:
    """Middles [... n] of the intervals between edges [... n + 1]."""
    return (edges[..., 1:] + edges[..., :-1]) / 2


def _stratified_levels(key: Key | None, leading: tuple[int, ...], num: int, dtype: jnp.dtype, *, single: bool) -> Array:
    """Levels [*leading num] of a cdf, one in each of `num` equal strata; in the middle of each if there is no key."""
    floor = jnp.arange(num, dtype=dtype)
    if key is None:
        return jnp.broadcast_to((floor + 0.5) / num, (*leading, num))
    jitter = jax.random.uniform(key, (*leading, 1 if single else num), dtype)
    return (floor.reshape((1,) * len(leading) + (num,)) + jitter) / num


def _quantiles(edges: Array, weights: Array, levels: Array) -> Array:
    """Positions [... m] where the cdf of a histogram reaches `levels` [... m] in [0, 1]."""
    edges, weights = jax.lax.stop_gradient((edges, weights))
    total = jnp.sum(weights, axis=-1, keepdims=True)
    weights = jnp.where(total > 0, weights, 1)
    pdf = weights / jnp.sum(weights, axis=-1, keepdims=True)
    cdf = jnp.concatenate([jnp.zeros_like(pdf[..., :1]), jnp.cumsum(pdf, axis=-1)], axis=-1)
    # All comparisons at once fuse into one reduction; a binary search would gather at every step.
    above = jnp.sum(cdf[..., None, :] <= levels[..., :, None], axis=-1)
    below = jnp.maximum(above - 1, 0)
    above = jnp.minimum(above, cdf.shape[-1] - 1)
    edges = jnp.broadcast_to(edges, cdf.shape)
    cdf_below, cdf_above = (jnp.take_along_axis(cdf, index, axis=-1) for index in (below, above))
    edge_below, edge_above = (jnp.take_along_axis(edges, index, axis=-1) for index in (below, above))
    step = cdf_above - cdf_below
    # NeRF's guard: intervals with hardly any weight give their lower edge.
    part = (levels - cdf_below) / jnp.where(step < 1e-5, 1, step)
    return edge_below + jnp.clip(part, 0, 1) * (edge_above - edge_below)


def _widths(edges: Array) -> Array:
    widths = jnp.diff(edges, axis=-1)
    return jnp.where(widths > 0, widths, 1)


def _check_histogram(edges: Array, weights: Array) -> None:
    intervals = jnp.shape(edges)[-1] - 1
    checks.shape('weights', weights, '... n', 'One weight for each interval between edges', sizes={'n': intervals})


def _with_bounds(parameters: Array, near: Array | float, far: Array | float) -> list[Array]:
    near, far = jnp.broadcast_arrays(floating(near), floating(far))
    return align((floating(parameters), 1), (near[..., None], 1), (far[..., None], 1))
