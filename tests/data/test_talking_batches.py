"""Batches of talking faces: consecutive moments that belong together, and examples from anywhere."""

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import talking_batches

COUNT, MOMENTS = 9, 3


def _film():
    """Everything of frame k is k."""
    frame = np.arange(COUNT)
    images = np.tile(frame.astype(np.uint8)[:, None, None, None], (1, 2, 4, 3))
    landmarks = np.tile(frame.astype(np.float32)[:, None, None], (1, 68, 2))
    return images, landmarks, np.tile(frame.astype(np.float32)[:, None, None], (1, 5, 7))


def test_stretches_are_consecutive_and_all_parts_are_of_the_same_frames():
    images, landmarks, windows = _film()
    speech = talking_batches.speech_source(windows, landmarks, batch=64, moments=MOMENTS)
    faces = talking_batches.face_source(images, landmarks, batch=64, moments=MOMENTS)
    heard, seen = (each.draw(jax.random.key(0), each.data) for each in (speech, faces))
    frames = np.asarray(heard.landmarks)[..., 0, 0]
    np.testing.assert_array_equal(np.diff(frames, axis=1), 1)
    # Every stretch and every example is drawn, the first and the last of them included.
    assert set(frames[:, 0]) == set(range(COUNT - MOMENTS + 1))
    examples = np.asarray(heard.example)[:, 0, 0]
    assert set(examples) == set(range(COUNT))
    np.testing.assert_array_equal(heard.windows, np.broadcast_to(frames[..., None, None], (64, MOMENTS, 5, 7)))
    np.testing.assert_array_equal(seen.landmarks, np.broadcast_to(frames[..., None, None], (64, MOMENTS, 68, 2)))
    np.testing.assert_allclose(255 * np.asarray(seen.images)[..., 0, 0, 0], frames, atol=1e-4)
    np.testing.assert_array_equal(seen.example_landmarks[:, 0, 0], examples)
    np.testing.assert_allclose(255 * np.asarray(seen.example)[:, 0, 0, 0], examples, atol=1e-4)


def test_a_film_of_one_stretch_gives_that():
    _, landmarks, windows = _film()
    source = talking_batches.speech_source(windows, landmarks, batch=2, moments=COUNT)
    batch = source.draw(jax.random.key(3), source.data)
    np.testing.assert_array_equal(batch.landmarks[1, :, 0, 0], np.arange(COUNT))


def test_bad_input():
    images, landmarks, windows = _film()
    with pytest.raises(InputError, match='got 9 frames, expected at least 10'):
        talking_batches.face_source(images, landmarks, batch=1, moments=10)
    with pytest.raises(InputError, match='windows: got shape'):
        talking_batches.speech_source(windows[1:], landmarks, batch=1, moments=2)
    with pytest.raises(InputError, match='expected uint8'):
        talking_batches.face_source(images.astype(np.float32), landmarks, batch=1, moments=2)
    with pytest.raises(InputError, match='expected at least 1 of each'):
        talking_batches.face_source(images, landmarks, batch=0, moments=2)
    landmarks[2, 3] = np.nan
    with pytest.raises(InputError, match=r'not finite, the first nan at index \(2, 3, 0\)'):
        talking_batches.face_source(images, landmarks, batch=1, moments=2)
