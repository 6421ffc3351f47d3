"""Pictures of Gaussians: colours by harmonics, depth, normals."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.numerics import normalize
from neurend.render import gaussians as splatting
from neurend.render.gaussians_tiles import suggested
from neurend.render.rendering import Rendering
from neurend.scenes import gaussians as scenes
from neurend.scenes.gaussians import Gaussians
from neurend.typing import Array

_FIRST_GUESS = 1 << 16


def picture(
    gaussians: Gaussians,
    camera: Camera,
    *,
    size: tuple[int, int],
    capacity: int,
    background: Array | None = None,
    antialiased: bool = False,
    normals: bool = False,
    shift: Array | None = None,
    between: tuple[Array, Array] | None = None,
) -> Rendering:
    """Draws a scene; see `render.gaussians.splat` for options, limits and `extras`.

    Args:
        gaussians: without leading dims; vmap draws several scenes.
        camera: one.
        size: width and height in pixels.
        capacity: of the lists of tiles.
        background: [3] behind all; black if not given.
        antialiased: see there.
        normals: `normal` of the rendering is that of the Gaussians that are seen.
        shift, between: see there.
    """
    eye = camera.world_from_camera[:3, 3]
    features = scenes.colors(gaussians.means, gaussians.harmonics, eye)
    behind = background
    if normals:
        features = jnp.concatenate([features, scenes.normals(gaussians, eye)], axis=-1)
        behind = None if background is None else jnp.concatenate([background, jnp.zeros(3, features.dtype)])
    shown = splatting.splat(
        gaussians.means,
        gaussians.covariances,
        gaussians.opacities,
        features,
        camera,
        width=size[0],
        height=size[1],
        capacity=capacity,
        live=gaussians.live,
        background=behind,
        antialiased=antialiased,
        shift=shift,
        between=between,
    )
    if not normals:
        return shown
    return dataclasses.replace(shown, rgb=shown.rgb[..., :3], normal=normalize(shown.rgb[..., 3:]))


def draw(
    gaussians: Gaussians, camera: Camera, *, background: Array | None = None, antialiased: bool = False
) -> Rendering:
    """Draws a scene on the host, from a camera of any size, with normals and with as much room as it takes.

    Raises:
        InputError: several cameras, nothing is visible, or more pairs of Gaussians and tiles than 2^24.
    """
    checks.shape(
        'camera.size', camera.size, '2', 'It draws one camera; for several take them one by one, or vmap `picture`'
    )
    size = (int(camera.size[0]), int(camera.size[1]))
    capacity = _FIRST_GUESS
    while True:
        shown = _draw(gaussians, camera, background, size, capacity, antialiased)
        pairs = int(shown.extras['pairs'])
        if pairs <= capacity:
            splatting.check(shown)
            return shown
        # A power of two, so that few programs serve all cameras.
        capacity = 1 << (suggested(pairs) - 1).bit_length()


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _draw(
    gaussians: Gaussians,
    camera: Camera,
    background: Array | None,
    size: tuple[int, int],
    capacity: int,
    antialiased: bool,
) -> Rendering:
    return picture(
        gaussians,
        camera,
        size=size,
        capacity=capacity,
        background=background,
        antialiased=antialiased,
        normals=True,
    )
