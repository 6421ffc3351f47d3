"""Choices of few-shot talking heads."""

import dataclasses
import math
from typing import NamedTuple

import optax

from neurend.checks import InputError
from neurend.models.reenactment.few_shot_networks import HeadEmbedder, HeadGenerator
from neurend.nn.patchgan import ProjectionDiscriminator


@dataclasses.dataclass(frozen=True)
class FewShotConfig:
    """Few-shot talking heads and how they are trained. The defaults are those of Zakharov et al. (2019) at 256x256.

    Where no perceptual weights are given, the mean absolute difference of pixels takes the place of the paper's
    content loss, with the weight that pix2pix gives it. Its second content loss, on a face recogniser's features, is
    left out.

    Attributes:
        width: channels of the generator at full resolution.
        halvings: of the generator.
        blocks: residual blocks in the middle of the generator.
        attention: halvings of the generator at which there is self-attention; 0 for none in any network.
        encoder_width: channels of the first block of embedder and discriminator.
        encoder_halvings: blocks of embedder and discriminator; their self-attention follows the block that leaves as
            many pixels as the generator's sees.
        l1: weight of the mean absolute difference of values in [-1, 1].
        perceptual: weight of the distance of VGG19's features, all layers alike; 0.15 in the paper. It needs `vgg`.
        vgg: file with torchvision's VGG19 weights, .pth or .npz.
        adversarial: weight of the hinge loss.
        features: weight of feature matching.
        match: weight of the mean absolute difference of a person's code and column in the discriminator.
        learning_rate: of embedder and generator, Adam.
        discriminator_learning_rate: of the discriminator, Adam.
        beta1: Adam's decay of the first moment.
        discriminator_steps: of the discriminator in each step.
        constant: part of the run after which the rates fall, linearly to zero.
    """

    width: int = 64
    halvings: int = 4
    blocks: int = 5
    attention: int = 3
    encoder_width: int = 64
    encoder_halvings: int = 6
    l1: float = 100.0
    perceptual: float = 0.0
    vgg: str = ''
    adversarial: float = 1.0
    features: float = 10.0
    match: float = 80.0
    learning_rate: float = 5e-5
    discriminator_learning_rate: float = 2e-4
    beta1: float = 0.5
    discriminator_steps: int = 2
    constant: float = 1.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range, and for choices that do not go together."""
        for name in ('width', 'halvings', 'encoder_width', 'encoder_halvings', 'discriminator_steps'):
            if getattr(self, name) < 1:
                raise InputError(f'{name}: got {getattr(self, name)}, expected at least 1')
        for name in ('learning_rate', 'discriminator_learning_rate'):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f'{name}: got {getattr(self, name)}, expected a positive number')
        if bool(self.perceptual) != bool(self.vgg):
            raise InputError('perceptual, vgg: expected both a weight and a file of VGG19 weights, or neither')
        if not 0 <= self.constant <= 1:
            raise InputError(f'constant: got {self.constant}, expected a part of 1')
        deepest = min(self.halvings, self.encoder_halvings)
        if not 0 <= self.attention <= deepest:
            raise InputError(f'attention: got {self.attention}, expected 0 to {deepest}, what all networks have')


class Networks(NamedTuple):
    """The networks of a configuration."""

    embedder: HeadEmbedder
    generator: HeadGenerator
    judge: ProjectionDiscriminator


def networks(config: FewShotConfig, *, people: int) -> Networks:
    """The networks; the discriminator knows so many people."""
    width, halvings = config.encoder_width, config.encoder_halvings
    # Block k of an encoder leaves what k + 1 halvings leave.
    block = config.attention - 1 if config.attention else None
    generator = HeadGenerator(config.width, config.halvings, config.blocks, attention=config.attention or None)
    embedder = HeadEmbedder(width, halvings, attention=block)
    return Networks(embedder, generator, ProjectionDiscriminator(people, width, halvings, attention=block))


def optimizers(config: FewShotConfig, steps: int) -> dict[str, optax.GradientTransformation]:
    """Adam for the 'generator' (and embedder) and for the 'discriminator', for a run of so many steps."""
    rates = {'generator': config.learning_rate, 'discriminator': config.discriminator_learning_rate}
    constant = int(config.constant * steps)

    def one(rate: float) -> optax.GradientTransformation:
        return optax.adam(optax.linear_schedule(rate, 0.0, max(steps - constant, 1), constant), b1=config.beta1)

    return {name: one(rate) for name, rate in rates.items()}
