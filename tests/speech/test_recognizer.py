"""The network as a stream and as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import recognizer
from neurend.speech.audio import Waveform
from neurend.speech.recognizer import SAMPLES, TAIL, Compiled, LetterNetwork, Recognizer
from neurend.speech.streaming import Listener, Stream


@pytest.fixture(scope='module')
def small():
    network = LetterNetwork(width=8, hidden=8, taps=4, dilations=(1, 2), ahead=(1, 1))
    params = network.init(jax.random.key(0), jnp.zeros((1, 4, 80)), network.start(1))['params']
    noisy = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(1), x.shape), params)
    return Recognizer(network, noisy)


@pytest.fixture(scope='module')
def compiled(small):
    return Compiled(small, 6)


def noise(count, seed=0):
    return (0.1 * np.random.default_rng(seed).normal(size=count)).astype(np.float32)


def whole(small, samples):
    """All rows at once, with rows of silence behind, by the definition of the look-ahead."""
    count = -(-len(samples) // SAMPLES)
    padded = np.zeros((count + count % 2 + small.network.delay) * SAMPLES + TAIL, np.float32)
    padded[: len(samples)] = samples
    rows = recognizer.rows_of(jnp.asarray(padded))[None]
    logits, _ = jax.jit(small.network.apply)({'params': small.params}, rows, small.network.start(1))
    return np.asarray(logits)[0, small.network.delay :][:count]


@pytest.mark.parametrize('count', [1, 16 * SAMPLES, 9001])
def test_a_stream_in_pieces_is_the_whole(small, compiled, count):
    samples, random = noise(count), np.random.default_rng(1)
    stream, found, place = Stream(compiled), [], 0
    while place < count:
        size = int(random.integers(1, 2000))
        found.append(stream.push(samples[place : place + size]))
        place += size
    found = np.concatenate([*found, stream.finish()])
    wanted = whole(small, samples)
    assert found.shape == (-(-count // SAMPLES), 29)
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_rows_come_within_the_latency(compiled):
    """When sound of a row began `latency` ago, it has come out."""
    stream, given = Stream(compiled), 0
    for heard in range(160, 9600, 160):
        given += len(stream.push(noise(160)))
        assert given * SAMPLES / 16000 > heard / 16000 - stream.latency


def test_logits_know_nothing_beyond_the_look_ahead(small):
    samples = noise(20 * SAMPLES)
    changed = samples.copy()
    changed[12 * SAMPLES :] = noise(8 * SAMPLES, seed=5)
    same = 12 - small.network.delay - 2  # a row's window reaches 240 samples into the next, which is in another step
    before, after = whole(small, samples), whole(small, changed)
    np.testing.assert_allclose(after[:same], before[:same], atol=1e-5)
    assert np.abs(after[same] - before[same]).max() > 1e-3


def test_one_block_is_its_formula():
    """In float64, step by step."""
    network = LetterNetwork(width=4, hidden=6, taps=3, dilations=(2,), ahead=(1,))
    rows = 8 + np.random.default_rng(0).normal(size=(14, 80))
    params = network.init(jax.random.key(3), jnp.zeros((1, 4, 80)), network.start(1))['params']
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    found, _ = network.apply({'params': params}, jnp.asarray(rows[None], jnp.float32), network.start(1))

    def normal(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-6)

    mean, centered = np.full(40, 10.0), []
    for row in rows:
        mean = mean + (row.reshape(2, 40).mean(0) - mean) / 100
        centered.append((row - np.tile(mean, 2)) / 4)
    inputs = [
        np.concatenate(pair) @ p['bands']['kernel'] + p['bands']['bias'] for pair in zip(centered[::2], centered[1::2])
    ]
    for t in range(2, 7):
        around = [inputs[t - 2 + place] if t - 2 + place >= 0 else np.zeros(4) for place in (-2, 0, 2)]
        mixed = normal(sum(k * x for k, x in zip(p['time_0'], around)))
        mixed = np.maximum(mixed @ p['widen_0']['kernel'] + p['widen_0']['bias'], 0)
        out = inputs[t - 2] + mixed @ p['narrow_0']['kernel'] + p['narrow_0']['bias']
        wanted = normal(out) @ p['letters']['kernel'] + p['letters']['bias']
        np.testing.assert_allclose(found[0, 2 * t : 2 * t + 2].reshape(-1), wanted, atol=1e-4)


def test_loudness_is_forgotten(small):
    """A steady gain fades with the running mean."""
    samples = noise(700 * SAMPLES)
    before, after = (whole(small, gain * samples) for gain in (1.0, 4.0))
    change = np.abs(after - before).max(1)
    assert change[650:690].max() < 0.1 * change[:50].max()


def test_recordings_of_any_rate_become_windows(small):
    listener = Listener(small)
    samples = noise(16000)
    logits = listener.logits(Waveform(samples, 16000))
    np.testing.assert_allclose(logits, whole(small, samples), atol=2e-4)
    found = listener.windows(Waveform(noise(8200), 8000), 30)
    assert found.shape == (round(8200 / 8000 * 30), 16, 29) and np.isfinite(found).all()


def test_bad_input(small, compiled):
    with pytest.raises(InputError, match='not finite'):
        Stream(compiled).push(np.array([np.nan], np.float32))
    with pytest.raises(InputError, match='samples'):
        Stream(compiled).push(np.zeros((2, 3), np.float32))
    with pytest.raises(InputError, match='no samples'):
        Listener(small).logits(Waveform(np.zeros(0, np.float32), 16000))
    with pytest.raises(InputError, match='multiple of 320'):
        recognizer.rows_of(jnp.zeros(321))
    with pytest.raises(InputError, match='rows'):
        small.network.apply({'params': small.params}, jnp.zeros((1, 4, 40)), small.network.start(1))
    with pytest.raises(InputError, match='even'):
        small.network.apply({'params': small.params}, jnp.zeros((1, 3, 80)), small.network.start(1))
