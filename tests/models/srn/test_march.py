"""The learned marcher: its cell, its gradients, and what they take to keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.models.srn import march

WIDTH, FEATURES = 4, 6


@pytest.fixture(scope='module')
def params():
    return march.init(jax.random.key(0), FEATURES, WIDTH)


def feature_fn(weights):
    return lambda t: jnp.sin(t[..., None] * weights[None, None])


def marched(params, weights, start, *, steps=5, gradient='unrolled'):
    return march.march(feature_fn(weights), params, start, steps=steps, gradient=gradient)


def data():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=FEATURES), jnp.float32), jnp.asarray(rng.uniform(size=(2, 3)), jnp.float32)


def test_the_forget_gate_is_open_at_first(params):
    assert (params['bias'][WIDTH : 2 * WIDTH] == 2).all()
    assert np.abs(np.delete(params['bias'], range(WIDTH, 2 * WIDTH))).max() <= 2 * WIDTH**-0.5
    assert np.abs(params['input']).max() <= WIDTH**-0.5


def test_all_ways_to_take_gradients_end_at_the_same_place(params):
    weights, start = data()
    ends = [marched(params, weights, start, gradient=way) for way in ('unrolled', 'recomputed', 'last')]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)
    np.testing.assert_array_equal(ends[0], ends[2])


def test_recomputed_gradients_are_those_through_all_steps(params):
    def gradients(way):
        return jax.grad(lambda *given: jnp.sum(marched(*given, gradient=way) ** 2), (0, 1, 2))(params, *data())

    for one, other in zip(*(jax.tree.leaves(gradients(way)) for way in ('unrolled', 'recomputed'))):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_last_step_alone_are_those_of_one_step_from_where_it_began(params):
    weights, start = data()
    grads = jax.grad(lambda p, w: jnp.sum(marched(p, w, start, gradient='last') ** 2), (0, 1))(params, weights)
    t, hidden, cell = start, jnp.zeros((2, 3, WIDTH)), jnp.zeros((2, 3, WIDTH))
    for _ in range(4):
        hidden, cell = march.lstm(params, feature_fn(weights)(t), hidden, cell)
        t = t + hidden @ params['step']['kernel'] + params['step']['bias']

    def one(params, weights):
        new, _ = march.lstm(params, feature_fn(weights)(t), hidden, cell)
        return jnp.sum((t + new @ params['step']['kernel'] + params['step']['bias']) ** 2)

    expected = jax.grad(one, (0, 1))(params, weights)
    for got, wanted in zip(jax.tree.leaves(grads), jax.tree.leaves(expected)):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_gradients_in_float64():
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), march.init(jax.random.key(0), FEATURES, WIDTH))
        weights, start = (jnp.asarray(array, jnp.float64) for array in data())
        check_grads(lambda *given: marched(*given, steps=3), (params, weights, start), order=1, modes=['rev'])


def test_memory_of_the_last_step_alone_does_not_grow_with_the_steps(params):
    weights = jnp.ones(FEATURES)
    start = jnp.zeros((1, 20000))

    def needed(way, steps):
        def loss(params, weights):
            return jnp.sum(marched(params, weights, start, steps=steps, gradient=way))

        program = jax.jit(jax.grad(loss, (0, 1))).lower(params, weights).compile()
        return program.memory_analysis().temp_size_in_bytes

    few, many = needed('last', 2), needed('last', 6)
    assert many < 1.2 * few
    # Four more steps keep the state of each: t, hidden and cell; unrolled ones keep gates and features too.
    state = 4 * 20000 * (1 + 2 * WIDTH) * 4
    assert needed('recomputed', 6) - needed('recomputed', 2) < 1.5 * state
    assert needed('unrolled', 6) - needed('unrolled', 2) > 1.5 * state


def test_gradients_of_the_hidden_state_are_clipped():
    grads = jax.grad(lambda x: jnp.sum(jnp.array([3.0, 30.0, -30.0]) * march.clip_gradient(x)))(jnp.zeros(3))
    np.testing.assert_array_equal(grads, [3, 10, -10])
    # Forward mode, which has none that could be clipped.
    inputs = jnp.array([0.5, 1.0, 2.0])
    pushed = jax.vmap(lambda x: jax.jvp(march.clip_gradient, (x,), (100 * x,))[1])(inputs)
    np.testing.assert_array_equal(pushed, 100 * inputs)
