import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend import numerics

ZERO = jnp.zeros(3)
SINGULAR = {
    'sqrt': (numerics.safe_sqrt, (ZERO,)),
    'norm': (numerics.safe_norm, (ZERO,)),
    'normalize': (numerics.normalize, (ZERO,)),
    'divide': (numerics.safe_divide, (jnp.ones(3), ZERO)),
    'log_lerp': (numerics.log_lerp, (jnp.ones(3), jnp.full(3, 2.0), ZERO)),
}


def test_values_are_the_textbooks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(numerics.safe_sqrt(jnp.abs(x)), np.sqrt(np.abs(x)), rtol=1e-6)
    np.testing.assert_allclose(numerics.safe_norm(x), np.linalg.norm(x, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(numerics.safe_norm(x, 0, True), np.linalg.norm(x, axis=0, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(numerics.safe_norm(numerics.normalize(x)), 1, rtol=1e-6)
    np.testing.assert_allclose(numerics.safe_divide(x, x[:1]), x / x[:1], rtol=1e-6)
    np.testing.assert_allclose(numerics.log_lerp(0.01, 100.0, jnp.array([-1, 0, 0.5, 1, 2])), [0.01, 0.01, 1, 100, 100])


@pytest.mark.parametrize('name', SINGULAR)
def test_value_and_gradients_are_finite_at_the_singularity(name):
    function, arguments = SINGULAR[name]
    numbers = tuple(range(len(arguments)))
    assert np.isfinite(function(*arguments)).all()
    both = jax.jit(lambda *x: (jax.jacrev(function, numbers)(*x), jax.jacfwd(function, numbers)(*x)))
    assert all(np.isfinite(value).all() for value in jax.tree.leaves(both(*arguments)))


@pytest.mark.parametrize('name', SINGULAR)
def test_gradients_elsewhere_agree_with_differences(name):
    function, arguments = SINGULAR[name]
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        away = tuple(jnp.asarray(rng.uniform(0.2, 0.9, np.shape(argument))) for argument in arguments)
        check_grads(jax.jit(function), away, order=1, modes=('fwd', 'rev'), rtol=1e-5)
