"""Levenberg and Marquardt's method against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.least_squares import levenberg_marquardt


def test_a_linear_problem_takes_one_step():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        matrix, right = rng.normal(size=(20, 4)) * np.array([1.0, 1e3, 1e-3, 5.0]), rng.normal(size=20)
        best, squares = np.linalg.lstsq(matrix, right)[:2]
        found = levenberg_marquardt(lambda x: matrix @ x - right, jnp.zeros(4), steps=1, damping=1e-14)
        np.testing.assert_allclose(found.x, best, rtol=1e-9)
        np.testing.assert_allclose(found.cost, squares[0] / 2, rtol=1e-9)


def test_rosenbrock_ends_in_its_valley_and_no_step_goes_up():
    def residuals(x):
        return {'valley': 10 * (x['b'] - x['a'] ** 2), 'end': 1 - x['a']}

    start = {'a': jnp.float32(-1.2), 'b': jnp.array([1.0])}
    found = jax.jit(lambda x: levenberg_marquardt(residuals, x, steps=40))(start)
    np.testing.assert_allclose([found.x['a'], found.x['b'][0]], 1, atol=1e-4)
    at_start = 0.5 * (4.4**2 + 2.2**2)
    assert (np.diff(found.costs) <= 0).all() and found.costs[0] <= at_start * (1 + 1e-6) and found.costs[4] < 2
    # The path is where the costs were.
    assert found.path['b'].shape == (40, 1)
    valley = residuals(jax.tree.map(lambda leaf: leaf[5], found.path))
    np.testing.assert_allclose(0.5 * sum(jnp.sum(r**2) for r in valley.values()), found.costs[5], rtol=1e-3, atol=1e-7)


def test_unknowns_that_nothing_tells_stay_and_the_rest_is_solved():
    # The third unknown has no part, and of the first two only the sum is told.
    def residuals(x):
        return jnp.stack([x[0] + x[1] - 3, 2 * (x[0] + x[1] - 3), x[3] ** 3 - 8])

    found = jax.jit(lambda x: levenberg_marquardt(residuals, x, steps=30))(jnp.array([1.0, 0.0, 7.0, 1.0]))
    assert np.isfinite(found.path).all()
    np.testing.assert_allclose(found.x[0] + found.x[1], 3, atol=1e-4)
    np.testing.assert_allclose(found.x[2:], [7, 2], atol=1e-4)


def test_steps_to_what_is_not_finite_are_not_taken():
    # Newton's step from 3 leads to log of a negative number.
    found = levenberg_marquardt(lambda x: jnp.log(x), jnp.array([3.0]), steps=25, damping=1e-6)
    assert found.costs[0] == pytest.approx(0.5 * np.log(3) ** 2, rel=1e-6)
    np.testing.assert_allclose(found.x, 1, atol=1e-4)
    # And where everything is not, nothing moves.
    stuck = levenberg_marquardt(lambda x: jnp.log(-(x**2)), jnp.array([3.0]), steps=3)
    np.testing.assert_array_equal(stuck.x, [3.0])


def test_many_problems_under_vmap_are_those_alone():
    def solve(right):
        return levenberg_marquardt(lambda x: jnp.exp(x) - right, jnp.zeros(2), steps=12).x

    rights = jnp.array([[1.5, 2.0], [0.3, 4.0], [1.0, 0.7]])
    np.testing.assert_allclose(jax.jit(jax.vmap(solve))(rights), np.log(rights), atol=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'steps': 0}, 'steps: got 0'),
        ({'damping': 0.0}, r'damping: got 0\.0'),
        ({'x': jnp.array([1, 2])}, r"x: got arrays of \['int32'\]"),
        ({'x': ()}, 'x: got arrays of'),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message):
        levenberg_marquardt(**{'residuals': lambda x: x, 'x': jnp.zeros(2), 'steps': 3, **change})
