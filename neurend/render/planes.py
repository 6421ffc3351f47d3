"""Multi-plane images from any camera: homographies of planes, bilinear look-up, and over-compositing.

Where a ray meets planes that face a pinhole camera, in that camera's pixels, is linear in the planes' disparity: the
homography of the plane at infinity and a shift along the line to the epipole. So nothing is inverted, and derivatives
go to the planes, their depths and both cameras, intrinsics included, in both modes.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from neurend import checks, numerics
from neurend.geometry import cameras, transforms
from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.render import compositing, lift, texels
from neurend.render.layers import Layers
from neurend.render.rendering import Rendering
from neurend.typing import Array

_FLAT = 1e-6  # of a ray's direction along z, beneath which it meets no plane
_LEAST = 1e-10  # opacity that colours are divided by


def meet(source: Camera, depths: Array, rays: Rays) -> tuple[Array, Array, Array]:
    """Where rays meet planes, in the order in which they do.

    Args:
        source: pinhole camera that the planes face; one.
        depths: [D] of the planes along its z axis, ascending. Those at or behind it are met by no ray.
        rays: [n].

    Returns:
        Pixels [2 D n] of `source`, the rays' parameter t [D n] (0 where a plane is behind the ray's origin or along it)
        and which plane it is [D n], int32: the nearest to `source` first, for rays that look against it the farthest.

    Raises:
        InputError: a camera that is not pinhole.
    """
    checks.one_of('source.model', source.model, ('pinhole',))
    origins = numerics.unstack(transforms.apply_inverse(source.world_from_camera, rays.origins))
    x, y, z = numerics.unstack(transforms.rotate_back(source.world_from_camera, rays.directions))
    flat = jnp.abs(z) <= _FLAT
    along = jnp.where(flat, 1, z)
    order = jnp.arange(len(depths))[:, None]
    index = jnp.where(z[None] > 0, order, len(depths) - 1 - order).astype(jnp.int32)
    depth = jnp.where(z[None] > 0, depths[:, None], depths[::-1, None])
    t = (depth - origins[2][None]) / along[None]
    met = (t > 0) & (depth > 0) & ~flat[None]
    disparity = 1 / jnp.where(depth > 0, depth, 1)
    pixels = []
    for slope, origin, focal, center in zip(
        (x / along, y / along), origins, numerics.unstack(source.focal), numerics.unstack(source.center)
    ):
        at_infinity, parallax = focal * slope + center, focal * (origin - origins[2] * slope)
        pixels.append(at_infinity[None] + disparity * parallax[None])
    return jnp.stack(pixels), jnp.where(met, t, 0), index


def warp(layers: Array, depths: Array, source: Camera, rays: Rays) -> tuple[Array, Array]:
    """What rays see of each plane, bilinear; zeros beside it, where it fades within half a pixel of its border.

    Args:
        layers: [D H W c], the nearest first.
        depths: [D] of the planes.
        source: pinhole camera whose pixels the planes have; one.
        rays: [n].

    Returns:
        [D n c] and the rays' parameters t [D n], in the order in which rays meet the planes, see `meet`.
    """
    sizes = checks.shape('layers', layers, 'd h w c', 'Nearest plane first; vmap for a batch')
    checks.shape('depths', depths, 'd', sizes=sizes)
    checks.shape('rays.origins', rays.origins, 'n 3', 'Reshape rays to one leading dim')
    height, width = layers.shape[1:3]
    pixels, t, index = meet(source, depths, rays)
    places, weights = [], []
    (left, across), (top, down) = (_split(at, side) for at, side in zip(pixels, (width, height)))
    for row, by_row in ((top, 1 - down), (top + 1, down)):
        for column, by_column in ((left, 1 - across), (left + 1, across)):
            inside = (t > 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = (index * height + jnp.clip(row, 0, height - 1)) * width + jnp.clip(column, 0, width - 1)
            places.append(place.reshape(-1))
            weights.append(jnp.where(inside, by_row * by_column, 0).reshape(-1))
    found = texels.weighted(layers.reshape(-1, layers.shape[-1]), tuple(places), tuple(weights))
    return numerics.materialize_rows(found).reshape(*t.shape, layers.shape[-1]), t


def _split(at: Array, side: int) -> tuple[Array, Array]:
    """The whole pixel before a position, and how far it is beyond that; positions far outside do not overflow."""
    at = jnp.clip(at - 0.5, -1, side)
    low = jnp.floor(at)
    return low.astype(jnp.int32), at - low


def render(rgba: Array, depths: Array, source: Camera, rays: Rays, *, background: Array | None = None) -> Rendering:
    """Draws a multi-plane image, differentiable in all arguments, in both modes.

    Args:
        rgba: [D H W c+1], the nearest plane first: features that are not multiplied by opacity, and last opacity in
            [0, 1].
        depths: [D] of the planes along the camera's z axis, ascending.
        source: pinhole camera whose pixels the planes have; one.
        rays: any leading dims `...`; of the target camera, `cameras.rays(camera, cameras.pixel_centers(w, h))`.
        background: [... c] or [c] behind all planes and beside them; without one colours are multiplied by alpha.

    Returns:
        Features, alpha and expected depth, over the rays' leading dims.

    Raises:
        InputError: shapes that do not fit, or planes of a camera that is not pinhole.
    """
    leading = rays.shape
    layers, t = warp(rgba, depths, source, _flat(rays))
    *features, opacity = numerics.unstack(layers)
    (*color, depth), alpha = compositing.merge([opacity * feature for feature in (*features, t)], opacity)
    rgb, alpha = jnp.stack(color, axis=-1).reshape(*leading, -1), alpha.reshape(leading)
    depth = numerics.safe_divide(depth.reshape(leading), alpha)
    return Rendering(rgb if background is None else compositing.on_background(rgb, alpha, background), alpha, depth)


def layers(rgba: Array, depths: Array, source: Camera, rays: Rays) -> Layers:
    """The planes as layers [D ...] that others may stand between; arguments as for `render`."""
    found, t = warp(rgba, depths, source, _flat(rays))
    alpha = found[..., -1:]
    rgb = (found[..., :-1] * alpha).reshape(len(t), *rays.shape, -1)
    # Planes that a ray does not meet show nothing.
    return Layers(rgb, alpha.reshape(len(t), *rays.shape), jnp.where(t > 0, t, jnp.inf).reshape(len(t), *rays.shape))


def _flat(rays: Rays) -> Rays:
    """Rays [n] of any leading dims."""
    return Rays(
        rays.origins.reshape(-1, 3),
        rays.directions.reshape(-1, 3),
        rays.viewdirs.reshape(-1, 3),
        rays.radii.reshape(-1, 1),
        rays.index.reshape(-1),
    )


def blend(views: Sequence[Rendering], weights: Array, *, opaque: bool = True) -> Rendering:
    """One picture of what several multi-plane images show of the same view (Mildenhall et al., 2019).

    Args:
        views: of each, without a background.
        weights: [k] at least 0, some above.
        opaque: colours are divided by the opacity that there is, as LLFF does, so that where one image ends others take
            over; False for objects that are transparent beside, whose opacity is averaged too.
    """
    sums = [
        sum((weights[k] * x for k, x in enumerate(each)), jnp.zeros(()))
        for each in (
            [view.rgb for view in views],
            [view.alpha for view in views],
            [view.alpha * view.depth for view in views],
        )
    ]
    rgb, alpha, depth = sums
    total = alpha + _LEAST if opaque else jnp.sum(weights)
    return Rendering(
        rgb / total[..., None] if opaque else rgb / total, alpha / total, numerics.safe_divide(depth, alpha)
    )


def blend_weights(distances: Array, *, focal: Array, near: Array, planes: int) -> Array:
    """Weights [k], which sum to one, of multi-plane images from `distances` [k] away (Mildenhall et al., 2019).

    They fall by e over the way that moves the nearest content by as many pixels as there are planes.

    Args:
        distances: between where each was made for and the view, in the world.
        focal: length in pixels.
        near: depth of the nearest plane.
        planes: of each image.
    """
    return jax.nn.softmax(-distances * focal / (near * planes))


def sweep(picture: Array, camera: Camera, reference: Camera, depths: Array, size: tuple[int, int]) -> Array:
    """A plane-sweep volume: a picture as it would look from `reference` if all it shows lay on each plane.

    Args:
        picture: [H W c].
        camera: of the picture; one.
        reference: the camera that the planes face; one.
        depths: [D] of the planes along the z axis of `reference`.
        size: (width, height) of the volume.

    Returns:
        [D h w c], zeros where the picture shows nothing.
    """
    pixels = cameras.pixel_centers(*size)[None]
    points = cameras.unproject(reference, pixels, depths[:, None, None])
    return lift.lift(picture, camera, points)[0]
