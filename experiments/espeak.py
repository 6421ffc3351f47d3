"""Speech synthesised by espeak-ng, with the times of its phonemes: to prepare data, and to let an avatar read a text.

The library of the Debian package espeak-ng is called in this process, a few milliseconds a sentence.
"""

import ctypes
import ctypes.util
import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from neurend import checks
from neurend.speech.audio import FULL, Waveform

_SYNCHRONOUS, _PHONEME_EVENTS, _DO_NOT_EXIT = 2, 1, 0x8000
_ENDED, _WORD, _PHONEME = 0, 1, 7
_RATE, _PITCH, _RANGE, _GAP = 1, 3, 4, 7
_UTF8 = 1
_STRESS = "',%=_:|"  # marks, not sounds


@dataclasses.dataclass(frozen=True)
class Voice:
    """How a text is spoken.

    Attributes:
        name: of espeak-ng's voice, with a variant after a plus sign, such as 'en-us+f3'.
        speed: words per minute, 80 to 450.
        pitch: 0 to 99.
        range: of the pitch, 0 to 99.
        gap: pause between words, in hundredths of a second.
    """

    name: str = 'en-us'
    speed: int = 160
    pitch: int = 50
    range: int = 50
    gap: int = 0


class Phoneme(NamedTuple):
    """A sound: espeak-ng's symbol for it, such as 'm' or 'aI', and when it begins and ends, in seconds."""

    symbol: str
    start: float
    end: float


class Spoken(NamedTuple):
    """What was spoken.

    Attributes:
        sound: at espeak-ng's rate of 22050 samples a second.
        phonemes: in order, pauses among them with the symbol ''.
        words: of each word, or of a few spoken as one, its place in the text and when it begins, in seconds.
    """

    sound: Waveform
    phonemes: list[Phoneme]
    words: list[tuple[int, float]]


class _Event(ctypes.Structure):
    _fields_ = [
        ('type', ctypes.c_int),
        ('identifier', ctypes.c_uint),
        ('text_position', ctypes.c_int),
        ('length', ctypes.c_int),
        ('audio_position', ctypes.c_int),
        ('sample', ctypes.c_int),
        ('user_data', ctypes.c_void_p),
        ('text', ctypes.c_char * 8),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Library:
    """The loaded library; what it speaks goes to `samples` and `events`."""

    def __init__(self):
        name = ctypes.util.find_library('espeak-ng') or 'libespeak-ng.so.1'
        try:
            self.call: Any = ctypes.CDLL(name)
        except OSError as error:
            raise checks.InputError(
                'espeak-ng: is not installed, and speech cannot be synthesised without it. Install the package '
                'espeak-ng (apt-get install espeak-ng), or give recordings'
            ) from error
        self.rate = self.call.espeak_Initialize(_SYNCHRONOUS, 100, None, _PHONEME_EVENTS | _DO_NOT_EXIT)
        if self.rate <= 0:
            raise checks.InputError('espeak-ng: its data cannot be read. Install the package espeak-ng again')
        self.samples: list[np.ndarray] = []
        self.events: list[tuple[str, int]] = []
        self.words: list[tuple[int, int]] = []
        self._hear = _CALLBACK(self._heard)  # kept: the library calls it
        self.call.espeak_SetSynthCallback(self._hear)

    def _heard(self, sound: Any, count: int, events: Any) -> int:
        if sound and count > 0:
            self.samples.append(np.ctypeslib.as_array(sound, (count,)).copy())
        k = 0
        while events[k].type != _ENDED:
            if events[k].type == _WORD:
                self.words.append((events[k].text_position - 1, events[k].sample))
            elif events[k].type == _PHONEME:
                self.events.append((events[k].text.decode('utf-8', 'replace'), events[k].sample))
            k += 1
        return 0


@functools.cache
def _library() -> _Library:
    return _Library()


def speak(text: str, voice: Voice | None = None) -> Spoken:
    """Speaks a text.

    The library's state goes on from call to call: a text said twice in one process differs by some milliseconds. The
    same texts in the same order sound the same.

    Raises:
        InputError: espeak-ng is not installed, does not know the voice, or the text has nothing to speak.
    """
    library, voice = _library(), voice or Voice()
    if library.call.espeak_SetVoiceByName(voice.name.encode()):
        raise checks.InputError(f'voice: got {voice.name!r}, which espeak-ng does not know. See espeak-ng --voices=en')
    settings = {_RATE: voice.speed, _PITCH: voice.pitch, _RANGE: voice.range, _GAP: voice.gap}
    for parameter, value in settings.items():
        library.call.espeak_SetParameter(parameter, int(value), 0)
    library.samples, library.events, library.words = [], [], []
    data = text.encode() + b'\0'
    library.call.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
    if not library.words:
        raise checks.InputError(f'text: got {text!r}, of which espeak-ng says nothing. Give words')
    samples = (np.concatenate(library.samples) / FULL).astype(np.float32)
    starts = [place / library.rate for _, place in library.events] + [len(samples) / library.rate]
    found = [
        Phoneme(symbol.strip(_STRESS), start, end)
        for (symbol, _), start, end in zip(library.events, starts, starts[1:])
        if end > start
    ]
    words = [(place, sample / library.rate) for place, sample in library.words]
    return Spoken(Waveform(samples, library.rate), found, words)


def phonemes(text: str, voice: Voice | None = None) -> list[Phoneme]:
    """Symbols and times in seconds of the sounds of a text, as `speak` speaks it.

    Raises:
        InputError: see `speak`.
    """
    return speak(text, voice).phonemes
