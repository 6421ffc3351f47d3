import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.models import state as states
from neurend.train import step as steps
from tests.train import tiny

PARAMS = {'w': jnp.array([1.0, -2.0, 0.5])}


def quadratic(key, params, aux, batch, step):
    error = jnp.mean((batch['x'] @ params['w'] - batch['y']) ** 2) * batch['scale']
    return error, {'twice': 2 * error}


def batch_of(count):
    x = jax.random.normal(jax.random.key(0), (count, 3))
    return {'x': x, 'y': jnp.sum(x, axis=1), 'scale': jnp.float32(1.5)}


def one_step(stepper, loss_fn=quadratic, count=12):
    state = states.create(PARAMS, stepper)
    return jax.jit(stepper.step(loss_fn))(jax.random.key(1), state, batch_of(count))


def test_plain_step_is_gradient_descent():
    state, metrics = one_step(steps.stepper(optax.sgd(0.1)))
    batch = jax.tree.map(lambda x: np.asarray(x, np.float64), batch_of(12))
    residual = batch['x'] @ np.asarray(PARAMS['w'], np.float64) - batch['y']
    gradient = 1.5 * 2 * batch['x'].T @ residual / 12
    np.testing.assert_allclose(state.params['w'], PARAMS['w'] - 0.1 * gradient, rtol=1e-5)
    np.testing.assert_allclose(metrics['loss'], 1.5 * np.mean(residual**2), rtol=1e-5)
    assert int(state.step) == 1 and state.ema is None


@pytest.mark.parametrize('parts', [2, 3])
def test_accumulation_equals_the_large_batch(parts):
    whole, whole_metrics = one_step(steps.stepper(optax.adam(0.1)))
    split, split_metrics = one_step(steps.stepper(optax.adam(0.1), accumulate=parts))
    np.testing.assert_allclose(split.params['w'], whole.params['w'], rtol=1e-5)
    np.testing.assert_allclose(split.optimizer[0].nu['w'], whole.optimizer[0].nu['w'], rtol=1e-5)
    for name in ('loss', 'twice'):
        np.testing.assert_allclose(split_metrics[name], whole_metrics[name], rtol=1e-6)


def test_accumulation_gives_each_part_its_own_key():
    def noise(key, params, aux, batch, step):
        return jax.random.normal(key) * params['w'][0], {'draw': jax.random.normal(key)}

    _, metrics = one_step(steps.stepper(optax.sgd(0.1), accumulate=2), noise)
    keys = [jax.random.fold_in(jax.random.key(1), part) for part in range(2)]
    np.testing.assert_allclose(metrics['draw'], np.mean([jax.random.normal(key) for key in keys]), rtol=1e-6)


def test_accumulation_refuses_a_batch_it_cannot_cut():
    with pytest.raises(InputError, match='batch x: got 12 elements, expected a multiple of accumulate=5'):
        one_step(steps.stepper(optax.sgd(0.1), accumulate=5))


def test_clipping_scales_to_the_limit_and_leaves_small_gradients():
    grads = {'a': jnp.array([3.0, 0.0]), 'b': jnp.array([[4.0]])}
    clipped, norm = steps.clip_by_global_norm(grads, 2.0)
    np.testing.assert_allclose(norm, 5)
    np.testing.assert_allclose(clipped['a'], [1.2, 0], rtol=1e-6)
    np.testing.assert_allclose(clipped['b'], [[1.6]], rtol=1e-6)
    same, _ = steps.clip_by_global_norm(grads, 6.0)
    jax.tree.map(np.testing.assert_array_equal, same, grads)


def test_clipping_does_not_spread_a_nan():
    clipped, norm = steps.clip_by_global_norm({'a': jnp.array([jnp.nan]), 'b': jnp.array([9.0])}, 1.0)
    assert np.isnan(norm) and np.isnan(clipped['a'][0]) and clipped['b'][0] == 9


def test_ema_is_the_geometric_sum():
    stepper = steps.stepper(optax.sgd(0.1), ema_decay=0.75)
    state = states.create(PARAMS, stepper)
    expected = np.asarray(PARAMS['w'], np.float64)
    run = jax.jit(stepper.step(quadratic))
    for index in range(4):
        state, _ = run(jax.random.key(index), state, batch_of(12))
        expected = 0.75 * expected + 0.25 * np.asarray(state.params['w'], np.float64)
    np.testing.assert_allclose(state.ema['w'], expected, rtol=1e-6)
    assert state.weights is state.ema
    assert not np.allclose(state.ema['w'], state.params['w'])


def test_a_state_without_the_average_is_refused():
    stepper = steps.stepper(optax.sgd(0.1), ema_decay=0.75)
    state = states.create(PARAMS, steps.stepper(optax.sgd(0.1)))
    with pytest.raises(InputError, match=r'State.ema: got None with ema_decay=0.75'):
        stepper.step(quadratic)(jax.random.key(0), state, batch_of(12))


def test_bfloat16_computes_narrow_and_keeps_wide():
    seen = []

    def loss_fn(key, params, aux, batch, step):
        seen.append(params['w'].dtype)
        x = batch['x'].astype(params['w'].dtype)
        return jnp.mean((x @ params['w'] - batch['y'].astype(x.dtype)) ** 2) * 1.5, {}

    narrow, metrics = one_step(steps.stepper(optax.adam(0.1), compute_dtype=jnp.bfloat16), loss_fn)
    wide, _ = one_step(steps.stepper(optax.adam(0.1)))
    assert seen == [jnp.bfloat16]
    assert metrics['loss'].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves((narrow.params, narrow.optimizer[0].mu))} == {jnp.dtype('float32')}
    np.testing.assert_allclose(narrow.optimizer[0].mu['w'], wide.optimizer[0].mu['w'], rtol=0.05)
    assert not np.array_equal(narrow.optimizer[0].mu['w'], wide.optimizer[0].mu['w'])


@pytest.mark.parametrize('options', [{'accumulate': 0}, {'clip_norm': 0.0}, {'ema_decay': 1.0}])
def test_options_out_of_range(options):
    with pytest.raises(InputError, match=next(iter(options))):
        steps.stepper(optax.sgd(0.1), **options)


def test_pmap_gives_the_same_step():
    """Gradients averaged over pmapped devices by hand are those of one step on the whole batch."""
    method = tiny.method(optimizer=optax.sgd(0.1))
    state = method.init(jax.random.key(0))

    def loss(params, batch):
        hidden = jnp.tanh(jnp.matmul(batch['x'], params['hidden']['kernel']) + params['hidden']['bias'][None])
        return jnp.mean((hidden @ params['out'] - batch['y']) ** 2)

    def pmapped(params, batch):
        gradient = jax.lax.pmean(jax.grad(loss)(params, batch), 'devices')
        return jax.tree.map(lambda x, g: x - 0.1 * g, params, gradient)

    batch = tiny.make_batch(jax.random.key(3), 16)
    parts = jax.tree.map(lambda x: x.reshape(4, 4, *x.shape[1:]), batch)
    by_pmap = jax.pmap(pmapped, axis_name='devices', in_axes=(None, 0))(state.params, parts)
    step = steps.gradient_step(lambda key, params, aux, batch, step: (loss(params, batch), {}), optax.sgd(0.1))
    plain = states.create(state.params, steps.stepper(optax.sgd(0.1)))
    by_step, _ = jax.jit(step)(jax.random.key(0), plain, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[2], b, atol=1e-6), by_pmap, by_step.params)
