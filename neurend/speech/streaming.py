"""Recognition of sound as it comes, and of recordings, which are streams that have ended."""

import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.speech import audio
from neurend.speech import windows as letter_windows
from neurend.speech.audio import Waveform
from neurend.speech.recognizer import SAMPLES, TAIL, Compiled, Recognizer
from neurend.speech.text import CLASSES

_RECORDING = 100  # rows of a step over a recording


class Stream:
    """Sound in, logits out, in pieces of any length.

    A row, 50 a second, comes out once its look-ahead is heard, in blocks: `latency` seconds after its sound at most.

    Args:
        compiled: of the recogniser and the length of its blocks; several streams may share it.
    """

    def __init__(self, compiled: Compiled):
        self._step = compiled
        self._carry = compiled.recognizer.network.start(1)
        self._waiting = np.zeros(0, np.float32)
        self._early = compiled.recognizer.network.delay  # rows before the first, to be dropped
        self._heard = self._given = 0

    @property
    def latency(self) -> float:
        """Seconds between the start of a row's sound and its logits, at most, without the time to compute."""
        rows = self._step.recognizer.network.delay + self._step.rows
        return (rows * SAMPLES + TAIL) / audio.RATE

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Takes samples `[n]` in [-1, 1] at 16 kHz; returns the logits `[t 29]` that are complete by them.

        Raises:
            InputError: samples of another shape, or not finite.
        """
        count = checks.shape('samples', samples, 'n', 'Give one channel')['n']
        checks.finite('samples', samples)
        self._heard += count
        return self._advance(samples)

    def finish(self) -> np.ndarray:
        """The logits of what was heard last, as if silence followed; there is one row for each 20 ms begun."""
        total = -(-self._heard // SAMPLES)
        blocks = self._step.rows * SAMPLES
        needed = (total + self._step.recognizer.network.delay) * SAMPLES
        silence = -(-needed // blocks) * blocks + TAIL - self._heard
        missing = total - self._given
        return self._advance(np.zeros(silence, np.float32))[:missing]

    def _advance(self, samples: np.ndarray) -> np.ndarray:
        self._waiting = np.concatenate([self._waiting, np.asarray(samples, np.float32)])
        size, found = self._step.rows * SAMPLES, [np.zeros((0, CLASSES), np.float32)]
        while len(self._waiting) >= size + TAIL:
            logits, self._carry = self._step(self._carry, self._waiting[: size + TAIL])
            self._waiting = self._waiting[size:]
            dropped = min(self._early, len(logits))
            self._early -= dropped
            found.append(logits[dropped:])
        rows = np.concatenate(found)
        self._given += len(rows)
        return rows


class Listener:
    """A recogniser of recordings; it compiles once.

    Attributes:
        recognizer: what it listens with.
    """

    def __init__(self, recognizer: Recognizer):
        self.recognizer = recognizer
        self._compiled = Compiled(recognizer, _RECORDING)

    def logits(self, sound: Waveform) -> np.ndarray:
        """Logits float32 `[t 29]`, 50 a second, of a sound of any rate; t = ceil(50 duration).

        Raises:
            InputError: no samples, or not finite ones.
        """
        samples = audio.resample(sound).samples
        if not len(samples):
            raise InputError('sound: got no samples, expected some')
        stream = Stream(self._compiled)
        return np.concatenate([stream.push(samples), stream.finish()])

    def windows(self, sound: Waveform, fps: float) -> np.ndarray:
        """Windows float32 `[round(duration fps) 16 29]` of the frames of a film, see `windows.windows`.

        Raises:
            InputError: see `logits`, or frames per second that are not positive.
        """
        return letter_windows.windows(self.logits(sound), fps, duration=sound.duration)
