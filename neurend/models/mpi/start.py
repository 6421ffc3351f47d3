"""What multi-plane images begin with: photographs swept over the planes, and how far they agree there."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry.cameras import Camera
from neurend.models.mpi.config import MpiConfig
from neurend.models.mpi.places import Places
from neurend.render import planes
from neurend.typing import Array

_WINDOW = 5  # pixels along each side over which agreement is averaged
_LEAST, _MOST = 2e-4, 0.95  # opacity


def from_photographs(
    config: MpiConfig, places: Places, pictures: Sequence[np.ndarray], cameras: Camera, *, neighbors: int
) -> Callable[[], Array]:
    """A `start` of the method: each image from the photographs that were taken nearest to where it was made for.

    Args:
        config: see `agreeing`.
        places: where the images lie.
        pictures: uint8 [h w 3], or [h w 4] with straight alpha, of one size.
        cameras: [n] of them.
        neighbors: photographs for each image.
    """
    eyes, others = (
        np.asarray(each.world_from_camera)[:, :3, 3].astype(np.float64) for each in (places.cameras, cameras)
    )
    near = np.argsort(np.linalg.norm(eyes[:, None] - others[None], axis=-1), axis=-1)[:, :neighbors]
    rgba = np.stack([_with_alpha(picture) for picture in pictures])
    moved = jax.tree.map(jnp.asarray, cameras)

    def start() -> Array:
        def one(each: tuple[Array, Camera, Array]) -> Array:
            chosen, camera, depths = each
            found = jnp.asarray(rgba)[chosen].astype(jnp.float32) / 255
            found = jnp.concatenate([found[..., :3] * found[..., 3:], found[..., 3:]], axis=-1)
            views = jax.tree.map(lambda leaf: leaf[chosen], moved)
            return agreeing(config, camera, depths, places.size, found, views)

        cameras_of = jax.tree.map(jnp.asarray, places.cameras)
        return jax.lax.map(one, (jnp.asarray(near), cameras_of, jnp.asarray(places.depths)))

    return start


def _with_alpha(picture: np.ndarray) -> np.ndarray:
    if picture.shape[-1] == 4:
        return picture
    return np.concatenate([picture, np.full_like(picture[..., :1], 255)], axis=-1)


def agreeing(
    config: MpiConfig,
    camera: Camera,
    depths: Array,
    size: tuple[int, int],
    pictures: Array,
    cameras: Camera,
) -> Array:
    """Planes as opaque as photographs agree there, in the colour they agree on (Collins, 1996).

    Args:
        config: `sharpness`, `basis` and `backdrop`.
        camera: that the planes face.
        depths: [D].
        size: (width, height) of the planes.
        pictures: [n h w 4], colours multiplied by alpha, and alpha; planes are transparent where one shows nothing.
        cameras: [n] of them.

    Returns:
        [D H W c] parameters: colours and opacity as logits, coefficients 0.
    """
    total, squares, count = jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
    solid = jnp.ones((len(depths), size[1], size[0]))
    ones = jnp.ones((*pictures.shape[1:3], 1))
    for k in range(len(pictures)):
        view = jax.tree.map(lambda leaf, k=k: leaf[k], cameras)
        both = planes.sweep(jnp.concatenate([pictures[k], ones], axis=-1), view, camera, depths, size)
        found, seen = both[..., :4], both[..., 4:]
        total, squares, count = total + found, squares + jnp.square(found[..., :3]), count + seen
        solid = jnp.minimum(solid, jnp.where(seen[..., 0] > 0.5, found[..., 3], 1))
    several = jnp.maximum(count, 1)
    mean = total / several
    variance = jnp.sum(jnp.maximum(squares / several - jnp.square(mean[..., :3]), 0), axis=-1)
    # What one photograph alone shows agrees with nothing.
    variance = jnp.where(count[..., 0] > 1.5, variance, 10 / config.sharpness)
    # Nor is anything known to be where no photograph looks.
    there = (solid > 0.5) & (count[..., 0] > 0.5)
    opacity = jnp.where(there, opacities(variance, there, sharpness=config.sharpness), _LEAST)
    rgb = jnp.clip(mean[..., :3] / jnp.maximum(mean[..., 3:], _LEAST), 0.02, 0.98)
    coefficients = jnp.zeros((*rgb.shape[:-1], 3 * config.basis))
    return jnp.concatenate([_logit(rgb), coefficients, _logit(opacity)[..., None]], axis=-1)


def opacities(variance: Array, there: Array, *, sharpness: float) -> Array:
    """Opacities of planes at which a ray stops where photographs agree, rather than elsewhere.

    Args:
        variance: [D H W] of the colours that photographs have on each plane, nearest first, summed over channels.
        there: [D H W] bool, where something may be.
        sharpness: how much less likely than others the planes are on which colours vary.

    Returns:
        [D H W], strictly between 0 and 1.
    """
    window = (1, _WINDOW, _WINDOW)
    variance = jax.lax.reduce_window(variance, 0.0, jax.lax.add, window, (1, 1, 1), 'SAME') / _WINDOW**2
    chance = jax.nn.softmax(jnp.where(there, -sharpness * variance, -1e4), axis=0)
    # The chance that a ray stops at a plane, given that it comes so far.
    left = 1 - jnp.cumsum(chance, axis=0) + chance
    return jnp.clip(chance / jnp.maximum(left, _LEAST), _LEAST, _MOST)


def _logit(x: Array) -> Array:
    return jnp.log(x) - jnp.log1p(-x)
