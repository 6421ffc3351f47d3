"""The U-Net of pix2pix (Isola et al., 2017): halvings to a bottleneck, doublings back, skips between equal sizes."""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from neurend import checks
from neurend.checks import InputError
from neurend.nn.convolution import Convolution, TransposedConvolution
from neurend.nn.norms import Kind, Norm
from neurend.nn.sizes import double, require_multiple
from neurend.typing import Array

Activation = Literal['tanh', 'none']


class UNet(nn.Module):
    """Encoder and decoder of `depth` levels; the decoder sees `[encoder, decoder]` features of its size.

    Level i of the encoder is a 4x4 convolution of stride 2 to `width min(2^i, maximum)` channels, after a leaky ReLU of
    slope 0.2 but for the first. Its first and innermost convolutions are not normalised, all others of the network but
    the last are. The decoder takes the ReLU of the concatenated features. 256 x 256 images need the default depth of 8.

    Dropout falls on the decoder's middle levels, those that have `width maximum` channels on both sides and are not the
    innermost: the released code's choice, one level further out than the paper's. It is the only source of
    randomness and is on at test time too (the random key of the collection 'dropout'), unless `deterministic`.

    Call with `n *space c` in [-1, 1], sizes multiples of `multiple`; returns `n *space out`, in [-1, 1] after tanh.
    `coarser` are features of the same scene at half its sizes, a quarter, and so on, fewer than `depth`: the encoder
    sees each beside its own of that size (Aliev et al., "Neural point-based graphics", 2020).

    Attributes:
        out: channels of the result.
        width: channels of the first level.
        depth: number of halvings, 2 or more.
        maximum: of the channels, in widths.
        norm: 'instance' without affine map, 'batch' with one, or 'none'. Convolutions have a bias unless `norm` is
            'batch'; the last always has one.
        dropout: rate; 0 for none.
        activation: of the result.
        rank: spatial axes, 2 or 3.
        upsample: 'transposed' 4x4 convolutions, or 'bilinear' doubling and a 3x3 convolution (Thies et al., "Neural
            Voice Puppetry", 2020; its code has leaky ReLUs after these convolutions, the last included, which clips the
            range: there are none here).
        refinements: 3x3 convolutions, each with norm and dropout, that follow every doubling but the last: 2 in Deep
            Video Portraits (Kim et al., 2018). With them there is no other dropout.

    Raises:
        InputError: on calling, for sizes that are no multiples of `2 ** depth`.

    >>> import jax, jax.numpy as jnp
    >>> network = UNet(out=3, width=4, depth=3)
    >>> x = jnp.zeros((1, 16, 16, 6))
    >>> variables = network.init(jax.random.key(0), x)
    >>> network.apply(variables, x).shape
    (1, 16, 16, 3)
    """

    out: int
    width: int = 64
    depth: int = 8
    maximum: int = 8
    norm: Kind = 'instance'
    dropout: float = 0.5
    activation: Activation = 'tanh'
    rank: int = 2
    upsample: Literal['transposed', 'bilinear'] = 'transposed'
    refinements: int = 0

    @property
    def multiple(self) -> int:
        """What the sizes of the input must be multiples of."""
        return 2**self.depth

    @nn.compact
    def __call__(self, x: Array, *, coarser: Sequence[Array] = (), deterministic: bool = False) -> Array:
        self._check(x, coarser)
        widths = [self.width * min(2**level, self.maximum) for level in range(self.depth)]
        bias = self.norm != 'batch'
        skips = []
        for level, channels in enumerate(widths):
            name = f'encoder_{level}'
            if level:
                x = jnp.concatenate([nn.leaky_relu(x, 0.2), *coarser[level - 1 : level]], axis=-1)
            x = Convolution(channels, 4, stride=2, padding=1, bias=bias, rank=self.rank, name=name)(x)
            if 0 < level < self.depth - 1:
                x = Norm(self.norm, name=f'{name}_norm')(x)
            skips.append(x)
        skips.pop()
        for level in range(self.depth - 1, 0, -1):
            name, channels = f'decoder_{level}', widths[level - 1]
            x = Norm(self.norm, name=f'{name}_norm')(self._enlarge(nn.relu(x), channels, bias=bias, name=name))
            if channels == widths[level] and level < self.depth - 1 and not self.refinements:
                x = nn.Dropout(self.dropout, name=f'{name}_dropout')(x, deterministic=deterministic)
            for k in range(self.refinements):
                fine = f'{name}_refinement_{k}'
                x = Convolution(channels, 3, padding=1, bias=bias, rank=self.rank, name=fine)(nn.relu(x))
                x = Norm(self.norm, name=f'{fine}_norm')(x)
                x = nn.Dropout(self.dropout, name=f'{fine}_dropout')(x, deterministic=deterministic)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
        x = self._enlarge(nn.relu(x), self.out, bias=True, name='decoder_0')
        return jnp.tanh(x) if self.activation == 'tanh' else x

    def _check(self, x: Array, coarser: Sequence[Array]) -> None:
        checks.one_of('activation', self.activation, ('tanh', 'none'))
        checks.one_of('rank', self.rank, (2, 3))
        checks.one_of('upsample', self.upsample, ('transposed', 'bilinear'))
        if self.depth < 2:
            raise InputError(f'depth: got {self.depth}, expected 2 or more')
        require_multiple(x, self.multiple, rank=self.rank)
        if len(coarser) >= self.depth:
            raise InputError(f'coarser: got {len(coarser)}, expected fewer than depth, {self.depth}')
        for k, each in enumerate(coarser):
            sizes = ' '.join(str(size >> k + 1) for size in x.shape[1:-1])
            checks.shape(f'coarser[{k}]', each, f'{x.shape[0]} {sizes} c')

    def _enlarge(self, x: Array, channels: int, *, bias: bool, name: str) -> Array:
        if self.upsample == 'transposed':
            return TransposedConvolution(channels, bias=bias, rank=self.rank, name=name)(x)
        return Convolution(channels, 3, padding=1, bias=bias, rank=self.rank, name=name)(double(x))
