"""Textures of features: pyramids that are learned, and channels that depend on the direction of view.

Thies, Zollhoefer and Niessner, "Deferred neural rendering: image synthesis using neural textures" (2019). A texture is
an array [side side channels], row 0 at the top, which `neurend.render.texture` looks up; three channels make an
ordinary one.
"""

import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.nn.encodings import spherical_harmonics
from neurend.typing import Array, Key

# The texture itself, its gradient, and the two moments of an optimizer such as Adam.
_COPIES = 4


def create(key: Key, side: int, channels: int, *, levels: int = 4, deviation: float = 0.01) -> list[Array]:
    """A pyramid whose sum is the texture: coarse levels learn fast, and fill in what no view shows.

    Args:
        key: random.
        side: of the finest level, in texels.
        channels: 1 or more; 16 in the paper.
        levels: each has half the side of the one before.
        deviation: standard deviation of the texels of every level, normal with mean 0.

    Returns:
        Arrays [side >> k side >> k channels], finest first.

    Raises:
        InputError: a side that cannot be halved `levels` - 1 times, a number out of range, or a texture that memory
            cannot hold while it is learned.
    """
    if channels < 1 or not deviation >= 0:
        raise checks.InputError(f'channels, deviation: got {channels} and {deviation}, expected at least 1 and 0')
    check(side, channels, levels)
    keys = jax.random.split(key, levels)
    return [
        deviation * jax.random.normal(level_key, (side >> k, side >> k, channels)) for k, level_key in enumerate(keys)
    ]


def check(side: int, channels: int, levels: int, *, count: int = 1) -> None:
    """Checks that a texture can be halved as often as it has levels, and that memory holds it while it is learned.

    Args:
        side: of the finest level, in texels.
        channels: of each texel.
        levels: of the pyramid.
        count: of such textures.

    Raises:
        InputError: one of both is not so.
    """
    if levels < 1 or side < 1 or side % 2 ** (levels - 1):
        raise checks.InputError(
            f'side, levels: got {side} and {levels}, expected a side that can be halved levels - 1 times'
        )
    needed = _COPIES * 4 * count * channels * sum((side >> k) ** 2 for k in range(levels))
    if needed > (there := _memory()):
        several = f' for each of {count} shells' if count > 1 else ''
        raise checks.InputError(
            f'side, channels: got {side} and {channels}{several}, a texture that takes {needed / 2**30:.1f} GiB to '
            f'learn (its values, gradient and two moments), expected at most the {there / 2**30:.1f} GiB that there '
            'are. Halve the side: that is a quarter'
        )


def compose(levels: Sequence[Array]) -> Array:
    """The sum of a pyramid, coarse levels doubled until they are as fine as the first (Burt and Adelson, 1983).

    One look-up of the sum takes the place of one for each level, as Thies et al. add them up, and is not quite the
    same: a bilinear look-up of a coarse level has its kinks at that level's texels, which lie half way between the
    doubled ones, and doubling cuts them off, by an eighth of the second difference. At texels both agree. What the sum
    can be is the same, any texture. Borders go on, whatever the look-up does beyond them.

    Args:
        levels: [side >> k side >> k channels], finest first.

    Returns:
        [side side channels].

    Raises:
        InputError: no levels, or one that has not half the side of the one before.
    """
    if not levels:
        raise checks.InputError('levels: got none, expected at least one')
    sizes = checks.shape('levels[0]', levels[0], 'h w c')
    for k, level in enumerate(levels):
        expected = tuple(sizes[axis] >> k for axis in 'hw')
        if jnp.shape(level) != (*expected, sizes['c']) or any(sizes[axis] % 2**k for axis in 'hw'):
            raise checks.InputError(
                f'levels[{k}]: got shape {jnp.shape(level)}, expected half the sides of the level before and as many '
                f'channels; the first is {jnp.shape(levels[0])}'
            )
    total = jnp.asarray(levels[-1])
    for level in reversed(levels[:-1]):
        total = level + doubled(total)
    return total


def doubled(level: Array) -> Array:
    """Twice the texels [2h 2w c] of [h w c], bilinear; borders go on."""
    for axis in (0, 1):
        first, last = (
            jax.lax.slice_in_dim(level, *ends, axis=axis) for ends in ((0, 1), (level.shape[axis] - 1, None))
        )
        around = jnp.concatenate([first, level, last], axis=axis)
        before, after = (jax.lax.slice_in_dim(around, k, k + level.shape[axis], axis=axis) for k in (0, 2))
        halves = jnp.stack([0.75 * level + 0.25 * before, 0.75 * level + 0.25 * after], axis=axis + 1)
        level = halves.reshape(*level.shape[:axis], -1, *level.shape[axis + 1 :])
    return level


def penalty(levels: Sequence[Array], weights: Sequence[float]) -> Array:
    """Mean square of the texels of each level, times its weight: a scalar.

    Thies et al. (2019) penalise fine levels most, so that what many views agree on goes to coarse ones.

    Args:
        levels: [side >> k side >> k channels], finest first.
        weights: one for each level.

    Raises:
        InputError: another number of weights than of levels.
    """
    if len(weights) != len(levels):
        raise checks.InputError(f'weights: got {len(weights)}, expected one for each of {len(levels)} levels')
    squares = [weight * jnp.mean(jnp.square(level)) for weight, level in zip(weights, levels)]
    return sum(squares, jnp.zeros(()))


def modulate(features: Array, directions: Array, *, first: int = 3, degree: int = 2) -> Array:
    """Multiplies some channels by spherical harmonics of the direction of view, pixel by pixel (Thies et al., 2019).

    The basis is that of `nn.encodings.spherical_harmonics`, orthonormal. Published code has another last function of
    degree 2, x^2 - z^2, which is not orthogonal to the others.

    Args:
        features: [... c].
        directions: [... 3] unit, from the surface to the camera.
        first: of the (degree + 1)^2 channels that are multiplied; those before and after them stay.
        degree: 0 to 4.

    Returns:
        [... c].

    Raises:
        InputError: fewer than first + (degree + 1)^2 channels, or shapes or a degree that do not fit.
    """
    basis = spherical_harmonics(jnp.asarray(directions), degree=degree)
    after = first + basis.shape[-1]
    checks.shape('features', features, '... c')
    if first < 0 or features.shape[-1] < after:
        raise checks.InputError(
            f'features: got {features.shape[-1]} channels, expected at least first + (degree + 1)^2 = {after}, with '
            'first from 0. Use more channels or a lower degree'
        )
    if features.shape[:-1] != basis.shape[:-1]:
        raise checks.InputError(f'directions: got shape {jnp.shape(directions)}, expected {features.shape[:-1]} + (3,)')
    parts = features[..., :first], features[..., first:after] * basis, features[..., after:]
    return jnp.concatenate(parts, axis=-1)


def _memory() -> float:
    """Bytes that the device has, or the machine; infinite where nobody says."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get('bytes_limit')
    if limit:
        return limit
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, ValueError, OSError):  # not everywhere
        return float('inf')
