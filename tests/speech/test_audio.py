"""Sound files in and out, and what is wrong with them."""

import struct
import sys
import wave

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import audio
from neurend.speech.audio import Waveform


def tone(seconds=0.25, rate=16000, frequency=440.0, loudness=0.5):
    return loudness * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write_pcm(path, channels, rate=16000):
    """Sixteen bits, channels [n c], by the standard library."""
    with wave.open(str(path), 'wb') as sound:
        sound.setnchannels(channels.shape[1])
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(np.round(channels * 32767).astype('<i2').tobytes())
    return path


@pytest.fixture(params=['soundfile', 'standard library'])
def reader(request, monkeypatch):
    if request.param == 'soundfile':
        pytest.importorskip('soundfile')
    else:
        monkeypatch.setitem(sys.modules, 'soundfile', None)


def test_what_is_written_is_read(reader, tmp_path):
    samples = np.round(tone() * 32768).astype(np.float32) / 32768
    audio.write(tmp_path / 'a.wav', Waveform(samples, 16000))
    found = audio.read(tmp_path / 'a.wav')
    assert found.rate == 16000 and found.samples.dtype == np.float32 and found.duration == 0.25
    np.testing.assert_array_equal(found.samples, samples)
    assert found.clipped == 0


def test_eight_channels_become_their_mean(reader, tmp_path):
    channels = tone()[:, None] * np.linspace(0, 1, 8)[None]
    found = audio.read(write_pcm(tmp_path / 'a.wav', channels))
    np.testing.assert_allclose(found.samples, channels.mean(1), atol=5e-5)


def test_eight_kilohertz_are_brought_to_sixteen(reader, tmp_path):
    found = audio.resample(audio.read(write_pcm(tmp_path / 'a.wav', tone(rate=8000)[:, None], 8000)))
    assert found.rate == 16000 and found.duration == 0.25
    np.testing.assert_allclose(found.samples[200:-200], tone()[200:-200], atol=2e-3)


@pytest.mark.parametrize('rate', [11025, 22050, 44100, 48000])
def test_other_rates_keep_a_tone(rate):
    found = audio.resample(Waveform(tone(rate=rate).astype(np.float32), rate))
    wanted = tone(len(found.samples) / 16000)
    np.testing.assert_allclose(found.samples[300:-300], wanted[300:-300], atol=3e-3)


def test_a_tone_above_half_the_rate_is_gone():
    high = audio.resample(Waveform(tone(rate=48000, frequency=11000).astype(np.float32), 48000))
    assert np.abs(high.samples[200:-200]).max() < 2e-3


def test_clipping_is_told(reader, tmp_path):
    clipped = np.clip(3 * tone(), -1, 1)
    found = audio.read(write_pcm(tmp_path / 'a.wav', clipped[:, None]))
    assert found.clipped == pytest.approx(np.mean(np.abs(clipped) == 1), abs=0.02) and found.clipped > 0.5
    assert Waveform((0.1 * np.sign(tone())).astype(np.float32), 16000).clipped == 0


def test_other_formats_are_read(tmp_path):
    soundfile = pytest.importorskip('soundfile')
    for name, kind in (('a.flac', 'PCM_16'), ('b.wav', 'PCM_24'), ('c.wav', 'FLOAT'), ('d.wav', 'PCM_U8')):
        soundfile.write(tmp_path / name, tone(), 16000, subtype='PCM_S8' if kind == 'PCM_S8' else kind)
        np.testing.assert_allclose(audio.read(tmp_path / name).samples, tone(), atol=0.01)


def test_a_stream_without_a_size_is_read(reader, tmp_path):
    data = bytearray(write_pcm(tmp_path / 'a.wav', tone()[:, None]).read_bytes())
    data[4:8], data[40:44] = struct.pack('<I', 0x7FFFFFFF), struct.pack('<I', 0x7FFFF000)
    (tmp_path / 'a.wav').write_bytes(data)
    np.testing.assert_allclose(audio.read(tmp_path / 'a.wav').samples, tone(), atol=5e-5)


def test_bad_input(reader, tmp_path):
    with pytest.raises(InputError, match='does not exist'):
        audio.read(tmp_path / 'none.wav')
    (tmp_path / 'empty.wav').write_bytes(b'')
    with pytest.raises(InputError, match='is empty'):
        audio.read(tmp_path / 'empty.wav')
    with pytest.raises(InputError, match='no samples'):
        audio.read(write_pcm(tmp_path / 'none.wav', np.zeros((0, 1))))
    with pytest.raises(InputError, match='silent'):
        audio.read(write_pcm(tmp_path / 'silent.wav', np.zeros((100, 2))))
    with pytest.raises(InputError, match='cancel'):
        audio.read(write_pcm(tmp_path / 'opposite.wav', tone()[:, None] * np.array([[1, -1]])))
    whole = write_pcm(tmp_path / 'whole.wav', tone()[:, None]).read_bytes()
    (tmp_path / 'cut.wav').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r'truncated, \d+ of 8000 bytes'):
        audio.read(tmp_path / 'cut.wav')
    (tmp_path / 'cut.wav').write_bytes(whole[:30])
    with pytest.raises(InputError, match='truncated'):
        audio.read(tmp_path / 'cut.wav')
    (tmp_path / 'text.wav').write_text('no sound at all')
    with pytest.raises(InputError, match='cannot be read'):
        audio.read(tmp_path / 'text.wav')
    with pytest.raises(InputError, match='cannot be written'):
        audio.write(tmp_path / 'no folder' / 'a.wav', Waveform(tone().astype(np.float32), 16000))
    with pytest.raises(InputError, match='not finite'):
        audio.write(tmp_path / 'a.wav', Waveform(np.array([0, np.nan], np.float32), 16000))
    with pytest.raises(InputError, match='expected positive'):
        audio.resample(Waveform(tone().astype(np.float32), 16000), 0)


def test_other_formats_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'soundfile', None)
    with wave.open(str(tmp_path / 'a.wav'), 'wb') as sound:
        sound.setnchannels(1)
        sound.setsampwidth(3)
        sound.setframerate(16000)
        sound.writeframes(bytes(300))
    with pytest.raises(InputError, match=r'24 bits.*neurend\[audio\]'):
        audio.read(tmp_path / 'a.wav')


def test_recordings(data_root):
    found = audio.read(data_root / 'speech' / 'LDC93S1.wav')
    assert found.rate == 16000 and len(found.samples) == 46797  # as its transcript says
