"""Choices of an image translation, and the networks they name."""

import dataclasses
import math
from typing import Any, Literal

import flax.linen as nn

from neurend.checks import InputError
from neurend.losses import adversarial
from neurend.nn.dilated import DilatedUNet
from neurend.nn.norms import Kind
from neurend.nn.patchgan import MultiScale, PatchGAN, PixelGAN
from neurend.nn.resnet import GlobalGenerator, LocalEnhancer
from neurend.nn.unet import UNet

Composition = Literal['none', 'mask', 'flow']


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """The network from conditions to images.

    Attributes:
        name: 'unet' (Isola et al., 2017), 'unet_bilinear' (the same without transposed convolutions), 'dilated' (Thies
            et al., 2020), 'global' and 'local' (pix2pixHD, Wang et al., 2018).
        width: channels of the first level, at full resolution for all but the U-Nets; of 'local' those of the enhancer.
        depth: halvings; 8 for a U-Net at 256x256, 7 at 128x128, 4 for 'global', and for 'local' those of its global
            generator; of 'dilated' the number of levels, 5.
        norm: see `neurend.nn.norms.Norm`.
        dropout: rate in the middle of the U-Nets, on at test time too; 0 for none.
        refinements: convolutions after every doubling of the U-Nets; 2 in Deep Video Portraits (Kim et al., 2018).
        blocks: residual blocks of 'global', and of the global generator of 'local'.
    """

    name: Literal['unet', 'unet_bilinear', 'dilated', 'global', 'local'] = 'unet'
    width: int = 64
    depth: int = 8
    norm: Kind = 'instance'
    dropout: float = 0.5
    refinements: int = 0
    blocks: int = 9

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        _at_least(1, self, 'generator', ('width', 'depth'))
        _at_least(0, self, 'generator', ('refinements', 'blocks'))
        if not 0 <= self.dropout < 1:
            raise InputError(f'generator.dropout: got {self.dropout}, expected 0, for none, up to but without 1')


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """The network that tells real pairs from generated ones.

    Attributes:
        name: 'patch' (Isola et al., 2017), 'pixel' (the same paper), or 'multiscale' (Wang et al., 2018).
        width: channels of its first layer.
        layers: halvings: 3 sees patches of 70x70 pixels.
        scales: of 'multiscale'.
        norm: see `neurend.nn.norms.Norm`.
    """

    name: Literal['patch', 'pixel', 'multiscale'] = 'patch'
    width: int = 64
    layers: int = 3
    scales: int = 2
    norm: Kind = 'instance'

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        _at_least(1, self, 'discriminator', ('width', 'scales'))
        _at_least(0, self, 'discriminator', ('layers',))


@dataclasses.dataclass(frozen=True)
class Pix2PixConfig:
    """An image translation and how it is trained. The defaults are those of Isola et al. (2017) at 256x256.

    Attributes:
        generator, discriminator: the networks.
        objective: see `neurend.losses.adversarial.objective`.
        adversarial: weight of the generator's adversarial loss; 0 trains no discriminator.
        l1: weight of the mean absolute difference, of values in [-1, 1].
        features: weight of feature matching; 10 in pix2pixHD.
        perceptual: weight of the perceptual distance; 10 in pix2pixHD. It needs `vgg`.
        vgg: file with torchvision's VGG19 weights, .pth or .npz.
        frames: 1 translates pictures one by one. From 2 on, windows of so many consecutive frames are trained on: each
            frame sees the generated one before it, the first of a clip zeros, and the discriminator sees pairs of
            consecutive frames with their conditions (Chan et al., 2019).
        composition: how a frame uses the generated one before it. 'none': the generator draws all pixels. 'mask': it
            draws colours and a map that says where they replace the frame before (Pumarola et al., 2018). 'flow': the
            frame before is moved by a drawn optical flow first (vid2vid, Wang et al., 2018). The first frame of a clip
            is drawn whole.
        flow: weight of the difference between the true frames before, moved by the drawn flow, and the true frames.
        fix_coarse: part of the run in which the global generator within 'local' stays as it is.
        pool: generated images kept for the discriminator (Shrivastava et al., 2017); 0 in pix2pix.
        learning_rate: of both networks, Adam.
        beta1: Adam's decay of the first moment.
        constant: part of the run after which the rate falls, linearly to zero.
        ema: decay of the average of parameters that renders; 0 for none.
    """

    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = dataclasses.field(default_factory=DiscriminatorConfig)
    objective: adversarial.Name = 'non_saturating'
    adversarial: float = 1.0
    l1: float = 100.0
    features: float = 0.0
    perceptual: float = 0.0
    vgg: str = ''
    frames: int = 1
    composition: Composition = 'none'
    flow: float = 10.0
    fix_coarse: float = 0.0
    pool: int = 0
    learning_rate: float = 2e-4
    beta1: float = 0.5
    constant: float = 0.5
    ema: float = 0.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range, and for choices that do not go together."""
        _at_least(1, self, '', ('frames',))
        _at_least(0, self, '', ('adversarial', 'l1', 'features', 'perceptual', 'flow', 'pool'))
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f'learning_rate: got {self.learning_rate}, expected a positive number')
        if self.composition != 'none' and self.frames == 1:
            raise InputError(f'composition: got {self.composition} with frames=1, expected frames of 2 or more')
        if not self.adversarial and self.features:
            raise InputError('features: got a weight with adversarial=0; there are no features without a discriminator')
        if bool(self.perceptual) != bool(self.vgg):
            raise InputError('perceptual, vgg: expected both a weight and a file of VGG19 weights, or neither')
        if self.fix_coarse and self.generator.name != 'local':
            raise InputError(f'fix_coarse: got {self.fix_coarse} with {self.generator.name}; only local has that part')
        if not (0 <= self.constant <= 1 and 0 <= self.ema < 1):
            raise InputError(f'constant, ema: got {self.constant} and {self.ema}, expected parts of 1')
        if not (0 <= self.fix_coarse <= 1 and 0 <= self.beta1 < 1):
            raise InputError(f'fix_coarse, beta1: got {self.fix_coarse} and {self.beta1}, expected parts of 1')


def generator(config: GeneratorConfig, *, out: int = 3) -> nn.Module:
    """The generator; it maps `n h w c` to `n h w out`, both in [-1, 1]."""
    if config.name in ('unet', 'unet_bilinear'):
        return UNet(
            out,
            config.width,
            config.depth,
            norm=config.norm,
            dropout=config.dropout,
            upsample='transposed' if config.name == 'unet' else 'bilinear',
            refinements=config.refinements,
        )
    if config.name == 'dilated':
        return DilatedUNet(out, config.width, config.depth, norm=config.norm)
    if config.name == 'global':
        return GlobalGenerator(out, config.width, config.depth, config.blocks, norm=config.norm)
    return LocalEnhancer(out, config.width, config.depth, config.blocks, norm=config.norm)


def multiple(config: GeneratorConfig) -> int:
    """What the sizes of the generator's input must be multiples of."""
    return int(getattr(generator(config), 'multiple', 1))


def discriminator(config: DiscriminatorConfig) -> nn.Module:
    """The discriminator; it returns a list of activations, or one per scale."""
    if config.name == 'pixel':
        return PixelGAN(config.width, norm=config.norm)
    if config.name == 'multiscale':
        return MultiScale(config.scales, config.width, config.layers, norm=config.norm)
    return PatchGAN(config.width, config.layers, norm=config.norm)


def _at_least(least: int, config: Any, part: str, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(config, name)
        if not least <= value < math.inf:
            raise InputError(f'{part}{"." if part else ""}{name}: got {value}, expected at least {least}')
