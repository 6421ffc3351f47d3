"""The losses of an image translation: what the discriminator and the generator minimise."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neurend.images import backbones
from neurend.losses import adversarial, features, perceptual, photometric
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.typing import Array

Activations = list[Any]
"""What a discriminator returns: activations, logits last, or a list of them for each scale."""


def logits(activations: Activations) -> list[Array]:
    """The logits of each scale."""
    return [scale[-1] for scale in scales(activations)]


def scales(activations: Activations) -> list[list[Array]]:
    """One list of activations for each scale, also where there is one scale."""
    return activations if isinstance(activations[0], list) else [activations]


def discriminator_loss(
    config: Pix2PixConfig, discriminate: Callable[[Array], Activations], real: Array, fake: Array
) -> Array:
    """Half the objective, as in pix2pix, so that the discriminator learns more slowly than the generator.

    Args:
        config: with the objective.
        discriminate: the discriminator as a function of what it sees.
        real, fake: what it sees, `n h w c`.
    """
    chosen = adversarial.objective(config.objective)
    if config.discriminator.norm == 'batch':  # statistics of real and generated images must not mix
        return 0.5 * chosen.discriminator(logits(discriminate(real)), logits(discriminate(fake)))
    both = logits(discriminate(jnp.concatenate([real, fake])))
    halves = [jnp.split(scale, 2) for scale in both]
    return 0.5 * chosen.discriminator([half[0] for half in halves], [half[1] for half in halves])


def generator_loss(
    config: Pix2PixConfig,
    discriminate: Callable[[Array], Activations] | None,
    vgg: backbones.Weights | None,
    show: Callable[[Sequence[Array]], Array],
    fakes: Sequence[Array],
    reals: Sequence[Array],
) -> tuple[Array, dict[str, Array]]:
    """The generator's loss as a function of the generated images, and its terms.

    Args:
        config: with the weights.
        discriminate: the discriminator; None where `config.adversarial` is 0.
        vgg: None where `config.perceptual` is 0.
        show: from images to what the discriminator sees.
        fakes, reals: `n h w 3` in [-1, 1] for each frame.
    """
    fake, real = jnp.stack(fakes), jnp.stack(reals)
    terms = {'l1': photometric.l1(fake, real)}
    total = config.l1 * terms['l1']
    if discriminate is not None:
        seen = discriminate(show(fakes))
        terms['adversarial'] = adversarial.objective(config.objective).generator(logits(seen))
        total = total + config.adversarial * terms['adversarial']
        if config.features:
            truth = jax.lax.stop_gradient(discriminate(show(reals)))
            terms['features'] = features.feature_matching(scales(seen), scales(truth))
            total = total + config.features * terms['features']
    if vgg is not None:
        terms['perceptual'] = perceptual.distance(vgg, (fake + 1) / 2, (real + 1) / 2)
        total = total + config.perceptual * terms['perceptual']
    return total, terms
