"""Convolutions in two and three dimensions: strided, dilated, transposed; zero, reflected and replicated borders."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from neurend import checks
from neurend.checks import InputError
from neurend.nn import bilinear
from neurend.nn.products import Geometry
from neurend.typing import Array

Border = Literal['zeros', 'reflect', 'replicate']
_MODES = {'zeros': 'constant', 'reflect': 'reflect', 'replicate': 'edge'}


def pad(x: Array, width: int, *, border: Border = 'zeros') -> Array:
    """Adds `width` pixels on each side of the spatial axes of `n *space c`.

    Raises:
        InputError: reflection of more pixels than there are beside the border.
    """
    checks.one_of('border', border, tuple(_MODES))
    if border == 'reflect' and width >= min(x.shape[1:-1]):
        raise InputError(
            f'x: got spatial shape {x.shape[1:-1]} to be reflected by {width} pixels, expected more than {width}. '
            'Use larger images, fewer layers, or border="replicate"'
        )
    if width == 0:
        return x
    return jnp.pad(x, [(0, 0), *[(width, width)] * (x.ndim - 2), (0, 0)], mode=_MODES[border])


def convolve(
    x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1, padding: int = 0, border: Border = 'zeros'
) -> Array:
    """Correlates `x` with `kernel`, which is what networks call convolution.

    `y[p, o] = sum_{k, i} x[stride p + dilation k - padding, i] kernel[k, i, o]`. On a CPU it is made of matrix
    products. All derivatives, of any order and in both modes, are convolutions again.

    Args:
        x: `n *space in`, two or three spatial axes.
        kernel: `*size in out`.
        stride: step between outputs, along each axis.
        dilation: step between the pixels that the kernel sees.
        padding: pixels added on each side first.
        border: what they hold.

    Returns:
        `n *space' out`, space' = (space + 2 padding - dilation (size - 1) - 1) // stride + 1.

    Raises:
        InputError: shapes that do not fit, or a kernel larger than the padded images.
    """
    rank = _rank(kernel)
    _check('x', x, kernel.shape[-2], rank)
    if border != 'zeros':
        x, padding = pad(x, padding, border=border), 0
    geometry = Geometry(stride, dilation, ((padding, padding),) * rank, x.shape[1:-1], kernel.shape[:rank])
    if min(geometry.output) < 1:
        raise InputError(
            f'x: got spatial shape {x.shape[1:-1]}, too small for a kernel of {kernel.shape[:rank]} with '
            f'padding={padding} and dilation={dilation}. Use larger images or fewer layers'
        )
    return bilinear.output(geometry, x, kernel)


def convolve_transposed(
    x: Array, kernel: Array, *, stride: int = 2, padding: int = 1, output_padding: int = 0
) -> Array:
    """The transpose of `convolve`, as PyTorch's ConvTranspose.

    `y[stride p + k - padding, o] += x[p, i] kernel[k, o, i]`.

    Args:
        x: `n *space in`.
        kernel: `*size out in`, that of the convolution of which this is the transpose. PyTorch's weights, (in, out,
            *size), have their axes moved, not flipped.
        stride: factor of enlargement.
        padding: pixels cut off each side of the result.
        output_padding: pixels added again at the far end; less than the stride.

    Returns:
        `n *space' out`, space' = (space - 1) stride - 2 padding + size + output_padding.

    Raises:
        InputError: shapes that do not fit, or more padding than there is.
    """
    rank = _rank(kernel)
    _check('x', x, kernel.shape[-1], rank)
    taps = kernel.shape[:rank]
    size = tuple((side - 1) * stride - 2 * padding + tap + output_padding for side, tap in zip(x.shape[1:-1], taps))
    if not 0 <= output_padding < stride or min(size) < 1:
        raise InputError(
            f'padding, output_padding: got {padding} and {output_padding}, expected the latter less than '
            f'stride={stride}, and something left of {x.shape[1:-1]} enlarged'
        )
    return bilinear.input(Geometry(stride, 1, ((padding, padding),) * rank, size, taps), x, kernel)


class Convolution(nn.Module):
    """`convolve` with a learned kernel, drawn from N(0, 0.02) as in pix2pix, and a learned bias, zero at first.

    Attributes:
        channels: out.
        size: of the kernel along each axis.
        stride, dilation, padding, border: see `convolve`.
        bias: whether one is added.
        rank: number of spatial axes.
        kernel_init: of the kernel.
    """

    channels: int
    size: int
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    border: Border = 'zeros'
    bias: bool = True
    rank: int = 2
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param('kernel', self.kernel_init, (self.size,) * self.rank + (x.shape[-1], self.channels))
        y = convolve(x, kernel, stride=self.stride, dilation=self.dilation, padding=self.padding, border=self.border)
        return _with_bias(self, y) if self.bias else y


class TransposedConvolution(nn.Module):
    """`convolve_transposed` with a learned kernel and bias; see `Convolution`."""

    channels: int
    size: int = 4
    stride: int = 2
    padding: int = 1
    output_padding: int = 0
    bias: bool = True
    rank: int = 2
    kernel_init: nn.initializers.Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param('kernel', self.kernel_init, (self.size,) * self.rank + (self.channels, x.shape[-1]))
        y = convolve_transposed(x, kernel, stride=self.stride, padding=self.padding, output_padding=self.output_padding)
        return _with_bias(self, y) if self.bias else y


def _with_bias(module: nn.Module, y: Array) -> Array:
    bias = module.param('bias', nn.initializers.zeros, (y.shape[-1],))
    return y + bias.reshape((1,) * (y.ndim - 1) + (-1,))


def _rank(kernel: Array) -> int:
    if kernel.ndim not in (4, 5):
        raise InputError(f'kernel: got shape {kernel.shape}, expected two or three spatial axes and two of channels')
    return kernel.ndim - 2


def _check(name: str, x: Array, channels: int, rank: int) -> None:
    checks.shape(name, x, f'n {"_ " * rank}{channels}', 'The kernel says so')
