"""The first network of ATVG (Chen et al., 2019) as a method: speech to the landmarks of a face."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, draws
from neurend.adam import adam
from neurend.models.method import Method
from neurend.models.pix2pix.parts import bytes_of, descend
from neurend.models.reenactment import atvg
from neurend.models.reenactment.atvg import SpeechToLandmarks
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree

SCALE = 5.0
"""Landmarks in [-1, 1] are multiplied by this before the networks and the basis see them, as in the paper's code."""
_SIDE = 96  # of pictures of landmarks, in pixels
_DOT = 1.2  # their size, in pixels


@dataclasses.dataclass(frozen=True)
class SpeechConfig:
    """The network and how it is trained. The defaults are those of the paper's code.

    Attributes:
        components: of the landmarks' basis.
        width, hidden: see `SpeechToLandmarks`.
        noise: standard deviation of normal noise that is added to features in training; 0 in the paper's code. Where
            there is little speech, it keeps the network from learning it by heart (Bishop, 1995).
        learning_rate: Adam's.
        beta1: Adam's decay of the first moment.
        constant: part of the run after which the rate falls, linearly to zero.
    """

    components: int = 6
    width: int = 64
    hidden: int = 256
    noise: float = 0.0
    learning_rate: float = 2e-4
    beta1: float = 0.5
    constant: float = 1.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if not 1 <= self.components <= 136:
            raise checks.InputError(f'components: got {self.components}, expected 1 to 136')
        if self.noise < 0:
            raise checks.InputError(f'noise: got {self.noise}, expected 0 or more')
        if not 0 <= self.constant <= 1:
            raise checks.InputError(f'constant: got {self.constant}, expected a part of 1')


class LandmarkBasis(NamedTuple):
    """Principal components of landmarks times `SCALE`: their mean `136` and an orthonormal basis `136 c`."""

    mean: Array
    basis: Array


class SpeechInputs(NamedTuple):
    """What `Method.render` of `speech_to_landmarks` takes.

    Attributes:
        windows: `n t rows coefficients`.
        example: `n 68 2`, landmarks in [-1, 1].
    """

    windows: Array
    example: Array


class SpeechExample(NamedTuple):
    """Speech held out, for `Method.evaluate`; landmarks in [-1, 1].

    Attributes:
        name: of the recording.
        windows: `t rows coefficients`.
        landmarks: `t 68 2`.
        example: `68 2`, of another moment.
    """

    name: str
    windows: np.ndarray
    landmarks: np.ndarray
    example: np.ndarray


def landmark_basis(landmarks: np.ndarray, components: int) -> LandmarkBasis:
    """The principal components of landmarks `[m 68 2]` in [-1, 1], the one of the largest variance first.

    Raises:
        InputError: fewer landmarks than components, or values that are not finite.
    """
    count = checks.shape('landmarks', landmarks, 'm 68 2')['m']
    checks.finite('landmarks', landmarks)
    if count < components:
        raise checks.InputError(f'landmarks: got {count}, expected at least {components}, the components')
    values = SCALE * np.asarray(landmarks, np.float64).reshape(count, -1)
    mean = values.mean(0)
    _, _, rows = np.linalg.svd(values - mean[None], full_matrices=False)
    return LandmarkBasis(jnp.asarray(mean, jnp.float32), jnp.asarray(rows[:components].T, jnp.float32))


