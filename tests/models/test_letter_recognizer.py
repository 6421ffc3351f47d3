"""The method of a recogniser: its loss by definition, and what it shows."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from neurend.checks import InputError
from neurend.data.letter_batches import LetterBatch
from neurend.models.letter_recognizer import Spoken, letter_recognizer, whole_seconds
from neurend.speech import ctc
from neurend.speech.recognizer import LetterNetwork
from neurend.train import step


@pytest.fixture(scope='module')
def method():
    network = LetterNetwork(width=4, hidden=4, taps=3, dilations=(1,), ahead=(1,))
    return letter_recognizer(network, step.stepper(optax.sgd(0.0)), timing=2.0)


@pytest.fixture(scope='module')
def state(method):
    found = jax.jit(method.init)(jax.random.key(0))
    return found.replace(params=jax.tree.map(lambda x: x + 0.1, found.params))


def test_the_loss_is_ctc_and_the_letters_at_their_times(method, state):
    random = np.random.default_rng(0)
    rows = (10 + 4 * random.normal(size=(2, 12, 80))).astype(np.float32)
    spoken = np.full((2, 12), -1, np.int32)
    spoken[0, 3:7] = [5, 5, 9, 0]
    labels = np.array([[5, 9, 0], [4, 4, 0]], np.int32)
    batch = LetterBatch(rows, np.array([12, 9]), labels, np.array([3, 2]), spoken)
    logits = np.asarray(jax.jit(method.render)(state, jnp.asarray(rows)).extras['logits'])
    surprise = np.asarray(ctc.loss(*map(jnp.asarray, (logits, batch.count, labels, batch.letters)))).sum() / 5
    said = special.log_softmax(logits[0, 3:7, :28], axis=-1)
    timing = -np.mean(said[np.arange(4), [5, 5, 9, 0]])
    _, metrics = jax.jit(method.step)(jax.random.key(1), state, batch)
    np.testing.assert_allclose(metrics['ctc'], surprise, rtol=1e-5)
    np.testing.assert_allclose(metrics['timing'], timing, rtol=1e-5)
    np.testing.assert_allclose(metrics['loss'], surprise + 2 * timing, rtol=1e-5)


def test_a_transcript_is_compared_and_shown(method, state):
    rows = np.full((31, 80), 9, np.float32)
    assert whole_seconds(rows).shape == (100, 80)
    values, pictures = method.evaluate(state, Spoken('one', rows, 'a cat'))
    assert values['letter_error_rate'] == values['errors'] / 5
    assert pictures['letters'].shape == (4 * 29, 31, 3) and pictures['bands'].shape == (4 * 40, 31, 3)


def test_bad_input(method, state):
    with pytest.raises(InputError, match='rows'):
        method.render(state, jnp.zeros((1, 12, 40)))
