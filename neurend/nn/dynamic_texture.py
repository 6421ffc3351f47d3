"""Textures that change with a code, of an expression or of speech."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import convolve
from neurend.typing import Array

_TAPS = 4
_WIDTHS = (128, 64)
_SLOPE = 0.02


class DynamicTexture(nn.Module):
    """One learned texture, convolved with a kernel that a network makes of a code (Thies et al., 2020).

    "Neural Voice Puppetry: audio-driven facial reenactment". Call with codes `n e`: expression coefficients, or what
    `nn.speech.AudioEncoder` makes of speech; returns `n side side channels`, one texture for each, for look-ups by
    `render.texture`. Published code gives textures of side + 1 texels, since its kernel has an even number of taps;
    here the last row and column are left out, so that texel (i, j) sees rows i - 2 to i + 1 and columns j - 2 to j + 1
    of the learned texture, zeros beyond its borders.

    Attributes:
        side: of the texture, in texels.
        channels: of the learned texture and of those that it becomes.
    """

    side: int = 256
    channels: int = 16

    @nn.compact
    def __call__(self, codes: Array) -> Array:
        checks.shape('codes', codes, 'n e', 'Give one vector for each texture')
        if self.side < 1 or self.channels < 1:
            raise checks.InputError(f'side, channels: got {self.side} and {self.channels}, expected at least 1 of each')
        hidden = jnp.asarray(codes)
        for layer, width in enumerate(_WIDTHS):
            hidden = jax.nn.leaky_relu(nn.Dense(width, name=f'layer_{layer}')(hidden), _SLOPE)
        shape = (_TAPS, _TAPS, self.channels, self.channels)
        kernels = jnp.tanh(nn.Dense(_TAPS * _TAPS * self.channels**2, name='kernel')(hidden)).reshape(-1, *shape)
        texture = self.param('texture', nn.initializers.normal(1.0), (self.side, self.side, self.channels))
        # The same picture with every kernel: the kernels' outputs are channels of one convolution.
        together = jnp.moveaxis(kernels, 0, -2).reshape(*shape[:3], -1)
        wide = jnp.pad(texture, ((2, 1), (2, 1), (0, 0)))
        found = convolve(wide[None], together)[0]
        return jnp.moveaxis(found.reshape(self.side, self.side, -1, self.channels), 2, 0)
