"""Leading dims: NumPy broadcasting for arrays whose trailing, per-element axes differ."""

from typing import Any

import jax.numpy as jnp

from neurend.typing import Array


def floating(x: Any) -> Array:
    """`x` as a floating-point array; floats keep their precision, integers take the default one."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def align(*arrays_and_ranks: tuple[Array, int]) -> list[Array]:
    """Gives arrays equally many leading dims, by axes of size one in front, so that elementwise code broadcasts them.

    Args:
        arrays_and_ranks: pairs (array, number of its trailing per-element axes, which stay last).

    Returns:
        The arrays, reshaped.

    >>> matrices, vectors = align((jnp.zeros((3, 3)), 2), (jnp.zeros((5, 7, 3)), 1))
    >>> matrices.shape, vectors.shape
    ((1, 1, 3, 3), (5, 7, 3))
    """
    most = max(jnp.ndim(array) - rank for array, rank in arrays_and_ranks)
    return [
        jnp.reshape(array, (1,) * (most - jnp.ndim(array) + rank) + jnp.shape(array))
        for array, rank in arrays_and_ranks
    ]
