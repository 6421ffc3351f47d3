"""Colour: the sRGB curve and alpha. Functions work on arrays [... C] of JAX or NumPy with any leading dims."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from neurend.typing import Array


def linear_from_srgb(srgb: Array) -> Array:
    """Linear light from sRGB-encoded values in [0, 1] (IEC 61966-2-1); differentiable, negative values stay linear."""
    srgb = jnp.asarray(srgb)
    high = jnp.maximum(srgb, 0.04045)
    return jnp.where(srgb <= 0.04045, srgb / 12.92, ((high + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(linear: Array) -> Array:
    """sRGB-encoded values from linear light in [0, 1] (IEC 61966-2-1); differentiable, negative values stay linear."""
    linear = jnp.asarray(linear)
    high = jnp.maximum(linear, 0.0031308)
    return jnp.where(linear <= 0.0031308, linear * 12.92, 1.055 * high ** (1 / 2.4) - 0.055)


def premultiply(rgba: Any) -> Any:
    """Premultiplied from straight alpha: [... 4] float, the colours times alpha. NumPy in, NumPy out."""
    xp = np if isinstance(rgba, np.ndarray) else jnp
    return xp.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], axis=-1)


def unpremultiply(rgba: Any) -> Any:
    """Straight from premultiplied alpha: [... 4] float; wholly transparent pixels become black. NumPy in, NumPy out."""
    xp = np if isinstance(rgba, np.ndarray) else jnp
    alpha = rgba[..., 3:]
    visible = alpha > 0
    color = xp.where(visible, rgba[..., :3] / xp.where(visible, alpha, 1), 0)
    return xp.concatenate([color, alpha], axis=-1)


def composite(rgba: Any, background: Any) -> Any:
    """Lays a straight-alpha image over a background: colour * alpha + background * (1 - alpha).

    NumPy in, NumPy out; JAX in, JAX out. Colours are blended as they are encoded, as is the custom for the sRGB pixels
    of NeRF's scenes.

    Args:
        rgba: [... 4] float, straight alpha.
        background: a number, a colour [3], or colours that broadcast against [... 3].

    Returns:
        [... 3]
    """
    color, alpha = rgba[..., :3], rgba[..., 3:]
    behind = background if hasattr(background, 'shape') else np.asarray(background, np.float32)
    behind = behind.reshape((1,) * (color.ndim - behind.ndim) + behind.shape)
    return color * alpha + behind * (1 - alpha)
