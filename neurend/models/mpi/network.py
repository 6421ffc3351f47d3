"""From a plane-sweep volume to a multi-plane image: the network of stereo magnification (Zhou et al., 2018)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.models.mpi import start
from neurend.nn.convolution import Convolution, TransposedConvolution
from neurend.nn.norms import standardize
from neurend.nn.sizes import require_multiple
from neurend.render import planes
from neurend.scenes import planes as scenes
from neurend.typing import Array

MULTIPLE = 8  # of the sides of pictures
_SHARPNESS = 500.0  # see `start.opacities`
KINDS = ('background', 'foreground', 'all', 'alpha', 'single', 'views')


class StereoNetwork(nn.Module):
    """An encoder that halves pictures three times, dilated layers, and a decoder with skips.

    Every layer but the last has a norm over all of its output and a rectifier. Convolutions that halve pad both sides,
    where the published ones pad the last alone.

    Call with `n h w c` in [-1, 1], sides multiples of 8; returns `n h w out`, before the published hyperbolic tangent.

    Attributes:
        out: channels of the result.
        width: of the first layer; 64 in the paper.
    """

    out: int
    width: int = 64

    @nn.compact
    def __call__(self, x: Array) -> Array:
        require_multiple(x, MULTIPLE)
        w = self.width

        def layer(x: Array, name: str, channels: int, *, stride: int = 1, dilation: int = 1) -> Array:
            init = nn.initializers.he_normal()
            conv = Convolution(
                channels,
                3,
                stride=stride,
                dilation=dilation,
                padding=dilation,
                bias=False,
                kernel_init=init,
                name=name,
            )
            return nn.relu(LayerNorm(name=f'{name}_norm')(conv(x)))

        def up(x: Array, name: str, channels: int) -> Array:
            init = nn.initializers.variance_scaling(8.0, 'fan_in', 'normal', in_axis=-1, out_axis=-2)
            conv = TransposedConvolution(channels, bias=False, kernel_init=init, name=name)
            return nn.relu(LayerNorm(name=f'{name}_norm')(conv(x)))

        x = layer(x, 'conv1_1', w)
        first = x = layer(x, 'conv1_2', 2 * w, stride=2)
        x = layer(x, 'conv2_1', 2 * w)
        second = x = layer(x, 'conv2_2', 4 * w, stride=2)
        x = layer(x, 'conv3_1', 4 * w)
        x = layer(x, 'conv3_2', 4 * w)
        third = x = layer(x, 'conv3_3', 8 * w, stride=2)
        for name in ('conv4_1', 'conv4_2', 'conv4_3'):
            x = layer(x, name, 8 * w, dilation=2)
        x = up(jnp.concatenate([x, third], axis=-1), 'conv6_1', 4 * w)
        x = layer(layer(x, 'conv6_2', 4 * w), 'conv6_3', 4 * w)
        x = up(jnp.concatenate([x, second], axis=-1), 'conv7_1', 2 * w)
        x = layer(x, 'conv7_2', 2 * w)
        x = up(jnp.concatenate([x, first], axis=-1), 'conv8_1', w)
        x = layer(x, 'conv8_2', w)
        return Convolution(self.out, 1, name='out')(x)


class LayerNorm(nn.Module):
    """Standardizes all of an image's features together, then scales and shifts each channel."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param('scale', nn.initializers.ones, (x.shape[-1],))
        bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
        ones = (1,) * (x.ndim - 1)
        return standardize(x, tuple(range(1, x.ndim))) * scale.reshape(*ones, -1) + bias.reshape(*ones, -1)


def channels_out(kind: str, count: int, sources: int = 2) -> int:
    """Channels that `planes_from` takes for `count` planes of `sources` photographs."""
    checks.one_of('kind', kind, KINDS)
    return {
        'background': 3 + 2 * count,
        'foreground': 6 + 2 * count,
        'all': 4 * count,
        'alpha': count,
        'single': 3 + count,
        'views': (sources + 1) * count,
    }[kind]


def alpha_channels(kind: str, count: int, sources: int = 2) -> slice:
    """Which of the channels that `planes_from` takes are opacities, the nearest plane's first."""
    return {
        'background': slice(count, 2 * count),
        'foreground': slice(count, 2 * count),
        'all': slice(3, None, 4),
        'views': slice(sources * count, None),
    }.get(kind, slice(0, count))


