"""Windows of logits, and their files."""

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import windows


def logits(rows=50, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 29)).astype(np.float32)


def test_rows_at_half_the_rate_are_every_second_one():
    np.testing.assert_array_equal(windows.interpolate(logits(), 25), logits()[::2])
    np.testing.assert_array_equal(windows.interpolate(logits(), 50), logits())


@pytest.mark.parametrize('fps', [24, 29.97, 60])
def test_interpolation_is_linear_in_time(fps):
    times = np.arange(50)[:, None] / 50
    found = windows.interpolate(np.tile(3 * times - 1, (1, 29)), fps)
    assert len(found) == round(fps)
    wanted = np.minimum(np.arange(len(found)) / fps, 49 / 50)
    np.testing.assert_allclose(found, np.tile(3 * wanted[:, None] - 1, (1, 29)), atol=1e-6)


def test_the_number_of_frames_is_that_of_the_sound():
    assert len(windows.windows(logits(), 25, duration=1.0)) == 25
    assert len(windows.windows(logits(), 30, duration=1.05)) == round(31.5)


def test_row_eight_is_the_frame_and_beyond_the_ends_is_zero():
    found = windows.windows(logits(), 25)
    rows = logits()[::2]
    assert found.shape == (25, 16, 29) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 8], rows)
    np.testing.assert_array_equal(found[12, :], rows[4:20])
    assert (found[0, :8] == 0).all() and (found[-1, 9:] == 0).all()


def test_files_hold_the_same_windows(tmp_path):
    made = windows.windows(logits(), 25)
    folder = tmp_path / 'audio_feature'
    folder.mkdir()
    for k, window in enumerate(made):
        np.save(folder / f'{k}.deepspeech.npy', window.astype(np.float64))
    np.savez(tmp_path / 'windows.npz', logits=made)
    np.savez(tmp_path / 'rows.npz', logits=logits())
    np.savez(tmp_path / 'slow.npz', logits=made[:, 8], rate=25)
    for name in ('audio_feature', '', 'windows.npz', 'rows.npz', 'slow.npz'):
        np.testing.assert_array_equal(windows.read(tmp_path / name), made)
    assert len(windows.read(tmp_path / 'rows.npz', fps=30)) == 30


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='got 0 rows'):
        windows.windows(np.zeros((0, 29)), 25)
    with pytest.raises(InputError, match='not finite'):
        windows.windows(np.full((3, 29), np.nan), 25)
    with pytest.raises(InputError, match=r'0\.deepspeech\.npy'):
        windows.read(tmp_path)
    for k in (0, 2):
        np.save(tmp_path / f'{k}.deepspeech.npy', np.zeros((16, 29)))
    with pytest.raises(InputError, match=r'lacks 1\.deepspeech\.npy'):
        windows.read(tmp_path)
    np.save(tmp_path / '1.deepspeech.npy', np.zeros((16, 28)))
    with pytest.raises(InputError, match=r'expected \(16, 29\)'):
        windows.read(tmp_path)
    (tmp_path / '1.deepspeech.npy').write_bytes(b'no array')
    with pytest.raises(InputError, match='cannot be read'):
        windows.read(tmp_path)
    np.savez(tmp_path / 'other.npz', features=np.zeros((3, 16, 29)))
    with pytest.raises(InputError, match="holds \\['features'\\], expected logits"):
        windows.read(tmp_path / 'other.npz')
    np.savez(tmp_path / 'other.npz', logits=np.zeros((3, 20, 29)))
    with pytest.raises(InputError, match=r'expected \(frames, 16, 29\)'):
        windows.read(tmp_path / 'other.npz')


def test_released_windows(data_root):
    found = windows.read(data_root / 'audio_expressions' / 'speaker_a.npz')
    # Each window is the one before, a row further.
    np.testing.assert_array_equal(found[1:, :-1], found[:-1, 1:])
