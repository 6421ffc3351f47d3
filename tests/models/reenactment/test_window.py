import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.models.reenactment import window


def _clip(frames, channels=2):
    """Frame t, channel c is 10 t + c everywhere."""
    values = 10 * np.arange(frames)[:, None] + np.arange(channels)[None]
    return np.broadcast_to(values[:, None, None], (frames, 3, 4, channels)).astype(np.uint8)


def test_each_frame_sees_the_ones_before_it_newest_first():
    stacked = window.windows(window.padded(_clip(5), 3), 3)
    assert stacked.dtype == np.uint8
    expected = [[0, 1, 0, 1, 0, 1], [10, 11, 0, 1, 0, 1], [20, 21, 10, 11, 0, 1], [30, 31, 20, 21, 10, 11]]
    np.testing.assert_array_equal(stacked[:4, 2, 3], expected)
    assert len(stacked) == 5 and (stacked == stacked[:, :1, :1]).all()


def test_a_window_of_one_changes_nothing():
    clip = _clip(4)
    np.testing.assert_array_equal(window.windows(window.padded(clip, 1), 1), clip)


def test_a_part_of_a_clip_has_the_windows_of_the_whole():
    clip = _clip(9)
    whole = window.windows(window.padded(clip, 4), 4)
    np.testing.assert_array_equal(window.windows(window.padded(clip, 4)[5:], 4), whole[5:])


def test_leading_dims_and_jax():
    clips = np.stack([_clip(6), 100 + _clip(6)])
    under_jit = jax.jit(lambda x: window.windows(x, 2))(jnp.asarray(clips))
    np.testing.assert_array_equal(under_jit, np.stack([window.windows(clip, 2) for clip in clips]))


def test_bad_input():
    with pytest.raises(InputError, match='window, frames: got 0'):
        window.padded(_clip(3), 0)
    with pytest.raises(InputError, match='0 frames'):
        window.padded(_clip(0), 2)
    with pytest.raises(InputError, match='window: got 4, expected 1 to 3'):
        window.windows(_clip(3), 4)
    with pytest.raises(InputError, match='frames: got shape'):
        window.windows(np.zeros((3, 4)), 1)
