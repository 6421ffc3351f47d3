"""Tone mapping: linear radiance of any brightness to linear light in [0, 1], which `color.srgb_from_linear` encodes."""

import math

import jax.numpy as jnp

from neurend import checks
from neurend.typing import Array

# Luminance of linear Rec. 709 and sRGB primaries (ITU-R BT.709).
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def expose(linear: Array, stops: Array | float) -> Array:
    """Brightens linear values of any shape by a number of stops, each a factor of two; negative ones darken."""
    return jnp.asarray(linear) * 2.0 ** jnp.asarray(stops)


def luminance(linear: Array) -> Array:
    """Luminance [...] of linear sRGB colours [... 3]."""
    linear = jnp.asarray(linear)
    checks.shape('linear', linear, '... 3')
    red, green, blue = (linear[..., k] * share for k, share in enumerate(_LUMINANCE))
    return red + green + blue


def reinhard(linear: Array, *, white: float = math.inf) -> Array:
    """Compresses luminance L to L (1 + L / white^2) / (1 + L) (Reinhard et al., 2002); hue and saturation stay.

    Args:
        linear: [... 3] linear sRGB colours, not negative.
        white: a number, the luminance that becomes 1, above which highlights burn out; without it none do.

    Returns:
        [... 3] of a luminance up to 1 (up to `white`); single channels of saturated colours may exceed it.

    Raises:
        InputError: `white` is not positive.
    """
    if not white > 0:
        raise checks.InputError(f'white: got {white}, expected a positive luminance')
    light = jnp.maximum(luminance(linear), 0)
    return jnp.asarray(linear) * ((1 + light / white**2) / (1 + light))[..., None]


def aces(linear: Array) -> Array:
    """Filmic curve of the Academy Color Encoding System, in the fit of Narkowicz (2015), channel by channel.

    Args:
        linear: any shape, not negative. The curve expects an exposure 0.6 times that of the others.

    Returns:
        Values in [0, 1] of the shape; white is reached at about 7.2.
    """
    x = jnp.clip(jnp.asarray(linear), 0, 1e6)  # whose square is finite
    return jnp.minimum(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 1)
