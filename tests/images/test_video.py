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
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(InputError, match='cannot be written'):
        video.write(tmp_path / 'file' / 'a.mp4', frames(1, 16, 16))
    (tmp_path / 'file').unlink()
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


@pytest.mark.parametrize('rate', [8000, 16000, 22050])
def test_sound_is_in_sync_and_the_file_says_what_it_is(tmp_path, rate):
    pytest.importorskip('av')
    path, seconds = tmp_path / 'a.mp4', 52 / 25
    time = np.arange(int(3 * rate)) / rate  # longer than the frames
    # Chirps whose beginnings say when they are.
    sound = (0.5 * np.sin(2 * np.pi * (300 + 200 * time) * time) * (np.floor(4 * time) % 2)).astype(np.float32)
    about = {'title': 'Synthetic', 'comment': 'Nobody said this.'}
    assert video.write(path, frames(52, 32, 32), 25, sound=(sound, rate), about=about) == 52
    assert len(list(video.read(path))) == 52 and video.frame_rate(path) == 25
    assert about.items() <= video.about(path).items()
    back, now = video.read_sound(path)
    assert abs(len(back) / now - seconds) < 0.03  # a block of 1024 samples at the most
    given = np.interp(np.arange(len(back)) / now, time, sound)
    size = 2 * len(back)
    spectra = [np.fft.rfft(each, size) for each in (back, given)]
    delay = int(np.fft.irfft(spectra[0] * spectra[1].conj(), size).argmax())
    assert min(delay, size - delay) / now < 0.001
    assert np.corrcoef(back[: int(seconds * now)], given[: int(seconds * now)])[0, 1] > 0.98


def test_bad_sound(tmp_path):
    pytest.importorskip('av')
    for samples, message in ((np.zeros((4, 2)), r'sound: got shape \(4, 2\)'), (np.array([np.nan]), 'sound')):
        with pytest.raises(InputError, match=message):
            video.write(tmp_path / 'a.mp4', frames(2, 16, 16), sound=(samples, 8000))
    video.write(tmp_path / 'a.mp4', frames(2, 16, 16))
    with pytest.raises(InputError, match='holds no sound'):
        video.read_sound(tmp_path / 'a.mp4')
