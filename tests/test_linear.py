import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.linear import linear


def _row_sums(scale, x):
    """Row by row, `scale` [n] times the sum of the first `n` entries; with a transpose in a loop of dynamic length."""

    def forward(residuals, x):
        scale, count = residuals
        return scale * jnp.sum(jnp.where(jnp.arange(x.size) < count, x, 0))

    def transpose(residuals, y):
        scale, count = residuals
        total = jnp.sum(scale * y)
        return jax.lax.fori_loop(0, count, lambda k, out: out.at[k].add(total), jnp.zeros(4, y.dtype))

    return linear(forward, transpose, (scale, jnp.int32(3)), x)


def _plain(scale, x):
    return scale * jnp.sum(x[:3])


def _arguments(*leading):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(*leading, 2))), jnp.asarray(rng.normal(size=(*leading, 4)))


@pytest.mark.slow
def test_values_and_both_modes_are_those_of_plain_code():
    with jax.enable_x64(True):
        scale, x = _arguments()
        np.testing.assert_allclose(_row_sums(scale, x), _plain(scale, x))
        check_grads(jax.jit(lambda x: _row_sums(scale, x) ** 2), (x,), order=2, modes=('fwd', 'rev'))
        check_grads(lambda s, x: _row_sums(jnp.sin(s), x), (scale, x), order=2, modes=('fwd', 'rev'))
        want = jax.hessian(lambda x: jnp.sum(_plain(scale, x) ** 3))(x)
        np.testing.assert_allclose(jax.hessian(lambda x: jnp.sum(_row_sums(scale, x) ** 3))(x), want)


@pytest.mark.parametrize('axes', [(0, 0), (None, 0), (0, None), (1, 1)])
def test_mapped_over_either_argument(axes):
    with jax.enable_x64(True):
        stacked, one = _arguments(3), _arguments()
        arguments = [
            one[k] if axis is None else jnp.moveaxis(stacked[k], 0, axis) for k, axis in enumerate(axes)
        ]

        def results(function):
            def loss(scale, x):
                return jnp.sum(jnp.sin(function(scale, x)))

            return jax.jit(jax.vmap(lambda s, x: (function(s, x), jax.grad(loss, argnums=(0, 1))(s, x)), in_axes=axes))

        for got, want in zip(*(jax.tree.leaves(results(f)(*arguments)) for f in (_row_sums, _plain))):
            np.testing.assert_allclose(got, want)
        total = [
            jax.jit(jax.grad(lambda *a, f=f: jnp.sum(jnp.sin(jax.vmap(f, in_axes=axes)(*a))), argnums=(0, 1)))
            for f in (_row_sums, _plain)
        ]
        for got, want in zip(total[0](*arguments), total[1](*arguments)):
            np.testing.assert_allclose(got, want)


def test_loops_of_dynamic_length_are_left_for_the_transpose():
    # As a loop in the map itself would fail: reverse mode through it alone must work.
    scale, x = _arguments()
    text = str(jax.make_jaxpr(jax.grad(lambda x: _row_sums(scale, x)[0]))(x))
    assert 'linear' in text
    np.testing.assert_allclose(jax.grad(lambda x: _row_sums(scale, x)[0])(x), [scale[0]] * 3 + [0], rtol=1e-6)


def test_checkpoint_and_sharding_keep_it():
    scale, x = _arguments()
    want = jax.grad(lambda x: jnp.sum(_plain(scale, x) ** 2))(x)
    got = jax.jit(jax.grad(jax.checkpoint(lambda x: jnp.sum(_row_sums(scale, x) ** 2))))(x)
    np.testing.assert_allclose(got, want, rtol=1e-6)
