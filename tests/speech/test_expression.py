import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import expression
from tests.oracles import networks as oracle


@pytest.fixture(scope='module')
def params():
    """Random ones, biases included, of two speakers with five expressions."""
    network = expression.Audio2Expression(2, 5)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 16, 29)), jnp.zeros(1, jnp.int32))
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * random.normal(size=leaf.shape), jnp.float32), shapes['params'])


@functools.partial(jax.jit, static_argnums=2)
def _whole(params, windows, look_ahead):
    return expression.audio_expressions(params, windows, look_ahead=look_ahead)


def _windows(count):
    return jnp.asarray(np.random.default_rng(1).normal(size=(count, 16, 29)), jnp.float32)


def _leaky(x, slope):
    return np.where(x > 0, x, slope * x)


def _numpy(params, windows):
    """Audio expression and weights of windows `8 16 29`, from the published layers, float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)

    def convolve(x, layer, stride):
        padded = np.pad(x, ((1, 1), (0, 0)))
        starts = range(0, len(x), stride)
        return np.stack([np.einsum('kc,kco->o', padded[t : t + 3], layer['kernel']) for t in starts]) + layer['bias']

    codes = []
    for window in np.asarray(windows, np.float64):
        hidden = window
        for stage, slope in enumerate((0.02, 0.02, 0.2, 0.2)):
            hidden = _leaky(convolve(hidden, params['encoder'][f'convolution_{stage}'], 2), slope)
        hidden = hidden[0]
        for k in range(2):
            hidden = _leaky(hidden @ params[f'dense_{k}']['kernel'] + params[f'dense_{k}']['bias'], 0.02)
        codes.append(np.tanh(hidden @ params['dense_2']['kernel'] + params['dense_2']['bias']))
    hidden = np.stack(codes)
    for k in range(5):
        hidden = _leaky(convolve(hidden, params[f'attention_{k}'], 1), 0.02)
    logits = hidden[:, 0] @ params['weigh']['kernel'] + params['weigh']['bias']
    weights = np.exp(logits) / np.exp(logits).sum()
    return weights @ np.stack(codes), weights


def test_network_layer_by_layer(params):
    windows, speakers = _windows(16).reshape(2, 8, 16, 29), jnp.array([1, 0])
    heard = oracle.apply(expression.Audio2Expression(2, 5), params, windows, speakers)
    for k in range(2):
        audio, weights = _numpy(params, windows[k])
        np.testing.assert_allclose(heard.attention[k], weights, rtol=1e-4)
        np.testing.assert_allclose(heard.audio[k], audio, rtol=1e-4, atol=1e-5)
        wanted = 10 * np.asarray(params['mapping'][speakers[k]]) @ audio
        np.testing.assert_allclose(heard.expressions[k], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('look_ahead, before', [(True, 3), (False, 7)])
def test_a_film_is_its_frames_with_ends_repeated(params, look_ahead, before):
    windows = _windows(9)
    found = _whole(params, windows, look_ahead)
    assert expression.current(look_ahead) == before
    for frame in (0, 2, 6, 8):
        places = [min(max(frame - before + k, 0), 8) for k in range(8)]
        audio, _ = _numpy(params, np.asarray(windows)[places])
        np.testing.assert_allclose(found[frame], audio, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('look_ahead', [True, False])
def test_listening_is_the_film_as_soon_as_it_can_be(params, look_ahead):
    listen = jax.jit(functools.partial(expression.listen, look_ahead=look_ahead))
    finish = jax.jit(functools.partial(expression.finish, look_ahead=look_ahead))
    for pieces in ([1, 1, 3, 1, 3], [1]):
        windows = _windows(sum(pieces))
        carry, heard, told, values = expression.silence(), 0, [], []
        for piece in pieces:
            carry, found, frames = listen(params, carry, windows[heard : heard + piece])
            heard += piece
            assert frames[-1] == heard - 1 - (4 if look_ahead else 0)
            told += [*np.asarray(frames)]
            values += [*np.asarray(found)]
        found, frames = finish(params, carry)
        told += [*np.asarray(frames)]
        values += [*np.asarray(found)]
        kept = [value for value, frame in zip(values, told) if frame >= 0]
        assert [frame for frame in told if frame >= 0] == list(range(heard))
        np.testing.assert_allclose(kept, _whole(params, windows, look_ahead), rtol=1e-4, atol=1e-4)


def test_windows_that_do_not_fit_are_refused(params):
    with pytest.raises(InputError, match=r'windows: got shape \(3, 15, 29\), expected \(t, 16, _\)'):
        expression.audio_expressions(params, jnp.zeros((3, 15, 29)))
    with pytest.raises(InputError, match='windows: got none'):
        expression.audio_expressions(params, jnp.zeros((0, 16, 29)))
    with pytest.raises(InputError, match='windows: got none'):
        expression.listen(params, expression.silence(), jnp.zeros((0, 16, 29)))
