"""Losses between predicted and true colours, each a mean over everything but what a mask leaves out.

Colours are `... c`; a mask is `...` in [0, 1] (or bool), one weight per pixel or ray, and the mean is over its sum. A
mask that is zero everywhere gives a loss of zero.
"""

import jax.numpy as jnp

from neurend import checks, numerics
from neurend.typing import Array


def masked_mean(values: Array, mask: Array | None = None) -> Array:
    """Mean of `values` (`... c`) over all axes, each of the leading entries weighted by `mask` (`...`)."""
    if mask is None:
        return values.mean()
    if mask.shape != values.shape[:-1]:
        raise checks.InputError(f'mask: got shape {mask.shape}, expected {values.shape[:-1]}, one weight per colour.')
    mask = mask.astype(values.dtype)
    return numerics.safe_divide((values * mask[..., None]).sum(), mask.sum() * values.shape[-1])


def l1(prediction: Array, target: Array, mask: Array | None = None) -> Array:
    """Mean absolute error of `... c` against `... c`; pix2pix (Isola et al., 2017) adds it with a weight of 100."""
    return masked_mean(jnp.abs(prediction - target), mask)


def mse(prediction: Array, target: Array, mask: Array | None = None) -> Array:
    """Mean squared error of `... c` against `... c`."""
    return masked_mean(jnp.square(prediction - target), mask)


def charbonnier(prediction: Array, target: Array, mask: Array | None = None, *, epsilon: float = 1e-3) -> Array:
    """Mean of `sqrt(error^2 + epsilon^2)`: squared near zero, absolute beyond epsilon (Charbonnier et al., 1994).

    mip-NeRF 360 (Barron et al., 2022) uses it with epsilon 1e-3.
    """
    return masked_mean(jnp.sqrt(jnp.square(prediction - target) + epsilon**2), mask)


def psnr(error: Array) -> Array:
    """Peak signal-to-noise ratio in dB of a mean squared error of colours in [0, 1]."""
    return -10 / jnp.log(10.0) * jnp.log(jnp.maximum(error, 1e-30))
