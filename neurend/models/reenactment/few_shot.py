"""Few-shot talking heads (Zakharov et al., 2019): many people's videos teach how a few frames say how somebody looks.

This is the first stage, in which embedder, generator and discriminator learn from many people. `few_shot_tuning` is
the second, in which generator and discriminator are tuned to a new person's few frames.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.images import backbones
from neurend.losses import photometric
from neurend.models.method import Method
from neurend.models.pix2pix.parts import bytes_of, descend, measure, rendering
from neurend.models.reenactment import few_shot_losses as losses
from neurend.models.reenactment.few_shot_config import FewShotConfig, networks, optimizers
from neurend.models.reenactment.few_shot_losses import Shown
from neurend.models.reenactment.few_shot_networks import embed, generate, normalized, spectral_vectors
from neurend.models.state import State
from neurend.nn import spectral
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree


class Inputs(NamedTuple):
    """What `Method.render` of `few_shot` takes, in [0, 1].

    Attributes:
        references: `k h w 3`, frames of one person.
        reference_conditions: `k h w 3`, their landmark pictures.
        condition: `n h w 3`, the landmark pictures to draw.
    """

    references: Array
    reference_conditions: Array
    condition: Array


class Example(NamedTuple):
    """A frame of somebody, and others of the same person, for `Method.evaluate`; all uint8.

    Attributes:
        name: of the frame.
        references: `k h w 3`.
        reference_conditions: `k h w 3`.
        condition: `h w 3`.
        image: `h w 3`.
    """

    name: str
    references: np.ndarray
    reference_conditions: np.ndarray
    condition: np.ndarray
    image: np.ndarray


def few_shot(
    config: FewShotConfig, *, people: int, size: tuple[int, int], steps: int, vgg: backbones.Weights | None = None
) -> Method:
    """The method of the first stage.

    Batches are `neurend.data.head_batches.HeadBatch`es: frames of n people by which to know them, t others to draw. A
    step draws these, updates the discriminator `config.discriminator_steps` times, then embedder and generator. Codes
    and the discriminator's columns of people are drawn to each other: the embedder learns from the columns and the
    columns from the codes. `state.params` is {'embedder', 'generator', 'discriminator'}, `state.aux` their vectors of
    spectral normalisation. Metrics are 'loss' (the generator's), its terms, 'discriminator', 'match' and 'psnr'.

    Args:
        config: networks, losses and rates.
        people: how many there are in the batches' `person`.
        size: (width, height) of pictures.
        steps: of the run, at the end of which the learning rate is zero if `config.constant` is not 1.
        vgg: VGG19's weights, where `config.perceptual` is not 0; see `neurend.images.backbones.load`.

    Raises:
        InputError: `vgg` is missing; and on tracing, batches of other shapes.
    """
    require_vgg(config, vgg)
    embedder, generator, judge = networks(config, people=people)
    adam = optimizers(config, steps)

    @draws.quickly
    def init(key: Key) -> State:
        keys: dict[str, Key] = dict(zip(('embedder', 'generator', 'discriminator'), jax.random.split(key, 3)))
        picture = jnp.zeros((1, size[1], size[0], 3))
        pair = jnp.concatenate([picture, picture], axis=-1)
        params = {'embedder': embedder.init(keys['embedder'], pair[None])['params']}
        code = jnp.zeros_like(embed(embedder, params['embedder'], picture[None], picture[None]))
        params['generator'] = generator.init(keys['generator'], picture, code)['params']
        params['discriminator'] = judge.init(keys['discriminator'], pair, jnp.zeros(1, jnp.int32))['params']
        aux = {name: spectral_vectors(jax.random.fold_in(keys[name], 1), tree) for name, tree in params.items()}
        learned = {
            'generator': adam['generator'].init(_generating(params)),
            'discriminator': adam['discriminator'].init(params['discriminator']),
        }
        return State(jnp.zeros((), jnp.int32), params, learned, None, aux)

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        del key
        _check(batch)
        params, states, aux = dict(state.params), dict(state.optimizer), dict(state.aux)
        targets = batch.images.shape[1]
        person = jnp.repeat(batch.person, targets)
        real = Shown(_flat(batch.conditions), 2 * _flat(batch.images) - 1, person)

        def draw(weights: dict[str, PyTree]) -> tuple[tuple[Array, Array], dict]:
            normal, vectors = normalized(weights, _generating(aux))
            code = embed(embedder, normal['embedder'], batch.references, batch.reference_conditions)
            images = generate(generator, normal['generator'], real.conditions, jnp.repeat(code, targets, axis=0))
            return (code, images), vectors

        (code, fakes), pull, vectors = jax.vjp(draw, _generating(params), has_aux=True)
        aux |= vectors
        values: dict[str, Array] = {}
        for _ in range(config.discriminator_steps):

            def loss(weights: PyTree) -> tuple[Array, tuple[Array, spectral.Vectors]]:
                hinge, following = losses.discriminator_loss(judge, weights, aux['discriminator'], real, fakes)
                match = photometric.l1(weights['people'][batch.person], code)
                return hinge + config.match * match, (hinge, following)

            (_, (values['discriminator'], aux['discriminator'])), grads = jax.value_and_grad(loss, has_aux=True)(
                params['discriminator']
            )
            params['discriminator'], states['discriminator'] = descend(
                adam['discriminator'], params['discriminator'], states['discriminator'], grads
            )
        judging, _ = spectral.normalize(params['discriminator'], aux['discriminator'])

        def generator_loss(code: Array, images: Array) -> tuple[Array, dict[str, Array]]:
            total, terms = losses.generator_loss(config, judge, judging, vgg, real, images)
            terms['match'] = photometric.l1(code, judging['people'][batch.person])
            return total + config.match * terms['match'], terms

        (values['loss'], terms), cotangents = jax.value_and_grad(generator_loss, (0, 1), has_aux=True)(code, fakes)
        generating, states['generator'] = descend(
            adam['generator'], _generating(params), states['generator'], pull(cotangents)[0]
        )
        values |= terms | {'psnr': photometric.psnr(jnp.mean(jnp.square(fakes - real.images)) / 4)}
        new = {'step': state.step + 1, 'params': params | generating, 'optimizer': states, 'aux': aux}
        return dataclasses.replace(state, **new), values

    def render(state: State, inputs: Inputs) -> Rendering:
        normal, _ = normalized(_generating(state.params), _generating(state.aux))
        code = embed(embedder, normal['embedder'], inputs.references[None], inputs.reference_conditions[None])
        codes = jnp.broadcast_to(code, (len(inputs.condition), code.shape[-1]))
        return rendering(generate(generator, normal['generator'], inputs.condition, codes))

    drawn = jax.jit(lambda state, inputs: render(state, inputs).rgb)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        pictures = example.references, example.reference_conditions, example.condition[None]
        inputs = Inputs(*(jnp.asarray(each, jnp.float32) / 255 for each in pictures))
        return compared(np.asarray(drawn(state, inputs))[0], example)

    return Method(init, step, render, evaluate)


def require_vgg(config: FewShotConfig, vgg: backbones.Weights | None) -> None:
    """Raises `InputError` where weights are given or missing against what the configuration says."""
    if bool(config.perceptual) != (vgg is not None):
        raise checks.InputError('vgg: expected weights where config.perceptual is not 0, and None elsewhere')


def compared(prediction: np.ndarray, example: Any) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics and pictures of `h w 3` in [0, 1] against an example's `image`, with its `condition`; those uint8."""
    truth = example.image.astype(np.float32) / 255
    pictures = {
        'condition': example.condition,
        'prediction': bytes_of(prediction),
        'truth': example.image,
    }
    return measure(truth, prediction), pictures


def _generating(tree: dict[str, PyTree]) -> dict[str, PyTree]:
    return {name: tree[name] for name in ('embedder', 'generator')}


def _flat(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])


def _check(batch: Any) -> None:
    sizes = checks.shape('batch.person', batch.person, 'n')
    sizes = checks.shape('batch.images', batch.images, 'n t h w 3', sizes=sizes)
    checks.shape('batch.conditions', batch.conditions, 'n t h w 3', 'It must match batch.images', sizes=sizes)
    sizes = checks.shape('batch.references', batch.references, 'n k h w 3', sizes=sizes)
    checks.shape('batch.reference_conditions', batch.reference_conditions, 'n k h w 3', sizes=sizes)
