"""Environments as cube maps [6 n n c] in the layout of `neurend.render.texture.cube`: light by direction."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras, transforms
from neurend.geometry.leading import floating
from neurend.numerics import normalize
from neurend.render import texture
from neurend.typing import Array


def solid_angles(side: int) -> Array:
    """Solid angles [6 side side] of a cube map's texels, in sr; their sum is 4 pi."""
    edges = np.linspace(-1, 1, side + 1)
    # Of the rectangle from the face's middle to a point on it; in double precision, since differences follow.
    corner = np.arctan2(edges[:, None] * edges, np.sqrt(edges[:, None] ** 2 + edges**2 + 1))
    face = np.diff(np.diff(corner, axis=0), axis=1)
    return jnp.broadcast_to(jnp.asarray(face, float), (6, side, side))


def texels(side: int, dtype: Any) -> tuple[Array, Array]:
    """Unit directions [6 side^2 3] of the centres of a cube map's texels, and their solid angles [6 side^2]."""
    directions = normalize(texture.cube_directions(side).reshape(-1, 3))
    return directions.astype(dtype), solid_angles(side).reshape(-1).astype(dtype)


def halve(environment: Array) -> Array:
    """A cube map [6 n n c] of half the side, which must be even; texels keep the light of the four that they cover."""
    environment = floating(environment)
    sizes = checks.shape('environment', environment, '6 n n c')
    if sizes['n'] % 2:
        raise checks.InputError(f'environment: got sides of {sizes["n"]} texels to halve, expected an even number')
    return _merge(environment, 2)


def from_equirectangular(image: Array, side: int, *, world_from_camera: Array | None = None) -> Array:
    """A cube map of a panorama, each texel the mean of what it covers.

    Args:
        image: [h w c] linear radiance, longitude along x and latitude along y, w = 2 h as a rule. Through the poles and
            across the left and right borders it goes on.
        side: of the cube map, in texels.
        world_from_camera: [4 4] pose of the equirectangular camera (x right, y down, z forward) whose image it is. By
            default +y is up and -z in the middle of the image, as in OpenGL.

    Returns:
        [6 side side c].
    """
    image = floating(image)
    height, width, _ = checks.shape('image', image, 'h w c', 'Give one panorama').values()
    if side < 1:
        raise checks.InputError(f'side: got {side}, expected at least 1')
    pose = transforms.opencv_from_opengl(jnp.eye(4)) if world_from_camera is None else world_from_camera
    focal = jnp.array([width / (2 * math.pi), height / math.pi], image.dtype)
    camera = cameras.make(pose, focal, size=(width, height), model='equirectangular')
    # Beyond a pole lies the row itself, half a turn away.
    rows = [jnp.roll(image[row], width // 2, axis=0) for row in (0, -1)]
    bordered = jnp.concatenate([rows[0][None], image, rows[1][None]])
    scale = jnp.array([width, height + 2], image.dtype)
    finer = max(1, math.ceil(width / (4 * side)))

    def face(directions: Array) -> Array:
        places = cameras.project(camera, directions)[0] + jnp.array([0, 1], image.dtype)[None, None]
        fractions = places / scale[None, None]
        uv = jnp.stack([fractions[..., 0], 1 - fractions[..., 1]], axis=-1)
        return texture.bilinear(bordered, uv, wrap='repeat')

    return _merge(jax.lax.map(face, texture.cube_directions(side * finer)), finer)


def _merge(environment: Array, count: int) -> Array:
    """Means over `count` x `count` texels, weighted by their solid angles."""
    side = environment.shape[1] // count
    angles = solid_angles(side * count).astype(environment.dtype)[..., None]
    blocks = [values.reshape(6, side, count, side, count, -1).sum((2, 4)) for values in (environment * angles, angles)]
    return blocks[0] / blocks[1]
