"""From speech to expressions: the network of Neural Voice Puppetry (Thies et al., 2020), for films and as it is heard.

A window of letter logits, 16 rows of 29 of which row 8 is the frame's, becomes a code of 32 numbers; eight consecutive
codes are averaged by weights that a second network chooses; the average, the audio expression, is the same for
everybody, and a matrix for each person makes of it the coefficients of that person's face model.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.nn.speech import AudioEncoder, Convolution
from neurend.typing import Array, PyTree

CODES = 32
"""Numbers of an audio expression."""
STEPS = 8
"""Consecutive windows that one audio expression averages."""
AHEAD = 4
"""Windows after the frame's among them with look-ahead; without it there are none."""
FACTOR = 10.0
"""Expressions are this times a person's matrix times the audio expression, wherever a matrix is learned or fitted."""
_WIDTHS = (128, 64)
_ATTENTION = (16, 8, 4, 2, 1)
_SLOPE = 0.02


@flax.struct.dataclass
class Heard:
    """What the network makes of eight windows.

    Attributes:
        expressions: `n e`.
        audio: `n 32`, audio expressions.
        codes: `n 8 32`, of each window alone.
        attention: `n 8`, their weights, which add up to 1.
    """

    expressions: Array
    audio: Array
    codes: Array
    attention: Array


class Audio2Expression(nn.Module):
    """The network. Call with windows `n 8 16 l` and speakers `n`, integers; returns `Heard`.

    Layers are those of the published code and checkpoint: four convolutions that halve the time, three dense layers,
    the last with tanh; for the weights five convolutions over the eight steps, one dense layer and a softmax. There is
    no normalisation, though the paper's figure has it.

    Attributes:
        speakers: of the training films, each of which has a matrix.
        expressions: of the face model, e.
        spread: standard deviation of the matrices at first, 1 in the published code.
    """

    speakers: int = 1
    expressions: int = 76
    spread: float = 1.0

    def setup(self):
        self.encoder = AudioEncoder()
        self.dense = [nn.Dense(width) for width in (*_WIDTHS, CODES)]
        self.attention = [Convolution(channels) for channels in _ATTENTION]
        self.weigh = nn.Dense(STEPS)
        shape = (self.speakers, self.expressions, CODES)
        self.mapping = self.param('mapping', nn.initializers.normal(self.spread), shape)

    def code(self, windows: Array) -> Array:
        """Codes `n 32` in (-1, 1) of windows `n 16 l`."""
        hidden = self.encoder(windows)
        for layer in self.dense[:-1]:
            hidden = jax.nn.leaky_relu(layer(hidden), _SLOPE)
        return jnp.tanh(self.dense[-1](hidden))

    def attend(self, codes: Array) -> Array:
        """Weights `n 8` of codes `n 8 32`."""
        hidden = codes
        for layer in self.attention:
            hidden = jax.nn.leaky_relu(layer(hidden), _SLOPE)
        return jax.nn.softmax(self.weigh(hidden[..., 0]))

    def filter(self, codes: Array) -> tuple[Array, Array]:
        """Audio expressions `n 32` and weights `n 8` of codes `n 8 32`."""
        weights = self.attend(codes)
        return jnp.einsum('ns,nsc->nc', weights, codes), weights

    def __call__(self, windows: Array, speakers: Array) -> Heard:
        count = checks.shape('windows', windows, f'n {STEPS} 16 _', 'Give eight windows for each frame')['n']
        checks.shape('speakers', speakers, f'{count}', 'Give one for each frame')
        codes = self.code(windows.reshape(-1, *windows.shape[2:])).reshape(count, STEPS, CODES)
        audio, weights = self.filter(codes)
        return Heard(express(self.mapping[speakers], audio), audio, codes, weights)


def express(matrix: Array, audio: Array) -> Array:
    """Expressions `... e` of audio expressions `... 32` by a person's matrix `e 32`, or one for each, `... e 32`."""
    return FACTOR * jnp.matmul(matrix, audio[..., None], precision='highest')[..., 0]


def current(look_ahead: bool) -> int:
    """Which of the eight windows is the frame's own: 3 with look-ahead, 7 without."""
    return STEPS - 1 - (AHEAD if look_ahead else 0)


