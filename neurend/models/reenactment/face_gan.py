"""The face GAN of Everybody Dance Now (Chan et al., 2019): a second network corrects the square around the face.

The main generator is a trained `pix2pix`; it stays as it is.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, draws
from neurend.images import backbones, metrics
from neurend.losses import photometric
from neurend.models.method import Method
from neurend.models.pix2pix import config as configs
from neurend.models.pix2pix import objective
from neurend.models.pix2pix.config import DiscriminatorConfig, GeneratorConfig, Pix2PixConfig
from neurend.models.pix2pix.parts import apply, bytes_of, descend, frames_of_batch, rendering
from neurend.models.pix2pix.translation import roll, shown, translation
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree

_NOISE = 0

FACE = Pix2PixConfig(
    generator=GeneratorConfig('global', depth=3, blocks=5),
    discriminator=DiscriminatorConfig('patch', norm='batch'),
    objective='least_squares',
    l1=0.0,
)
"""The paper's choices but for the perceptual loss, of weight 10, which needs a file of weights. Losses are means over
the two frames, where the released code has a half for each. Without weights give `l1` a value."""


class Inputs(NamedTuple):
    """What `Method.render` of `face_gan` takes.

    Attributes:
        condition: `n h w c` in [0, 1].
        box: int32 `n 2`, first row and column of the square around the face.
        previous: `n h w 3` in [0, 1], the picture before, where the main generator was made for clips; None at the
            first frame of a clip, and for single pictures.
    """

    condition: Array
    box: Array
    previous: Array | None = None


class Example(NamedTuple):
    """A frame held out, for `Method.evaluate`: uint8 `h w c` and `h w 3`, and the square's first row and column."""

    name: str
    condition: np.ndarray
    image: np.ndarray
    box: tuple[int, int]


def crop(pictures: Array, boxes: Array, size: int) -> Array:
    """Squares `n size size c` of pictures `n h w c`, from rows and columns `n 2` on, moved inside if need be."""
    return jax.vmap(lambda one, box: jax.lax.dynamic_slice(one, (box[0], box[1], 0), (size, size, one.shape[-1])))(
        pictures, boxes
    )


def paste(pictures: Array, squares: Array, boxes: Array) -> Array:
    """Pictures `n h w c` with squares `n size size c` in the places that `crop` takes them from."""
    return jax.vmap(lambda one, square, box: jax.lax.dynamic_update_slice(one, square, (box[0], box[1], 0)))(
        pictures, squares, boxes
    )


