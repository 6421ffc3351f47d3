"""Least squares over the frames of a video: unknowns of all frames, unknowns of each, and neighbours that are alike.

The normal equations are an arrow: blocks of the frames along the diagonal, coupled to their neighbours by smoothness
alone, and a border of the shared unknowns. Frames are eliminated one after the other, then the shared unknowns are
solved for (the Schur complement of bundle adjustment: Brown, 1958; Triggs et al., 1999). With t frames of n unknowns
and s shared ones that takes t n^2 (n + s) multiplications, where one dense system would take (t n + s)^3.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.typing import Array, PyTree

_SMALLER, _LARGER = 1 / 3, 4.0


class Problem(NamedTuple):
    """What is minimised: half the sum of all squared residuals.

    Attributes:
        residuals: `(shared [s], frame [n], data) -> [m]` of one frame.
        prior: `shared [s] -> [k]`.
        smoothness: [n], what the change of each unknown from a frame to the next is multiplied by to be a residual.
        data: pytree whose leaves have a first axis of frames, a row of which `residuals` gets.
    """

    residuals: Callable[[Array, Array, PyTree], Array]
    prior: Callable[[Array], Array]
    smoothness: Array
    data: PyTree


class Solution(NamedTuple):
    """What was found.

    Attributes:
        shared: [s].
        frames: [t n].
        costs: [steps] after each step.
    """

    shared: Array
    frames: Array
    costs: Array


class Equations(NamedTuple):
    """Normal equations, matrix times step = -slope, without what neighbours say of each other.

    Attributes:
        shared: [s s], and its slope [s].
        frames: [t n n], and their slopes [t n].
        coupling: [t n s] between the two.
    """

    shared: Array
    shared_slope: Array
    frames: Array
    frames_slope: Array
    coupling: Array


def levenberg_marquardt(
    problem: Problem, shared: Array, frames: Array, *, steps: int, damping: float = 1e-3
) -> Solution:
    """Minimises by damped Gauss-Newton steps; Jacobians come in forward mode.

    As `neurend.least_squares.levenberg_marquardt`, which is for unknowns without this structure: a step that lowers the
    cost is taken and the damping falls to a third, any other is left and the damping grows fourfold.

    Args:
        problem: see there; traced.
        shared: [s] to start from; s may be 0.
        frames: [t n].
        steps: how many.
        damping: at the first step, relative to the diagonal.

    Raises:
        InputError: no steps, or shapes that do not fit.
    """
    if steps < 1:
        raise checks.InputError(f'steps: got {steps}, expected at least 1')
    checks.shape('shared', shared, 's')
    sizes = checks.shape('frames', frames, 't n')
    checks.shape('smoothness', problem.smoothness, 'n', 'One weight for each unknown of a frame', sizes=sizes)

    def step(carry: tuple[Array, Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array, Array], Array]:
        shared, frames, cost, damping = carry
        change = solve(equations(problem, shared, frames), jnp.square(problem.smoothness), damping)
        tried = shared + change[0], frames + change[1]
        new = cost_of(problem, *tried)
        better = new < cost
        shared, frames = jnp.where(better, tried[0], shared), jnp.where(better, tried[1], frames)
        cost = jnp.where(better, new, cost)
        return (shared, frames, cost, damping * jnp.where(better, _SMALLER, _LARGER)), cost

    start = (shared, frames, cost_of(problem, shared, frames), jnp.asarray(damping, frames.dtype))
    (shared, frames, _, _), costs = jax.lax.scan(step, start, length=steps)
    return Solution(shared, frames, costs)


def cost_of(problem: Problem, shared: Array, frames: Array) -> Array:
    """Half the sum of all squared residuals."""
    mine = jax.vmap(problem.residuals, in_axes=(None, 0, 0))(shared, frames, problem.data)
    change = jnp.diff(frames, axis=0) * problem.smoothness[None]
    parts = (mine, problem.prior(shared), change)
    return 0.5 * jnp.sum(jnp.stack([jnp.sum(jnp.square(part)) for part in parts]))


def equations(problem: Problem, shared: Array, frames: Array) -> Equations:
    """The normal equations of Gauss-Newton; slopes are those of `cost_of`."""

    def one(frame: Array, data: PyTree) -> tuple[Array, Array, Array]:
        def both(x: Array) -> tuple[Array, Array]:
            residual = problem.residuals(x[: len(shared)], x[len(shared) :], data)
            return residual, residual

        jacobian, residual = jax.jacfwd(both, has_aux=True)(jnp.concatenate([shared, frame]))
        normal = jnp.matmul(jacobian.T, jacobian, precision='highest')
        return normal, jnp.matmul(jacobian.T, residual, precision='highest'), residual

    normal, slope, _ = jax.vmap(one)(frames, problem.data)
    count = len(shared)
    prior = jax.jacfwd(problem.prior)(shared)
    rates = jnp.square(problem.smoothness)[None]
    change = jnp.diff(frames, axis=0) * rates
    none = jnp.zeros_like(frames[:1])
    # d/dx of half the squared changes: what came minus what goes.
    smooth = jnp.concatenate([none, change]) - jnp.concatenate([change, none])
    return Equations(
        normal[:, :count, :count].sum(0) + jnp.matmul(prior.T, prior, precision='highest'),
        slope[:, :count].sum(0) + jnp.matmul(prior.T, problem.prior(shared), precision='highest'),
        normal[:, count:, count:],
        slope[:, count:] + smooth,
        normal[:, count:, :count],
    )


def solve(system: Equations, rates: Array, damping: Array | float) -> tuple[Array, Array]:
    """The step (shared [s], frames [t n]) of damped equations.

    Args:
        system: see `Equations`.
        rates: [n] squared weights of the changes from frame to frame.
        damping: what is added to the diagonal, relative to it.
    """
    count, size = system.frames_slope.shape
    neighbours = jnp.full(count, 2.0, rates.dtype).at[0].add(-1).at[-1].add(-1)
    diagonal = jnp.diagonal(system.frames, axis1=1, axis2=2) + neighbours[:, None] * rates[None]
    own = _damped(diagonal, damping) + neighbours[:, None] * rates[None]
    matrices = system.frames + own[:, :, None] * jnp.eye(size, dtype=rates.dtype)[None]
    # Columns: the coupling to the shared unknowns, then the slope.
    columns = jnp.concatenate([system.coupling, -system.frames_slope[..., None]], axis=-1)

    def down(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        inverse, solved = carry
        matrix = row[0] - rates[:, None] * inverse * rates[None]
        factor = jax.scipy.linalg.cho_factor(matrix)
        right = jnp.concatenate([row[1] + rates[:, None] * solved, jnp.eye(size, dtype=rates.dtype)], axis=1)
        found = jax.scipy.linalg.cho_solve(factor, right)
        solved, inverse = found[:, :-size], found[:, -size:]
        return (inverse, solved), (inverse, solved)

    zero = jnp.zeros((size, size), rates.dtype), jnp.zeros_like(columns[0])
    _, (inverses, solved) = jax.lax.scan(down, zero, (matrices, columns))

    def up(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        inverse, solved = row
        value = solved + jnp.matmul(inverse, rates[:, None] * later, precision='highest')
        return value, value

    _, solved = jax.lax.scan(up, zero[1], (inverses, solved), reverse=True)
    # solved = A^-1 [C, -g]: frames = solved_g - solved_C shared.
    reduced = jnp.einsum('tns,tnk->sk', system.coupling, solved, precision='highest')
    matrix = system.shared + jnp.diag(_damped(jnp.diagonal(system.shared), damping)) - reduced[:, :-1]
    shared = jnp.linalg.solve(matrix, -system.shared_slope - reduced[:, -1])
    frames = solved[..., -1] - jnp.einsum('tns,s->tn', solved[..., :-1], shared, precision='highest')
    return shared, frames


def _damped(diagonal: Array, damping: Array | float) -> Array:
    """What damping adds to a diagonal; what no residual feels counts little instead of nothing."""
    kind = jnp.finfo(diagonal.dtype)
    return damping * diagonal + kind.eps * jnp.max(diagonal, axis=-1, keepdims=True, initial=0) + kind.tiny
