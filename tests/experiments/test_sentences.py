"""Sentences of the grammar, and what espeak-ng makes of them where it is installed."""

import ctypes.util
import itertools

import numpy as np
import pytest

from experiments import espeak, prepare_speech, sentences
from neurend.checks import InputError
from neurend.speech import audio, text

installed = pytest.mark.skipif(ctypes.util.find_library('espeak-ng') is None, reason='espeak-ng is not installed')


def test_sentences_are_in_the_alphabet_and_those_held_out_are_others():
    learned, held_out = (sentences.sentences(300, seed=1, held_out=each) for each in (False, True))
    assert learned == sentences.sentences(300, seed=1)
    assert all(each == text.normalize(each) for each in learned + held_out)
    assert len(set(learned)) == 300 and not set(sentences.sentences(2000, seed=2)) & set(held_out)


@installed
def test_sounds_come_with_their_times():
    sound, found, words = espeak.speak('My baby had a big map.')
    assert [place for place, _ in words] == [0, 3, 8, 12, 14, 18]
    # Words begin with their first sound.
    assert words[1][1] == pytest.approx(next(each.start for each in found if each.symbol == 'b'), abs=0.02)
    assert sound.rate == 22050 and 1 < sound.duration < 3
    assert [each.symbol for each in found if each.symbol in ('m', 'b', 'p')] == ['m', 'b', 'b', 'b', 'm', 'p']
    assert found[0].start == 0 and found[-1].end == pytest.approx(sound.duration)
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    loudness = {}
    for each in found:
        part = sound.samples[int(each.start * sound.rate) : int(each.end * sound.rate)]
        loudness.setdefault(each.symbol, []).append(np.sqrt(np.mean(part**2)))
    # A vowel is loud, and a p is silent but for its burst.
    assert np.mean(loudness['aI']) > 3 * np.mean(loudness['p'])
    slow = espeak.phonemes('My baby had a big map.', espeak.Voice('en-gb-x-rp+f3', speed=100))
    assert slow[-1].end > 1.3 * sound.duration


@installed
def test_bad_input():
    with pytest.raises(InputError, match="voice: got 'nobody'"):
        espeak.speak('hello', espeak.Voice('nobody'))
    with pytest.raises(InputError, match='says nothing'):
        espeak.speak('')
    with pytest.raises(InputError, match='--output: not given'):
        prepare_speech.main(prepare_speech.Config())


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    def absent(name):
        raise OSError(f'{name}: cannot open shared object file')

    monkeypatch.setattr(espeak.ctypes, 'CDLL', absent)
    with pytest.raises(InputError, match='apt-get install espeak-ng'):
        espeak._Library()


@installed
@pytest.mark.filterwarnings('default')
def test_a_folder_is_written(tmp_path):
    prepare_speech.main(prepare_speech.Config(output=str(tmp_path / 'spoken'), sentences=3))
    names = sorted(path.name for path in (tmp_path / 'spoken').iterdir())
    assert names == [f'{k:05d}.{kind}' for k in range(3) for kind in ('txt', 'wav')]
    sound = audio.read(tmp_path / 'spoken' / '00001.wav')
    assert sound.rate == 16000 and sound.duration > 0.5
    assert (tmp_path / 'spoken' / '00001.txt').read_text().strip() == sentences.sentences(3, seed=0)[1]
