"""Emission-absorption compositing along rays, front to back.

Samples lie on the last axis of densities and on the last but one of values; all functions take any leading dims `...`.
The quadrature is that of Max, "Optical models for direct volume rendering" (1995), as used by Mildenhall et al., "NeRF"
(2020): constant density and colour in each interval, for which it is exact.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from neurend import checks, numerics
from neurend.typing import Array


def interval_lengths(edges: Array, directions: Array, *, last: float | None = None) -> Array:
    """Euclidean lengths `... n` of the intervals between `edges` (`... n+1`, in t) along `directions` (`... 3`).

    Args:
        edges: ascending ends of the intervals, in the rays' parameter t.
        directions: ray directions; not unit in general, so one unit of t is `|d|` units of the world.
        last: if given, replaces the last interval before scaling. NeRF (2020) uses 1e10: whatever matter there is at
            the last sample then stops the ray.
    """
    checks.shape('directions', directions, '... 3')
    deltas = jnp.diff(edges, axis=-1)
    if last is not None:
        deltas = jnp.concatenate([deltas[..., :-1], jnp.full_like(deltas[..., -1:], last)], axis=-1)
    return deltas * numerics.safe_norm(directions, keepdims=True)


def transmittance(density: Array, deltas: Array) -> Array:
    """Fraction `... n` of light that reaches the front of each interval: `exp(-sum_{j<i} density_j delta_j)`."""
    depth = (density * deltas)[..., :-1]
    before = jnp.concatenate([jnp.zeros_like(density[..., :1]), jnp.cumsum(depth, axis=-1)], axis=-1)
    return jnp.exp(-before)


def weights(density: Array, deltas: Array, *, opaque: bool = False) -> Array:
    """Compositing weights `... n`: the probability that a ray stops in each interval.

    The sum over the last axis is the ray's alpha; for constant density over a length L it is `1 - exp(-density L)`
    however the length is divided.

    Args:
        density: `... n`, at least 0, per unit of world length.
        deltas: `... n` interval lengths in world units (`interval_lengths`).
        opaque: treat the last interval as opaque whatever its density, so that alpha is 1 (mip-NeRF 360's background).
    """
    if density.shape != deltas.shape:
        raise checks.InputError(
            f'density: got shape {density.shape}, expected that of deltas, {deltas.shape}. One density per interval.'
        )
    alpha = -jnp.expm1(-density * deltas)
    if opaque:
        alpha = jnp.concatenate([alpha[..., :-1], jnp.ones_like(alpha[..., -1:])], axis=-1)
    return transmittance(density, deltas) * alpha


def accumulate(weights: Array, values: Array) -> Array:
    """Weighted sum `... c` of `values` (`... n c`) under `weights` (`... n`)."""
    return (weights[..., None] * values).sum(-2)


def expected_depth(weights: Array, t: Array) -> Array:
    """Mean `...` of the sample positions `t` (`... n`) given that the ray stops; 0 where the weights sum to 0."""
    return numerics.safe_divide((weights * t).sum(-1), weights.sum(-1))


def median_depth(weights: Array, edges: Array) -> Array:
    """The t (`...`) that half of the accumulated weight lies in front of, linear inside an interval.

    Args:
        weights: `... n`.
        edges: `... n+1`, ascending. The result of a ray that meets nothing is its first edge.
    """
    total = jnp.cumsum(weights, axis=-1)
    half = 0.5 * total[..., -1:]
    index = jnp.minimum((total < half).sum(-1, keepdims=True), weights.shape[-1] - 1)
    weight = jnp.take_along_axis(weights, index, -1)
    before = jnp.take_along_axis(total, index, -1) - weight
    left = jnp.take_along_axis(edges, index, -1)
    right = jnp.take_along_axis(edges, index + 1, -1)
    inside = numerics.safe_divide(half - before, weight)
    return (left + jnp.clip(inside, 0.0, 1.0) * (right - left))[..., 0]


def over(colors: Array, alphas: Array, *, background: Array | None = None) -> tuple[Array, Array, Array]:
    """Composites layers front to back (Porter and Duff, 1984).

    Args:
        colors: `... n c`, not multiplied by alpha, nearest layer first.
        alphas: `... n` in [0, 1].
        background: `... c` colour behind the last layer.

    Returns:
        The composited colour `... c`, its alpha `...` and the weights `... n` of the layers. Without a background the
        colour is multiplied by alpha.
    """
    checks.shape('colors', colors, '... n c')
    if colors.shape[:-1] != alphas.shape:
        raise checks.InputError(f'alphas: got shape {alphas.shape}, expected {colors.shape[:-1]}, one per colour.')
    passed = jnp.cumprod(1.0 - alphas, axis=-1)
    layer_weights = alphas * jnp.concatenate([jnp.ones_like(passed[..., :1]), passed[..., :-1]], axis=-1)
    color = accumulate(layer_weights, colors)
    if background is not None:
        color = color + passed[..., -1:] * background
    return color, 1.0 - passed[..., -1], layer_weights


def merge(channels: Sequence[Array], alpha: Array) -> tuple[list[Array], Array]:
    """What `over` gives without a background, by merging neighbours in pairs: no scan over layers, and no cumulative
    product. For whole pictures it is several times faster on a CPU, its derivatives above all.

    Args:
        channels: [n ...] each, multiplied by alpha, nearest layer first.
        alpha: [n ...] in [0, 1].

    Returns:
        The channels [...] and the alpha [...] of all layers together.
    """
    layers = [*channels, alpha]
    while (count := layers[0].shape[0]) > 1:
        if count % 2:
            layers = [jnp.concatenate([layer, jnp.zeros_like(layer[:1])]) for layer in layers]
        pairs = [numerics.unstack(layer.reshape(-1, 2, *layer.shape[1:]), axis=1) for layer in layers]
        passed = 1.0 - pairs[-1][0]
        layers = [front + passed * back for front, back in pairs]
    *merged, opacity = (layer[0] for layer in layers)
    return merged, opacity


def on_background(color: Array, alpha: Array, background: Array) -> Array:
    """Puts a background (`... c` or `c`) behind `color` (`... c`, multiplied by its `alpha`, `...`)."""
    background = jnp.broadcast_to(background, color.shape)
    return color + (1.0 - alpha[..., None]) * background
