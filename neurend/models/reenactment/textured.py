"""Textured Neural Avatars (Shysheya et al., 2019): where which part of a body is, and its texture.

The maths of maps and textures; `textured_method` learns them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.losses import photometric
from neurend.render import texture
from neurend.typing import Array

PARTS = 24
CHANNELS = 1 + 3 * PARTS
"""Of what the network gives: 25 for the assignment, background first, then u and v of each part."""


class Maps(NamedTuple):
    """Where a picture's pixels are on a body.

    Attributes:
        logits: `... 25` of the assignment: background, then the 24 parts of DensePose (Güler et al., 2018).
        coordinates: `... 24 2` (u, v) in [0, 1] on each part's texture.
    """

    logits: Array
    coordinates: Array


def maps(raw: Array) -> Maps:
    """What a network's `CHANNELS` outputs say; coordinates go through a sigmoid."""
    checks.shape('raw', raw, f'... {CHANNELS}', 'The network must have that many outputs')
    coordinates = jax.nn.sigmoid(raw[..., PARTS + 1 :])
    return Maps(raw[..., : PARTS + 1], coordinates.reshape(*raw.shape[:-1], PARTS, 2))


def assignment(found: Maps) -> Array:
    """Probabilities `... 25` of background and parts, by softmax over all of them."""
    return jax.nn.softmax(found.logits, axis=-1)


def paint(found: Maps, textures: Array) -> Array:
    """`sum_k P_k T_k(u_k, v_k)` over the parts, bilinear: `... 3`; the background adds nothing.

    Args:
        found: maps `...`.
        textures: `24 s s 3` in [0, 1], uv (0, 0) at the bottom left, as of all textures here.
    """
    checks.shape('textures', textures, f'{PARTS} s s 3')
    looked_up = jax.vmap(lambda one, uv: texture.bilinear(one, uv, wrap='clamp'), (0, -2), -2)(
        textures, found.coordinates
    )
    return jnp.sum(assignment(found)[..., 1:, None] * looked_up, axis=-2)


def color_loss(rgb: Array, image: Array, iuv: Array) -> Array:
    """Mean absolute difference of `... 3` where the truth shows a body; textures learn nothing from the background."""
    return photometric.l1(rgb, image, (iuv[..., 0] > 0).astype(rgb.dtype))


def segmentation_loss(found: Maps, iuv: Array) -> Array:
    """Binary cross-entropy of body against background, mean over pixels.

    Args:
        found: maps `...`.
        iuv: uint8 `... 3` of part (0 is background), u and v (255 for 1).
    """
    everything = jax.nn.logsumexp(found.logits, axis=-1)
    body = jax.nn.logsumexp(found.logits[..., 1:], axis=-1)
    return jnp.mean(everything - jnp.where(iuv[..., 0] > 0, body, found.logits[..., 0]))


def parts_loss(found: Maps, iuv: Array) -> Array:
    """Cross-entropy of the assignment against the parts of `iuv`, mean over pixels."""
    logs = jax.nn.log_softmax(found.logits, axis=-1)
    return -jnp.mean(jnp.take_along_axis(logs, iuv[..., :1].astype(jnp.int32), axis=-1))


def coordinates_loss(found: Maps, iuv: Array) -> Array:
    """Mean absolute difference of the true part's (u, v) from those of `iuv`, over the body."""
    part = jnp.maximum(iuv[..., 0].astype(jnp.int32) - 1, 0)
    mine = jnp.take_along_axis(found.coordinates, part[..., None, None], axis=-2)[..., 0, :]
    return photometric.l1(mine, iuv[..., 1:].astype(jnp.float32) / 255, (iuv[..., 0] > 0).astype(jnp.float32))


def variation(textures: Array) -> Array:
    """Mean absolute difference of neighbouring texels, along both sides (total variation)."""
    down, across = jnp.diff(textures, axis=1), jnp.diff(textures, axis=2)
    return jnp.mean(jnp.abs(down)) + jnp.mean(jnp.abs(across))


def unwrap(images: np.ndarray, iuv: np.ndarray, *, side: int = 256) -> np.ndarray:
    """Textures as the frames of a video show them: the mean of all pixels that fall onto a texel.

    Without such a start, training may end with textures that are wrong together with the coordinates. Texels that
    no pixel falls onto take the mean of the smallest square around them, of a pyramid of halved textures, that has
    some; parts that are never seen take the mean of all colours.

    Args:
        images: uint8 `[m h w 3]`.
        iuv: uint8 `[m h w 3]`, as `neurend.data.densepose` and `neurend.data.figure` give them.
        side: of the textures, s; a power of two.

    Returns:
        float32 `[24 s s 3]` in [0, 1].

    Raises:
        InputError: shapes or types that do not fit, a part above 24, another side, or no body in any frame.
    """
    sizes = checks.shape('images', images, 'm h w 3')
    checks.shape('iuv', iuv, 'm h w 3', 'Give one map for each image', sizes=sizes)
    if images.dtype != np.uint8 or iuv.dtype != np.uint8 or iuv[..., 0].max(initial=0) > PARTS:
        raise InputError(
            f'images, iuv: got {images.dtype} and {iuv.dtype} with parts to {iuv[..., 0].max(initial=0)}, expected '
            f'uint8 with parts to {PARTS}'
        )
    if side < 1 or side & (side - 1):
        raise InputError(f'side: got {side}, expected a power of two')
    body = iuv[..., 0] > 0
    if not body.any():
        raise InputError('iuv: shows no body in any frame, expected parts 1 to 24 in some')
    part, u, v = (channel.astype(np.int64) for channel in np.moveaxis(iuv[body], -1, 0))
    column, row = (np.minimum(value * side // 255, side - 1) for value in (u, 255 - v))
    place = ((part - 1) * side + row) * side + column
    count = PARTS * side * side
    colors = images[body].astype(np.float64) / 255
    weights = np.bincount(place, minlength=count)
    sums = np.stack([np.bincount(place, colors[:, k], minlength=count) for k in range(3)], axis=-1)
    level = sums.reshape(PARTS, side, side, 3), weights.reshape(PARTS, side, side).astype(np.float64)
    pyramid = [level]
    while level[1].shape[1] > 1:
        half = level[1].shape[1] // 2
        level = (
            level[0].reshape(PARTS, half, 2, half, 2, 3).sum((2, 4)),
            level[1].reshape(PARTS, half, 2, half, 2).sum((2, 4)),
        )
        pyramid.append(level)
    filled = np.broadcast_to(colors.mean(0), (PARTS, 1, 1, 3))
    for total, weight in reversed(pyramid):
        scale = weight.shape[1] // filled.shape[1]
        coarser = filled.repeat(scale, axis=1).repeat(scale, axis=2)
        seen = weight[..., None] > 0
        filled = np.where(seen, total / np.maximum(weight, 1)[..., None], coarser)
    return filled.astype(np.float32)
