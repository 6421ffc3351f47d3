"""Nonlinear least squares in forward mode: for many residuals of few unknowns, such as a picture's of a pose."""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from neurend import checks
from neurend.typing import Array, PyTree

_SMALLER, _LARGER = 1 / 3, 4.0


@flax.struct.dataclass
class Solution:
    """What `levenberg_marquardt` found.

    Attributes:
        x: the unknowns.
        cost: half the sum of squared residuals there.
        damping: for the next step.
        costs: [steps] after each step.
        path: the unknowns after each step, with a first axis of [steps]; costs nothing under jit where it is not used.
    """

    x: PyTree
    cost: Array
    damping: Array
    costs: Array
    path: PyTree


def levenberg_marquardt(
    residuals: Callable[[PyTree], PyTree], x: PyTree, *, steps: int, damping: Array | float = 1e-3
) -> Solution:
    """Minimises half the sum of squared residuals (Levenberg, 1944; Marquardt, 1963).

    Each step solves (J^T J + damping D) step = -J^T r, where D is the diagonal of J^T J (what no residual feels counts
    little instead of nothing). A step that lowers the cost is taken and the damping falls to a third; any other, as
    one to residuals that are not finite, is left and the damping grows fourfold. The Jacobian comes in forward mode
    (`jax.jacfwd`) and has as many columns as there are unknowns: with m residuals of n unknowns, m n numbers.

    Args:
        residuals: a pytree of float arrays; traced, so that all steps are one compiled loop.
        x: pytree of float arrays to start from. Give unknowns scales of their own only if these differ wildly.
        steps: how many, none of which is left out.
        damping: at the first step, positive. Small values make Gauss-Newton steps.

    Raises:
        InputError: no steps, no unknowns, unknowns that are not floats, or a damping that is not positive.

    >>> found = levenberg_marquardt(lambda x: x**2 - 2, jnp.array([1.0]), steps=8)
    >>> round(float(found.x[0]), 4)
    1.4142
    """
    if steps < 1:
        raise checks.InputError(f'steps: got {steps}, expected at least 1')
    if isinstance(damping, int | float) and not damping > 0:
        raise checks.InputError(f'damping: got {damping}, expected a positive number; 1e-6 is next to none')
    leaves = [jnp.result_type(leaf) for leaf in jax.tree.leaves(x)]
    if not leaves or not all(jnp.issubdtype(kind, jnp.floating) for kind in leaves):
        raise checks.InputError(f'x: got arrays of {[kind.name for kind in leaves]}, expected some, of floats')
    first, unflatten = ravel_pytree(x)

    def flat(x: Array) -> Array:
        return ravel_pytree(residuals(unflatten(x)))[0]

    def half_squares(residual: Array) -> Array:
        return 0.5 * jnp.vdot(residual, residual, precision='highest')

    def with_values(x: Array) -> tuple[Array, Array]:
        residual = flat(x)
        return residual, residual

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        x, damping = carry
        jacobian, residual = jax.jacfwd(with_values, has_aux=True)(x)
        normal = jnp.matmul(jacobian.T, jacobian, precision='highest')
        slope = jnp.matmul(jacobian.T, residual, precision='highest')
        diagonal = jnp.diagonal(normal)
        least = jnp.finfo(x.dtype).eps * jnp.max(diagonal) + jnp.finfo(x.dtype).tiny
        # In units in which the diagonal is 1: what is left of the condition is that of the problem, not of the units.
        scale = jax.lax.rsqrt(jnp.maximum(diagonal, least))
        matrix = normal * scale[:, None] * scale[None] + damping * jnp.eye(len(x), dtype=x.dtype)
        tried = x - scale * jnp.linalg.solve(matrix, scale * slope)
        cost, new = half_squares(residual), half_squares(flat(tried))
        better = new < cost
        x, cost = jnp.where(better, tried, x), jnp.where(better, new, cost)
        return (x, damping * jnp.where(better, _SMALLER, _LARGER).astype(x.dtype)), (cost, x)

    start = (first, jnp.asarray(damping, first.dtype))
    (last, damping), (costs, path) = jax.lax.scan(step, start, length=steps)
    return Solution(unflatten(last), costs[-1], damping, costs, jax.vmap(unflatten)(path))
