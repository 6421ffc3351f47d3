"""Sound that comes in pieces: to the rate of a recogniser, and logits to the windows of a film's frames."""

import math

import numpy as np
from scipy import signal

from neurend import checks
from neurend.checks import InputError
from neurend.speech import audio
from neurend.speech.text import CLASSES
from neurend.speech.windows import CENTER, RATE, ROWS

_LEAST, _MOST = 8000, 192000  # samples per second
_SHARED = 25  # at least, of both rates: 11025 is a rate of sound cards, 44101 is none
_HALF = 10  # half the filter's length, in samples of the lower rate; this and the window are `resample_poly`'s own
_WINDOW = ('kaiser', 5.0)


class Resampler:
    """`audio.resample` of sound in pieces: all that comes out is what it gives of all that went in.

    Args:
        rate: samples per second that come in.
        target: that go out.

    Raises:
        InputError: a rate that is none of sound cards.
    """

    def __init__(self, rate: int, target: int = audio.RATE):
        if not _LEAST <= rate <= _MOST or math.gcd(rate, target) < _SHARED:
            raise InputError(
                f'rate: got {rate} samples per second, expected {_LEAST} to {_MOST}, as sound cards have, e.g. 48000'
            )
        shared = math.gcd(rate, target)
        self._up, self._down = target // shared, rate // shared
        longer = max(2, self._up, self._down)  # at equal rates there is no filter
        size = 2 * _HALF * longer + 1
        self._filter = signal.firwin(size, 1 / longer, window=_WINDOW)  # pyright: ignore[reportArgumentType]
        self._reach = -(-_HALF * longer // self._up)  # samples on each side that one that goes out is made of
        self._kept, self._begin, self._given = np.zeros(0), 0, 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Takes samples `[n]`; returns those at the other rate, float32 `[m]`, that are complete by them."""
        if self._up == self._down:
            return np.asarray(samples, np.float32)
        self._kept = np.concatenate([self._kept, samples])
        complete = self._begin + len(self._kept) - 1 - self._reach  # the last input around which enough is known
        stop = complete * self._up // self._down + 1 if complete >= 0 else 0
        if stop <= self._given:
            return np.zeros(0, np.float32)
        first = self._begin // self._down * self._up  # what goes out at the first sample kept
        found = signal.resample_poly(self._kept, self._up, self._down, window=self._filter)
        found = found[self._given - first : stop - first].astype(np.float32)
        self._given = stop
        # Whole multiples, so that samples of both rates coincide where what is kept begins.
        begin = max(0, (stop * self._down // self._up - self._reach) // self._down * self._down)
        self._kept, self._begin = self._kept[begin - self._begin :], begin
        return found


class WindowStream:
    """`windows.windows` of logits that come in pieces: each window as soon as its last row is there.

    Args:
        fps: frames per second of the film.

    Raises:
        InputError: frames per second that are not positive.
    """

    def __init__(self, fps: float):
        if not fps > 0:
            raise InputError(f'fps: got {fps}, expected a positive number')
        self._step = RATE / fps
        self._rows, self._begin = np.zeros((0, CLASSES)), 0
        self._line, self._known = np.zeros((CENTER, CLASSES), np.float32), 0  # rows of frames, and how many there were

    @property
    def latency(self) -> float:
        """Seconds of logits that a frame waits for, at most."""
        return ((ROWS - CENTER - 1) * self._step + (not self._step.is_integer())) / RATE

    def push(self, logits: np.ndarray) -> np.ndarray:
        """Takes rows `[t 29]`, 50 a second; returns windows float32 `[k 16 29]` of the next frames.

        Raises:
            InputError: rows of another shape, or not finite.
        """
        checks.shape('logits', logits, f't {CLASSES}')
        checks.finite('logits', logits)
        self._rows = np.concatenate([self._rows, np.asarray(logits, np.float64)])
        last = self._begin + len(self._rows) - 1
        places = (self._known + np.arange(int(len(self._rows) / self._step) + 2)) * self._step
        places = places[places <= last]
        before = np.floor(places).astype(int)
        part, after = (places - before)[:, None], np.minimum(before + 1, last)
        rows = (1 - part) * self._rows[before - self._begin] + part * self._rows[after - self._begin]
        self._known += len(places)
        begin = max(self._begin, min(math.floor(self._known * self._step), last + 1))
        self._rows, self._begin = self._rows[begin - self._begin :], begin
        self._line = np.concatenate([self._line, rows.astype(np.float32)])
        count = max(0, len(self._line) - ROWS + 1)
        found = self._line[np.arange(count)[:, None] + np.arange(ROWS)[None]]
        self._line = self._line[count:]
        return found