def face_gan(
    config: Pix2PixConfig,
    main: Pix2PixConfig,
    main_params: PyTree,
    boxes: np.ndarray,
    *,
    channels: int,
    size: int,
    steps: int,
    vgg: backbones.Weights | None = None,
) -> Method:
    """The method: `paste(G(x), G(x)_F + G_f(x_F, G(x)_F))`, F the square; G_f learns, the main generator G does not.

    G_f's result, in [-1, 1] after tanh, is added to pixels in [-1, 1]. The discriminator sees squares alone, one frame
    at a time. Batches are `pix2pix`'s and have the index of the first frame; its square serves all frames of a window.
    `state.params` is {'generator', 'discriminator'}, of the face; `state.aux` holds what is fixed. Metrics are those of
    `pix2pix`, of squares, and 'psnr_before', without the correction.

    Args:
        config: of the face, with `frames=1`; see `FACE`.
        main: of the main generator.
        main_params: its parameters, `state.weights['generator']`.
        boxes: int32 `m 2`, first row and column of the square in each of the frames that `batch.index` counts; see
            `neurend.models.reenactment.face_box`.
        channels: of the condition.
        size: of the square's sides in pixels.
        steps: of the run, after which the learning rate is zero.
        vgg: VGG19's weights, where `config.perceptual` is not 0.

    Raises:
        InputError: boxes of another shape, a configuration for several frames or without a discriminator, or `vgg` is
            missing; and on tracing, batches of other shapes, or smaller than the square.
    """
    checks.shape('boxes', boxes, 'm 2', 'Give the first row and column of the square in each frame')
    if config.frames != 1 or config.pool or not config.adversarial:
        raise checks.InputError('config: expected frames=1, pool=0 and a weight of the adversarial loss for the face')
    if bool(config.perceptual) != (vgg is not None):
        raise checks.InputError('vgg: expected weights where config.perceptual is not 0, and None elsewhere')
    face, correct = translation(config)
    _, generate = translation(main)
    judge = configs.discriminator(config.discriminator)
    constant = int(config.constant * steps)
    rate = optax.linear_schedule(config.learning_rate, 0.0, max(steps - constant, 1), constant)
    optimizer = optax.adam(rate, b1=config.beta1)

    @draws.quickly
    def init(key: Key) -> State:
        face_key, dropout_key, judge_key = jax.random.split(key, 3)
        multiple = configs.multiple(config.generator)
        side = -(-size // multiple) * multiple
        pair = jnp.zeros((1, side, side, channels + 3))
        params = {
            'generator': face.init({'params': face_key, 'dropout': dropout_key}, pair)['params'],
            'discriminator': judge.init(judge_key, jnp.zeros((1, size, size, channels + 3)))['params'],
        }
        fixed = jax.tree.map(jnp.array, {'main': main_params, 'boxes': boxes})
        return State(jnp.zeros((), jnp.int32), params, {k: optimizer.init(v) for k, v in params.items()}, None, fixed)

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        main_key, face_key = jax.random.split(key)
        conditions, reals = frames_of_batch(batch, main.frames)
        box = state.aux['boxes'][batch.index]
        # The main generator is frozen: no gradient of its pictures is ever asked for.
        before = [frame.image for frame in roll(generate, main, state.aux['main'], main_key, conditions)]
        x, start, real = (
            jnp.concatenate([crop(each, box, size) for each in frames]) for frames in (conditions, before, reals)
        )
        fake, pull = jax.vjp(lambda p: start + correct(p, face_key, x, start).image, state.params['generator'])

        def see(images: Any) -> Array:
            return shown([x], images)

        def loss(weights: PyTree) -> Array:
            fixed = jax.lax.stop_gradient(fake)
            return objective.discriminator_loss(config, lambda y: apply(judge, weights, y), see([real]), see([fixed]))

        params, states = dict(state.params), dict(state.optimizer)
        values: dict[str, Array] = {}
        values['discriminator'], grads = jax.value_and_grad(loss)(params['discriminator'])
        params['discriminator'], states['discriminator'] = descend(
            optimizer, params['discriminator'], states['discriminator'], grads
        )

        def generator_loss(fake: Array) -> tuple[Array, dict[str, Array]]:
            return objective.generator_loss(
                config, lambda y: apply(judge, params['discriminator'], y), vgg, see, [fake], [real]
            )

        (values['loss'], terms), cotangent = jax.value_and_grad(generator_loss, has_aux=True)(fake)
        params['generator'], states['generator'] = descend(
            optimizer, params['generator'], states['generator'], pull(cotangent)[0]
        )
        values |= terms
        for name, images in (('psnr', fake), ('psnr_before', start)):
            values[name] = photometric.psnr(jnp.mean(jnp.square(images - real)) / 4)
        return dataclasses.replace(state, step=state.step + 1, params=params, optimizer=states), values

    def render(state: State, inputs: Inputs) -> Rendering:
        previous = None
        if main.frames > 1:
            zeros = jnp.zeros((*inputs.condition.shape[:3], 3))
            previous = zeros if inputs.previous is None else 2 * inputs.previous - 1
        noise = jax.random.key(_NOISE)
        before = generate(state.aux['main'], noise, inputs.condition, previous).image
        start = crop(before, inputs.box, size)
        part = crop(inputs.condition, inputs.box, size)
        square = start + correct(state.weights['generator'], noise, part, start).image
        image = paste(before, jnp.clip(square, -1, 1), inputs.box)
        return dataclasses.replace(rendering(image), extras={'before': (before + 1) / 2})

    drawn = jax.jit(render)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        condition, truth = (x.astype(np.float32) / 255 for x in (example.condition, example.image))
        box = np.array([example.box], np.int32)
        found = jax.device_get(drawn(state, Inputs(jnp.asarray(condition)[None], jnp.asarray(box))))
        prediction, before = found.rgb[0], found.extras['before'][0]
        square = tuple(slice(first, first + size) for first in example.box)
        values = {
            'psnr': _psnr(truth, prediction),
            'psnr_face': _psnr(truth[square], prediction[square]),
            'psnr_face_before': _psnr(truth[square], before[square]),
        }
        pictures = {'before': before, 'prediction': prediction, 'truth': truth}
        return (
            {name: float(value) for name, value in values.items()},
            {name: bytes_of(picture) for name, picture in pictures.items()},
        )

    return Method(init, step, render, evaluate)


_psnr = jax.jit(metrics.psnr)
