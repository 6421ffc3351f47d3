import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.checks import InputError
from neurend.nn.hashgrid import HashGrid
from tests.oracles import hashgrid as oracle

GRID = HashGrid(levels=3, features=2, coarsest=4, finest=16, log2_rows=9)


def points_in_cube(seed, n):
    return jax.random.uniform(jax.random.key(seed), (n, 3), minval=-0.1, maxval=1.1)


def test_levels_are_dense_where_they_fit():
    assert GRID.resolutions == (4, 8, 16)
    assert GRID.sizes == (125, 512, 512)
    assert GRID.offsets == (0, 125, 637)
    assert GRID.init(jax.random.key(0)).shape == (1149, 2)


@pytest.mark.parametrize('reverse_only', [False, True])
def test_agrees_with_oracle(reverse_only):
    table = GRID.init(jax.random.key(0), scale=1.0)
    # The corners and faces of the cube belong to a cell too.
    points = jnp.concatenate([points_in_cube(1, 40), jnp.array([[0.0, 0, 0], [1, 1, 1], [1, 0, 0.5]])])
    expected = oracle.encode(table, points, resolutions=GRID.resolutions, log2_rows=GRID.log2_rows)
    actual = GRID.encode(table, points, reverse_only=reverse_only)
    np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_reproduces_functions_linear_in_each_axis():
    grid = HashGrid(levels=1, features=1, coarsest=5, finest=5, log2_rows=10)
    lattice = np.stack(np.meshgrid(*[np.linspace(0, 1, 6)] * 3, indexing='ij'), -1).reshape(-1, 3)

    def function(p):
        return 1 + p[:, 0] - 2 * p[:, 1] * p[:, 2] + p[:, 0] * p[:, 1] * p[:, 2]

    points = np.random.default_rng(0).uniform(size=(50, 3)).astype(np.float32)
    actual = grid.encode(jnp.asarray(function(lattice)[:, None], jnp.float32), jnp.asarray(points))
    np.testing.assert_allclose(actual[:, 0], function(points), atol=1e-6)


def test_leading_dims():
    table = GRID.init(jax.random.key(0))
    points = points_in_cube(2, 24)
    expected = GRID.encode(table, points).reshape(2, 3, 4, -1)
    np.testing.assert_array_equal(GRID.encode(table, points.reshape(2, 3, 4, 3)), expected)
    assert GRID.encode(table, points[0]).shape == (GRID.width,)


def test_gradients_against_differences():
    with jax.enable_x64(True):
        table = jax.random.normal(jax.random.key(0), (GRID.rows, GRID.features), jnp.float64)
        # Away from cell faces, where the function has kinks.
        cells = jax.random.randint(jax.random.key(1), (6, 3), 0, 16)
        points = (cells + jax.random.uniform(jax.random.key(2), (6, 3), jnp.float64, 0.2, 0.8)) / 16
        check_grads(lambda t, p: jnp.sin(GRID.encode(t, p)), (table, points), order=1, modes=('fwd', 'rev'), eps=1e-6)
        check_grads(
            lambda t, p: jnp.sin(GRID.encode(t, p, reverse_only=True)),
            (table, points),
            order=1,
            modes=('rev',),
            eps=1e-6,
        )


def test_both_backward_passes_agree_under_vmap():
    tables = jax.random.normal(jax.random.key(0), (2, GRID.rows, GRID.features))
    points = points_in_cube(3, 20).reshape(2, 10, 3)

    def gradient(reverse_only):
        def loss(table, point):
            return jnp.sum(GRID.encode(table, point, reverse_only=reverse_only) ** 2)

        return jax.vmap(jax.grad(loss, argnums=(0, 1)))(tables, points)

    for a, b in zip(gradient(False), gradient(True)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_says_what_is_wrong():
    table = GRID.init(jax.random.key(0))
    with pytest.raises(InputError, match=r'points: got shape \(5, 2\), expected \(\.\.\., 3\)'):
        GRID.encode(table, jnp.zeros((5, 2)))
    with pytest.raises(InputError, match='made by another HashGrid'):
        GRID.encode(table[:-1], jnp.zeros((5, 3)))
    with pytest.raises(InputError, match='coarsest <= finest'):
        HashGrid(coarsest=64, finest=16)
    with pytest.raises(InputError, match='32-bit'):
        HashGrid(levels=2, log2_rows=31, finest=4096)
