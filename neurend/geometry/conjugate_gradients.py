"""Conjugate gradients: solutions of large sparse symmetric systems that are given as functions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from neurend.numerics import safe_divide
from neurend.typing import Array


def solve(
    system: Callable[[Array], Array], right: Array, diagonal: Array, *, tolerance: float, iterations: int
) -> Array:
    """Solves A x = b from x = 0, preconditioned by the diagonal (Hestenes and Stiefel, 1952).

    However early it stops, the quadratic form x A x / 2 - b x is no greater than at 0, and falls with every iteration.

    All that an iteration needs comes from what the loop carries. JAX's own computes its first direction and the right
    side apart; where that is a difference that is all but zero, as gradients at an optimum are, XLA on a CPU rounds the
    two differently, and the iteration diverges.

    Args:
        system: A, linear, symmetric and positive definite, or semidefinite with b in its range; of arrays like b.
        right: b, of any shape. Scale it to a size about 1: squares of tiny numbers underflow.
        diagonal: of A, positive; it broadcasts against b.
        tolerance: root mean square of the residual at which to stop.
        iterations: how many at most.

    Returns:
        x, of the shape of b.

    >>> solve(lambda x: jnp.array([2.0, 4.0]) * x, jnp.ones(2), jnp.ones(2), tolerance=1e-6, iterations=9).tolist()
    [0.5, 0.25]
    """

    def unfinished(carry: tuple) -> Array:
        _, residual, _, _, step = carry
        return (jnp.mean(jnp.square(residual)) > tolerance**2) & (step < iterations)

    def iterate(carry: tuple) -> tuple:
        x, residual, direction, last, step = carry
        conditioned = residual / diagonal
        product = jnp.vdot(residual, conditioned, precision='highest')
        direction = conditioned + safe_divide(product, last) * direction
        applied = system(direction)
        length = safe_divide(product, jnp.vdot(direction, applied, precision='highest'))
        return x + length * direction, residual - length * applied, direction, product, step + 1

    zeros = jnp.zeros_like(right)
    return jax.lax.while_loop(unfinished, iterate, (zeros, right, zeros, jnp.zeros((), right.dtype), 0))[0]
