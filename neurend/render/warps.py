"""What photographs show of points in the world: looked up where points project, unless a nearer surface hides them.

A proxy says where surfaces are: points come from its depth in the view that is drawn, and what hides them from its
depth in the photographs. Everything is differentiable in both modes: pictures, points, depths and cameras.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.numerics import safe_divide
from neurend.render import texels
from neurend.render.rendering import Rendering
from neurend.typing import Array

ProxyFn = Callable[[Camera], Rendering]
"""Where surfaces are: `camera -> Rendering` of which depth [H W] is used, 0 where there are none."""


@flax.struct.dataclass
class Sources:
    """Photographs to draw others from.

    Attributes:
        pictures: [k H W c+1] features multiplied by opacity, and last opacity in [0, 1].
        cameras: [k].
        depths: [k H W] of the proxy's surface, as `cameras.project` gives it; 0 where there is none.
    """

    pictures: Array
    cameras: Camera
    depths: Array


@flax.struct.dataclass
class Seen:
    """What each of k photographs shows of points `...`.

    Attributes:
        rgb: [k ... c] features, not multiplied by opacity; zeros where there are none.
        alpha: [k ...] opacity of the photograph there.
        share: [k ...] in [0, 1], how much of it the photograph sees: 0 where something nearer hides the point, beside
            the photograph and behind its camera.
    """

    rgb: Array
    alpha: Array
    share: Array


def look(sources: Sources, points: Array, *, tolerance: float = 0.02, border: float = 2.0) -> Seen:
    """Looks points up in photographs, bilinear among those of the four pixels around that see as far.

    Args:
        sources: photographs of one size.
        points: [... 3] in the world.
        tolerance: by which part of its depth a point may lie behind the proxy's surface and count as seen; over as much
            again its share falls to 0.
        border: pixels over which the share falls to 0 towards the edges of a photograph.

    Raises:
        InputError: shapes that do not fit, or a tolerance or border that is not positive.
    """
    sizes = checks.shape('sources.pictures', sources.pictures, 'k h w c', 'vmap over a batch')
    checks.shape('sources.depths', sources.depths, 'k h w', sizes=sizes)
    checks.shape('sources.cameras.focal', sources.cameras.focal, 'k 2', sizes=sizes)
    checks.shape('points', points, '... 3', 'Give points in the world')
    if not tolerance > 0 or not border > 0:
        raise checks.InputError(f'tolerance, border: got {tolerance} and {border}, expected both above 0')
    count, height, width, channels = sources.pictures.shape
    flat = points.reshape(-1, 3)
    pixels, depth = cameras.project(sources.cameras[:, None], flat[None])
    x, y = pixels[..., 0], pixels[..., 1]
    # What is not in the picture goes to a place that is, without gradients.
    known = (depth > 0) & (x > 0) & (x < width) & (y > 0) & (y < height)
    x, y, depth = (jnp.where(known, value, other) for value, other in ((x, 0.5), (y, 0.5), (depth, 1)))
    edge = jnp.minimum(jnp.minimum(x, width - x), jnp.minimum(y, height - y))
    inside = jnp.where(known, jnp.clip(edge / border, 0, 1), 0)
    (left, across), (top, down) = (_split(at, side) for at, side in ((x, width), (y, height)))
    first = jnp.arange(count, dtype=jnp.int32)[:, None] * (height * width)
    surface = sources.depths.reshape(-1)
    places, weights = [], []
    for row, by_row in ((top, 1 - down), (jnp.minimum(top + 1, height - 1), down)):
        for column, by_column in ((left, 1 - across), (jnp.minimum(left + 1, width - 1), across)):
            place = first + row * width + column
            before = surface[place]
            excess = safe_divide(depth, before) - 1  # -1 where there is no surface
            places.append(place.reshape(-1))
            weights.append((by_row * by_column * jnp.clip(2 - excess / tolerance, 0, 1)).reshape(-1))
    found = texels.weighted(sources.pictures.reshape(-1, channels), tuple(places), tuple(weights))
    total = sum(weights[1:], weights[0])
    opacity = found[:, -1]
    leading = (count, *points.shape[:-1])
    return Seen(
        safe_divide(found[:, :-1], opacity[:, None]).reshape(*leading, channels - 1),
        safe_divide(opacity, total).reshape(leading),
        (total * inside.reshape(-1)).reshape(leading),
    )


def _split(at: Array, side: int) -> tuple[Array, Array]:
    """The whole pixel before a position inside a picture, and how far it is beyond that; edges continue."""
    at = jnp.clip(at - 0.5, 0, side - 1)
    low = jnp.clip(jnp.floor(at), 0, max(side - 2, 0))
    return low.astype(jnp.int32), at - low


def warp(
    sources: Sources, camera: Camera, depth: Array, *, tolerance: float = 0.02, border: float = 2.0
) -> tuple[Seen, Array]:
    """Photographs as they would look from another camera, as far as they see the proxy's surface.

    Args:
        sources: photographs.
        camera: that they are warped to, one.
        depth: [H W] of the surface that it sees, 0 where there is none.
        tolerance, border: see `look`.

    Returns:
        What each photograph shows of every pixel [k H W ...], and the surface's points [H W 3], which mean nothing
        where there are none.
    """
    height, width = checks.shape('depth', depth, 'h w', 'One picture; vmap over others').values()
    there = depth > 0
    points = cameras.unproject(camera, cameras.pixel_centers(width, height), jnp.where(there, depth, 1))
    seen = look(sources, points, tolerance=tolerance, border=border)
    return dataclasses.replace(seen, share=jnp.where(there[None], seen.share, 0)), points


def check(share: Array | np.ndarray, name: str) -> None:
    """Checks that some source sees something of a view.

    Args:
        share: of `Seen`.
        name: of the view.

    Raises:
        InputError: none does.
    """
    if not np.any(np.asarray(jax.device_get(share)) > 0):
        raise checks.InputError(
            f'{name}: none of {len(share)} source views sees anything of what it sees, expected views that overlap; '
            'give others, or check poses and the proxy'
        )
