"""The optimizer of `fast` and its estimate of unknown backgrounds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend.models.nerf import fast_adam, fast_backdrop


def test_adam_of_single_columns_is_adam():
    rng = np.random.default_rng(0)
    params = {'a': jnp.asarray(rng.normal(size=7), jnp.float32), 'b': jnp.asarray(rng.normal(size=(5, 1)), jnp.float32)}
    rates = {'a': jnp.float32(0.1), 'b': jnp.float32(0.02)}
    moments = fast_adam.init(params)
    expected = params
    optimizers = {name: optax.adam(rate, b1=0.9, b2=0.99, eps=1e-8) for name, rate in rates.items()}
    states = {name: optimizers[name].init(params[name]) for name in params}
    for k in range(5):
        gradients = jax.tree.map(lambda x, k=k: jnp.sin(3 * x + k), expected)
        params, moments = fast_adam.update(params, gradients, moments, rates)
        for name, optimizer in optimizers.items():
            change, states[name] = optimizer.update(gradients[name], states[name])
            expected = {**expected, name: expected[name] + change}
    for name in params:
        np.testing.assert_allclose(params[name], expected[name], atol=1e-6)


def test_second_moments_are_means_over_a_row():
    rng = np.random.default_rng(1)
    params, gradient = jnp.zeros((4, 3)), jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    moved, moments = fast_adam.update(params, gradient, fast_adam.init(params), jnp.float32(1))
    size = np.sqrt(np.mean(np.square(gradient), axis=-1))
    np.testing.assert_allclose(moved, -np.asarray(gradient) / size[:, None], rtol=1e-5)
    np.testing.assert_allclose(moments.second, 0.01 * size**2, rtol=1e-4)


def test_node_colors_are_means_of_the_pixels_around():
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (8, 12, 4)).astype(np.uint8)
    got = fast_backdrop.at_nodes([image], (5, 7))
    for row, column in np.ndindex(5, 7):
        block = image[max(2 * row - 1, 0) : 2 * row + 1, max(2 * column - 1, 0) : 2 * column + 1, :3]
        np.testing.assert_allclose(got[0, row, column], block.mean((0, 1)) / 255, atol=1e-6)


def test_backgrounds_spread_behind_the_object_and_never_from_it():
    rows, columns = 30, 40
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, columns)[None, :, None], (rows, columns, 3))
    hidden = np.zeros((rows, columns), bool)
    hidden[10:20, 12:25] = True
    colors = np.where(hidden[..., None], 5.0, ramp).astype(np.float32)[None]
    got = np.asarray(fast_backdrop.estimate(jnp.asarray(colors), jnp.asarray(hidden[None], jnp.float32)))[0]
    middle = (ramp[:-1, :-1] + ramp[1:, 1:]) / 2
    assert got.shape == (rows - 1, columns - 1, 4)
    assert np.abs(got[..., :3] - middle).max() < 0.12
    # Known behind the object and one node around it; farther away a pixel is its own background.
    near = np.zeros((rows - 1, columns - 1), bool)
    near[8:21, 10:26] = True
    np.testing.assert_array_equal(got[..., 3], near)
    nothing = fast_backdrop.estimate(jnp.asarray(colors), jnp.ones((1, rows, columns)))
    np.testing.assert_array_equal(nothing[..., 3], 0)
