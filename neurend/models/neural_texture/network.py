"""The network that turns features at pixels into colours."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from neurend import checks
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

    @nn.compact
    def __call__(self, inputs: Array, coarser: Sequence[Array] = ()) -> Array:
        checks.shape('inputs', inputs, 'n h w c')
        x = inputs
        if self.unet:
            height, width = inputs.shape[1:3]
            around = UNet(
                self.context, self.unet, self.depth, self.maximum, dropout=0.0, activation='none', name='unet'
            )
            seen = around(padded(inputs, around.multiple), coarser=coarser)[:, :height, :width]
            x = jnp.concatenate([inputs, seen], axis=-1)
        if self.width:
            x = MLP(self.width, self.layers, name='pixel')(x)
        flat = nn.Dense(self.out, kernel_init=nn.initializers.normal(1e-2), name='out')(x.reshape(-1, x.shape[-1]))
        return flat.reshape(*x.shape[:-1], self.out)
