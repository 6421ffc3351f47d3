"""The second network of ATVG (Chen et al., 2019) as a method: a face that talks, by landmarks and an example frame."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, draws
from neurend.adam import adam
from neurend.losses import adversarial, photometric
from neurend.models.method import Method
from neurend.models.pix2pix.parts import bytes_of, descend, measure, rendering
from neurend.models.reenactment import atvg
from neurend.models.reenactment.atvg_discriminator import RegressionDiscriminator
from neurend.models.reenactment.atvg_face import LandmarksToFace
from neurend.models.reenactment.atvg_speech import SCALE
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class TalkingFaceConfig:
    """Networks, losses and rates. The defaults are those of the paper's code, but for the weight of the lips.

    Attributes:
        width, blocks: of the generator, see `LandmarksToFace`.
        discriminator_width, hidden: of the discriminator, see `RegressionDiscriminator`.
        pixel: weight of `atvg.pixel_loss` of values in [-1, 1].
        adversarial: weight of the non-saturating loss.
        landmarks: weight of `atvg.landmark_loss` of what the discriminator regresses.
        lips: what heights of the lips' landmarks count in it; 10000 in the paper's code, where the rest hardly counts.
        learning_rate: of all networks, Adam.
        beta1: Adam's decay of the first moment.
        constant: part of the run after which the rate falls, linearly to zero.
    """

    width: int = 64
    blocks: int = 9
    discriminator_width: int = 64
    hidden: int = 256
    pixel: float = 10.0
    adversarial: float = 1.0
    landmarks: float = 1.0
    lips: float = 100.0
    learning_rate: float = 2e-4
    beta1: float = 0.5
    constant: float = 1.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if min(self.pixel, self.adversarial, self.landmarks) < 0:
            raise checks.InputError('pixel, adversarial, landmarks: got a negative weight, expected none')
        if not 0 <= self.constant <= 1:
            raise checks.InputError(f'constant: got {self.constant}, expected a part of 1')


class FaceInputs(NamedTuple):
    """What `Method.render` of `talking_face` takes; landmarks in [-1, 1] across the picture.

    Attributes:
        example: `n h w 3` in [0, 1].
        example_landmarks: `n 68 2`.
        landmarks: `n t 68 2`, of consecutive moments.
    """

    example: Array
    example_landmarks: Array
    landmarks: Array


class FaceExample(NamedTuple):
    """Frames held out, for `Method.evaluate`; pictures uint8, landmarks in [-1, 1].

    They come in stretches that are drawn together, since batch norm takes the statistics of all of them: those of a few
    frames that look alike are not what the network learned with.

    Attributes:
        name: of the frames.
        example: `h w 3`.
        example_landmarks: `68 2`.
        landmarks: `n t 68 2`, of n stretches of t consecutive moments.
        images: `n t h w 3`.
    """

    name: str
    example: np.ndarray
    example_landmarks: np.ndarray
    landmarks: np.ndarray
    images: np.ndarray


def talking_face(config: TalkingFaceConfig, mean: np.ndarray, *, size: tuple[int, int], steps: int) -> Method:
    """The method of the second network, trained on true landmarks.

    The networks see landmarks less their mean, times `SCALE`: what all frames share would hide what differs.
    Batches are `neurend.data.talking_batches.FaceBatch`es. A step draws the frames of all moments; updates the
    discriminator by the scores of true and drawn sequences and by what it regresses from both; then the generator by
    pixels, by the discriminator's score, and by the landmarks that it regresses from the drawn frames.
    `state.params` is {'generator', 'discriminator'}. Metrics are 'loss' (the generator's), its terms 'pixel',
    'adversarial' and 'landmarks', the discriminator's 'discriminator' and 'regression', and 'psnr'. `render` takes
    `FaceInputs` and gives `n t h w 3`.

    Args:
        config: networks, losses and rates.
        mean: `68 2`, of the landmarks to learn from.
        size: (width, height) of pictures, multiples of 16.
        steps: of the run, at the end of which the learning rate is zero if `config.constant` is not 1.

    Raises:
        InputError: another size or shape; and on tracing, batches of other shapes.
    """
    if min(size) < 16 or size[0] % 16 or size[1] % 16:
        raise checks.InputError(f'size: got {size[0]} x {size[1]} pixels, expected multiples of 16')
    checks.shape('mean', mean, '68 2')
    center = jnp.asarray(mean, jnp.float32)
    network = LandmarksToFace(config.width, config.blocks)
    judge = RegressionDiscriminator(config.discriminator_width, config.hidden)
    objective = adversarial.objective('non_saturating')
    constant = int(config.constant * steps)
    rate = optax.linear_schedule(config.learning_rate, 0.0, max(steps - constant, 1), constant)
    optimizer = adam(rate, b1=config.beta1)

    @draws.quickly
    def init(key: Key) -> State:
        keys = jax.random.split(key)
        picture, points = jnp.zeros((1, size[1], size[0], 3)), jnp.zeros((1, 68, 2))
        params = {
            'generator': network.init(keys[0], picture, points, points[:, None])['params'],
            'discriminator': judge.init(keys[1], picture[:, None], points)['params'],
        }
        return State(jnp.zeros((), jnp.int32), params, {name: optimizer.init(tree) for name, tree in params.items()})

    def scaled(landmarks: Array) -> Array:
        return SCALE * (landmarks - center.reshape(*(1,) * (landmarks.ndim - 2), 68, 2))

    def draw(params: PyTree, inputs: FaceInputs) -> tuple[Array, Array]:
        """Frames in [-1, 1], and the mask."""
        points = scaled(inputs.example_landmarks), scaled(inputs.landmarks)
        found: Any = network.apply({'params': params}, 2 * inputs.example - 1, *points)
        frames, _, mask = found
        return frames, mask

    def discriminate(params: PyTree, frames: Array, example_landmarks: Array) -> tuple[Array, Array]:
        return judge.apply({'params': params}, frames, scaled(example_landmarks))  # pyright: ignore[reportReturnType]

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        del key
        _check(batch, size)
        params, states = dict(state.params), dict(state.optimizer)
        known, real, truth = batch.example_landmarks, 2 * batch.images - 1, scaled(batch.landmarks)
        inputs = FaceInputs(batch.example, known, batch.landmarks)
        frames, pull, mask = jax.vjp(lambda weights: draw(weights, inputs), params['generator'], has_aux=True)

        def judging_loss(weights: PyTree) -> tuple[Array, tuple[Array, Array]]:
            (right, of_real), (wrong, of_fake) = (discriminate(weights, each, known) for each in (real, frames))
            score = objective.discriminator(right, wrong)
            regression = jnp.mean(jnp.square(of_real - truth)) + jnp.mean(jnp.square(of_fake - truth))
            return score + regression, (score, regression)

        (_, judged), grads = jax.value_and_grad(judging_loss, has_aux=True)(params['discriminator'])
        params['discriminator'], states['discriminator'] = descend(
            optimizer, params['discriminator'], states['discriminator'], grads
        )

        def drawing_loss(frames: Array) -> tuple[Array, dict[str, Array]]:
            score, regressed = discriminate(params['discriminator'], frames, known)
            terms = {
                'pixel': atvg.pixel_loss(frames, real, mask),
                'adversarial': objective.generator(score),
                'landmarks': atvg.landmark_loss(regressed, truth, lips=config.lips),
            }
            return sum((getattr(config, name) * term for name, term in terms.items()), jnp.zeros(())), terms

        (loss, terms), cotangent = jax.value_and_grad(drawing_loss, has_aux=True)(frames)
        params['generator'], states['generator'] = descend(
            optimizer, params['generator'], states['generator'], pull(cotangent)[0]
        )
        values = {'loss': loss, **terms, 'discriminator': judged[0], 'regression': judged[1]}
        values['psnr'] = photometric.psnr(jnp.mean(jnp.square(frames - real)) / 4)
        return dataclasses.replace(state, step=state.step + 1, params=params, optimizer=states), values

    def render(state: State, inputs: FaceInputs) -> Rendering:
        return rendering(draw(state.weights['generator'], inputs)[0])

    drawn = jax.jit(lambda state, inputs: render(state, inputs).rgb)

    def evaluate(state: State, example: FaceExample) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        sizes = checks.shape('example.landmarks', example.landmarks, 'n t 68 2')
        checks.shape('example.images', example.images, 'n t h w 3', 'They must match example.landmarks', sizes=sizes)
        known = example.example[None].astype(np.float32) / 255, example.example_landmarks[None]
        picture, points = (jnp.asarray(np.repeat(part, sizes['n'], axis=0)) for part in known)
        frames = np.asarray(drawn(state, FaceInputs(picture, points, jnp.asarray(example.landmarks))))
        frames, truths = (x.reshape(-1, *x.shape[2:]) for x in (frames, example.images))
        values = [measure(truth.astype(np.float32) / 255, frame) for truth, frame in zip(truths, frames)]
        middle = len(frames) // 2
        pictures = {'example': example.example, 'prediction': bytes_of(frames[middle]), 'truth': truths[middle]}
        return {name: float(np.mean([each[name] for each in values])) for name in values[0]}, pictures

    return Method(init, step, render, evaluate)


def _check(batch: Any, size: tuple[int, int]) -> None:
    width, height = size
    sizes = checks.shape('batch.images', batch.images, f'n t {height} {width} 3', 'The method was made for this size')
    checks.shape('batch.landmarks', batch.landmarks, 'n t 68 2', 'They must match batch.images', sizes=sizes)
    checks.shape('batch.example', batch.example, f'n {height} {width} 3', sizes=sizes)
    checks.shape('batch.example_landmarks', batch.example_landmarks, 'n 68 2', sizes=sizes)
