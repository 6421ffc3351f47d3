import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn.speech import AudioEncoder
from tests.oracles import networks as oracle


def test_layer_by_layer():
    windows = oracle.draw_image(2, 16, 5)
    params = oracle.draw_params(AudioEncoder(), windows)
    hidden = np.asarray(windows, np.float64)[:, :, None]
    for stage, slope in enumerate((0.02, 0.02, 0.2, 0.2)):
        layer = params[f'convolution_{stage}']
        padded = np.pad(hidden, ((0, 0), (1, 1), (0, 0), (0, 0)))
        hidden = oracle.convolve(padded[:, :, :1], layer['kernel'][:, None][:, :1], layer['bias'], stride=2)
        hidden = np.where(hidden > 0, hidden, slope * hidden)
    assert hidden.shape == (2, 1, 1, 64)
    np.testing.assert_allclose(oracle.apply(AudioEncoder(), params, windows), hidden[:, 0, 0], rtol=1e-4, atol=1e-4)


def test_windows_of_another_length_are_refused():
    with pytest.raises(InputError, match=r'windows: got shape \(2, 15, 29\), expected \(n, 16, _\)'):
        AudioEncoder().apply({}, jnp.zeros((2, 15, 29)))
