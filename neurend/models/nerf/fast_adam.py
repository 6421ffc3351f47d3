"""Adam as `fast` needs it: a rate for each table, and one second moment for a row, which saves time."""

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
        second: [r] for each table [r ...] of the parameters, the mean over the columns.
    """

    count: Array
    first: PyTree
    second: PyTree


def init(params: PyTree) -> Moments:
    """Before the first update."""
    second = jax.tree.map(lambda table: jnp.zeros(table.shape[0]), params)
    return Moments(jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, params), second)


def update(params: PyTree, gradients: PyTree, moments: Moments, rates: PyTree) -> tuple[PyTree, Moments]:
    """One step of Adam (Kingma and Ba, 2015), with one scalar rate for each table."""
    count = moments.count + 1
    correction = jnp.sqrt(1 - _DECAY2**count) / (1 - _DECAY1**count)

    def second(old: Array, gradient: Array) -> Array:
        return _DECAY2 * old + (1 - _DECAY2) * jnp.mean(jnp.square(gradient).reshape(len(old), -1), axis=-1)

    def move(table: Array, first: Array, second: Array, rate: Array) -> Array:
        scale = correction * rate * jax.lax.rsqrt(second + _EPSILON**2)
        return table - scale.reshape(-1, *(1,) * (table.ndim - 1)) * first

    first = jax.tree.map(lambda m, g: _DECAY1 * m + (1 - _DECAY1) * g, moments.first, gradients)
    seconds = jax.tree.map(second, moments.second, gradients)
    return jax.tree.map(move, params, first, seconds, rates), Moments(count, first, seconds)
