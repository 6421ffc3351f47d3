"""One picture of several representations: layers, and a medium that they stand in, from front to back along each ray.

A layer is whatever is thin where a ray meets it: the surface of a mesh or of a distance function, a plane of a
multi-plane image, a picture that was drawn apart. The medium is a radiance field, constant within intervals (Max,
1995); what of an interval lies before a layer and what behind it count apart, exactly, wherever in it that is. Each ray
has its own order, which has no derivatives. All else has, in both modes: also how deep in the medium a layer stands.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import rays as ray_geometry
from neurend.geometry.rays import Rays
from neurend.numerics import safe_divide, unstack
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.render.volume import FieldFn
from neurend.typing import Array


@flax.struct.dataclass
class Layers:
    """Layers [m] over the leading dims `...` of rays, in any order.

    Attributes:
        rgb: [m ... c], multiplied by alpha.
        alpha: [m ...] in [0, 1].
        t: [m ...] where a ray meets each, in its parameter: depth, for pinhole cameras. Infinite: behind all else, and
            left out of depths.
    """

    rgb: Array
    alpha: Array
    t: Array


def of_picture(rendering: Rendering, *, reach: int = 4) -> Layers:
    """A picture [H W] drawn without a background as one layer.

    Args:
        rendering: of one depth at each pixel, positive, and 0 where there is none.
        reach: in pixels. An outline's pixels with opacity and no depth lie as near as the nearest beside them, as far
            as the reach goes; beyond it they lie behind all else.
    """
    depth = jnp.where(rendering.depth > 0, rendering.depth, jnp.inf)
    # A loop: unrolled, XLA on a CPU puts the windows into each other.
    spread = jax.lax.fori_loop(
        0, reach, lambda _, known: jnp.where(jnp.isinf(known), _nearest(known), known), jax.lax.stop_gradient(depth)
    )
    return Layers(rendering.rgb[None], rendering.alpha[None], jnp.where(jnp.isinf(depth), spread, depth)[None])


def stack(parts: Sequence[Layers]) -> Layers:
    """All layers of several parts, over the same rays."""
    if not parts:
        raise checks.InputError('parts: got none, expected layers')
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def composite(layers: Layers, *, background: Array | None = None) -> Rendering:
    """Layers with nothing between them, each over what lies behind it.

    Args:
        layers: over any leading dims `...`; of those at the same place the first is in front.
        background: [... c] or [c]; without one colours are multiplied by alpha.

    Returns:
        rgb, alpha, and the mean depth of what is seen, 0 where that is nothing.

    Raises:
        InputError: shapes that do not fit.
    """
    layers = _in_order(_checked(layers))
    known = jnp.isfinite(layers.t)
    counted = jnp.where(known, layers.alpha, 0)
    away = counted * jnp.where(known, layers.t, 0)
    (*color, away, counted), alpha = compositing.merge([*unstack(layers.rgb), away, counted], layers.alpha)
    return _rendering(jnp.stack(color, axis=-1), alpha, away, counted, background)


def within(
    layers: Layers, density: Array, features: Array, edges: Array, directions: Array, *, background: Array | None = None
) -> Rendering:
    """Layers within a medium, and before and behind it.

    Args:
        layers: over the leading dims `...` of the rays.
        density: `... n`, at least 0, per unit of length in the world.
        features: `... n c`.
        edges: `... n+1` ascending ends of the medium's intervals, in t.
        directions: `... 3` of the rays.
        background: `... c` or `c`; without one colours are multiplied by alpha.

    Returns:
        rgb, alpha, the mean depth of what is seen, where the medium counts in the middles of its intervals;
        `weights`, `... n`, of the intervals, with `edges`; and `extras['layers']`, [m ...], the weights of the layers.

    Raises:
        InputError: shapes that do not fit.
    """
    layers = _checked(layers)
    sizes = checks.shape('edges', edges, '... k')
    checks.shape('density', density, '... n', 'Edges are one more than intervals', sizes={'n': sizes['k'] - 1})
    checks.shape('features', features, '... n c', sizes={'n': sizes['k'] - 1, 'c': layers.rgb.shape[-1]})
    order, places = _order(layers)
    alpha, t = (jnp.moveaxis(jnp.take_along_axis(x, order, axis=0), 0, -1) for x in (layers.alpha, layers.t))
    optical = density * compositing.interval_lengths(edges, directions)
    before = jnp.concatenate([jnp.zeros_like(optical[..., :1]), jnp.cumsum(optical, axis=-1)], axis=-1)
    # How much of the medium lies before a layer: all of the intervals before its own, and a part of that.
    interval = jnp.sum(edges[..., None, :] <= t[..., :, None], axis=-1) - 1
    interval = jnp.clip(interval, 0, density.shape[-1] - 1)
    low, high, ahead, own = (
        jnp.take_along_axis(x, interval, axis=-1) for x in (edges[..., :-1], edges[..., 1:], before[..., :-1], optical)
    )
    part = safe_divide(jnp.clip(t, low, high) - low, high - low)
    arriving, passed, taken = _through(alpha, jnp.exp(-ahead - part * own))
    # Light at the edges, and what layers before them took: the medium took what is missing between two of them.
    count = jnp.sum(t[..., None, :] < edges[..., :, None], axis=-1)
    left = jnp.take_along_axis(passed, count, axis=-1) * jnp.exp(-before) + jnp.take_along_axis(taken, count, axis=-1)
    weights = left[..., :-1] - left[..., 1:]
    arriving = jnp.take_along_axis(arriving, places, axis=0)
    rgb = compositing.accumulate(weights, features) + jnp.sum(arriving[..., None] * layers.rgb, axis=0)
    in_layers = layers.alpha * arriving
    known = jnp.isfinite(layers.t)
    counted = jnp.where(known, in_layers, 0)
    away = jnp.sum(weights * 0.5 * (edges[..., 1:] + edges[..., :-1]), axis=-1)
    away = away + jnp.sum(counted * jnp.where(known, layers.t, 0), axis=0)
    in_medium = jnp.sum(weights, axis=-1)
    total = in_medium + jnp.sum(in_layers, axis=0)
    found = _rendering(rgb, total, away, in_medium + jnp.sum(counted, axis=0), background)
    return dataclasses.replace(found, weights=weights, edges=edges, extras={'layers': in_layers})


def integrate(
    field_fn: FieldFn, rays: Rays, edges: Array, layers: Layers, *, background: Array | None = None
) -> Rendering:
    """Layers within a radiance field, which is evaluated once in the middle of each interval.

    Args:
        field_fn: see `neurend.render.volume`.
        rays: any leading dims `...`.
        edges: `... n+1` ascending, in t; layers may lie beyond them.
        layers: over the same rays.
        background: see `within`, as for what comes back and is raised.
    """
    points = ray_geometry.at(rays, 0.5 * (edges[..., 1:] + edges[..., :-1]))
    density, features = field_fn(points, jnp.broadcast_to(rays.viewdirs[..., None, :], points.shape))
    return within(layers, density, features, edges, rays.directions, background=background)


def _checked(layers: Layers) -> Layers:
    checks.shape('layers.rgb', layers.rgb, 'm ... c', 'Layers are the first axis, channels the last')
    for name in ('alpha', 't'):
        if getattr(layers, name).shape != layers.rgb.shape[:-1]:
            raise checks.InputError(
                f'layers.{name}: got shape {getattr(layers, name).shape}, expected {layers.rgb.shape[:-1]}, that of '
                'colours without their last axis'
            )
    return layers


def _order(layers: Layers) -> tuple[Array, Array]:
    """Which layer comes k-th, and at which place each is, [m ...]."""
    order = jnp.argsort(jax.lax.stop_gradient(layers.t), axis=0, stable=True)
    return order, jnp.argsort(order, axis=0)


def _in_order(layers: Layers) -> Layers:
    order, _ = _order(layers)
    rgb = jnp.take_along_axis(layers.rgb, order[..., None], axis=0)
    return Layers(rgb, *(jnp.take_along_axis(x, order, axis=0) for x in (layers.alpha, layers.t)))


def _through(alpha: Array, clear: Array) -> tuple[Array, Array, Array]:
    """Light that comes to each layer, of layers in order.

    A loop: XLA on a CPU takes minutes to compile the derivatives of cumulative products.

    Args:
        alpha: [... m].
        clear: [... m] what the medium before each lets pass.

    Returns:
        Light that arrives at each [m ...]; and before each and behind the last, [... m+1] each, what layers let pass
        and what they took.
    """

    def step(state: tuple[Array, Array], layer: tuple[Array, Array]) -> tuple[Any, Any]:
        passed, taken = state
        alpha, clear = layer
        arriving = passed * clear
        return (passed * (1 - alpha), taken + alpha * arriving), (arriving, passed, taken)

    start = jnp.ones_like(alpha[..., 0]), jnp.zeros_like(alpha[..., 0])
    each = jnp.moveaxis(alpha, -1, 0), jnp.moveaxis(clear, -1, 0)
    last, (arriving, *before) = jax.lax.scan(step, start, each)
    passed, taken = (jnp.moveaxis(jnp.concatenate([x, y[None]]), 0, -1) for x, y in zip(before, last))
    return arriving, passed, taken


def _rendering(rgb: Array, alpha: Array, away: Array, counted: Array, background: Array | None) -> Rendering:
    rgb = rgb if background is None else compositing.on_background(rgb, alpha, background)
    return Rendering(rgb, alpha, safe_divide(away, counted))


def _nearest(depth: Array) -> Array:
    """The least of 3 x 3 pixels, [H W]."""
    return jax.lax.reduce_window(depth, jnp.inf, jax.lax.min, (3, 3), (1, 1), 'SAME')
