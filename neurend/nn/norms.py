"""Normalisations of image networks, over `n *space c`."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.typing import Array

Kind = Literal['instance', 'batch', 'none']


def standardize(x: Array, axes: tuple[int, ...], *, epsilon: float = 1e-5) -> Array:
    """`(x - mean) / sqrt(variance + epsilon)` over `axes`; the variance is the biased one."""
    mean = jnp.mean(x, axes, keepdims=True)
    centered = x - mean
    return centered * jax.lax.rsqrt(jnp.mean(jnp.square(centered), axes, keepdims=True) + epsilon)


class Norm(nn.Module):
    """Standardizes each channel, over the pixels of each image ('instance') or of the whole batch ('batch').

    There are no running averages: pix2pix (Isola et al., 2017) normalises with the statistics of the batch at test
    time too, and with one image in it both kinds are the same but for the affine map.

    Attributes:
        kind: 'instance' (Ulyanov et al., 2016), 'batch' (Ioffe and Szegedy, 2015), or 'none' for the input itself.
        affine: whether a learned scale, N(1, 0.02) at first, and shift, zero at first, follow; by default for 'batch'
            alone.
        epsilon: added to the variance.
    """

    kind: Kind = 'instance'
    affine: bool | None = None
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        checks.one_of('kind', self.kind, ('instance', 'batch', 'none'))
        if self.kind == 'none':
            return x
        first = 1 if self.kind == 'instance' else 0
        y = standardize(x, tuple(range(first, x.ndim - 1)), epsilon=self.epsilon)
        if self.kind == 'batch' if self.affine is None else self.affine:
            ones = (1,) * (x.ndim - 1) + (-1,)
            scale = self.param('scale', _around_one, (x.shape[-1],))
            bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
            y = y * scale.reshape(ones) + bias.reshape(ones)
        return y


def _around_one(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)
