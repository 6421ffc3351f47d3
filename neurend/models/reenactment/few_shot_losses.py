"""What few-shot talking heads minimise: content, realism as judged by a discriminator, and codes that match."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.images import backbones
from neurend.losses import adversarial, features, perceptual, photometric
from neurend.models.reenactment.few_shot_config import FewShotConfig
from neurend.nn import spectral
from neurend.typing import Array, PyTree

_HINGE = adversarial.objective('hinge')


class Shown(NamedTuple):
    """What a discriminator sees: landmark pictures in [0, 1], images in [-1, 1], `n h w 3`, and whom, `[n]` or None."""

    conditions: Array
    images: Array
    person: Array | None


def score(judge: nn.Module, params: PyTree, shown: Shown) -> tuple[Array, list[Array]]:
    """Scores `[n]` and activations of a `ProjectionDiscriminator` with normalised parameters."""
    pairs = jnp.concatenate([2 * shown.conditions - 1, shown.images], axis=-1)
    found: Any = judge.apply({'params': params}, pairs, shown.person)
    return found


def discriminator_loss(
    judge: nn.Module, params: PyTree, vectors: spectral.Vectors, real: Shown, fakes: Array
) -> tuple[Array, spectral.Vectors]:
    """The hinge loss of real images and of generated ones in their place, and the vectors of spectral normalisation."""
    normal, following = spectral.normalize(params, vectors)
    both = jax.tree.map(lambda *parts: jnp.concatenate(parts), real, real._replace(images=fakes))
    scores, _ = score(judge, normal, both)
    return _HINGE.discriminator(*jnp.split(scores, 2)), jax.lax.stop_gradient(following)


def generator_loss(
    config: FewShotConfig,
    judge: nn.Module,
    params: PyTree,
    vgg: backbones.Weights | None,
    real: Shown,
    fakes: Array,
) -> tuple[Array, dict[str, Array]]:
    """The weighted sum of content, realism and feature matching as a function of the generated images, and its terms.

    Args:
        config: with the weights.
        judge, params: the discriminator, with normalised parameters.
        vgg: None where `config.perceptual` is 0.
        real: what `fakes` should be.
        fakes: `n h w 3` in [-1, 1].
    """
    scores, activations = score(judge, params, real._replace(images=fakes))
    true_score, true_activations = score(judge, params, real)
    matching = features.feature_matching([[*activations, scores]], [[*true_activations, true_score]])
    terms = {
        'l1': photometric.l1(fakes, real.images),
        'adversarial': _HINGE.generator(scores),
        'features': matching,
    }
    total = config.l1 * terms['l1'] + config.adversarial * terms['adversarial'] + config.features * matching
    if vgg is not None:
        terms['perceptual'] = perceptual.distance(vgg, (fakes + 1) / 2, (real.images + 1) / 2, layer_weights=(1.0,) * 5)
        total = total + config.perceptual * terms['perceptual']
    return total, terms
