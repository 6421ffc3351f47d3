"""Utterances packed into stretches, and batches of them."""

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import letter_batches
from neurend.data.letter_batches import Utterance

SIZES = {'rows': 10, 'samples': 4, 'tail': 2}


def heard(samples):
    """Features that tell which sample began a row."""
    assert samples.shape == (42,)
    return samples[:40].reshape(10, 4)[:, :1]


def said(count, value, letters, places=None):
    known = None if places is None else np.array(places, float)
    return Utterance(np.full(count, value, np.float32), np.array(letters, np.int32), known)


def test_utterances_are_joined_with_a_space_between():
    packed = letter_batches.pack([said(12, 1, [3]), said(16, 2, [4, 5]), said(20, 3, [6])], heard, **SIZES)
    np.testing.assert_array_equal(packed.rows[..., 0], [[1, 1, 1, 2, 2, 2, 2, 0, 0, 0], [3] * 5 + [0] * 5])
    np.testing.assert_array_equal(packed.count, [7, 5])
    np.testing.assert_array_equal(packed.letters, [4, 1])
    np.testing.assert_array_equal(packed.labels[0, :4], [3, 0, 4, 5])
    assert packed.labels[1, 0] == 6 and packed.left_out == 0


def test_letters_are_known_in_rows_from_their_first_to_their_last():
    packed = letter_batches.pack([said(12, 1, [3]), said(20, 2, [4, 5], places=[5, 14])], heard, **SIZES)
    np.testing.assert_array_equal(packed.spoken, [[-1, -1, -1, -1, 4, 4, 5, -1, -1, -1]])


def test_what_does_not_fit_is_left_out():
    long, fast, double = said(41, 1, [3]), said(12, 2, [3, 4]), said(16, 2, [3, 3])
    packed = letter_batches.pack([long, fast, double, said(16, 3, [3, 4])], heard, **SIZES)
    assert packed.left_out == 3 and len(packed.rows) == 1
    with pytest.raises(InputError, match='none fits, 3 are longer'):
        letter_batches.pack([long, fast, double], heard, **SIZES)


def test_batches_hold_stretches_with_their_letters():
    packed = letter_batches.pack([said(40, k, [k, k + 1]) for k in range(1, 7)], heard, **SIZES)
    source = letter_batches.letter_source(packed, batch=5, change=lambda key, rows: rows + 100)
    batch = jax.jit(source.draw)(jax.random.key(0), source.data)
    np.testing.assert_array_equal(batch.rows[..., 0, 0] - 100, batch.labels[:, 0])
    assert batch.rows.shape == (5, 10, 1) and batch.rows.dtype == np.float32
    np.testing.assert_array_equal(batch.letters, 2)
    np.testing.assert_array_equal(batch.spoken, -1)
    with pytest.raises(InputError, match='batch: got 0'):
        letter_batches.letter_source(packed, batch=0)
