"""Elementary functions whose values and gradients stay finite where the textbook form's do not.

Each uses the double `where`: the argument is replaced before the singular function sees it, so that neither forward nor
reverse mode multiplies zero by infinity.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from neurend.typing import Array


def safe_sqrt(x: ArrayLike) -> Array:
    """Square root of `x` (any shape), 0 with zero gradient where `x <= 0`."""
    x = jnp.asarray(x)
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def safe_norm(x: ArrayLike, axis: int = -1, keepdims: bool = False) -> Array:
    """Euclidean norm along `axis`, with zero gradient at the zero vector (where the norm has none).

    In float32 vectors shorter than about 1e-19 count as zero, since their squares underflow.
    """
    return safe_sqrt(jnp.sum(jnp.square(x), axis=axis, keepdims=keepdims))


def normalize(x: ArrayLike, axis: int = -1) -> Array:
    """Unit vectors along `axis`; the zero vector stays zero, with zero gradient."""
    return safe_divide(x, safe_norm(x, axis=axis, keepdims=True))


def safe_divide(numerator: ArrayLike, denominator: ArrayLike) -> Array:
    """`numerator / denominator` of shapes that broadcast; 0 with zero gradients where the denominator is 0."""
    denominator = jnp.asarray(denominator)
    nonzero = denominator != 0
    return jnp.where(nonzero, numerator / jnp.where(nonzero, denominator, 1), 0)


def unstack(x: Array, axis: int = -1) -> list[Array]:
    """The parts of `x` along an axis; in reverse mode they are put together again, not added up from padded parts."""
    return [jnp.squeeze(part, axis) for part in jax.lax.split(x, (1,) * x.shape[axis], axis)]


def materialize(arrays: Sequence[Array]) -> list[Array]:
    """The arrays, finite and of one shape, computed once however often they are read, and their cotangents likewise.

    XLA on a CPU copies cheap operations, gathers included, into everything that reads their result, and drops
    optimization barriers before it does; the result of a matrix product it keeps.
    """

    def product(stacked: Array) -> Array:
        eye = jnp.eye(len(arrays), dtype=stacked.dtype)
        return jnp.matmul(eye, stacked.reshape(len(arrays), -1), precision='highest').reshape(stacked.shape)

    stacked = jax.lax.platform_dependent(jnp.stack(arrays), cpu=product, default=jax.lax.optimization_barrier)
    return unstack(stacked, axis=0)


def materialize_rows(x: Array) -> Array:
    """Rows `... c`, finite, computed once however often they are read, and their cotangents; see `materialize`."""

    def product(x: Array) -> Array:
        flat = x.reshape(-1, x.shape[-1])
        return jnp.matmul(flat, jnp.eye(x.shape[-1], dtype=x.dtype), precision='highest').reshape(x.shape)

    return jax.lax.platform_dependent(x, cpu=product, default=jax.lax.optimization_barrier)


def log_lerp(start: ArrayLike, stop: ArrayLike, t: ArrayLike) -> Array:
    """Interpolates geometrically: `start` at t = 0, `stop` at t = 1, both positive; t is clipped to [0, 1]."""
    t = jnp.clip(t, 0, 1)
    return jnp.exp((1 - t) * jnp.log(start) + t * jnp.log(stop))
