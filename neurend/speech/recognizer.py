"""A recogniser of letters: convolutions over mel bands that look little ahead, so that it can listen to a stream.

The design is that of networks of separable convolutions in time (Kriman et al., 2020, QuartzNet) in causal form.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.speech import features
from neurend.speech.text import CLASSES
from neurend.typing import Array, PyTree

SAMPLES = 2 * features.HOP
"""Samples in a row of logits; row r is heard from sample 320 r on."""
TAIL = features.WINDOW - features.HOP
"""Samples that a row needs beyond its own."""
COLUMNS = 2 * features.BANDS
"""Features in a row, mel bands of two frames."""
STRIDE = 2
"""Rows in a step of the network, of which it takes whole ones."""
SILENCE = math.log(features.QUIET)
"""The features of digital silence."""
_MEMORY = 100.0  # rows over which the running mean of the bands decays to 1/e
_PRIOR, _SPREAD = 10.0, 4.0  # of the bands of speech: mean at the start, and scale


class LetterNetwork(nn.Module):
    """Rows of mel bands to logits of letters: residual blocks of a convolution for each channel and two dense layers.

    Bands lose their running mean, and with it the loudness of a voice and the colour of a microphone. Call with `n t
    80` rows and a carry (`start`); returns logits `n t 29`, which belong to the rows `delay` earlier, and the carry for
    what follows. Rows in one piece and in pieces have the same logits.

    Blocks work on steps of two rows, 40 milliseconds, which halves their cost; the last layer gives both rows.

    Attributes:
        width: channels between blocks.
        hidden: channels within.
        taps: of the convolutions in time.
        dilations: steps between taps, of each block.
        ahead: taps that lie ahead, of each block.
    """

    width: int = 160
    hidden: int = 320
    taps: int = 5
    dilations: tuple[int, ...] = (1, 1, 2, 1, 2, 1, 2, 1)
    ahead: tuple[int, ...] = (1, 1, 0, 1, 0, 1, 0, 1)

    @property
    def delay(self) -> int:
        """Rows that are looked ahead, 20 milliseconds each."""
        return STRIDE * sum(dilation * ahead for dilation, ahead in zip(self.dilations, self.ahead))

    def start(self, n: int) -> PyTree:
        """The carry before the first row."""
        past = [jnp.zeros((n, (self.taps - 1) * dilation, self.width)) for dilation in self.dilations]
        return {'mean': jnp.full((n, features.BANDS), _PRIOR), 'past': past}

    @nn.compact
    def __call__(self, rows: Array, carry: PyTree) -> tuple[Array, PyTree]:
        sizes = checks.shape('rows', rows, f'n t {COLUMNS}', 'Give mel bands of two frames each')
        steps = sizes['t'] // STRIDE
        if sizes['t'] % STRIDE:
            raise InputError(f'rows: got {sizes["t"]}, expected an even number')
        centered, mean = _without_mean(rows, carry['mean'])
        joined = centered.reshape(-1, steps, STRIDE * COLUMNS)
        hidden = nn.Dense(self.width, name='bands')(joined / _SPREAD)
        kept = []
        for block, (dilation, ahead, past) in enumerate(zip(self.dilations, self.ahead, carry['past'])):
            heard = jnp.concatenate([past, hidden], axis=1)
            kept.append(heard[:, steps:])
            slices = [heard[:, tap * dilation : tap * dilation + steps] for tap in range(self.taps)]
            kernel = self.param(f'time_{block}', nn.initializers.normal(self.taps**-0.5), (self.taps, self.width))
            mixed = sum(kernel[None, None, tap] * each for tap, each in enumerate(slices))
            mixed = nn.LayerNorm(name=f'norm_{block}')(mixed)
            mixed = nn.relu(nn.Dense(self.hidden, name=f'widen_{block}')(mixed))
            change = nn.Dense(self.width, name=f'narrow_{block}')(mixed)
            hidden = slices[self.taps - 1 - ahead] + change
        # All letters are alike at first: from an opinion of its own CTC may never find the sounds' own letters.
        last = nn.Dense(STRIDE * CLASSES, kernel_init=nn.initializers.normal(0.02), name='letters')
        logits = last(nn.LayerNorm(name='norm')(hidden))
        return logits.reshape(-1, sizes['t'], CLASSES), {'mean': mean, 'past': kept}


def _without_mean(rows: Array, before: Array) -> tuple[Array, Array]:
    """Rows less the running mean of their bands, `n 40`, which begins at `before`; and the mean after the last."""
    count = rows.shape[1]
    bands = rows.reshape(*rows.shape[:2], 2, features.BANDS)
    kept = 1 - 1 / _MEMORY
    ages = np.arange(count)[:, None] - np.arange(count)[None]
    # A product with all weights: a loop over rows would take longer, and no piece has more than some hundred.
    weights = np.where(ages >= 0, kept ** np.maximum(ages, 0), 0) / _MEMORY
    means = jnp.einsum('ts,nsb->ntb', jnp.asarray(weights, rows.dtype), bands.mean(2))
    means = means + (kept ** np.arange(1, count + 1, dtype=np.float32))[None, :, None] * before[:, None]
    return (bands - means[:, :, None]).reshape(rows.shape), means[:, -1]


class Recognizer(NamedTuple):
    """A trained network.

    Attributes:
        network: its shape.
        params: its weights.
    """

    network: LetterNetwork
    params: PyTree


def rows_of(samples: Array) -> Array:
    """Mel bands of two frames in a row, `[t 80]`, of samples `[320 t + 240]` at 16 kHz.

    Raises:
        InputError: another number of samples.
    """
    count = checks.shape('samples', samples, 'n', 'Give one channel')['n']
    if count <= TAIL or (count - TAIL) % SAMPLES:
        raise InputError(f'samples: got {count}, expected a multiple of {SAMPLES}, and {TAIL} more')
    return features.log_mel(samples).reshape(-1, COLUMNS)


def step(recognizer: Recognizer, carry: PyTree, samples: Array) -> tuple[Array, PyTree]:
    """Logits `[t 29]` of the rows `delay` earlier, and the carry; samples as `rows_of` takes them.

    Raises:
        InputError: see `rows_of`.
    """
    rows = rows_of(samples)[None]
    found, carry = recognizer.network.apply({'params': recognizer.params}, rows, carry)  # pyright: ignore[reportAssignmentType, reportGeneralTypeIssues]
    return found[0], carry


class Compiled:
    """The step of a recogniser, compiled for blocks of some rows."""

    def __init__(self, recognizer: Recognizer, rows: int):
        self.recognizer, self.rows = recognizer, rows
        self._step = jax.jit(lambda params, *inputs: step(recognizer._replace(params=params), *inputs))

    def __call__(self, carry: PyTree, samples: np.ndarray) -> tuple[np.ndarray, PyTree]:
        """Logits and carry; see `step`."""
        found, carry = self._step(self.recognizer.params, carry, jnp.asarray(samples))
        return np.asarray(found), carry
