"""Few-shot talking heads, second stage: generator and discriminator are tuned to the few frames of a new person."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.images import backbones
from neurend.losses import photometric
from neurend.models.method import Method
from neurend.models.pix2pix.method import Example, Inputs
from neurend.models.pix2pix.parts import descend, rendering
from neurend.models.reenactment import few_shot_losses as losses
from neurend.models.reenactment.few_shot import compared, require_vgg
from neurend.models.reenactment.few_shot_config import FewShotConfig, networks, optimizers
from neurend.models.reenactment.few_shot_losses import Shown
from neurend.models.reenactment.few_shot_networks import HeadEmbedder, embed, generate, no_code, personalize
from neurend.models.state import State
from neurend.nn import spectral
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree


def fine_tuning(
    config: FewShotConfig,
    learned: State,
    references: Array,
    reference_conditions: Array,
    *,
    steps: int,
    vgg: backbones.Weights | None = None,
) -> Method:
    """The method of the second stage (Zakharov et al., 2019).

    The person's scales and shifts become parameters, psi' = P e at first, and the discriminator's column w' = w_0 + e
    at first. Before any step, it draws what `few_shot` draws by the same references. Batches have `condition` and
    `image`, `n h w 3` in [0, 1], of the references: `neurend.data.pair_batches` makes them. `state.params` is
    {'generator', 'discriminator'}. `render` takes the inputs of `pix2pix`, landmark pictures as conditions, `evaluate`
    its examples. Metrics are those of `few_shot` without 'match'.

    Args:
        config: as in the first stage, where losses and rates may differ.
        learned: state after the first stage.
        references: `k h w 3` in [0, 1], the person's frames.
        reference_conditions: `k h w 3` in [0, 1], their landmark pictures.
        steps: of the run.
        vgg: as in the first stage.

    Raises:
        InputError: `vgg` is missing, shapes do not fit, or `learned` is of another method.
    """
    require_vgg(config, vgg)
    sizes = checks.shape('references', references, 'k h w 3')
    checks.shape('reference_conditions', reference_conditions, 'k h w 3', sizes=sizes)
    names = {'embedder', 'generator', 'discriminator'}
    if not isinstance(learned.params, dict) or set(learned.params) != names:
        raise checks.InputError(f'learned: got a state of another method, expected one of few_shot, with {names}')
    embedder, generator, judge = networks(config, people=1)
    adam = optimizers(config, steps)

    start = jax.device_get(
        jax.jit(lambda *known: _personal(embedder, *known))(learned, references, reference_conditions)
    )

    @draws.quickly
    def init(key: Key) -> State:
        del key
        params, aux = jax.tree.map(jnp.array, start)
        states = {name: adam[name].init(tree) for name, tree in params.items()}
        return State(jnp.zeros((), jnp.int32), params, states, None, aux)

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        del key
        sizes = checks.shape('batch.image', batch.image, 'n h w 3')
        checks.shape('batch.condition', batch.condition, 'n h w 3', 'It must match batch.image', sizes=sizes)
        params, states, aux = dict(state.params), dict(state.optimizer), dict(state.aux)
        real = Shown(batch.condition, 2 * batch.image - 1, None)

        def draw(weights: PyTree) -> tuple[Array, spectral.Vectors]:
            normal, vectors = spectral.normalize(weights, aux['generator'])
            return generate(generator, normal, real.conditions, no_code(len(batch.image))), vectors

        fakes, pull, vectors = jax.vjp(draw, params['generator'], has_aux=True)
        aux['generator'] = jax.lax.stop_gradient(vectors)
        values: dict[str, Array] = {}
        for _ in range(config.discriminator_steps):

            def loss(weights: PyTree) -> tuple[Array, spectral.Vectors]:
                return losses.discriminator_loss(judge, weights, aux['discriminator'], real, fakes)

            (values['discriminator'], aux['discriminator']), grads = jax.value_and_grad(loss, has_aux=True)(
                params['discriminator']
            )
            params['discriminator'], states['discriminator'] = descend(
                adam['discriminator'], params['discriminator'], states['discriminator'], grads
            )
        judging, _ = spectral.normalize(params['discriminator'], aux['discriminator'])
        (values['loss'], terms), cotangent = jax.value_and_grad(
            lambda images: losses.generator_loss(config, judge, judging, vgg, real, images), has_aux=True
        )(fakes)
        params['generator'], states['generator'] = descend(
            adam['generator'], params['generator'], states['generator'], pull(cotangent)[0]
        )
        values |= terms | {'psnr': photometric.psnr(jnp.mean(jnp.square(fakes - real.images)) / 4)}
        new = {'step': state.step + 1, 'params': params, 'optimizer': states, 'aux': aux}
        return dataclasses.replace(state, **new), values

    def render(state: State, inputs: Inputs) -> Rendering:
        normal, _ = spectral.normalize(state.params['generator'], state.aux['generator'])
        return rendering(generate(generator, normal, inputs.condition, no_code(len(inputs.condition))))

    drawn = jax.jit(lambda state, inputs: render(state, inputs).rgb)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        condition = jnp.asarray(example.condition, jnp.float32)[None] / 255
        return compared(np.asarray(drawn(state, Inputs(condition)))[0], example)

    return Method(init, step, render, evaluate)


def _personal(
    embedder: HeadEmbedder, learned: State, references: Array, reference_conditions: Array
) -> tuple[dict[str, PyTree], dict[str, spectral.Vectors]]:
    """Parameters that are a person's, by name, and their vectors of spectral normalisation."""
    normal, _ = spectral.normalize(learned.params['embedder'], learned.aux['embedder'])
    code = embed(embedder, normal, references[None], reference_conditions[None])[0]
    judging = learned.params['discriminator']
    judging = judging | {'people': jnp.zeros((1, len(code))), 'common': judging['common'] + code}
    params = {'generator': personalize(learned.params['generator'], code), 'discriminator': judging}
    return params, {name: learned.aux[name] for name in params}
