"""Blocks of DeepVoxels' networks, in two and three dimensions: convolution, norm, activation, dropout; U-Nets."""

import flax.linen as nn
import jax.numpy as jnp

from neurend.nn.convolution import Convolution, TransposedConvolution
from neurend.nn.norms import Norm
from neurend.typing import Array


class Scaled(nn.Module):
    """A scale, one at first, and a shift, zero at first, of each channel."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param('scale', nn.initializers.ones, (x.shape[-1],))
        bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
        ones = (1,) * (x.ndim - 1)
        return x * scale.reshape(*ones, -1) + bias.reshape(*ones, -1)


class Unit(nn.Module):
    """A convolution that keeps, halves or doubles the sides of `n *space c`, its norm, a rectifier and dropout.

    Borders are reflected in pictures and continued in volumes.

    Attributes:
        channels: out.
        size: taps of a convolution that keeps the sides.
        scale: 1 keeps them, -1 halves them, 2 doubles them; the latter two have four taps.
        norm: 'batch', 'fixed' or 'none', see `DeepVoxelsConfig`.
        slope: of the rectifier below zero; None for none, nor a norm.
        dropout: rate, of whole channels.
        rank: spatial axes.
    """

    channels: int
    size: int = 3
    scale: int = 1
    norm: str = 'batch'
    slope: float | None = 0.0
    dropout: float = 0.0
    rank: int = 2

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool = True) -> Array:
        bias = self.norm == 'none' or self.slope is None
        border = 'reflect' if self.rank == 2 else 'replicate'
        if self.scale == 2:
            init = nn.initializers.variance_scaling(2.0 * 2**self.rank, 'fan_in', 'normal', in_axis=-1, out_axis=-2)
            x = TransposedConvolution(self.channels, bias=bias, rank=self.rank, kernel_init=init, name='conv')(x)
        else:
            size, stride, padding = (self.size, 1, self.size // 2) if self.scale == 1 else (4, 2, 1)
            x = Convolution(
                self.channels,
                size,
                stride=stride,
                padding=padding,
                border=border,
                bias=bias,
                rank=self.rank,
                kernel_init=nn.initializers.he_normal(),
                name='conv',
            )(x)
        if self.slope is None:
            return x
        if self.norm == 'batch':
            # Views of a step do not change one another's pictures.
            x = Norm('instance', affine=True, name='norm')(x)
        elif self.norm == 'fixed':
            x = Scaled(name='norm')(x)
        x = nn.leaky_relu(x, self.slope) if self.slope else nn.relu(x)
        return drop(x, self.dropout, deterministic)


def drop(x: Array, rate: float, deterministic: bool) -> Array:
    """Drops whole channels of `n *space c`."""
    if not rate:
        return x
    return nn.Dropout(rate, broadcast_dims=tuple(range(1, x.ndim - 1)))(x, deterministic=deterministic)


class UNet(nn.Module):
    """A U-Net of blocks inside each other, each of which hands on its input beside what it makes of it.

    Call with `n *space c`, sides multiples of `2 ** depth`; returns `n *space out`.

    Attributes:
        out: channels of the result, after norm and ReLU.
        width: channels of the outermost block; they double with each.
        depth: blocks, each of which halves and doubles the sides.
        maximum: of channels.
        size: taps of the first and the last convolution.
        refined: whether a 3x3 convolution precedes each halving and follows each doubling.
        norm, dropout, rank: see `Unit`; the innermost block has no norm.
    """

    out: int
    width: int
    depth: int
    maximum: int
    size: int = 3
    refined: bool = True
    norm: str = 'batch'
    dropout: float = 0.0
    rank: int = 2

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool = True) -> Array:
        def unit(name: str, channels: int, **chosen):
            options = {'norm': self.norm, 'dropout': self.dropout, 'rank': self.rank} | chosen
            return lambda x: Unit(channels, name=name, **options)(x, deterministic=deterministic)

        x = unit('first', self.width, size=self.size, slope=0.2)(x)
        widths = [min(2**level * self.width, self.maximum) for level in range(self.depth)]
        skips = []
        for level, channels in enumerate(widths):
            inner = widths[min(level + 1, self.depth - 1)]
            norm = self.norm if level < self.depth - 1 else 'none'
            skips.append(x)
            if self.refined:
                x = unit(f'down_{level}_refine', channels, slope=0.2, norm=norm)(x)
            x = unit(f'down_{level}', inner, scale=-1, slope=0.2, norm=norm)(x)
        for level in reversed(range(self.depth)):
            norm = self.norm if level < self.depth - 1 else 'none'
            x = unit(f'up_{level}', widths[level], scale=2, norm=norm)(x)
            if self.refined:
                x = unit(f'up_{level}_refine', widths[level], norm=norm)(x)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
        return unit('last', self.out, size=self.size)(x)
