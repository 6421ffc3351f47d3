"""Writes a folder of spoken sentences and their text, by espeak-ng: many voices, speeds and pitches.

    python -m experiments.prepare_speech --output=out/spoken --sentences=1000

Sentences come from a small grammar (`experiments.sentences`). `0000.wav` is 16 kHz, `0000.txt` its text; see
`experiments.recognizer`, which learns from such folders. Needs the Debian package espeak-ng.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from experiments import espeak, sentences
from experiments.espeak import Voice
from neurend import app, checks
from neurend.speech import audio
from neurend.speech.audio import Waveform

_ACCENTS = {
    'en-us': 6, 'en-us-nyc': 1, 'en': 1, 'en-gb-x-rp': 1,
}  # fmt: skip
_SPEAKERS = (
    'f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt2 klatt3 klatt4 Alex Andy Annie Alicia Andrea adam anika aunty '
    'belinda benjamin boris caleb david Denis Diogo ed edward Gene grandma grandpa Hugo iven john kaukovalta Lee linda '
    'Mario Michael michel norbert pablo paul quincy rob robert steph steph2 travis victor zac Henrique max marcelo'
).split()


@dataclasses.dataclass(frozen=True)
class Config:
    """What to write.

    Attributes:
        output: folder, made if needed.
        sentences: how many.
        seed: of sentences and voices.
        held_out: whether they are of those that no other seed has without this flag.
    """

    output: str = ''
    sentences: int = 1000
    seed: int = 0
    held_out: bool = False


class Utterance(NamedTuple):
    """A spoken sentence.

    Attributes:
        sound: at 16 kHz.
        text: in the alphabet.
        times: float64 [letters], when each is spoken in seconds, those of a word at equal distances.
    """

    sound: Waveform
    text: str
    times: np.ndarray


def main(config: Config) -> None:
    """Writes the folder."""
    if not config.output:
        raise checks.InputError('--output: not given, expected the folder to write')
    folder = Path(config.output)
    made = utterances(config.sentences, seed=config.seed, held_out=config.held_out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for k, each in enumerate(tqdm(made, total=config.sentences, desc='speaking', unit='sentence')):
            audio.write(folder / f'{k:05d}.wav', each.sound)
            (folder / f'{k:05d}.txt').write_text(f'{each.text}\n', encoding='utf-8')
    except OSError as error:
        raise checks.InputError(f'{folder}: cannot be written ({error.strerror}). Choose another --output') from error
    app.say(f'{folder}: {config.sentences} sentences')


def utterances(count: int, *, seed: int, held_out: bool = False) -> Iterator[Utterance]:
    """Sentences that differ, each by a voice of its own.

    Args:
        count: how many.
        seed: of sentences and voices.
        held_out: see `sentences.sentences`.

    Raises:
        InputError: espeak-ng is not installed.
    """
    random = np.random.default_rng([seed, int(held_out)])
    for text in sentences.sentences(count, seed=seed, held_out=held_out):
        spoken = espeak.speak(text, some_voice(random))
        places, starts = zip(*spoken.words, (len(text), spoken.sound.duration))
        times = np.interp(np.arange(len(text)) + 0.5, places, starts)
        yield Utterance(audio.resample(spoken.sound), text, times)


def some_voice(random: np.random.Generator) -> Voice:
    """A voice drawn at random, an American one more often than others."""
    chances = np.array(list(_ACCENTS.values()), float)
    accent = random.choice(list(_ACCENTS), p=chances / chances.sum())
    speaker = random.choice(_SPEAKERS)
    return Voice(
        f'{accent}+{speaker}',
        speed=int(random.integers(120, 230)),
        pitch=int(random.integers(15, 90)),
        range=int(random.integers(10, 90)),
        gap=int(random.integers(0, 2)),
    )


if __name__ == '__main__':
    app.run(main, Config, record=None)
