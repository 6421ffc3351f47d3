import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.faces import fitting_arrow
from neurend.faces.fitting_arrow import Problem

_SHARED, _FRAMES, _OWN, _RESIDUALS = 3, 5, 4, 9


def _problem(seed: int = 0) -> tuple[Problem, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(_RESIDUALS, _SHARED + _OWN)).astype(np.float32)
    targets = rng.normal(size=(_FRAMES, _RESIDUALS)).astype(np.float32)
    smoothness = rng.uniform(0.3, 2, _OWN).astype(np.float32)

    def residuals(shared, own, target):
        return jnp.asarray(matrix) @ jnp.concatenate([shared, own]) - target

    return (
        Problem(residuals, lambda shared: 0.5 * shared, jnp.asarray(smoothness), jnp.asarray(targets)),
        matrix,
        targets,
    )


def _dense(problem, shared, frames):
    """All residuals as one vector of all unknowns."""

    def of(x):
        own = x[_SHARED:].reshape(_FRAMES, _OWN)
        mine = [problem.residuals(x[:_SHARED], own[k], problem.data[k]) for k in range(_FRAMES)]
        change = (own[1:] - own[:-1]) * problem.smoothness[None]
        return jnp.concatenate([*mine, problem.prior(x[:_SHARED]), change.ravel()])

    return of, jnp.concatenate([shared, frames.ravel()])


def test_the_step_is_that_of_the_dense_equations():
    problem, _, _ = _problem()
    rng = np.random.default_rng(1)
    shared, frames = (jnp.asarray(rng.normal(size=size), jnp.float32) for size in (_SHARED, (_FRAMES, _OWN)))
    of, x = _dense(problem, shared, frames)
    np.testing.assert_allclose(
        fitting_arrow.cost_of(problem, shared, frames), 0.5 * np.sum(np.square(of(x))), rtol=1e-5
    )
    jacobian, residual = (np.asarray(value, np.float64) for value in (jax.jacfwd(of)(x), of(x)))
    normal = jacobian.T @ jacobian
    for damping in (0.0, 0.3):
        expected = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -jacobian.T @ residual)
        system = fitting_arrow.equations(problem, shared, frames)
        step = fitting_arrow.solve(system, jnp.square(problem.smoothness), damping)
        np.testing.assert_allclose(np.concatenate([step[0], step[1].ravel()]), expected, atol=2e-4)


def test_linear_problems_are_solved():
    problem, _, _ = _problem(2)
    found = fitting_arrow.levenberg_marquardt(problem, jnp.zeros(_SHARED), jnp.zeros((_FRAMES, _OWN)), steps=12)
    of, x = _dense(problem, found.shared, found.frames)
    np.testing.assert_allclose(jax.grad(lambda x: 0.5 * jnp.sum(jnp.square(of(x))))(x), 0, atol=1e-3)
    assert (np.diff(found.costs) <= 0).all()


def test_a_single_frame_has_no_neighbours():
    problem, _, targets = _problem(3)
    one = problem._replace(data=jnp.asarray(targets[:1]))
    found = fitting_arrow.levenberg_marquardt(one, jnp.zeros(_SHARED), jnp.zeros((1, _OWN)), steps=10)
    assert np.isfinite(found.costs).all() and found.costs[-1] < found.costs[0]


def test_bad_input_is_refused():
    problem, _, _ = _problem()
    with pytest.raises(InputError, match='steps'):
        fitting_arrow.levenberg_marquardt(problem, jnp.zeros(_SHARED), jnp.zeros((_FRAMES, _OWN)), steps=0)
    with pytest.raises(InputError, match='smoothness'):
        fitting_arrow.levenberg_marquardt(problem, jnp.zeros(_SHARED), jnp.zeros((_FRAMES, 7)), steps=1)
