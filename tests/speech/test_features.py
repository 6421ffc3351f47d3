"""Features against closed forms and an oracle of loops in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import features


def noise(count=3000, seed=0):
    random = np.random.default_rng(seed)
    return np.round(8000 * np.convolve(random.normal(size=count), [0.5, 0.4, 0.3], 'same')).clip(-32768, 32767) / 32768


def oracle(samples, cepstra, rate=16000, bands=26, size=512):
    """Cepstra as the documentation of python_speech_features tells, each by its sum."""
    x = 32768 * np.asarray(samples, np.float64)
    emphasized = np.array([x[0], *(x[t] - 0.97 * x[t - 1] for t in range(1, len(x)))])
    rows = []

    def hertz(mel):
        return 700 * (10 ** (mel / 2595) - 1)

    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = [math.floor((size + 1) * hertz(top * k / (bands + 1)) / rate) for k in range(bands + 2)]
    start = 0
    while start == 0 or start - 160 + 400 < len(x):
        frame = np.zeros(size)
        part = emphasized[start : start + 400]
        frame[: len(part)] = part
        power = np.abs(np.fft.rfft(frame)) ** 2 / size
        log_energies = []
        for low, middle, high in zip(edges, edges[1:], edges[2:]):
            energy = sum(power[i] * (i - low) / (middle - low) for i in range(low, middle))
            energy += sum(power[i] * (high - i) / (high - middle) for i in range(middle, high))
            log_energies.append(math.log(energy or np.finfo(float).eps))
        row = []
        for k in range(cepstra):
            total = sum(e * math.cos(math.pi * k * (2 * b + 1) / (2 * bands)) for b, e in enumerate(log_energies))
            total *= math.sqrt((2 if k else 1) / bands)
            row.append(total * (1 + 11 * math.sin(math.pi * k / 22)))
        row[0] = math.log(power.sum() or np.finfo(float).eps)
        rows.append(row)
        start += 160
    return np.array(rows)


@pytest.mark.parametrize('count', [300, 400, 401, 560, 3000])
def test_cepstra_are_those_of_the_oracle(count):
    wanted = oracle(noise(count), 13)
    with jax.enable_x64(True):
        found = np.asarray(features.mfcc(jnp.asarray(noise(count), jnp.float64)))
    np.testing.assert_allclose(found, wanted, atol=1e-8)


def test_single_precision_is_enough():
    found = np.asarray(jax.jit(lambda x: features.mfcc(x, cepstra=26))(jnp.asarray(noise(), jnp.float32)))
    np.testing.assert_allclose(found, oracle(noise(), 26), atol=5e-3)


def test_silence_has_the_energy_of_an_epsilon():
    found = np.asarray(features.mfcc(jnp.zeros(800)))
    np.testing.assert_allclose(found[:, 0], math.log(np.finfo(float).eps), rtol=1e-6)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-3)


def test_frames_cover_all_samples():
    found = np.asarray(features.frames(jnp.arange(10.0), 4, 3))
    np.testing.assert_array_equal(found, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])
    found = np.asarray(features.frames(jnp.arange(11.0), 4, 3))
    np.testing.assert_array_equal(found[-1], [9, 10, 0, 0])
    np.testing.assert_array_equal(features.frames(jnp.ones(2), 4, 3), [[1, 1, 0, 0]])


def test_a_tone_lies_in_one_bin_and_its_band():
    samples = np.sin(2 * np.pi * 1000 * np.arange(1600) / 16000)
    power = np.asarray(features.power_spectrum(jnp.asarray(samples[None, :512], jnp.float32), 512))[0]
    assert power.argmax() == 32 and power[32] == pytest.approx(256**2 / 512, rel=1e-4)
    assert power.sum() == pytest.approx(power[32], rel=1e-4)
    heard = np.asarray(features.log_mel(jnp.asarray(samples, jnp.float32)))
    filters = features.mel_filters(40, 512, low=20, high=7600)
    assert (filters.sum(1) > 0).all()
    assert (heard.argmax(1) == filters[:, 32].argmax()).all()


def test_log_mel_of_a_stretch_is_a_stretch_of_log_mel():
    samples = jnp.asarray(noise(4000), jnp.float32)
    whole = features.log_mel(samples)
    assert whole.shape == (1 + (4000 - 400) // 160, 40)
    np.testing.assert_allclose(features.log_mel(samples[800:2000]), whole[5:11], atol=1e-4)
    louder = features.log_mel(8 * samples)
    np.testing.assert_allclose(louder - whole, 2 * math.log(8), atol=0.05)


def test_deepspeech_rows_hold_nine_frames_of_context():
    samples = noise(8000)
    found = np.asarray(jax.jit(features.deepspeech)(jnp.asarray(samples, jnp.float32)))
    cepstra = oracle(samples, 26)[::2]
    assert found.shape == (len(cepstra), 19 * 26)
    middle = found[:, 9 * 26 : 10 * 26]
    # The middle is the frame itself, up to one shift and one scale for all.
    padded = np.zeros((len(cepstra) + 18, 26))
    padded[9:-9] = cepstra
    context = np.stack([padded[k : k + 19].ravel() for k in range(len(cepstra))])
    np.testing.assert_allclose(middle * context.std() + context.mean(), cepstra, atol=0.02)
    np.testing.assert_allclose([found.mean(), found.std()], [0, 1], atol=1e-3)
    np.testing.assert_allclose(found[3, : 6 * 26], -context.mean() / context.std(), atol=1e-3)


def test_bad_input():
    with pytest.raises(InputError, match='at least 400'):
        features.log_mel(jnp.zeros(399))
    with pytest.raises(InputError, match='cepstra: got 27'):
        features.mfcc(jnp.zeros(400), cepstra=27)
    with pytest.raises(InputError, match='samples'):
        features.mfcc(jnp.zeros((2, 400)))
    with pytest.raises(InputError, match='at least 1'):
        features.mfcc(jnp.zeros(0))
