import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn.modulated import AdaIN, AttentionHead, ModulatedBlock, SelfAttention, Spade, compose
from tests.oracles import networks as oracle


def test_spade_against_layers():
    x = oracle.draw_image(2, 4, 6, 3)
    # Blocks of 3 x 3 pixels of the map around those that are taken hold other values.
    small = np.asarray(oracle.draw_image(2, 4, 6, 5))
    large = np.asarray(oracle.draw_image(2, 12, 18, 5)).copy()
    large[:, 1::3, 1::3] = small
    network = Spade(hidden=4)
    p = oracle.draw_params(network, x, jnp.asarray(small))
    hidden = oracle.relu(oracle.convolve(small, p['shared']['kernel'], p['shared']['bias'], padding=1))
    gamma, beta = (oracle.convolve(hidden, p[n]['kernel'], p[n]['bias'], padding=1) for n in ('gamma', 'beta'))
    expected = oracle.standardize(np.asarray(x, np.float64)) * (1 + gamma) + beta
    for condition in (small, large):
        np.testing.assert_allclose(oracle.apply(network, p, x, jnp.asarray(condition)), expected, atol=2e-5)


def test_adain_sets_mean_and_deviation():
    x = 3 + 2 * oracle.draw_image(2, 6, 7, 3)
    code = oracle.draw_image(2, 4)
    p = oracle.draw_params(AdaIN(), x, code)
    y = oracle.apply(AdaIN(), p, x, code)
    gamma, beta = np.split(np.asarray(code) @ np.asarray(p['affine']['kernel']) + np.asarray(p['affine']['bias']), 2, 1)
    np.testing.assert_allclose(y.mean((1, 2)), beta, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), np.abs(1 + gamma), rtol=1e-4)
    with pytest.raises(InputError, match='One code is needed'):
        oracle.apply(AdaIN(), p, x, code[:1])


def test_block_with_a_code_against_layers():
    x = oracle.draw_image(1, 3, 4, 2)
    code = oracle.draw_image(1, 3)
    network = ModulatedBlock(channels=4, modulation=AdaIN, upsample=True)
    p = oracle.draw_params(network, x, code)

    def modulated(name, y):
        return np.asarray(oracle.apply(AdaIN(), p[f'{name}_modulation'], jnp.asarray(y, jnp.float32), code))

    def layer(name, y):
        kernel = p[name]['kernel']
        return oracle.convolve(y, kernel, p[name].get('bias', 0), padding=kernel.shape[0] // 2)

    def double(y):
        return y.repeat(2, 1).repeat(2, 2)

    y = layer('first', double(oracle.relu(modulated('first', x), 0.2)))
    y = layer('second', oracle.relu(modulated('second', y), 0.2))
    expected = double(layer('shortcut', modulated('shortcut', x))) + y
    np.testing.assert_allclose(oracle.apply(network, p, x, code), expected, atol=5e-5)


def test_block_with_a_map_keeps_its_input_where_the_channels_do():
    x = oracle.draw_image(1, 4, 4, 3)
    labels = oracle.draw_image(1, 8, 8, 2)
    network = ModulatedBlock(channels=3, modulation=functools.partial(Spade, hidden=2))
    p = network.init(jax.random.key(2), x, labels)['params']
    assert p['first_modulation']['shared']['kernel'].shape == (3, 3, 2, 2)
    p['second'] = jax.tree.map(jnp.zeros_like, p['second'])
    np.testing.assert_array_equal(oracle.apply(network, p, x, labels), x)


def test_attention_against_pixel_by_pixel():
    x = np.asarray(oracle.draw_image(2, 3, 4, 16))
    network = SelfAttention()
    first = network.init(jax.random.key(1), jnp.asarray(x))
    np.testing.assert_array_equal(network.apply(first, jnp.asarray(x)), x)  # nothing is gathered at first
    p = oracle.draw_params(network, x)

    def linear(name, v):
        return v @ np.asarray(p[name]['kernel'], np.float64) + np.asarray(p[name]['bias'])

    expected = np.zeros(x.shape)
    for n, i, j in np.ndindex(2, 3, 4):
        scores = np.exp(linear('key', x[n]) @ linear('query', x[n, i, j]))
        gathered = (scores[..., None] * linear('value', x[n])).sum((0, 1)) / scores.sum()
        expected[n, i, j] = x[n, i, j] + float(p['scale']) * linear('out', gathered)
    np.testing.assert_allclose(oracle.apply(network, p, jnp.asarray(x)), expected, atol=1e-5)


def test_composition():
    color, previous = jnp.full((1, 2, 2, 3), 0.8), jnp.full((1, 2, 2, 3), -0.4)
    mask = jnp.array([0.0, 1.0, 0.25, 0.5]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(compose(color, mask, previous)[0, ..., 1].ravel(), [-0.4, 0.8, -0.1, 0.2], atol=1e-6)
    with pytest.raises(InputError, match='mask'):
        compose(color, color, previous)
    with pytest.raises(InputError, match='previous'):
        compose(color, mask, previous[..., :1])


def test_head_keeps_the_previous_image_where_the_mask_is_closed():
    features = oracle.draw_image(1, 8, 8, 4)
    previous = oracle.draw_image(1, 8, 8, 3)
    p = oracle.draw_params(AttentionHead(), features, previous)
    for bias, which in ((-1e3, 'previous'), (1e3, 'color')):
        p['mask']['bias'] = jnp.array([bias])
        image, color, _ = oracle.apply(AttentionHead(), p, features, previous)
        np.testing.assert_allclose(image, previous if which == 'previous' else color, atol=1e-6)
    expected = oracle.convolve(features, p['color']['kernel'], p['color']['bias'], padding=3, mode='reflect')
    np.testing.assert_allclose(color, np.tanh(expected), atol=2e-5)
