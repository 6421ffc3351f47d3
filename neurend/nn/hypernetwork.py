"""Networks whose layers are normalised, and networks that make the weights of such networks."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.linear import linear
from neurend.typing import Array

Layers = tuple[tuple[Array, Array], ...]
"""Kernel `... in out` and bias `... out` of each layer."""
_EPSILON = 1e-5


class NormedMLP(nn.Module):
    """Hidden layers of Dense, affine LayerNorm and ReLU, then a Dense without either.

    Call with `... c`; returns `... out`, or `... width` if there is no last layer. All leading dims are flattened into
    one matrix product per layer.

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
    def __call__(self, inputs: Array) -> Array:
        x = inputs.reshape(-1, inputs.shape[-1])
        for layer in range(self.depth):
            x = nn.Dense(self.width, kernel_init=nn.initializers.he_normal(), name=f'layer_{layer}')(x)
            x = nn.relu(nn.LayerNorm(epsilon=_EPSILON, use_fast_variance=False, name=f'norm_{layer}')(x))

        def scaled(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
            return self.out_scale * nn.initializers.he_normal()(key, shape, dtype)

        if self.out is not None:
            x = nn.Dense(self.out, kernel_init=scaled, bias_init=_uniform(self.width), name='out')(x)
        return x.reshape(*inputs.shape[:-1], x.shape[-1])


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


@jax.custom_jvp
def apply_normed(layers: Layers, x: Array) -> Array:
    """Layers of Dense, LayerNorm without an affine map, and ReLU, the last one too: `... c` to `... w`.

    Its derivative is written out: it keeps one array of each layer, where XLA on a CPU would keep four, which no longer
    fit its caches once a march has called this some times.

    Args:
        layers: of one network, or of `n` networks with kernels `n in out`.
        x: `r c` for one network, `n r c` for n.
    """
    return _apply_normed(layers, x)[0]


# Of the layers, the input, and each layer's normalised values with what they were multiplied by.
_Residuals = tuple[Layers, Array, list[tuple[Array, Array]]]


def _apply_normed(layers: Layers, x: Array) -> tuple[Array, _Residuals]:
    kept = []
    hidden = x
    for kernel, bias in layers:
        y = hidden @ kernel + bias[..., None, :]
        y = y - jnp.mean(y, -1, keepdims=True)
        scale = jax.lax.rsqrt(jnp.mean(jnp.square(y), -1, keepdims=True) + _EPSILON)
        kept.append((y * scale, scale))
        hidden = nn.relu(y * scale)
    return hidden, (layers, x, kept)


@apply_normed.defjvp
def _apply_normed_jvp(primals: tuple[Layers, Array], tangents: tuple[Layers, Array]) -> tuple[Array, Array]:
    out, residuals = _apply_normed(*primals)
    return out, linear(_change, _change_transposed, residuals, tangents)


def _change(residuals: _Residuals, tangents: tuple[Layers, Array]) -> Array:
    layers, x, kept = residuals
    changes, change = tangents
    hidden = x
    for (kernel, _), (to_kernel, to_bias), (normal, scale) in zip(layers, changes, kept):
        y = change @ kernel + hidden @ to_kernel + to_bias[..., None, :]
        y = scale * (y - jnp.mean(y, -1, keepdims=True) - jnp.mean(y * normal, -1, keepdims=True) * normal)
        hidden, change = nn.relu(normal), jnp.where(normal > 0, y, 0)
    return change


def _change_transposed(residuals: _Residuals, cotangent: Array) -> tuple[Layers, Array]:
    layers, x, kept = residuals
    gradients = []
    for number in reversed(range(len(layers))):
        normal, scale = kept[number]
        g = jnp.where(normal > 0, cotangent, 0)
        along = jnp.mean(g * normal, -1, keepdims=True)
        g = scale * (g - jnp.mean(g, -1, keepdims=True) - along * normal)
        hidden = nn.relu(kept[number - 1][0]) if number else x
        gradients.append((jnp.swapaxes(hidden, -1, -2) @ g, jnp.sum(g, -2)))
        cotangent = g @ jnp.swapaxes(layers[number][0], -1, -2)
    return tuple(reversed(gradients)), cotangent


def _uniform(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for biases."""
    bound = 1 / math.sqrt(fan_in)
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)