def sweep(pictures: Array, cameras: Camera, depths: Array, *, border: int = 0) -> Array:
    """All pictures but the first as its camera would see them on each plane, [v-1 D H W 3]; grey where they end.

    Args:
        pictures: [v h w 3] in [0, 1], the reference first.
        cameras: [v] of them.
        depths: [D] of the planes.
        border: pixels by which the planes reach beyond the reference on every side.
    """
    size = pictures.shape[2] + 2 * border, pictures.shape[1] + 2 * border
    reference = scenes.enlarged(jax.tree.map(lambda leaf: leaf[0], cameras), border)
    found = [
        planes.sweep(picture - 0.5, jax.tree.map(lambda leaf, k=k: leaf[k], cameras), reference, depths, size)
        for k, picture in enumerate(pictures)
        if k
    ]
    return 0.5 + jnp.stack(found) if found else jnp.zeros((0, len(depths), size[1], size[0], 3))


def agreement(reference: Array, swept: Array) -> Array:
    """Opacities [D H W] of planes as photographs agree there, see `start.opacities`: a guess without a network."""
    views = jnp.concatenate([jnp.broadcast_to(reference[None, None], (1, *swept.shape[1:])), swept])
    variance = jnp.sum(jnp.var(views, axis=0), axis=-1)
    return start.opacities(variance, jnp.ones(variance.shape, bool), sharpness=_SHARPNESS)


def network_input(reference: Array, swept: Array) -> Array:
    """What the network sees, [1 h w c] in [-1, 1]: the reference [h w 3], and the planes of `sweep`."""
    height, width = reference.shape[:2]
    others = jnp.moveaxis(swept, (0, 1), (2, 3)).reshape(height, width, -1)
    return 2 * jnp.concatenate([reference, others], axis=-1)[None] - 1


def planes_from(kind: str, found: Array, reference: Array, swept: Array) -> Array:
    """Planes [D h w 4] of what the network gives, nearest first, the farthest opaque.

    Args:
        kind: 'background': for each plane the weight of the reference against one background, as published;
            'foreground' has a learned picture in the reference's stead, 'all' colours for each plane, 'alpha' those of
            the reference, 'single' one learned picture; 'views': colours between those that the photographs have on
            each plane, as LLFF has them (Mildenhall et al., 2019).
        found: [h w c], for 'views' logits, else in [-1, 1].
        reference: [h w 3] in [0, 1].
        swept: [v-1 D h w 3] the other photographs, for 'views'.
    """
    height, width, channels = found.shape
    values = (found + 1) / 2
    if kind == 'views':
        sources = len(swept) + 1
        logits = jnp.moveaxis(found.reshape(height, width, sources + 1, -1), (2, 3), (0, 1))
        weights, alpha = jax.nn.softmax(logits[:-1], axis=0), jax.nn.sigmoid(logits[-1])
        views = jnp.concatenate([jnp.broadcast_to(reference[None, None], (1, *swept.shape[1:])), swept])
        color = jnp.sum(weights[..., None] * views, axis=0)
    elif kind == 'all':
        rgba = jnp.moveaxis(values.reshape(height, width, -1, 4), 2, 0)
        color, alpha = rgba[..., :3], rgba[..., 3]
    else:
        pictures = {'background': 1, 'foreground': 2, 'alpha': 0, 'single': 1}[kind]
        stacks = 2 if kind in ('background', 'foreground') else 1
        count = (channels - 3 * pictures) // stacks
        learned = [values[..., channels - 3 * (k + 1) : channels - 3 * k] for k in range(pictures)]
        alpha = jnp.moveaxis(values[..., (stacks - 1) * count : stacks * count], -1, 0)
        if stacks == 2:
            weight = jnp.moveaxis(values[..., :count], -1, 0)[..., None]
            front = reference if kind == 'background' else learned[1]
            color = weight * front[None] + (1 - weight) * learned[0][None]
        else:
            color = jnp.broadcast_to((learned[0] if learned else reference)[None], (count, height, width, 3))
    alpha = jnp.concatenate([alpha[:-1], jnp.ones_like(alpha[-1:])])
    return jnp.concatenate([color, alpha[..., None]], axis=-1)
