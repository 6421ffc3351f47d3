"""Adam in the form that `fast` needs: a rate for each column of a table, and rows that no ray touched left alone."""

import flax.struct
import jax
import jax.numpy as jnp

from neurend.typing import Array, PyTree

_DECAY1, _DECAY2, _EPSILON = 0.9, 0.99, 1e-8


@flax.struct.dataclass
class Moments:
    """State of the optimizer.

    Attributes:
        count: updates so far, float32 scalar.
        first: like the parameters.
        second: like the parameters.
    """

    count: Array
    first: PyTree
    second: PyTree


def init(params: PyTree) -> Moments:
    """Before the first update."""

    def zeros():
        return jax.tree.map(jnp.zeros_like, params)

    return Moments(jnp.zeros((), jnp.float32), zeros(), zeros())


def update(params: PyTree, gradients: PyTree, moments: Moments, rates: PyTree) -> tuple[PyTree, Moments]:
    """One step of Adam (Kingma and Ba, 2015) with rates that broadcast with each table."""
    count = moments.count + 1
    correction = jnp.sqrt(1 - _DECAY2**count) / (1 - _DECAY1**count)
    first = jax.tree.map(lambda m, g: _DECAY1 * m + (1 - _DECAY1) * g, moments.first, gradients)
    second = jax.tree.map(lambda v, g: _DECAY2 * v + (1 - _DECAY2) * g * g, moments.second, gradients)
    params = jax.tree.map(
        lambda p, m, v, rate: p - correction * rate * m * jax.lax.rsqrt(v + _EPSILON**2),
        params,
        first,
        second,
        rates,
    )
    return params, Moments(count, first, second)
