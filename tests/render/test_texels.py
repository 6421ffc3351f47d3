import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend.render import texels


def some(count=21, rows=7, channels=5, taps=3):
    rng = np.random.default_rng(0)
    places = tuple(jnp.asarray(rng.integers(0, rows, count), jnp.int32) for _ in range(taps))
    weights = tuple(jnp.asarray(rng.normal(size=count)) for _ in range(taps))
    return jnp.asarray(rng.normal(size=(rows, channels))), places, weights, rng.normal(size=(count, channels))


# As on a CPU in parts of 8 with a rest, in parts without one, and in one piece.
@pytest.mark.parametrize('chunk', [8, 7, 100])
def test_derivatives_are_those_of_the_sum(monkeypatch, chunk):
    monkeypatch.setattr(texels, '_CHUNK', chunk)
    with jax.enable_x64(True):
        table, places, weights, y = some()
        out, pull = jax.vjp(lambda t, w: texels.weighted(t, places, w), table, weights)
        by_table, by_weights = pull(jnp.asarray(y))
        matrix = np.zeros((21, 7))  # of the linear map
        for place, weight in zip(places, weights):
            matrix[np.arange(21), place] += weight
        np.testing.assert_allclose(out, matrix @ table, rtol=1e-12)
        np.testing.assert_allclose(by_table, matrix.T @ y, rtol=1e-12)
        for place, found in zip(places, by_weights):
            np.testing.assert_allclose(found, (np.asarray(table)[place] * y).sum(-1), rtol=1e-12)


def test_second_derivatives_and_vmap():
    with jax.enable_x64(True):
        table, places, weights, y = some()

        def value(table, weights):
            return jnp.sum(jnp.sin(texels.weighted(table, places, weights)) * y)

        jax.test_util.check_grads(jax.jit(value), (table, weights), order=2, modes=('fwd', 'rev'), rtol=1e-4)
        tables = jnp.stack([table, 2 * table])
        together = jax.jit(jax.vmap(jax.grad(value), (0, None)))(tables, weights)
        np.testing.assert_allclose(together[1], jax.grad(value)(tables[1], weights), rtol=1e-10)


def test_what_is_not_differentiated_is_not_computed():
    """Looking up for the sake of the texture alone reads the table once."""
    table, places, weights, _ = some()
    text = str(jax.make_jaxpr(jax.grad(lambda t: texels.weighted(t, places, weights).sum()))(table))
    assert text.count('= gather') == 3
