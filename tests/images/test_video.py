import builtins

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import video


def frames(count, height, width):
    """A smooth coloured pattern that moves: compressible, so that the codec's loss is small."""
    y, x = np.mgrid[:height, :width] / 32
    for i in range(count):
        yield np.stack([0.5 + 0.4 * np.sin(x + 0.2 * i), 0.5 + 0.4 * np.cos(y), 0.4 + 0.02 * i + 0 * x], -1)


@pytest.mark.parametrize('height, width', [(48, 64), (47, 63)])
def test_round_trip_keeps_frames_colours_and_rate(tmp_path, height, width):
    pytest.importorskip('av')
    path = tmp_path / 'a.mp4'
    assert video.write(path, frames(7, height, width), 12.5, quality=8) == 7
    back = list(video.read(path))
    assert len(back) == 7 and video.frame_rate(path) == 12.5
    for truth, frame in zip(frames(7, height, width), back):
        assert frame.shape == (48, 64, 3) and frame.dtype == np.uint8
        np.testing.assert_allclose(frame[:height, :width] / 255, truth, atol=0.06)
        assert abs((frame[:height, :width] / 255 - truth).mean()) < 0.006  # the right matrix and range
    assert [file.name for file in tmp_path.iterdir()] == ['a.mp4']


def test_bad_input_and_no_leftovers(tmp_path):
    pytest.importorskip('av')
    with pytest.raises(InputError, match='no frames'):
        video.write(tmp_path / 'a.mp4', [])
    mixed = [np.zeros((16, 16, 3)), np.zeros((16, 18, 3))]
    with pytest.raises(InputError, match=r'frame 1: got shape \(16, 18, 3\)'):
        video.write(tmp_path / 'a.mp4', mixed)
    with pytest.raises(InputError, match='cannot be written'):
        video.write(tmp_path / 'none' / 'a.mp4', frames(1, 16, 16))
    with pytest.raises(InputError, match=r'expected \.mp4'):
        video.write(tmp_path / 'a.avi', frames(1, 16, 16))
    (tmp_path / 'no.mp4').write_bytes(b'not a video at all')
    with pytest.raises(InputError, match=r'no\.mp4'):
        list(video.read(tmp_path / 'no.mp4'))
    with pytest.raises(InputError, match='does not exist'):
        next(video.read(tmp_path / 'none.mp4'))
    assert [file.name for file in tmp_path.iterdir()] == ['no.mp4']


def test_missing_pyav_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split('.')[0] == 'av':
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(InputError, match=r'neurend\[video\]'):
        video.write(tmp_path / 'a.mp4', frames(1, 16, 16))
