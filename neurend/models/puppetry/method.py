"""Speech to expressions as a method of the training loop."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.images import curves
from neurend.models import state as states
from neurend.models.method import Method, Stepper
from neurend.models.puppetry import measures
from neurend.models.puppetry.config import PuppetryConfig
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.speech import expression, expression_losses, mapping
from neurend.speech.expression import CODES, STEPS, Audio2Expression
from neurend.speech.expression_losses import Space
from neurend.typing import Array, Key, Metrics, PyTree

_SHOWN = 8  # expressions in a picture of curves


class Inputs(NamedTuple):
    """What `Method.render` takes: consecutive windows `t 16 l` of speech, and who speaks, an integer."""

    windows: Array
    speaker: Any = 0


class Example(NamedTuple):
    """A film held out, of t consecutive frames.

    Attributes:
        name: of the film.
        windows: `t 16 l`.
        expressions: `t e`.
        speaker: whose.
        mask: none.
    """

    name: str
    windows: np.ndarray
    expressions: np.ndarray
    speaker: int = 0
    mask: None = None


class Scale(NamedTuple):
    """What films are like on average, so that training begins with inputs and outputs of ordinary size.

    The network itself hears raw logits: what standardises them is part of its first layer, see `network`.

    Attributes:
        mean, deviation: `l`, of the logits of each letter.
        rest: `speakers e`, mean expressions, which are added to what the network says.
    """

    mean: np.ndarray
    deviation: np.ndarray
    rest: np.ndarray


def scale(windows: list[np.ndarray], expressions: list[np.ndarray], speakers: list[int]) -> Scale:
    """The scale of films to learn from: windows `t 16 l`, expressions `t e` and the speaker of each.

    Raises:
        InputError: a speaker below the largest number has no film.
    """
    count = max(speakers) + 1
    missing = sorted({*range(count)} - {*speakers})
    if missing:
        raise checks.InputError(f'speakers: none of the films is of speaker {missing[0]}; number them from 0 on')
    rest = [
        np.concatenate([film for film, whose in zip(expressions, speakers) if whose == k]).mean(0, dtype=np.float64)
        for k in range(count)
    ]
    heard = np.concatenate([film[:, 8] for film in windows]).astype(np.float64)
    deviation = heard.std(0)
    found = (heard.mean(0), np.where(deviation > 0, deviation, 1), np.stack(rest))
    return Scale(*(each.astype(np.float32) for each in found))


def puppetry(config: PuppetryConfig, space: Space, sizes: Scale, *, stepper: Stepper) -> Method:
    """The method; batches are `neurend.data.expression_batches.ExpressionBatch`es of at least three frames.

    Metrics of a step are the loss's three parts, see `expression_losses.terms`. `render` takes `Inputs` and gives in
    `extras` 'expressions' `t e` and 'audio' `t 32`, and as a picture one row for each expression and one column for
    each frame, gray where it is at rest. `evaluate` takes an `Example`; 'explained_variance' is in the loss's space,
    'error' the root mean square there, 'correlation' the mean over expressions.

    Args:
        config: see `PuppetryConfig`.
        space: where expressions are compared.
        sizes: of the films to learn from; see `scale`.
        stepper: how the loss is minimised.

    Raises:
        InputError: a space and a scale of different numbers of expressions; on tracing, batches that do not fit.
    """
    (letters,) = np.shape(sizes.mean)
    speakers, count = np.shape(sizes.rest)
    checks.shape('space.root', space.root, f'{count} _', 'Make it for the expressions of the films')
    module = Audio2Expression(speakers, count, config.spread)
    beside = config.before + config.after

    @draws.quickly
    def init(key: Key) -> State:
        nothing = jnp.zeros((1, STEPS, 16, letters))
        params = module.init(key, nothing, jnp.zeros(1, jnp.int32))['params']
        return states.create(params, stepper, aux=jax.tree.map(jnp.asarray, sizes._asdict()))

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del step
        n, heard = batch.windows.shape[:2]
        moments = heard - beside
        checks.shape('batch.windows', batch.windows, f'n _ 16 {letters}', 'The method was made for these letters')
        checks.shape('batch.expressions', batch.expressions, f'{n} {moments} {count}', 'They must match the windows')
        windows = batch.windows
        if config.noise:
            # Windows overlap: row r of window j is row r - 1 of the next one, and what it hears is heard there too.
            deviation = config.noise * aux['deviation'].reshape(1, 1, -1)
            rows = deviation * jax.random.normal(key, (n, heard + 15, letters))
            windows = windows + rows[:, jnp.arange(heard)[:, None] + jnp.arange(16)[None]]

        params = _folded(params, aux)

        def call(values: Array, method: str) -> Any:
            return module.apply({'params': params}, values, method=method)

        codes = call(windows.reshape(n * heard, 16, letters), 'code').reshape(n, heard, CODES)
        eight = codes[:, jnp.arange(moments)[:, None] + jnp.arange(STEPS)[None]]
        audio = call(eight.reshape(n * moments, STEPS, CODES), 'filter')[0].reshape(n, moments, CODES)
        matrix = params['mapping'][batch.speakers][:, None]
        predicted, own = (expression.express(matrix, heard) for heard in (audio, eight[:, :, config.own]))
        target = batch.expressions - aux['rest'][batch.speakers][:, None]
        parts = expression_losses.terms(space, predicted, own, target, kind=config.loss.kind)
        return expression_losses.total(config.loss, parts), dict(parts._asdict())

    def render(state: State, inputs: Inputs) -> Rendering:
        params = network(state)
        audio = expression.audio_expressions(params, inputs.windows, look_ahead=config.look_ahead)
        moved = expression.express(params['mapping'][inputs.speaker], audio)
        found = moved + state.aux['rest'][inputs.speaker][None]
        gray = jnp.clip(0.5 + 0.5 * moved.T / jnp.maximum(jnp.max(jnp.abs(moved)), 1e-12), 0, 1)
        picture = jnp.broadcast_to(gray[..., None], (*gray.shape, 3))
        extras = {'expressions': found, 'audio': audio}
        return Rendering(rgb=picture, alpha=jnp.ones_like(gray), depth=jnp.zeros_like(gray), extras=extras)

    heard = jax.jit(lambda state, inputs: render(state, inputs).extras['expressions'])

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        found = np.asarray(heard(state, Inputs(jnp.asarray(example.windows, jnp.float32), example.speaker)))
        truth, mean = example.expressions, np.asarray(sizes.rest[example.speaker])
        error = expression_losses.distance(space, jnp.asarray(found - truth, jnp.float32))
        values = {
            'explained_variance': measures.explained_variance(found, truth, mean, root=space.root),
            'error': float(error),
            'correlation': float(measures.correlations(found, truth).mean()),
            'jitter_ratio': measures.jitter_ratio(found, truth),
        }
        chosen = np.argsort(-np.var(truth, axis=0))[:_SHOWN]
        titles = [f'expression {k}' for k in chosen]
        picture = curves.curves([truth[:, chosen], found[:, chosen]], titles=titles, names=('true', 'heard'))
        return values, {'curves': picture}

    return Method(init, stepper.step(loss), render, evaluate)


def network(state: State) -> PyTree:
    """Parameters of `Audio2Expression` for raw logits, of a trained state; they go where a checkpoint's do."""
    return _folded(state.weights, state.aux)


def _folded(params: PyTree, aux: PyTree) -> PyTree:
    """With the first layer for raw logits, of parameters whose first layer is for standardised ones."""
    first = params['encoder']['convolution_0']
    kernel = first['kernel'] / aux['deviation'].reshape(1, -1, 1)
    bias = first['bias'] - jnp.einsum('klo,l->o', kernel, aux['mean'])
    encoder = {**params['encoder'], 'convolution_0': {'kernel': kernel, 'bias': bias}}
    return {**params, 'encoder': encoder}


def speaker(state: State, which: int = 0, *, look_ahead: bool = True) -> mapping.Mapping:
    """The map that training found for one of its speakers."""
    name = mapping.fingerprint(jax.device_get(network(state)), look_ahead=look_ahead)
    return mapping.Mapping(state.weights['mapping'][which], state.aux['rest'][which], name)
