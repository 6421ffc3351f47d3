"""Networks whose layers are normalised, and networks that make the weights of such networks."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.nn.norms import standardize
from neurend.typing import Array

Layers = tuple[tuple[Array, Array], ...]
"""Kernel `... in out` and bias `... out` of each layer."""


class NormedMLP(nn.Module):
    """Hidden layers of Dense, affine LayerNorm and ReLU, then a Dense without either.

    Call with `... c`; returns `... out`, or `... width` if there is no last layer.

    Attributes:
        width: units of every hidden layer.
        depth: number of hidden layers.
        out: units of the last layer; None for none.
        out_scale: of the last layer's kernel at first.
    """

    width: int
    depth: int
    out: int | None = None
    out_scale: float = 1.0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for layer in range(self.depth):
            x = nn.Dense(self.width, kernel_init=nn.initializers.he_normal(), name=f'layer_{layer}')(x)
            x = nn.relu(nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=f'norm_{layer}')(x))
        if self.out is None:
            return x

        def scaled(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
            return self.out_scale * nn.initializers.he_normal()(key, shape, dtype)

        return nn.Dense(self.out, kernel_init=scaled, bias_init=_uniform(self.width), name='out')(x)


class Hypernetwork(nn.Module):
    """Makes the layers of a network from a code, each by a network of its own (Ha et al., 2017; Sitzmann et al., 2019).

    Call with codes `... c`; returns the `Layers` of as many networks.

    Attributes:
        sizes: (units in, units out) of each layer made.
        width: units of the hidden layers of the networks that make them.
        depth: number of those hidden layers.
    """

    sizes: tuple[tuple[int, int], ...]
    width: int = 256
    depth: int = 2

    @nn.compact
    def __call__(self, codes: Array) -> Layers:
        made = []
        for number, (units, out) in enumerate(self.sizes):
            # A tenth of the usual size: the sum of many products of hidden units must not swamp what is made.
            network = NormedMLP(self.width, self.depth, units * out + out, out_scale=0.1, name=f'for_layer_{number}')
            numbers = network(codes)
            kernel = numbers[..., : units * out].reshape(*codes.shape[:-1], out, units)
            made.append((jnp.swapaxes(kernel, -1, -2), numbers[..., units * out :]))
        return tuple(made)


def apply_normed(layers: Layers, x: Array) -> Array:
    """Layers of Dense, LayerNorm without an affine map, and ReLU, the last one too: `... c` to `... w`.

    Args:
        layers: of one network, or of `n` networks with kernels `n in out`.
        x: `r c` for one network, `n r c` for n.
    """
    for kernel, bias in layers:
        x = nn.relu(standardize(x @ kernel + bias[..., None, :], (-1,)))
    return x


def _uniform(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for biases."""
    bound = 1 / math.sqrt(fan_in)
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)
