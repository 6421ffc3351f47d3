"""What a neural texture is trained for: colours, and on demand what a classifier and a discriminator say of them.

Published: mean absolute differences of picture and texture (Thies et al., 2019), with an adversarial loss in its
earlier versions; a perceptual one in "Neural Voice Puppetry" (Thies et al., 2020).
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.images import backbones
from neurend.losses import adversarial, perceptual, photometric
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.nn.patchgan import PatchGAN
from neurend.typing import Array, Metrics, PyTree


class Drawn(NamedTuple):
    """A window as it is drawn, and as it should be.

    Attributes:
        rgb: [H W 3] the picture.
        flat: [H W 3] the texture's own colours, on the background.
        seen: [H W] where those count, in [0, 1].
        truth: [H W 3] the photograph.
    """

    rgb: Array
    flat: Array
    seen: Array
    truth: Array


def discriminator(config: NeuralTextureConfig) -> PatchGAN | None:
    """Tells photographs from pictures, beside the texture's colours as condition; None where nobody asks."""
    return PatchGAN(config.discriminator_width, config.discriminator_layers) if config.adversarial else None


def total(
    config: NeuralTextureConfig,
    drawn: Sequence[Drawn],
    *,
    layered: bool,
    vgg: backbones.Weights | None,
    judge: tuple[nn.Module, PyTree] | None,
) -> tuple[Array, Metrics]:
    """The loss of a batch, and its parts.

    Texture, network and discriminator learn from one sum: the pictures stand still where the discriminator learns, and
    the discriminator where they do.

    Args:
        config: kinds and weights.
        drawn: windows of one size.
        layered: whether there is a network, so that the texture's own colours are something else than the picture.
        vgg: weights of VGG19, where `config.perceptual` is not 0.
        judge: the discriminator and its parameters, where `config.adversarial` is not 0.
    """
    error = photometric.l1 if config.loss == 'l1' else photometric.mse
    rgb, flat, truth = (jnp.stack([getattr(each, name) for each in drawn]) for name in ('rgb', 'flat', 'truth'))
    color = jnp.mean(jnp.stack([error(each.flat, each.truth, each.seen) for each in drawn]))
    values = {'psnr': photometric.psnr(photometric.mse(rgb, truth)), 'color': color}
    loss = error(rgb, truth) + (config.color * color if layered else 0)
    if vgg is not None:
        values['perceptual'] = perceptual.distance(vgg, rgb, truth)
        loss = loss + config.perceptual * values['perceptual']
    if judge is not None:
        module, params = judge

        def logits(params: PyTree, pictures: Array) -> Array:
            condition = jax.lax.stop_gradient(flat)
            activations = module.apply({'params': params}, 2 * jnp.concatenate([condition, pictures], axis=-1) - 1)
            assert isinstance(activations, list)
            return activations[-1]

        objective = adversarial.objective('non_saturating')
        values['adversarial'] = objective.generator(logits(jax.lax.stop_gradient(params), rgb))
        fake = logits(params, jax.lax.stop_gradient(rgb))
        values['discriminator'] = objective.discriminator(logits(params, truth), fake) / 2
        loss = loss + config.adversarial * values['adversarial'] + values['discriminator']
    return loss, values
