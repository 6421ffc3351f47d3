import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.adam import adam


@pytest.mark.parametrize('rate', [0.1, optax.linear_schedule(0.1, 0.0, 20)])
def test_steps_are_those_of_optax(rate):
    params = {'a': jnp.linspace(-1, 1, 12).reshape(3, 4), 'b': jnp.float32(2)}

    def run(optimizer):
        def step(carry, _):
            params, state = carry
            grads = jax.grad(lambda p: jnp.sum(jnp.sin(3 * p['a'])) * p['b'])(params)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.jit(lambda: jax.lax.scan(step, (params, optimizer.init(params)), length=30)[0])()

    ours, theirs = (run(make(rate, 0.5, 0.99, 1e-6)) for make in (adam, optax.adam))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


def test_first_step_has_the_size_of_the_rate():
    optimizer = adam(0.01)
    grads = jnp.array([1e-3, -20.0, 5.0])
    updates, _ = optimizer.update(grads, optimizer.init(grads))
    np.testing.assert_allclose(updates, -0.01 * np.sign(grads), rtol=1e-4)
