"""Sizes that networks with halvings accept, padding to them, and doubling."""

import jax
import jax.numpy as jnp

from neurend.checks import InputError
from neurend.typing import Array


def require_multiple(x: Array, multiple: int, *, rank: int = 2) -> None:
    """Checks that `x`, `n *space c` with `rank` spatial axes, has sizes that a network can halve and double again.

    Raises:
        InputError: another number of axes, or a spatial size that is no positive multiple of `multiple`.
    """
    if x.ndim != rank + 2:
        raise InputError(f'x: got shape {x.shape}, expected {rank + 2} axes: images, {rank} of space, channels')
    if any(size == 0 or size % multiple for size in x.shape[1:-1]):
        raise InputError(
            f'x: got {" x ".join(map(str, x.shape[1:-1]))} pixels, expected multiples of {multiple}. '
            'Pad the input and crop the result, or use a network with fewer halvings'
        )


def padded(x: Array, multiple: int) -> Array:
    """`n h w c` continued by its last row and column, until both sizes are multiples of `multiple`."""
    extra = [-size % multiple for size in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)), mode='edge') if any(extra) else x


def double(x: Array, *, method: str = 'linear') -> Array:
    """Doubles every spatial size of `n *space c`, 'linear' or 'nearest', pixel centres half a pixel inside."""
    return jax.image.resize(x, (x.shape[0], *(2 * size for size in x.shape[1:-1]), x.shape[-1]), method)
