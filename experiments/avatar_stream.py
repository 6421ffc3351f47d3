"""Sound in, expressions of a mouth out, frame by frame, as soon as they can be known."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.avatar_speech import Speaker, hear
from neurend import checks
from neurend.faces import blendshapes, procedural
from neurend.speech import expression, streaming
from neurend.speech.live import Resampler, WindowStream
from neurend.speech.mapping import Mapping
from neurend.speech.recognizer import Compiled
from neurend.speech.text import CLASSES, LETTERS
from neurend.speech.windows import CENTER, ROWS
from neurend.typing import Array, PyTree

Hearing = Callable[[np.ndarray], np.ndarray | None]
_BELL, _GAIN = 1.5, 2.5  # frames over which a letter shapes the lips, and how much, of `LETTERS_TO_LIPS`
LETTERS_TO_LIPS: dict[str, dict[str, float]] = {
    'a': {'jawOpen': 0.8},
    'ei': {'jawOpen': 0.4, 'mouthSmile_L': 0.5, 'mouthSmile_R': 0.5},
    'o': {'jawOpen': 0.6, 'mouthFunnel': 0.6},
    'uwq': {'jawOpen': 0.2, 'mouthPucker': 0.9},
    'mbp': {'mouthPress_L': 0.6, 'mouthPress_R': 0.6},
    'fv': {'mouthUpperUp_L': 0.4, 'mouthUpperUp_R': 0.4, 'mouthPress_L': 0.3, 'mouthPress_R': 0.3},
    'cdghjklnrstxyz': {'jawOpen': 0.2, 'mouthLowerDown_L': 0.2, 'mouthLowerDown_R': 0.2},
}


class Lips(NamedTuple):
    """What a mouth does by windows of logits.

    Attributes:
        begin: makes a function of windows `[16 29]`, one after another; it returns the mouth's expressions `[m]` of the
            next frame, or None while it looks ahead.
        ahead: frames that it looks ahead.
    """

    begin: Callable[[], Hearing]
    ahead: int


def by_network(speaker: Speaker) -> Lips:
    """Of a network from speech to expressions, with a person's map.

    Raises:
        InputError: it hears other letters than recognisers write.
    """
    checks.shape(
        'network', speaker.params['encoder']['convolution_0']['kernel'], f'_ {CLASSES} _',
        'Train the avatar with logits of experiments.recognizer',
    )  # fmt: skip

    @jax.jit
    def step(params: PyTree, mapping: Mapping, carry: Any, window: Array) -> tuple[Any, Array]:
        carry, audio, _ = expression.listen(params, carry, window[None], look_ahead=speaker.look_ahead)
        return carry, mapping(audio)[0]

    ahead = expression.AHEAD if speaker.look_ahead else 0

    def begin() -> Hearing:
        carry, heard = expression.silence(), 0

        def listen(window: np.ndarray) -> np.ndarray | None:
            nonlocal carry, heard
            given = jnp.asarray(hear(window, speaker.letters))
            carry, found = step(speaker.params, speaker.mapping, carry, given)
            heard += 1
            return None if heard <= ahead else np.clip(np.asarray(found, np.float32), *speaker.extremes)

        return listen

    return Lips(begin, ahead)


def by_letters() -> Lips:
    """Of the procedural face: each letter that is heard shapes the lips for a moment, by a table."""
    table = np.zeros((CLASSES, procedural.SPOKEN), np.float32)
    for letters, shape in LETTERS_TO_LIPS.items():
        row = blendshapes.coefficients(procedural.NAMES, shape)[: procedural.SPOKEN]
        table[[LETTERS.index(letter) for letter in letters]] = row
    bell = np.exp(-0.5 * ((np.arange(ROWS) - CENTER) / _BELL) ** 2).astype(np.float32)

    def listen(window: np.ndarray) -> np.ndarray:
        likely = np.exp(window - window.max(1, keepdims=True))
        likely /= likely.sum(1, keepdims=True)
        return np.clip(_GAIN * bell / bell.sum() @ likely @ table, 0, 1)

    return Lips(lambda: listen, 0)


class Stream:
    """Sound in, frames out.

    Args:
        letters: the recogniser's step; several streams may share it.
        lips: what the mouth does.
        fps: frames per second.
        rate: samples per second that come in.

    Raises:
        InputError: rates that are none.
    """

    def __init__(self, letters: Compiled, lips: Lips, *, fps: float, rate: int):
        self._sound, self._letters, self._windows = Resampler(rate), streaming.Stream(letters), WindowStream(fps)
        self._lips, self._next = lips.begin(), 0
        self.wait = self._letters.latency + self._windows.latency + lips.ahead / fps
        """Seconds from a frame's own sound to the last sound that it is made of, at most."""

    def push(self, samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Takes samples `[n]` in [-1, 1]; returns number and expressions `[m]` of the frames complete by them."""
        found = []
        for window in self._windows.push(self._letters.push(self._sound.push(samples))):
            lips = self._lips(window)
            if lips is not None:
                found.append((self._next, lips))
                self._next += 1
        return found
