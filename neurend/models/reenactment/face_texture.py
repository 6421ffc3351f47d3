"""The mean texture of a tracked face: what the colours of its frames have in common."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from neurend.models.reenactment.face_conditions import FaceMaps
from neurend.numerics import safe_divide
from neurend.render import texture
from neurend.typing import Array

_FACING = 0.2  # cosine below which a surface is too slanted to tell its colour
_LEAST = 1e-3  # weight below which a texel was not seen


def mean_texture(frames: Iterable[tuple[FaceMaps, Array]], *, size: int) -> Array:
    """Averages frames over the texture of the face that they show.

    A pixel gives its colour to the four texels that bilinear look-up would read there, by the look-up's weights times
    the squared cosine of its normal with the camera's axis. Texels that no frame shows take the mean of those around.
    Colours are averaged as they are, encoded and lit.

    Args:
        frames: for some frames their maps and the picture [h w 3] in [0, 1].
        size: texels of a side, a power of two.

    Returns:
        [size size 3] in [0, 1].
    """
    total = jnp.zeros((size, size, 4))
    for maps, image in frames:
        total = _add(total, maps, image)
    return _filled(total)


@jax.jit
def _add(total: Array, maps: FaceMaps, image: Array) -> Array:
    facing = -maps.normal[..., 2]
    weight = jnp.where(maps.mask & (facing > _FACING), facing**2, 0.0)[..., None]
    _, spread = jax.vjp(lambda texels: texture.bilinear(texels, maps.uv), total)
    return total + spread(jnp.concatenate([weight * image, weight], axis=-1))[0]


@jax.jit
def _filled(total: Array) -> Array:
    """Colours of sums and weights [n n 4]; where there are none, those of the next coarser level that has some."""
    levels = texture.pyramid(total)
    filled = safe_divide(levels[-1][..., :3], levels[-1][..., 3:])
    for level in reversed(levels[:-1]):
        coarse = jax.image.resize(filled, (*level.shape[:2], 3), 'linear')
        seen = level[..., 3:] > _LEAST
        filled = jnp.where(seen, safe_divide(level[..., :3], level[..., 3:]), coarse)
    return filled
