"""Conditional image translation as a method of the training loop: pix2pix and its descendants."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, draws
from neurend.adam import adam
from neurend.images import backbones
from neurend.losses import photometric
from neurend.models.method import Method
from neurend.models.pix2pix import config as configs
from neurend.models.pix2pix import objective, pool, resolution
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.parts import apply, bytes_of, descend, frames_of_batch, measure, rendering
from neurend.models.pix2pix.translation import Frame, flow_loss, roll, shown, translation
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree

_NOISE = 0


class Inputs(NamedTuple):
    """What `Method.render` of `pix2pix` takes.

    Attributes:
        condition: `n h w c` in [0, 1], of any size.
        previous: `n h w 3` in [0, 1], the generated frame before, where the method was made for clips; None at the
            first frame of a clip, and for single pictures.
    """

    condition: Array
    previous: Array | None = None


class Example(NamedTuple):
    """A pair held out, or a clip held out, for `Method.evaluate`.

    Attributes:
        name: of the pair or clip.
        condition: uint8 `h w c`, or `t h w c`.
        image: uint8 `h w 3`, or `t h w 3`.
        mask: uint8 `h w`, positive where 'psnr_masked' is measured, or None. For single pictures.
    """

    name: str
    condition: np.ndarray
    image: np.ndarray
    mask: np.ndarray | None = None


def pix2pix(
    config: Pix2PixConfig,
    *,
    channels: int,
    size: tuple[int, int],
    steps: int,
    vgg: backbones.Weights | None = None,
    coarse: PyTree | None = None,
    initial: PyTree | None = None,
) -> Method:
    """Image translation with a conditional adversarial network (Isola et al., 2017), and what grew from it.

    A step updates the discriminator on the generator's images and then the generator against the new discriminator;
    both see the same generated images. `state.params` is {'generator': ..., 'discriminator': ...}. Batches have
    `condition` `n h w c` and `image` `n h w 3`, in [0, 1], or `n t h w c` and `n t h w 3` for `config.frames` = t > 1;
    `neurend.data.pair_batches` makes them. Metrics are 'loss' (the generator's), its terms, 'discriminator' and 'psnr'
    of the batch. Dropout, where the generator has some, is on when rendering too, with noise that is always the same.

    Args:
        config: networks, losses and rates.
        channels: of the condition.
        size: (width, height) of the batches' pictures.
        steps: of the run, after which the learning rate is zero.
        vgg: VGG19's weights, where `config.perceptual` is not 0; see `neurend.images.backbones.load`.
        coarse: parameters of a trained generator 'global', around which a generator 'local' of half its width begins.
        initial: parameters that the generator begins with in place of random ones, e.g. published ones.

    Raises:
        InputError: `vgg` is missing, or `coarse` or `initial` does not fit; and on tracing, batches or conditions of
            other shapes.
    """
    if bool(config.perceptual) != (vgg is not None):
        raise checks.InputError('vgg: expected weights where config.perceptual is not 0, and None elsewhere')
    network, generate = translation(config)
    judge = configs.discriminator(config.discriminator)
    optimizer = adam(_schedule(config, steps), b1=config.beta1)
    adversarial = bool(config.adversarial)
    pair = min(config.frames, 2)

    @draws.quickly
    def init(key: Key) -> State:
        generator_key, dropout_key, judge_key = jax.random.split(key, 3)
        multiple = configs.multiple(config.generator)
        shape = [-(-side // multiple) * multiple for side in reversed(size)]
        inputs = jnp.zeros((1, *shape, channels + (3 if config.frames > 1 else 0)))
        params: dict[str, PyTree] = {
            'generator': network.init({'params': generator_key, 'dropout': dropout_key}, inputs)['params']
        }
        if initial is not None:
            params['generator'] = resolution.begun(params['generator'], initial)
        if coarse is not None:
            params['generator'] = resolution.graft(params['generator'], coarse)
        seen = (size[1], size[0], pair * (channels + 3))
        aux = None
        if adversarial:
            params['discriminator'] = judge.init(judge_key, jnp.zeros((1, *seen)))['params']
            aux = pool.create(config.pool, seen) if config.pool else None
        ema = jax.tree.map(jnp.copy, params) if config.ema else None
        optimizers = {name: optimizer.init(leaf) for name, leaf in params.items()}
        return State(jnp.zeros((), jnp.int32), params, optimizers, ema, aux)

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        dropout_key, pool_key = jax.random.split(key)
        conditions, reals = frames_of_batch(batch, config.frames)
        params, optimizers, aux = dict(state.params), dict(state.optimizer), state.aux
        frames, pull = jax.vjp(lambda p: roll(generate, config, p, dropout_key, conditions), params['generator'])
        fakes = [frame.image for frame in frames]
        values = {}
        if adversarial:
            fake = jax.lax.stop_gradient(shown(conditions, fakes))
            if aux is not None:
                fake, aux = pool.exchange(pool_key, aux, fake)

            def loss(weights: PyTree) -> Array:
                return objective.discriminator_loss(
                    config, lambda x: apply(judge, weights, x), shown(conditions, reals), fake
                )

            values['discriminator'], grads = jax.value_and_grad(loss)(params['discriminator'])
            _update(optimizer, 'discriminator', params, optimizers, grads)

        def generator_loss(frames: list[Frame]) -> tuple[Array, dict[str, Array]]:
            against = params.get('discriminator')
            discriminate = None if against is None else lambda x: apply(judge, against, x)
            images = [frame.image for frame in frames]
            total, terms = objective.generator_loss(
                config, discriminate, vgg, lambda images: shown(conditions, images), images, reals
            )
            if config.composition == 'flow':
                terms['flow'] = flow_loss(frames, reals)
                total = total + config.flow * terms['flow']
            return total, terms

        (values['loss'], terms), cotangents = jax.value_and_grad(generator_loss, has_aux=True)(frames)
        (grads,) = pull(cotangents)
        if config.fix_coarse:
            grads = resolution.hold(grads, state.step < int(config.fix_coarse * steps))
        _update(optimizer, 'generator', params, optimizers, grads)
        ema = state.ema
        if ema is not None:
            ema = optax.incremental_update(params, ema, 1 - config.ema)
        values |= terms | {'psnr': photometric.psnr(jnp.mean(jnp.square(jnp.stack(fakes) - jnp.stack(reals))) / 4)}
        new = {'step': state.step + 1, 'params': params, 'optimizer': optimizers, 'ema': ema, 'aux': aux}
        return dataclasses.replace(state, **new), values

    def render(state: State, inputs: Inputs) -> Rendering:
        told = f'The method was made for conditions of {channels} channels'
        checks.shape('condition', inputs.condition, f'n h w {channels}', told)
        previous = None
        if config.frames > 1:
            zeros = jnp.zeros((*inputs.condition.shape[:3], 3))
            previous = zeros if inputs.previous is None else 2 * inputs.previous - 1
        frame = generate(state.weights['generator'], jax.random.key(_NOISE), inputs.condition, previous)
        return rendering(frame.image)

    drawn = jax.jit(lambda state, inputs: render(state, inputs).rgb)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        conditions, truth = (_unit(x if x.ndim == 4 else x[None]) for x in (example.condition, example.image))
        prediction = np.stack(list(frames_of(drawn, state, conditions)))
        values = [measure(*pair, example.mask) for pair in zip(truth, prediction)]
        means = {name: float(np.mean([value[name] for value in values])) for name in values[0]}
        middle = len(truth) // 2
        pictures = {'condition': _visible(conditions[middle]), 'prediction': prediction[middle], 'truth': truth[middle]}
        return means, {name: bytes_of(picture) for name, picture in pictures.items()}

    return Method(init, step, render, evaluate)


def frames_of(drawn: Any, state: State, conditions: Any) -> Any:
    """Yields frames `h w 3` in [0, 1] (NumPy) for conditions `h w c` in [0, 1], each frame seen by the next.

    Args:
        drawn: `(state, Inputs) -> n h w 3`, e.g. `jax.jit(lambda state, inputs: method.render(state, inputs).rgb)`.
        state: of the method.
        conditions: of consecutive frames; one of another size than the one before begins a new clip.
    """
    previous = None
    for condition in conditions:
        # The first frame gets zeros in [-1, 1], as in training, so that one program serves all frames of a size.
        first = previous is None or previous.shape[1:3] != condition.shape[:2]
        before = jnp.full((1, *condition.shape[:2], 3), 0.5, jnp.float32) if first else previous
        previous = drawn(state, Inputs(jnp.asarray(condition)[None], before))
        yield np.clip(np.asarray(previous[0]), 0, 1)


def _update(optimizer: optax.GradientTransformation, name: str, params: dict, optimizers: dict, grads: PyTree) -> None:
    params[name], optimizers[name] = descend(optimizer, params[name], optimizers[name], grads)


def _schedule(config: Pix2PixConfig, steps: int) -> optax.Schedule:
    constant = int(config.constant * steps)
    return optax.linear_schedule(config.learning_rate, 0.0, max(steps - constant, 1), constant)


def _unit(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def _visible(condition: np.ndarray) -> np.ndarray:
    """The condition's first three channels as a picture; of fewer, the first as gray."""
    return condition[..., :3] if condition.shape[-1] >= 3 else np.repeat(condition[..., :1], 3, axis=-1)
