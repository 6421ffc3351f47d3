"""The networks that turn features at pixels into colours, and paint what is around them."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from neurend import checks
from neurend.nn.dilated import DilatedUNet
from neurend.nn.mlp import MLP
from neurend.nn.sizes import padded
from neurend.nn.unet import UNet
from neurend.typing import Array


class DeferredShader(nn.Module):
    """A U-Net sees what lies around each pixel, dense layers then see it beside the pixel's own features.

    Fine detail goes by the dense layers, which no halving blurs. What the last layer gives starts near zero, so that a
    picture begins as what it is added to. Sizes of any kind: borders are padded and cropped.

    Call with `n h w c`, and what the U-Net sees beside it at half that size, a quarter, ..., if anything: sizes must
    then be multiples of 2^depth. Returns `n h w out`, linear.

    Attributes:
        out: channels of the result.
        unet, depth, maximum: of the U-Net, see `neurend.nn.unet.UNet`; none if `unet` is 0.
        dilated: whether its convolutions see far by dilation, `neurend.nn.dilated.DilatedUNet`, and nothing is halved;
            then there is nothing coarser.
        context: channels that it hands on.
        width, layers: of the hidden dense layers; none if `width` is 0.
    """

    out: int
    unet: int = 32
    depth: int = 5
    maximum: int = 8
    context: int = 8
    width: int = 32
    layers: int = 2
    dilated: bool = False

    @nn.compact
    def __call__(self, inputs: Array, coarser: Sequence[Array] = ()) -> Array:
        checks.shape('inputs', inputs, 'n h w c')
        x = inputs
        if self.unet and self.dilated:
            around = DilatedUNet(self.context, self.unet, self.depth, self.maximum, 'none', 'none', name='unet')
            x = jnp.concatenate([inputs, around(inputs)], axis=-1)
        elif self.unet:
            height, width = inputs.shape[1:3]
            around = UNet(
                self.context, self.unet, self.depth, self.maximum, dropout=0.0, activation='none', name='unet'
            )
            seen = around(padded(inputs, around.multiple), coarser=coarser)[:, :height, :width]
            x = jnp.concatenate([inputs, seen], axis=-1)
        if self.width:
            x = MLP(self.width, self.layers, name='pixel')(x)
        return _last(self.out, x)


class Inpainter(nn.Module):
    """A dilated U-Net that paints what neither the mesh nor the film shows (Thies et al., 2020).

    Call with `n h w 5`: colours so far, opacity of the mesh, and where the film is known, in [0, 1]. Returns
    `n h w 3`, to be added to the colours, near zero to begin with.

    Attributes:
        width, depth, maximum: see `neurend.nn.dilated.DilatedUNet`.
    """

    width: int = 8
    depth: int = 5
    maximum: int = 4

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        checks.shape('inputs', inputs, 'n h w 5')
        net = DilatedUNet(self.width, self.width, self.depth, self.maximum, 'none', 'none', name='unet')
        return _last(3, jnp.concatenate([inputs, nn.relu(net(2 * inputs - 1))], axis=-1))


def _last(out: int, x: Array) -> Array:
    """The last layer, of single pixels, called within a compact module."""
    flat = nn.Dense(out, kernel_init=nn.initializers.normal(1e-2), name='out')(x.reshape(-1, x.shape[-1]))
    return flat.reshape(*x.shape[:-1], out)
