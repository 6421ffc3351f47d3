import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import audio, live, windows
from neurend.speech.audio import Waveform


def pieces(values, rng, longest):
    place = 0
    while place < len(values):
        size = int(rng.integers(0, longest))
        yield values[place : place + size]
        place += size


@pytest.mark.parametrize('rate', [8000, 11025, 16000, 22050, 44100, 48000])
def test_resampled_pieces_are_the_whole_resampled(rate):
    rng = np.random.default_rng(rate)
    samples = rng.normal(size=rate // 2).astype(np.float32)
    resampler = live.Resampler(rate)
    found = np.concatenate([resampler.push(piece) for piece in pieces(samples, rng, rate // 20)])
    wanted = audio.resample(Waveform(samples, rate)).samples
    assert 0 <= len(wanted) - len(found) <= 16000 * 0.002  # the filter's reach, which would need more
    np.testing.assert_allclose(found, wanted[: len(found)], atol=1e-6)
    assert len(resampler._kept) < rate // 20 + 1000  # what is past is forgotten


@pytest.mark.parametrize('rate', [0, 7999, 44101, 400000])
def test_a_rate_that_no_sound_card_has_is_refused(rate):
    with pytest.raises(InputError, match=f'got {rate}'):
        live.Resampler(rate)


@pytest.mark.parametrize('fps', [12.5, 25, 29.97, 30, 50, 60])
def test_windows_of_pieces_are_those_of_the_whole(fps):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(200, 29)).astype(np.float32)
    stream, heard, found = live.WindowStream(fps), 0, []
    for piece in pieces(logits, rng, 9):
        heard += len(piece)
        found.extend(stream.push(piece))
        # The next window would end at a row that has not come: nothing waits longer than it must.
        assert (len(found) + 7) * 50 / fps > heard - 1
        assert heard / 50 - len(found) / fps <= stream.latency + 1 / fps + 1e-9
    wanted = windows.windows(logits, fps)
    assert len(wanted) - 10 <= len(found) < len(wanted)
    np.testing.assert_allclose(found, wanted[: len(found)], atol=1e-6)


def test_windows_refuse_what_is_no_logits():
    with pytest.raises(InputError, match='logits'):
        live.WindowStream(25).push(np.zeros((3, 28)))
    with pytest.raises(InputError, match='finite'):
        live.WindowStream(25).push(np.full((3, 29), np.nan))
    with pytest.raises(InputError, match='fps'):
        live.WindowStream(0)
