import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn.dynamic_texture import DynamicTexture
from neurend.nn.speech import AudioEncoder
from tests.oracles import networks as oracle

NETWORK = DynamicTexture(side=7, channels=3)


def kernel_of(params, code):
    """One kernel [4 4 3 3] of one code, float64."""
    hidden = np.asarray(code, np.float64)
    for layer in (params['layer_0'], params['layer_1']):
        hidden = hidden @ layer['kernel'] + layer['bias']
        hidden = np.where(hidden > 0, hidden, 0.02 * hidden)
    return np.tanh(hidden @ params['kernel']['kernel'] + params['kernel']['bias']).reshape(4, 4, 3, 3)


def test_each_code_convolves_the_texture_with_its_kernel():
    codes = oracle.draw_image(2, 6)
    params = oracle.draw_params(NETWORK, codes, scale=0.1)
    got = oracle.apply(NETWORK, params, codes)
    assert got.shape == (2, 7, 7, 3)
    for found, code in zip(got, codes):
        kernel = kernel_of(params, code)
        # With two texels of padding on either side there would be one row and column more.
        want = oracle.convolve(params['texture'][None], kernel, padding=2)[0, :-1, :-1]
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    assert np.abs(got[0] - got[1]).max() > 1e-2


def test_codes_of_a_batch_do_not_mix():
    codes = oracle.draw_image(3, 6)
    params = oracle.draw_params(NETWORK, codes, scale=0.1)
    whole = oracle.apply(NETWORK, params, codes)
    np.testing.assert_allclose(oracle.apply(NETWORK, params, codes[::-1]), whole[::-1], rtol=1e-4, atol=1e-5)


def test_speech_moves_the_texture():
    """Gradients go through the kernel to the encoder, and to the learned texture."""
    encoder, windows = AudioEncoder(), oracle.draw_image(2, 16, 29).astype(np.float64)
    heard = oracle.draw_params(encoder, windows, scale=0.1)
    params = oracle.draw_params(NETWORK, jnp.zeros((2, 64)), scale=0.1)

    @jax.jit
    def value(weights):
        codes = encoder.apply({'params': weights[0]}, windows)
        return jnp.sum(jnp.sin(NETWORK.apply({'params': weights[1]}, codes)))

    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        weights = jax.tree.map(np.float64, (heard, params))
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), weights)
        gradient = jax.jit(jax.grad(value))(weights)
        ahead, behind = (value(jax.tree.map(lambda w, d, h=h: w + h * d, weights, direction)) for h in (1e-6, -1e-6))
    slope = sum(np.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    assert slope == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-4)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_bad_input():
    with pytest.raises(InputError, match=r'codes: got shape \(6,\), expected \(n, e\)'):
        NETWORK.apply({}, jnp.zeros(6))
    with pytest.raises(InputError, match='side, channels: got 0 and 16'):
        DynamicTexture(side=0).init(jax.random.key(0), jnp.zeros((1, 6)))
