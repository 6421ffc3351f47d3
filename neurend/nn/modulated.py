"""Features modulated by a map or a code, and features that attend to each other or to a previous image."""

from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import Convolution
from neurend.nn.norms import Kind, Norm
from neurend.nn.sizes import double
from neurend.typing import Array

_init = nn.initializers.normal(0.02)


class Modulation(Protocol):
    """A class of modules that are called with features and a condition: `Spade`, `AdaIN`, or a `partial` of one."""

    def __call__(self, *, name: str) -> nn.Module: ...


class Spade(nn.Module):
    """`norm(x) (1 + gamma) + beta`, gamma and beta by 3x3 convolutions of a map (Park et al., "SPADE", 2019).

    The map, `n h' w' k` of any size, takes the size of `x` by its nearest pixels, centres compared with centres; the
    released code takes the pixel at the top left of each, half a pixel off. Call with `n h w c` and the map.

    Attributes:
        hidden: channels of the 3x3 convolution and ReLU that the map passes first.
        norm: its own affine map is left out.
    """

    hidden: int = 128
    norm: Kind = 'instance'

    @nn.compact
    def __call__(self, x: Array, condition: Array) -> Array:
        sizes = checks.shape('x', x, 'n h w c')
        checks.shape('condition', condition, 'n _ _ _', sizes={'n': sizes['n']})
        size = (*x.shape[:3], condition.shape[-1])
        hidden = jax.image.resize(condition, size, 'nearest')
        hidden = nn.relu(Convolution(self.hidden, 3, padding=1, name='shared')(hidden))
        gamma = Convolution(sizes['c'], 3, padding=1, name='gamma')(hidden)
        beta = Convolution(sizes['c'], 3, padding=1, name='beta')(hidden)
        return Norm(self.norm, affine=False)(x) * (1 + gamma) + beta


class AdaIN(nn.Module):
    """`norm(x) (1 + gamma) + beta`, gamma and beta linear in a code (Huang and Belongie, 2017).

    The paper multiplies by the scale itself; with `1 + gamma` a code of zero leaves the normalised features, before
    anything is learned. Call with `n *space c` and the code `n d`.

    Attributes:
        norm: its own affine map is left out.
    """

    norm: Kind = 'instance'

    @nn.compact
    def __call__(self, x: Array, code: Array) -> Array:
        checks.shape('code', code, 'n _', 'One code is needed for each image', sizes={'n': x.shape[0]})
        affine = nn.Dense(2 * x.shape[-1], kernel_init=_init, name='affine')(code)
        affine = affine.reshape(x.shape[0], *(1,) * (x.ndim - 2), -1)
        gamma, beta = jnp.split(affine, 2, axis=-1)
        return Norm(self.norm, affine=False)(x) * (1 + gamma) + beta


class ModulatedBlock(nn.Module):
    """`shortcut + conv3(act(mod(conv3(act(mod(x))))))`, act a leaky ReLU of slope 0.2 (Park et al., 2019).

    The shortcut is `x`, or a modulated 1x1 convolution of it where the channels differ. Call with `n h w c` and the
    condition that the modulation takes; returns `n h w channels`, of twice the size if `upsample`.

    Attributes:
        channels: of the result; between the convolutions there are the fewer of these and the input's.
        modulation: makes a module from its name: `Spade`, `AdaIN`, or `functools.partial` of one with its options.
        upsample: whether the size is doubled, by nearest pixels, before the first convolution and in the shortcut.
    """

    channels: int
    modulation: Modulation = Spade
    upsample: bool = False

    @nn.compact
    def __call__(self, x: Array, condition: Array) -> Array:
        def modulated(y: Array, name: str) -> Array:
            return self.modulation(name=name)(y, condition)

        def enlarged(y: Array) -> Array:
            return double(y, method='nearest') if self.upsample else y

        y = enlarged(nn.leaky_relu(modulated(x, 'first_modulation'), 0.2))
        y = Convolution(min(x.shape[-1], self.channels), 3, padding=1, name='first')(y)
        y = nn.leaky_relu(modulated(y, 'second_modulation'), 0.2)
        y = Convolution(self.channels, 3, padding=1, name='second')(y)
        if x.shape[-1] != self.channels:
            x = Convolution(self.channels, 1, bias=False, name='shortcut')(modulated(x, 'shortcut_modulation'))
        return enlarged(x) + y


class SelfAttention(nn.Module):
    """Adds to each pixel what it gathers from all others by similarity (Zhang et al., "SAGAN", 2019).

    `x_i + s out(sum_j softmax_j(query(x_i) . key(x_j)) value(x_j))`, all four linear, with an eighth of the channels
    between them; s is learned and 0 at first. Call with `n *space c`; memory grows with the square of the pixels.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        inner = max(1, x.shape[-1] // 8)

        def linear(name: str, channels: int) -> nn.Dense:
            return nn.Dense(channels, kernel_init=_init, name=name)

        scores = jnp.einsum('nic,njc->nij', linear('query', inner)(flat), linear('key', inner)(flat))
        gathered = jnp.einsum('nij,njc->nic', jax.nn.softmax(scores, axis=-1), linear('value', inner)(flat))
        scale = self.param('scale', nn.initializers.zeros, ())
        return x + scale * linear('out', x.shape[-1])(gathered).reshape(x.shape)


def compose(color: Array, mask: Array, previous: Array) -> Array:
    """`mask color + (1 - mask) previous`: the mask says what is drawn anew (Pumarola et al. 2018; Chen et al. 2019).

    Args:
        color: `... c`.
        mask: `... 1`, in [0, 1].
        previous: `... c`.
    """
    checks.shape('previous', previous, '... c', 'It must match color', sizes=checks.shape('color', color, '... c'))
    checks.shape('mask', mask, '... 1')
    return mask * color + (1 - mask) * previous


class AttentionHead(nn.Module):
    """Last layers that draw over an image: `compose` with tanh and sigmoid of 7x7 convolutions (Chen et al., 2019).

    Call with features `n h w k` and the previous image `n h w c` in [-1, 1]; returns the composed image and the colour,
    in [-1, 1], and the mask `n h w 1`.
    """

    @nn.compact
    def __call__(self, features: Array, previous: Array) -> tuple[Array, Array, Array]:
        color = jnp.tanh(Convolution(previous.shape[-1], 7, padding=3, border='reflect', name='color')(features))
        mask = jax.nn.sigmoid(Convolution(1, 7, padding=3, border='reflect', name='mask')(features))
        return compose(color, mask, previous), color, mask
