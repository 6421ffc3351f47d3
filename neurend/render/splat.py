"""Points drawn as discs, hard by a z-buffer or soft: the nearest few at each pixel, blended.

Which points cover a pixel is found by integers and has no derivative; how they are blended depends smoothly on where
they project, on their radii, features and opacities, and so on the camera, in both modes (Wiles et al., "SynSin", 2020;
PyTorch3D, Ravi et al., 2020).
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, numerics
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.typing import Array

Blend = Literal['nearest', 'alpha', 'normalized']
_LEAST = 1e-4  # sum of weights that features are divided by


def covering(pixels: Array, depth: Array, radii: Array, size: tuple[int, int], *, layers: int, reach: int) -> Array:
    """Which points cover the centre of each pixel, int32 [layers h w]: the nearest first, -1 where there are no more.

    Points at the same depth keep their order.

    Args:
        pixels: [n 2] where points project to.
        depth: [n]; those that are not above 0 cover nothing.
        radii: [n] in pixels.
        size: (width, height).
        layers: how many to find.
        reach: of a disc, in pixels: what lies farther from its middle is not found.
    """
    width, height = size
    count = len(depth)
    ahead = (depth > 0) & jnp.all(jnp.isfinite(pixels), axis=-1) & (radii > 0)
    order = jnp.argsort(jnp.where(ahead, depth, jnp.inf))
    rank = jnp.zeros(count, jnp.int32).at[order].set(jnp.arange(count, dtype=jnp.int32))
    limit = jnp.asarray([width + reach, height + reach], pixels.dtype)
    middle = jnp.clip(jnp.where(ahead[:, None], pixels, -1.0 - reach), -1.0 - reach, limit[None] + 1)
    first = jnp.floor(middle).astype(jnp.int32)
    offsets = jnp.asarray(np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), axis=-1).reshape(-1, 2), jnp.int32)
    place = first[:, None] + offsets[None]
    squared = jnp.sum(jnp.square(place.astype(pixels.dtype) + 0.5 - middle[:, None]), axis=-1)
    inside = jnp.all((place >= 0) & (place < jnp.asarray(size)[None, None]), axis=-1)
    covers = inside & ahead[:, None] & (squared < jnp.square(radii)[:, None])
    flat = jnp.where(covers, place[..., 1] * width + place[..., 0], width * height).reshape(-1)
    ranks = jnp.broadcast_to(rank[:, None], covers.shape).reshape(-1)
    found, previous = [], jnp.full(width * height + 1, -1, jnp.int32)
    for _ in range(layers):
        later = jnp.where(ranks > previous[flat], ranks, count)
        # One place more, where all goes that covers nothing.
        previous = jnp.full(width * height + 1, count, jnp.int32).at[flat].min(later, mode='promise_in_bounds')
        found.append(previous[:-1])
    ranked = jnp.stack(found)
    index = jnp.concatenate([order.astype(jnp.int32), jnp.full(1, -1, jnp.int32)])[ranked]
    return index.reshape(layers, height, width)


def nearest(
    pixels: Array, depth: Array, size: tuple[int, int], *, levels: int = 1, thickness: float = np.inf
) -> list[tuple[Array, Array]]:
    """Which point is nearest in each pixel of a picture and of pictures half, a quarter, ... as large, without sorting.

    A point takes the one pixel that it projects into, at every size (Aliev et al., "Neural point-based graphics",
    2020); of points at the same depth that of the lowest index. Through gaps between near points of a fine picture
    those behind them show, unless they are left out.

    Args:
        pixels: [n 2] where points project to.
        depth: [n]; those that are not above 0 are not there.
        size: (width, height), multiples of 2^(levels - 1).
        levels: of the pyramid.
        thickness: how far behind the nearest in its four by four pixels a point may lie, in units of depth.

    Returns:
        For each level, finest first, int32 [height >> k, width >> k] the point, -1 for none, and its depth, 0 for none.

    Raises:
        InputError: sizes that cannot be halved so often.
    """
    width, height = size
    count = len(depth)
    if levels < 1 or width % 2 ** (levels - 1) or height % 2 ** (levels - 1):
        raise checks.InputError(
            f'levels, size: got {levels} and {width} x {height}, expected at least 1, and sides that can be halved '
            'levels - 1 times'
        )
    inside = (depth > 0) & jnp.all((pixels >= 0) & (pixels < jnp.asarray(size, pixels.dtype)[None]), axis=-1)
    place = jnp.where(inside[:, None], pixels, 0).astype(jnp.int32)
    # One place more, where all goes that is not seen.
    flat = jnp.where(inside, place[:, 1] * width + place[:, 0], width * height)
    empty = jnp.full(width * height + 1, jnp.inf, depth.dtype)
    first = empty.at[flat].min(jnp.where(inside, depth, jnp.inf), mode='promise_in_bounds')
    index = jnp.where(inside & (depth <= first[flat]), jnp.arange(count, dtype=jnp.int32), count)
    which = jnp.full(width * height + 1, count, jnp.int32).at[flat].min(index, mode='promise_in_bounds')
    found = [(which[:-1].reshape(height, width), first[:-1].reshape(height, width))]
    for _ in range(max(levels - 1, 2 if np.isfinite(thickness) else 0)):
        found.append(_halved(*found[-1]))
    if np.isfinite(thickness):
        limit = found[2][1] + thickness
        for k in range(2):
            index, near = found[k]
            enlarged = jnp.repeat(jnp.repeat(limit, 4 >> k, axis=0), 4 >> k, axis=1)
            hidden = near > enlarged[: near.shape[0], : near.shape[1]]
            found[k] = jnp.where(hidden, count, index), jnp.where(hidden, jnp.inf, near)
    return [
        (jnp.where(near < jnp.inf, index, -1), jnp.where(near < jnp.inf, near, 0)) for index, near in found[:levels]
    ]


def _halved(index: Array, depth: Array) -> tuple[Array, Array]:
    """The nearest of each four pixels [h w], the last of odd sides with nothing beside it."""
    odd = [(0, side % 2) for side in depth.shape]
    index, depth = (
        jnp.pad(index, odd, constant_values=np.iinfo(np.int32).max),
        jnp.pad(depth, odd, constant_values=jnp.inf),
    )
    for axis in (0, 1):
        a, b = ((slice(None),) * axis + (slice(k, None, 2),) for k in (0, 1))
        nearer = (depth[b] < depth[a]) | ((depth[b] == depth[a]) & (index[b] < index[a]))
        index, depth = jnp.where(nearer, index[b], index[a]), jnp.where(nearer, depth[b], depth[a])
    return index, depth


def splat(
    positions: Array,
    features: Array,
    radii: Array,
    camera: Camera,
    size: tuple[int, int],
    *,
    opacities: Array | None = None,
    blend: Blend = 'alpha',
    layers: int = 8,
    reach: int = 4,
    background: Array | None = None,
) -> Rendering:
    """Draws points as discs that face the camera.

    A disc's weight is one in its middle and falls to zero at its rim, as one minus the squared distance in radii, times
    its opacity. Points behind the camera and such as are not finite are not there.

    Args:
        positions: [n 3] in the world.
        features: [n c].
        radii: [n] in the world, above 0; on the picture they shrink with depth.
        camera: one, of a picture of this size.
        size: (width, height).
        opacities: [n] in [0, 1]; one if not given.
        blend: 'nearest' shows the nearest point as it is, a z-buffer; 'alpha' composites weights front to back;
            'normalized' averages by weight, whatever is in front.
        layers: points that are blended at a pixel, the nearest; 'nearest' needs one.
        reach: see `covering`; `extras['clipped']` counts discs in view that are larger, which are cut off.
        background: [c] or [h w c]; without one features are multiplied by alpha.

    Returns:
        Features, alpha and expected depth [h w ...]; `weights` [h w layers]; `extras['index']`, [layers h w], which
        points these are of, and 'clipped'.

    Raises:
        InputError: shapes that do not fit, or numbers out of range.
    """
    checks.one_of('blend', blend, ('nearest', 'alpha', 'normalized'))
    count = checks.shape('positions', positions, 'n 3', 'vmap for a batch')['n']
    checks.shape('features', features, f'{count} c')
    checks.shape('radii', radii, f'{count}')
    if opacities is not None:
        checks.shape('opacities', opacities, f'{count}')
    if layers < 1 or reach < 0 or not count:
        raise checks.InputError(
            f'layers, reach, positions: got {layers}, {reach} and {count} points, expected at least 1, 0 and 1'
        )
    layers = 1 if blend == 'nearest' else layers
    # What is not finite would give such gradients to the camera even where it is not seen.
    sound = jnp.all(jnp.isfinite(positions), axis=-1)
    positions, radii = jnp.where(sound[:, None], positions, 0), jnp.where(sound, radii, 0)
    pixels, depth = cameras.project(camera, positions)
    focal = jnp.sqrt(jnp.abs(camera.focal[0] * camera.focal[1]))
    across = focal * radii if camera.model == 'orthographic' else focal * numerics.safe_divide(radii, depth)
    index = covering(*jax.lax.stop_gradient((pixels, depth, across)), size, layers=layers, reach=reach)
    there, safe = index >= 0, jnp.maximum(index, 0)
    centers = cameras.pixel_centers(*size)[None].astype(pixels.dtype)
    away = jnp.sum(jnp.square(pixels[safe] - centers), axis=-1)
    if blend == 'nearest':
        weight = there.astype(pixels.dtype)
    else:
        weight = jnp.where(there, 1 - away / jnp.square(jnp.where(there, across[safe], 1)), 0)
        weight = weight if opacities is None else weight * opacities[safe]
    shown = jnp.moveaxis(features[safe], 0, -2)
    weight, t = jnp.moveaxis(weight, 0, -1), jnp.moveaxis(jnp.where(there, depth[safe], 0), 0, -1)
    rgb, alpha, weights = compositing.over(shown, weight)
    if blend == 'normalized':
        share = weight / jnp.maximum(jnp.sum(weight, axis=-1, keepdims=True), _LEAST)
        weights = share * alpha[..., None]
        rgb = compositing.accumulate(weights, shown)
    rgb = rgb if background is None else compositing.on_background(rgb, alpha, background)
    on_picture = (depth > 0) & jnp.all((pixels > 0) & (pixels < jnp.asarray(size, pixels.dtype)[None]), axis=-1)
    clipped = jnp.sum(on_picture & (across > reach + 0.5))
    return Rendering(
        rgb,
        alpha,
        compositing.expected_depth(weights, t),
        weights=weights,
        extras={'index': index, 'clipped': clipped},
    )
