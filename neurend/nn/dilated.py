"""The U-Net without halvings of Neural Voice Puppetry (Thies et al., 2020)."""

import flax.linen as nn
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import Convolution
from neurend.nn.norms import Kind, Norm
from neurend.nn.sizes import require_multiple
from neurend.nn.unet import Activation
from neurend.typing import Array


class DilatedUNet(nn.Module):
    """A U-Net whose 3x3 convolutions see far by dilation, at full resolution throughout.

    Level i of the encoder has `width min(2^i, maximum)` channels and dilation 2^i, after a leaky ReLU of slope 0.2 but
    for the first, and no norm. The decoder mirrors the channels without dilation, its norm after each convolution
    but the last; it takes the ReLU of `[encoder, decoder]`.

    Dilation grows and channels double inwards up to 512, as the paper's figure has it; in the released code dilation
    grows outwards and channels stop at 256. The code's leaky ReLU before tanh, which clips the range, is left out.

    Call with `n h w c` in [-1, 1], of any size; returns `n h w out`, in [-1, 1] after tanh.

    Attributes:
        out: channels of the result.
        width: channels of the first level.
        depth: number of levels.
        maximum: of the channels, in widths.
        norm: of the decoder.
        activation: of the result.
    """

    out: int
    width: int = 32
    depth: int = 5
    maximum: int = 16
    norm: Kind = 'instance'
    activation: Activation = 'tanh'

    @property
    def multiple(self) -> int:
        """What the sizes of the input must be multiples of."""
        return 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        checks.one_of('activation', self.activation, ('tanh', 'none'))
        require_multiple(x, 1)
        widths = [self.width * min(2**level, self.maximum) for level in range(self.depth)]
        skips = []
        for level, channels in enumerate(widths):
            if level:
                x = nn.leaky_relu(x, 0.2)
            x = Convolution(channels, 3, dilation=2**level, padding=2**level, name=f'encoder_{level}')(x)
            skips.append(x)
        skips.pop()
        for level in range(self.depth - 1, 0, -1):
            name = f'decoder_{level}'
            x = Convolution(widths[level - 1], 3, padding=1, bias=self.norm != 'batch', name=name)(nn.relu(x))
            x = jnp.concatenate([skips.pop(), Norm(self.norm, name=f'{name}_norm')(x)], axis=-1)
        x = Convolution(self.out, 3, padding=1, name='decoder_0')(nn.relu(x))
        return jnp.tanh(x) if self.activation == 'tanh' else x
