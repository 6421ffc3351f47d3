"""A recogniser of letters as a method: trained by connectionist temporal classification."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.models import state as states
from neurend.models.method import Method, Stepper
from neurend.models.pix2pix.parts import bytes_of
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.speech import ctc, features
from neurend.speech.recognizer import COLUMNS, SILENCE, LetterNetwork
from neurend.speech.text import BLANK
from neurend.typing import Array, Key, Metrics, PyTree

_TALL = 4  # pixels of a class in a picture


class Spoken(NamedTuple):
    """Speech held out, for `Method.evaluate`.

    Attributes:
        name: of the recording.
        rows: float32 `[t 80]`, see `recognizer.rows_of`.
        text: what is said, normalised.
    """

    name: str
    rows: np.ndarray
    text: str


def whole_seconds(rows: np.ndarray) -> np.ndarray:
    """Rows `[t 80]` with silence behind them up to a multiple of two seconds, so that few programs are compiled."""
    return np.pad(rows, ((0, -len(rows) % 100), (0, 0)), constant_values=SILENCE)


def letter_recognizer(network: LetterNetwork, stepper: Stepper, *, timing: float = 0.0) -> Method:
    """The method of a recogniser.

    Batches are `neurend.data.letter_batches.LetterBatch`es. The loss is that of `ctc.loss`, in nats a letter, and
    `timing` times the cross entropy of the letter spoken in each row where that is known, blanks not counted: CTC
    alone is long in finding which sound is which letter, and says nothing of when a letter comes. `render`
    takes rows `n t 80` and gives pictures of the probabilities of letters over time, and in `extras['logits']` the
    logits `n t 29`, as if silence followed. `evaluate` takes a `Spoken` and tells 'errors' and 'letter_error_rate' of
    its greedy transcript.

    Args:
        network: its shape.
        stepper: how the loss is minimised.
        timing: weight of the letters' times.
    """

    @draws.quickly
    def init(key: Key) -> State:
        params = network.init(key, jnp.zeros((1, 8, COLUMNS)), network.start(1))['params']
        return states.create(params, stepper)

    def hear(params: PyTree, rows: Array) -> Array:
        checks.shape('rows', rows, f'n t {COLUMNS}')
        silence = jnp.full((len(rows), network.delay, COLUMNS), SILENCE, rows.dtype)
        heard = jnp.concatenate([rows, silence], axis=1)
        found: Any = network.apply({'params': params}, heard, network.start(len(rows)))
        return found[0][:, network.delay :]

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del key, aux, step
        logits = hear(params, batch.rows)
        surprise = jnp.sum(ctc.loss(logits, batch.count, batch.labels, batch.letters)) / jnp.sum(batch.letters)
        if not timing:
            return surprise, {'ctc': surprise}
        known = batch.spoken >= 0
        names = jax.nn.one_hot(batch.spoken, BLANK)  # of -1 nothing
        wrong = -jnp.sum(names * jax.nn.log_softmax(logits[..., :BLANK])) / jnp.maximum(jnp.sum(known), 1)
        return surprise + timing * wrong, {'ctc': surprise, 'timing': wrong}

    def render(state: State, rows: Array) -> Rendering:
        logits = hear(state.weights, rows)
        shown = jnp.swapaxes(jax.nn.softmax(logits), 1, 2)
        flat = jnp.repeat(shown, _TALL, axis=1)
        rgb = jnp.broadcast_to(flat[..., None], (*flat.shape, 3))
        return Rendering(rgb=rgb, alpha=jnp.ones_like(flat), depth=jnp.zeros_like(flat), extras={'logits': logits})

    drawn = jax.jit(render)

    def evaluate(state: State, example: Spoken) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        count = len(example.rows)
        made = drawn(state, jnp.asarray(whole_seconds(example.rows))[None])
        heard = ctc.greedy(np.asarray(made.extras['logits'])[0, :count])
        wrong = ctc.errors(example.text, heard)
        bands = example.rows.reshape(-1, 2, features.BANDS).mean(1).T[::-1]
        seen = (bands - bands.min()) / max(np.ptp(bands), 1e-6)
        pictures = {
            'bands': np.repeat(np.repeat(seen[..., None], 3, axis=-1), _TALL, axis=0),
            'letters': np.asarray(made.rgb)[0, :, :count],
        }
        values = {'errors': float(wrong), 'letter_error_rate': wrong / len(example.text)}
        return values, {name: bytes_of(picture) for name, picture in pictures.items()}

    return Method(init, stepper.step(loss), render, evaluate)
