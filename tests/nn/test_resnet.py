import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn.patchgan import downsample
from neurend.nn.resnet import GlobalGenerator, LocalEnhancer, ResnetBlock
from tests.oracles import networks as oracle


def _count(network, *shape):
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_sizes_of_the_published_networks():
    # CycleGAN's generator, as its authors' program prints it: 11.378 M.
    assert round(_count(GlobalGenerator(3, halvings=2), 64, 64, 3) / 1e6, 3) == 11.378
    layers = [(7, 3, 64), (7, 64, 3)]
    layers += [(3, a, b) for w in (64, 128, 256, 512) for a, b in ((w, 2 * w), (2 * w, w))] + [(3, 1024, 1024)] * 18
    expected = sum(k * k * a * b + b for k, a, b in layers)
    assert _count(GlobalGenerator(3), 64, 64, 3) == expected
    local = [(7, 3, 32), (3, 32, 64), (3, 64, 32), (7, 32, 3), *[(3, 64, 64)] * 6]
    coarse = expected - (7 * 7 * 64 * 3 + 3)
    assert _count(LocalEnhancer(3), 64, 64, 3) == coarse + sum(k * k * a * b + b for k, a, b in local)


def test_block_against_layers_and_no_activation_after_the_sum():
    x = oracle.draw_image(2, 5, 6, 3)
    params = oracle.draw_params(ResnetBlock(), x)

    def layer(name, x):
        layer = params[name]
        return oracle.standardize(oracle.convolve(x, layer['kernel'], layer['bias'], padding=1, mode='reflect'))

    expected = np.asarray(x) + layer('second', oracle.relu(layer('first', np.asarray(x))))
    found = oracle.apply(ResnetBlock(), params, x)
    np.testing.assert_allclose(found, expected, atol=5e-5)
    assert float(found.min()) < -1


def test_global_against_layers():
    network = GlobalGenerator(2, width=2, halvings=1, blocks=0)
    x = oracle.draw_image(1, 8, 10, 3)
    p = oracle.draw_params(network, x)

    def normed(y):
        return oracle.relu(oracle.standardize(y))

    y = normed(oracle.convolve(x, p['first']['kernel'], p['first']['bias'], padding=3, mode='reflect'))
    y = normed(oracle.convolve(y, p['down_0']['kernel'], p['down_0']['bias'], stride=2, padding=1))
    y = normed(oracle.convolve_transposed(y, p['up_0']['kernel'], p['up_0']['bias'], output_padding=1))
    y = np.tanh(oracle.convolve(y, p['last']['kernel'], p['last']['bias'], padding=3, mode='reflect'))
    np.testing.assert_allclose(oracle.apply(network, p, x), y, atol=5e-5)


def test_enhancer_adds_the_features_of_a_global_generator():
    network = LocalEnhancer(2, width=2, halvings=1, blocks=1, local_blocks=0)
    x = oracle.draw_image(1, 16, 16, 3)
    p = oracle.draw_params(network, x)
    # A trained global generator's parameters, less its last layer, fit.
    whole = oracle.draw_params(GlobalGenerator(2, width=4, halvings=1, blocks=1), x)
    p['coarse'] = {name: layer for name, layer in whole.items() if name != 'last'}

    def normed(y):
        return oracle.relu(oracle.standardize(y))

    coarse = oracle.apply(GlobalGenerator(None, width=4, halvings=1, blocks=1), p['coarse'], downsample(x))
    y = normed(oracle.convolve(x, p['first']['kernel'], p['first']['bias'], padding=3, mode='reflect'))
    y = normed(oracle.convolve(y, p['down']['kernel'], p['down']['bias'], stride=2, padding=1)) + np.asarray(coarse)
    y = normed(oracle.convolve_transposed(y, p['up']['kernel'], p['up']['bias'], output_padding=1))
    y = np.tanh(oracle.convolve(y, p['last']['kernel'], p['last']['bias'], padding=3, mode='reflect'))
    np.testing.assert_allclose(oracle.apply(network, p, x), y, atol=1e-4)


def test_sizes_they_cannot_halve():
    with pytest.raises(InputError, match='got 24 x 32 pixels, expected multiples of 16'):
        GlobalGenerator(3).init(jax.random.key(0), jnp.zeros((1, 24, 32, 3)))
    with pytest.raises(InputError, match='expected multiples of 32'):
        LocalEnhancer(3).init(jax.random.key(0), jnp.zeros((1, 48, 64, 3)))
    with pytest.raises(InputError, match='reflected'):
        jax.eval_shape(GlobalGenerator(3).init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
