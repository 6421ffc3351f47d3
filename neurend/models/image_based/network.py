"""Networks that blend warped photographs and finish what they show."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from neurend.models.neural_texture.network import DeferredShader
from neurend.nn.convolution import Convolution
from neurend.nn.mlp import MLP
from neurend.numerics import safe_divide
from neurend.render import lumigraph
from neurend.render.warps import Seen
from neurend.typing import Array

_SURE = 6.0  # logit of the opacity that a picture begins with where the photographs are opaque


class Drawn(NamedTuple):
    """A picture.

    Attributes:
        rgb: [H W 3] not multiplied by opacity.
        alpha: [H W].
        weights: [k H W] of the photographs.
    """

    rgb: Array
    alpha: Array
    weights: Array


class Blender(nn.Module):
    """Weights of photographs from what they show, and a U-Net that sees the blend.

    All photographs go through the same layers, which see their mean too, as in IBRNet (Wang et al., 2021): their order
    does not matter, and neither is their number fixed. What comes out multiplies the weights that are given; then a
    U-Net fills what none shows, as Hedman et al., "Deep blending" (2018), do it with one network. Both begin with no
    effect.

    Call with `Seen` [k H W ...] of photographs and weights [k H W] to begin with; returns `Drawn`.

    Attributes:
        width: channels of the convolution and the layer.
        unet, depth, context: see `DeferredShader`.
    """

    width: int = 16
    unet: int = 16
    depth: int = 4
    context: int = 8

    @nn.compact
    def __call__(self, seen: Seen, weights: Array) -> Drawn:
        share = seen.share[..., None]
        rgb, alpha = seen.rgb * share, seen.alpha[..., None] * share
        first, opaque = lumigraph.blend(seen, weights)
        middle = safe_divide(first, opaque[..., None])
        apart = (seen.rgb - middle[None]) * alpha
        x = jnp.concatenate([rgb, apart, alpha, share, weights[..., None]], axis=-1)
        x = nn.relu(Convolution(self.width, 3, padding=1, kernel_init=nn.initializers.he_normal(), name='first')(x))
        total = jnp.sum(weights[..., None] * x, axis=0, keepdims=True)
        x = jnp.concatenate([x, jnp.broadcast_to(total, x.shape)], axis=-1)
        x = MLP(self.width, 1, name='second')(x)
        change = nn.Dense(1, kernel_init=nn.initializers.normal(1e-2), name='change')(x.reshape(-1, self.width))
        change = change.reshape(weights.shape)
        better = weights * jnp.exp(jnp.clip(change, -8, 8))
        better = safe_divide(better, jnp.sum(better, axis=0, keepdims=True))
        blended, opaque = lumigraph.blend(seen, better)
        middle = safe_divide(blended, opaque[..., None])
        spread = jnp.sum(better[..., None] * seen.alpha[..., None] * jnp.square(seen.rgb - middle[None]), axis=0)
        context = jnp.sum(better[..., None] * x, axis=0)
        sure = [opaque, jnp.max(seen.share, axis=0), jnp.min(jnp.where(seen.share > 0.5, seen.alpha, 1), axis=0)]
        inputs = jnp.concatenate([blended, spread, jnp.stack(sure, axis=-1), context], axis=-1)
        shader = DeferredShader(4, self.unet, self.depth, context=self.context, name='finish')
        finished = shader(inputs[None])[0]
        outline = nn.sigmoid(finished[..., 3] + _SURE * (2 * opaque - 1))
        return Drawn(middle + finished[..., :3], outline, better)
