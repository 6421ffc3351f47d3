"""Multilayer perceptrons over coordinates."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from neurend.typing import Array


class MLP(nn.Module):
    """Dense layers with an activation after each; the input is concatenated again to the output of chosen layers.

    Call with `... c`; returns `... width`, or `... out` (linear) if `out` is given. All leading dims are flattened into
    one matrix product per layer.

    Attributes:
        width: units of every hidden layer.
        depth: number of hidden layers.
        skips: indices of hidden layers (from 0) after which the input is put before the activations, e.g. `(4,)` in
            NeRF (2020), where the sixth layer therefore sees `[input, hidden]`.
        out: units of a last layer without activation; none by default.
        activation: after each hidden layer.
        kernel_init: of all layers; Glorot uniform by default, as in NeRF. Biases start at zero.

    >>> import jax, jax.numpy as jnp
    >>> network = MLP(width=16, depth=3, skips=(1,), out=4)
    >>> params = network.init(jax.random.key(0), jnp.zeros((1, 5)))
    >>> network.apply(params, jnp.zeros((2, 7, 5))).shape
    (2, 7, 4)
    """

    width: int
    depth: int
    skips: tuple[int, ...] = ()
    out: int | None = None
    activation: Callable[[Array], Array] = nn.relu
    kernel_init: Callable[..., Array] = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        flat = inputs.reshape(-1, inputs.shape[-1])
        hidden = flat
        for layer in range(self.depth):
            dense = nn.Dense(self.width, kernel_init=self.kernel_init, name=f'layer_{layer}')
            hidden = self.activation(dense(hidden))
            if layer in self.skips:
                hidden = jnp.concatenate([flat, hidden], axis=-1)
        if self.out is not None:
            hidden = nn.Dense(self.out, kernel_init=self.kernel_init, name='out')(hidden)
        return hidden.reshape(*inputs.shape[:-1], hidden.shape[-1])