def neighbours(frames: Array, count: int, *, look_ahead: bool = True) -> Array:
    """Frames `... 8` whose windows tell the expression of frames `...` in a film of `count` frames.

    With look-ahead three before it to four after it, else seven before it to itself. Those beyond the film's ends are
    its first or its last frame.

    >>> neighbours(jnp.array([1, 9]), 10)
    Array([[0, 0, 0, 1, 2, 3, 4, 5],
           [6, 7, 8, 9, 9, 9, 9, 9]], dtype=int32)
    """
    around = jnp.arange(STEPS) - current(look_ahead)
    return jnp.clip(jnp.asarray(frames)[..., None] + around.reshape((1,) * jnp.ndim(frames) + (-1,)), 0, count - 1)


def audio_expressions(params: PyTree, windows: Array, *, look_ahead: bool = True) -> Array:
    """Audio expressions `t 32` of a film's windows `t 16 l`, each of which is encoded once.

    Args:
        params: of `Audio2Expression`, of any number of speakers; `mapping` is not used.
        windows: consecutive, see `neurend.speech.windows`.
        look_ahead: as in training.

    Raises:
        InputError: windows of another shape, or none.
    """
    count = checks.shape('windows', windows, 't 16 _', 'Give one window for each frame')['t']
    if not count:
        raise checks.InputError('windows: got none, expected one for each frame')
    codes = _call(params, jnp.asarray(windows, jnp.float32), 'code')
    return _call(params, codes[neighbours(jnp.arange(count), count, look_ahead=look_ahead)], 'filter')[0]


@flax.struct.dataclass
class Carry:
    """What has been heard so far: hand it to the next call of `listen`; it is never changed.

    Attributes:
        codes: `8 32` of the newest windows, the newest last.
        count: windows heard, int32.
    """

    codes: Array
    count: Array


def silence() -> Carry:
    """Before the first window."""
    return Carry(jnp.zeros((STEPS, CODES)), jnp.int32(0))


def listen(params: PyTree, carry: Carry, windows: Array, *, look_ahead: bool = True) -> tuple[Carry, Array, Array]:
    """Hears k more windows, each as soon as it is there; pure, for any k of at least 1, compiled once for each k.

    The audio expressions of all calls and of `finish`, one after another, are those of `audio_expressions`. Look-ahead
    makes them late by four frames; without it those of the k frames come at once.

    Args:
        params, look_ahead: see `audio_expressions`.
        carry: of the call before, or `silence()`.
        windows: `k 16 l`, consecutive.

    Returns:
        The carry, audio expressions `k 32`, and the frames `k` that they are of, counted from 0: those with a negative
        number come before the first frame and mean nothing.

    Raises:
        InputError: windows of another shape, or none.
    """
    more = checks.shape('windows', windows, 'k 16 _', 'Give consecutive windows')['k']
    if not more:
        raise checks.InputError('windows: got none, expected at least one')
    codes = _call(params, jnp.asarray(windows, jnp.float32), 'code')
    # Before the first window there is the first window, as at the beginning of a film.
    before = jnp.where(carry.count > 0, carry.codes, codes[:1])
    found, heard = _slide(params, before, codes)
    count = carry.count + more
    return Carry(heard, count), found, count - more + jnp.arange(more) - (AHEAD if look_ahead else 0)


def finish(params: PyTree, carry: Carry, *, look_ahead: bool = True) -> tuple[Array, Array]:
    """Audio expressions of the last four frames, and which they are, when no more is heard; none without look-ahead."""
    more = AHEAD if look_ahead else 0
    found, _ = _slide(params, carry.codes, jnp.broadcast_to(carry.codes[-1:], (more, CODES)))
    return found, carry.count + jnp.arange(more) - more


def _slide(params: PyTree, before: Array, codes: Array) -> tuple[Array, Array]:
    """Audio expressions of the eight codes that end at each of `codes`, and the last eight."""
    together = jnp.concatenate([before, codes])
    places = 1 + jnp.arange(len(codes))[:, None] + jnp.arange(STEPS)[None]
    return _call(params, together[places], 'filter')[0], together[-STEPS:]


def _call(params: PyTree, values: Array, method: str) -> Any:
    # The mapping's shape tells speakers and expressions, as the module checks its parameters' shapes.
    speakers, expressions = params['mapping'].shape[:2]
    return Audio2Expression(speakers, expressions).apply({'params': params}, values, method=method)