def speech_to_landmarks(
    config: SpeechConfig, basis: LandmarkBasis, *, rows: int, coefficients: int, steps: int
) -> Method:
    """The method of the first network.

    Batches are `neurend.data.talking_batches.SpeechBatch`es. The loss is the mean squared difference of components.
    Metrics beside it are 'landmarks' (`atvg.landmark_loss`), and 'distance' and 'lips', the mean distances of
    landmarks, of all and of the lips', in halves of the picture. `render` takes `SpeechInputs` and gives pictures
    `n t 96 96 3` of dots, and in `extras['landmarks']` the landmarks `n t 68 2` in [-1, 1].

    Args:
        config: network and rates.
        basis: of the landmarks to learn from, see `landmark_basis`.
        rows, coefficients: of the windows of speech.
        steps: of the run, at the end of which the learning rate is zero if `config.constant` is not 1.

    Raises:
        InputError: a basis of another number of components, or windows that are too small; and on tracing, batches of
            other shapes.
    """
    checks.shape('basis.basis', basis.basis, f'136 {config.components}', 'Make it with config.components')
    if rows < 5 or coefficients < 7:
        raise checks.InputError(
            f'rows, coefficients: got {rows} and {coefficients}, expected at least 5 and 7, or nothing is left by the '
            "network's pooling. Use longer windows or finer features"
        )
    network = SpeechToLandmarks(config.width, config.hidden)
    constant = int(config.constant * steps)
    rate = optax.linear_schedule(config.learning_rate, 0.0, max(steps - constant, 1), constant)
    optimizer = adam(rate, b1=config.beta1)

    @draws.quickly
    def init(key: Key) -> State:
        silence = jnp.zeros((1, 1, rows, coefficients))
        params = network.init(key, silence, jnp.zeros((1, config.components)))['params']
        return State(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    def hear(params: PyTree, windows: Array, example: Array) -> Array:
        checks.shape('windows', windows, f'n t {rows} {coefficients}', 'The method was made for such windows')
        known = atvg.components(SCALE * example, *basis)
        return network.apply({'params': params}, windows, known)  # pyright: ignore[reportReturnType]

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        sizes = checks.shape('batch.windows', batch.windows, 'n t rows coefficients')
        checks.shape('batch.landmarks', batch.landmarks, 'n t 68 2', 'They must match batch.windows', sizes=sizes)
        wanted = atvg.components(SCALE * batch.landmarks, *basis)
        windows = batch.windows
        if config.noise:
            windows = windows + config.noise * jax.random.normal(key, windows.shape)

        def loss(params: PyTree) -> tuple[Array, Array]:
            heard = hear(params, windows, batch.example)
            return jnp.mean(jnp.square(heard - wanted)), heard

        (value, heard), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        params, moments = descend(optimizer, state.params, state.optimizer, grads)
        landmarks = atvg.from_components(heard, *basis) / SCALE
        values = {'loss': value, 'landmarks': atvg.landmark_loss(landmarks, batch.landmarks)}
        values |= distances(landmarks, batch.landmarks)
        return dataclasses.replace(state, step=state.step + 1, params=params, optimizer=moments), values

    def render(state: State, inputs: SpeechInputs) -> Rendering:
        landmarks = atvg.from_components(hear(state.weights, *inputs), *basis) / SCALE
        pictures = dots(landmarks)
        flat = pictures[..., 0]
        extras = {'landmarks': landmarks}
        return Rendering(rgb=pictures, alpha=jnp.ones_like(flat), depth=jnp.zeros_like(flat), extras=extras)

    drawn = jax.jit(render)

    def evaluate(state: State, example: SpeechExample) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        inputs = SpeechInputs(jnp.asarray(example.windows)[None], jnp.asarray(example.example)[None])
        heard = drawn(state, inputs)
        truth = jnp.asarray(example.landmarks)
        values = distances(heard.extras['landmarks'][0], truth)
        middle = len(truth) // 2
        pictures = {'heard': heard.rgb[0, middle], 'truth': dots(truth[middle])}
        return {name: float(value) for name, value in values.items()}, {
            name: bytes_of(np.asarray(picture)) for name, picture in pictures.items()
        }

    return Method(init, step, render, evaluate)


def distances(landmarks: Array, truth: Array) -> dict[str, Array]:
    """The mean distances of landmarks `... 68 2` from true ones: 'distance' of all, 'lips' of the lips'."""
    apart = jnp.linalg.norm(landmarks - truth, axis=-1)
    return {'distance': jnp.mean(apart), 'lips': jnp.mean(apart[..., atvg.LIPS])}


def dots(landmarks: Array) -> Array:
    """White dots on black, `... 96 96 3` in [0, 1], at landmarks `... 68 2` in [-1, 1]."""
    places = (landmarks + 1) * (_SIDE / 2)
    centers = (jnp.arange(_SIDE) + 0.5).reshape((1,) * (landmarks.ndim - 1) + (_SIDE,))
    across, down = (jnp.exp(-jnp.square((centers - places[..., axis, None]) / _DOT)) for axis in (0, 1))
    # One dot is a product of two curves, so that all of them are a product of two matrices.
    picture = jnp.minimum(jnp.einsum('...py,...px->...yx', down, across), 1.0)
    return jnp.broadcast_to(picture[..., None], (*picture.shape, 3))
