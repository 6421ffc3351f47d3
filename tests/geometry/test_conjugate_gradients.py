import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import conjugate_gradients


def test_solutions_are_those_of_the_matrix_and_come_in_as_many_steps_as_it_has_rows():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        root = rng.normal(size=(12, 12))
        matrix, right = jnp.asarray(root @ root.T + np.eye(12)), jnp.asarray(rng.normal(size=(12,)))

        def solve(right, iterations):
            return conjugate_gradients.solve(
                lambda x: matrix @ x, right, jnp.diag(matrix), tolerance=1e-12, iterations=iterations
            )

        solve = jax.jit(solve)
        np.testing.assert_allclose(solve(right, 100), np.linalg.solve(matrix, right), atol=1e-9)
        np.testing.assert_allclose(solve(right, 12), np.linalg.solve(matrix, right), atol=1e-6)
        # The form that it minimises falls with each step.
        found = [np.asarray(solve(right, n)) for n in range(9)]
        forms = [x @ np.asarray(matrix) @ x / 2 - np.asarray(right) @ x for x in found]
        assert forms[0] == 0 and (np.diff(forms) < 0).all()
        assert not solve(jnp.zeros(12), 100).any()
