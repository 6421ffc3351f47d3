import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend import config
from neurend.checks import InputError
from neurend.train import optimizers


def test_exponential_is_the_published_schedule():
    schedule = optimizers.exponential(5e-4, factor=0.1, steps=500_000)
    for step in (0, 1, 250_000, 500_000, 750_000):
        np.testing.assert_allclose(schedule(jnp.int32(step)), 5e-4 * 0.1 ** (step / 500_000), rtol=1e-5)


def test_log_linear_ends_where_it_should():
    schedule = optimizers.log_linear(5e-4, 5e-6, steps=1000)
    steps = [0, 500, 1000, 2000]
    np.testing.assert_allclose([schedule(step) for step in steps], [5e-4, 5e-5, 5e-6, 5e-6], rtol=1e-5)


def test_delay_multiplies_by_a_quarter_sine():
    schedule = optimizers.delayed(optimizers.log_linear(1.0, 1.0, steps=10), steps=100, multiplier=0.01)
    expected = [0.01 + 0.99 * np.sin(np.pi / 2 * min(step / 100, 1)) for step in (0, 50, 100, 200)]
    np.testing.assert_allclose([schedule(step) for step in (0, 50, 100, 200)], expected, rtol=1e-5)


def first_update(optimizer, params):
    grads = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return updates


@pytest.mark.parametrize('name', ['adam', 'adamw', 'sgd'])
def test_made_optimizers_step_by_the_first_rate(name):
    settings = config.parse(optimizers.OptimizerConfig, f'--name={name}', '--learning_rate=0.25')
    updates = first_update(optimizers.make(settings, steps=100), {'w': jnp.zeros(2)})
    np.testing.assert_allclose(updates['w'], -0.25, rtol=1e-5)


def test_made_optimizers_follow_the_schedule():
    for beyond, late in ((False, 0.01), (True, 0.001)):
        settings = optimizers.OptimizerConfig(
            name='sgd', learning_rate=1.0, final_learning_rate=0.01, decay_steps=10, beyond=beyond, b1=0.0
        )
        optimizer = optimizers.make(settings, steps=999)
        state = optimizer.init(jnp.zeros(()))
        taken = []
        for _ in range(16):
            update, state = optimizer.update(jnp.ones(()), state)
            taken.append(-float(update))
        np.testing.assert_allclose([taken[0], taken[5], taken[10], taken[15]], [1, 0.1, 0.01, late], rtol=1e-4)


def test_bad_configurations():
    with pytest.raises(InputError, match='weight_decay: got 0.1 with adam'):
        optimizers.make(optimizers.OptimizerConfig(weight_decay=0.1), steps=10)
    with pytest.raises(InputError, match='expected positive numbers'):
        optimizers.make(optimizers.OptimizerConfig(final_learning_rate=0.0), steps=10)


def test_each_name_has_its_optimizer():
    params = {'poses': {'shift': jnp.zeros(2)}, 'field': {'kernel': jnp.zeros(3)}}
    updates = first_update(optimizers.by_name({'^poses/': optax.sgd(0.5), '': optax.sgd(2.0)}), params)
    np.testing.assert_array_equal(updates['poses']['shift'], [-0.5, -0.5])
    np.testing.assert_array_equal(updates['field']['kernel'], [-2, -2, -2])
    with pytest.raises(InputError, match='parameter field/kernel: none of'):
        optimizers.by_name({'^poses/': optax.sgd(0.5)}).init(params)


def test_uniform_adam_keeps_the_direction_of_gradients_and_steps_by_its_rate():
    optimizer = optimizers.uniform_adam(lambda step: 0.1 / (1 + step), b1=0.9, b2=0.99)
    grads = {'a': jnp.array([[3.0, -4.0], [0.0, 1.0]]), 'b': jnp.zeros(2)}
    state = optimizer.init(grads)
    for step in range(3):
        # Of a constant gradient both means are right at once: the largest element moves by the rate.
        change, state = optimizer.update(grads, state)
        np.testing.assert_allclose(change['a'], -0.1 / (1 + step) * grads['a'] / 4, rtol=1e-5)
        np.testing.assert_array_equal(change['b'], 0)
    # Then the means, by hand.
    change, state = optimizer.update({'a': jnp.full((2, 2), 8.0), 'b': jnp.ones(2)}, state)
    first = 0.9 * (1 - 0.9**3) * np.asarray(grads['a']) + 0.1 * 8
    second = 0.99 * (1 - 0.99**3) * 16 + 0.01 * 64
    expected = -0.1 / 4 * (first / (1 - 0.9**4)) / np.sqrt(second / (1 - 0.99**4))
    np.testing.assert_allclose(change['a'], expected, rtol=1e-4)
