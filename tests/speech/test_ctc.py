"""Alignments counted one by one, and letters compared."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from neurend.checks import InputError
from neurend.speech import ctc, text
from neurend.speech.letters import LetterModel

SHOWN = [0, 1, 2, 28]  # space, a, b, blank: all other classes are impossible


def logits(rows=4, seed=0):
    values = np.full((rows, 29), -50.0)
    values[:, SHOWN] = 2 * np.random.default_rng(seed).normal(size=(rows, len(SHOWN)))
    return values


def collapsed(path):
    return ''.join(text.LETTERS[k] for k, _ in itertools.groupby(path) if k != text.BLANK)


def probabilities(values):
    """Of all texts, by going through all alignments."""
    rows = special.softmax(values, axis=-1)
    found = {}
    for path in itertools.product(SHOWN, repeat=len(values)):
        made = collapsed(path)
        found[made] = found.get(made, 0) + np.prod([row[k] for row, k in zip(rows, path)])
    return found


@pytest.mark.parametrize('said', ['a', 'ab', 'aa', 'b a'])
def test_the_loss_sums_all_alignments(said):
    classes = [text.LETTERS.index(each) for each in said] + [5] * (3 - len(said))
    values = np.concatenate([logits(), np.random.default_rng(9).normal(size=(2, 29))])  # two rows too many
    with jax.enable_x64(True):
        arrays = (values[None], np.array([4]), np.array([classes]), np.array([len(said)]))
        found = ctc.loss(*map(jnp.asarray, arrays))
    assert float(found[0]) == pytest.approx(-np.log(probabilities(logits())[said]), rel=1e-4)


@pytest.mark.parametrize('seed', range(4))
def test_a_wide_beam_finds_the_most_probable_text(seed):
    values = logits(5, seed)
    every = probabilities(values)
    best = max((each for each in every if each == each.strip() and '  ' not in each), key=every.__getitem__)
    assert ctc.beam(values, width=400) == best or every[best] < max(every.values())


def test_a_beam_may_differ_from_the_best_alignment():
    """Two rows in which a blank is likelier than the letter, but not than both ways to say it."""
    values = np.full((2, 29), -50.0)
    values[:, [1, 28]] = np.log([0.4, 0.6])
    assert ctc.greedy(values) == '' and ctc.beam(values) == 'a'


def test_repeated_letters_need_a_blank():
    path = np.eye(29)[[1, 1, 28, 1, 2, 2, 0, 0, 28, 3]] * 20
    assert ctc.greedy(path) == 'aab c' and ctc.beam(path) == 'aab c'
    assert ctc.greedy(np.zeros((0, 29))) == ''


def test_a_model_of_letters_decides_what_sound_does_not():
    model = LetterModel(['the cat sat', 'the cat ran'], order=4)
    values = np.full((5, 29), -50.0)
    for row, letters in enumerate(['t', 'h', 'ea', ' ', 'ck']):
        values[row, [text.LETTERS.index(each) for each in letters]] = np.log(1 / len(letters))
    assert ctc.beam(values, model=model, weight=1.0) == 'the c'


def test_a_model_of_letters_is_a_distribution():
    model = LetterModel(["it's a cat", 'a bat'], order=3)
    for before in ('', 'a', 'it', 'xyz'):
        assert sum(np.exp(model.log_probability(before, each)) for each in text.LETTERS) == pytest.approx(1)
    assert model.log_probability('a c', 'a') > model.log_probability('a c', 'b')
    assert model.log_probability('', 'i') > model.log_probability('', 'z')


def test_errors_are_edits():
    assert ctc.errors('kitten', 'sitting') == 3
    assert ctc.errors('', 'abc') == 3 and ctc.errors('abc', '') == 3 and ctc.errors('same', 'same') == 0
    assert ctc.letter_error_rate(['abcd', 'ab'], ['abd', 'ab']) == pytest.approx(1 / 6)


def test_bad_input():
    with pytest.raises(InputError, match=r'expected \(t, 29\)'):
        ctc.greedy(np.zeros((3, 28)))
    with pytest.raises(InputError, match='not finite'):
        ctc.beam(np.full((3, 29), np.nan))
    with pytest.raises(InputError, match='labels'):
        ctc.loss(jnp.zeros((2, 4, 29)), jnp.ones(2), jnp.zeros((3, 2), int), jnp.ones(2))
