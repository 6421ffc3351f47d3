"""Residual generators: pix2pixHD's global generator and local enhancer (Wang et al., 2018), and their block."""

import flax.linen as nn
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import Border, Convolution, TransposedConvolution
from neurend.nn.norms import Kind, Norm
from neurend.nn.patchgan import downsample
from neurend.nn.sizes import require_multiple
from neurend.nn.unet import Activation
from neurend.typing import Array


class ResnetBlock(nn.Module):
    """`x + norm(conv3(relu(norm(conv3(x)))))`, no activation after the sum (Johnson et al., 2016).

    Call with `n h w c`; returns the same shape.

    Attributes:
        norm: see `Norm`; convolutions have a bias unless it is 'batch'.
        border: of both convolutions.
        dropout: rate after the ReLU; off where `deterministic`.
    """

    norm: Kind = 'instance'
    border: Border = 'reflect'
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool = False) -> Array:
        channels, bias = x.shape[-1], self.norm != 'batch'
        y = Convolution(channels, 3, padding=1, border=self.border, bias=bias, name='first')(x)
        y = nn.relu(Norm(self.norm, name='first_norm')(y))
        y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
        y = Convolution(channels, 3, padding=1, border=self.border, bias=bias, name='second')(y)
        return x + Norm(self.norm, name='second_norm')(y)


class GlobalGenerator(nn.Module):
    """A 7x7 convolution, halvings that double the channels, residual blocks, doublings back, a 7x7 convolution.

    Borders are reflected in the 7x7 convolutions and the blocks, zero in the 3x3 ones that halve and double. With two
    halvings and nine blocks it is the ResNet generator of CycleGAN (Zhu et al., 2017).

    Call with `n h w c` in [-1, 1], sizes multiples of `multiple`, at least two of them; returns `n h w out`, in [-1, 1]
    after tanh.

    Attributes:
        out: channels of the result; None gives the `width` channels that the last convolution would see.
        width: channels at full resolution.
        halvings: number of convolutions of stride 2.
        blocks: number of residual blocks.
        norm: see `Norm`. Convolutions have a bias unless it is 'batch'; the last always has one.
        activation: of the result.

    Raises:
        InputError: on calling, for sizes that are no multiples of `2 ** halvings`.
    """

    out: int | None
    width: int = 64
    halvings: int = 4
    blocks: int = 9
    norm: Kind = 'instance'
    activation: Activation = 'tanh'

    @property
    def multiple(self) -> int:
        """What the sizes of the input must be multiples of."""
        return 2**self.halvings

    @nn.compact
    def __call__(self, x: Array) -> Array:
        require_multiple(x, self.multiple)
        x = _first(x, self.width, self.norm)
        for level in range(self.halvings):
            x = _halve(x, self.norm, f'down_{level}')
        for block in range(self.blocks):
            x = ResnetBlock(self.norm, name=f'block_{block}')(x)
        for level in range(self.halvings):
            x = _double(x, self.norm, f'up_{level}')
        return x if self.out is None else _last(x, self.out, self.activation)


class LocalEnhancer(nn.Module):
    """Adds a branch at full resolution to a global generator that works at half of it.

    The global generator, of twice the width and without its last convolution, sees the `downsample`d input. Its
    features are added to those of the input after one halving; blocks, a doubling and the last convolution follow. Its
    parameters, 'coarse', are those of a trained `GlobalGenerator` of width `2 width` less 'last'.

    Call with `n h w c` in [-1, 1], sizes multiples of `multiple`, at least two of them; returns `n h w out`.

    Attributes:
        out, norm, activation: as in `GlobalGenerator`.
        width: channels at full resolution.
        halvings: of the global generator.
        blocks: residual blocks of the global generator.
        local_blocks: residual blocks of the branch.

    Raises:
        InputError: on calling, for sizes that are no multiples of `2 ** (halvings + 1)`.
    """

    out: int
    width: int = 32
    halvings: int = 4
    blocks: int = 9
    local_blocks: int = 3
    norm: Kind = 'instance'
    activation: Activation = 'tanh'

    @property
    def multiple(self) -> int:
        """What the sizes of the input must be multiples of."""
        return 2 ** (self.halvings + 1)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        require_multiple(x, self.multiple)
        coarse = GlobalGenerator(None, 2 * self.width, self.halvings, self.blocks, self.norm, name='coarse')
        y = coarse(downsample(x)) + _halve(_first(x, self.width, self.norm), self.norm, 'down')
        for block in range(self.local_blocks):
            y = ResnetBlock(self.norm, name=f'block_{block}')(y)
        return _last(_double(y, self.norm, 'up'), self.out, self.activation)


def _first(x: Array, width: int, norm: Kind) -> Array:
    x = Convolution(width, 7, padding=3, border='reflect', bias=norm != 'batch', name='first')(x)
    return nn.relu(Norm(norm, name='first_norm')(x))


def _halve(x: Array, norm: Kind, name: str) -> Array:
    x = Convolution(2 * x.shape[-1], 3, stride=2, padding=1, bias=norm != 'batch', name=name)(x)
    return nn.relu(Norm(norm, name=f'{name}_norm')(x))


def _double(x: Array, norm: Kind, name: str) -> Array:
    half = x.shape[-1] // 2
    x = TransposedConvolution(half, 3, output_padding=1, bias=norm != 'batch', name=name)(x)
    return nn.relu(Norm(norm, name=f'{name}_norm')(x))


def _last(x: Array, out: int, activation: Activation) -> Array:
    checks.one_of('activation', activation, ('tanh', 'none'))
    x = Convolution(out, 7, padding=3, border='reflect', name='last')(x)
    return jnp.tanh(x) if activation == 'tanh' else x
