"""Discriminators: patches of any size (Isola et al., 2017), several scales (Wang et al., 2018), projection.

A conditional discriminator sees condition and image, a temporal one several frames, concatenated along the channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.nn.convolution import Convolution
from neurend.nn.modulated import SelfAttention
from neurend.nn.norms import Kind, Norm
from neurend.typing import Array


def receptive_field(layers: int) -> int:
    """Side in pixels of the square that one logit of a `PatchGAN` sees: 16, 34, 70, 142, 286 for 1 to 5 layers."""
    return 9 * 2**layers - 2


def downsample(x: Array) -> Array:
    """Halves `n *space c`, rounding up: means of 3 pixels along each axis, of those inside the image at its border."""
    rank = x.ndim - 2

    def sums(y: Array) -> Array:
        window, stride = (1, *(3,) * rank, 1), (1, *(2,) * rank, 1)
        return jax.lax.reduce_window(y, 0.0, jax.lax.add, window, stride, [(0, 0), *[(1, 1)] * rank, (0, 0)])

    return sums(x) / sums(jnp.ones((1, *x.shape[1:-1], 1), x.dtype))


class PatchGAN(nn.Module):
    """Classifies overlapping patches of `receptive_field(layers)` pixels, by 4x4 convolutions.

    There are `layers` convolutions of stride 2 and one of stride 1, each followed by a leaky ReLU of slope 0.2, and one
    of stride 1 to the logits. All but the first and the last are normalised.

    Call with `n h w c`; returns a list of all activations, `layers + 2` of them, the last the logits `n h' w' 1`.

    Attributes:
        width: channels of the first convolution; they double with each until `maximum`.
        layers: convolutions of stride 2; 3 is the 70x70 discriminator.
        maximum: of the channels, in widths.
        norm: see `Norm`. Normalised convolutions have a bias unless it is 'batch'; the others always have one.
        padding: zeros around each convolution's input: 1 in pix2pix, 2 in pix2pixHD.

    Raises:
        InputError: on calling, for images too small to give a logit.
    """

    width: int = 64
    layers: int = 3
    maximum: int = 8
    norm: Kind = 'instance'
    padding: int = 1

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        sizes = checks.shape('x', x, 'n h w c')
        if min(_logits(sizes[axis], self.layers, self.padding) for axis in 'hw') < 1:
            raise checks.InputError(
                f'x: got {sizes["w"]} x {sizes["h"]} pixels, too few for a logit of a discriminator of {self.layers} '
                'layers. Use fewer layers or larger images'
            )
        activations = []
        for layer in range(self.layers + 1):
            x = Convolution(
                self.width * min(2**layer, self.maximum),
                4,
                stride=2 if layer < self.layers else 1,
                padding=self.padding,
                bias=layer == 0 or self.norm != 'batch',
                name=f'layer_{layer}',
            )(x)
            if layer:
                x = Norm(self.norm, name=f'layer_{layer}_norm')(x)
            x = nn.leaky_relu(x, 0.2)
            activations.append(x)
        return [*activations, Convolution(1, 4, padding=self.padding, name='last')(x)]


class PixelGAN(nn.Module):
    """Classifies each pixel by itself, by 1x1 convolutions to `width`, `2 width` and 1 channels (Isola et al., 2017).

    Call with `n h w c`; returns a list of all activations, the last the logits `n h w 1`.
    """

    width: int = 64
    norm: Kind = 'instance'

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        checks.shape('x', x, 'n h w c')
        first = nn.leaky_relu(Convolution(self.width, 1, name='layer_0')(x), 0.2)
        second = Convolution(2 * self.width, 1, bias=self.norm != 'batch', name='layer_1')(first)
        second = nn.leaky_relu(Norm(self.norm, name='layer_1_norm')(second), 0.2)
        return [first, second, Convolution(1, 1, name='last')(second)]


class MultiScale(nn.Module):
    """Patch discriminators, each with its own weights, of the image `downsample`d 0, 1, ... times.

    Call with `n h w c`; returns a list, finest scale first, of what each `PatchGAN` returns.

    Attributes:
        scales: number of discriminators; 2 for pix2pixHD's global generator, 3 with the local enhancer.
        width, layers, maximum, norm, padding: of each.
    """

    scales: int = 2
    width: int = 64
    layers: int = 3
    maximum: int = 8
    norm: Kind = 'instance'
    padding: int = 2

    @nn.compact
    def __call__(self, x: Array) -> list[list[Array]]:
        results = []
        for scale in range(self.scales):
            if scale:
                x = downsample(x)
            patches = PatchGAN(self.width, self.layers, self.maximum, self.norm, self.padding, name=f'scale_{scale}')
            results.append(patches(x))
        return results


class ResidualEncoder(nn.Module):
    """Residual blocks that halve an image, summed over its pixels to a vector, after ReLU (Zakharov et al., 2019).

    A block is `pool(conv3(relu(conv3(relu(x))))) + pool(conv1(x))`, pool the mean of 2x2 pixels; the first has no ReLU
    on the image itself. There is no norm: normalise the kernels (`neurend.nn.spectral`). The embedder of few-shot
    talking heads is one, and so is what `ProjectionDiscriminator` projects.

    Call with `n h w c`, at least `2 ** halvings` pixels a side; returns the vector `n width min(2^(halvings - 1),
    maximum)` and a list of the blocks' outputs.

    Attributes:
        width: channels of the first block; they double with each until `maximum`.
        halvings: number of blocks.
        maximum: of the channels, in widths.
        attention: index of the block that self-attention follows, if any; 2 puts it at 32 x 32 of a 256 x 256 image.
    """

    width: int = 64
    halvings: int = 6
    maximum: int = 8
    attention: int | None = 2

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, list[Array]]:
        sizes = checks.shape('x', x, 'n h w c')
        if min(sizes['h'], sizes['w']) < 2**self.halvings:
            raise checks.InputError(
                f'x: got {sizes["w"]} x {sizes["h"]} pixels, expected at least {2**self.halvings} a side. '
                'Use fewer halvings or larger images'
            )
        activations = []
        for block in range(self.halvings):
            channels = self.width * min(2**block, self.maximum)
            y = nn.relu(x) if block else x
            y = nn.relu(Convolution(channels, 3, padding=1, name=f'block_{block}_first')(y))
            y = Convolution(channels, 3, padding=1, name=f'block_{block}_second')(y)
            # Both branches are pooled at once: the mean of a sum is the sum of the means.
            y = y + Convolution(channels, 1, name=f'block_{block}_shortcut')(x)
            x = nn.avg_pool(y, (2, 2), (2, 2))
            if block == self.attention:
                x = SelfAttention(name='attention')(x)
            activations.append(x)
        return nn.relu(jnp.sum(x, axis=(1, 2))), activations


class ProjectionDiscriminator(nn.Module):
    """Realism of an image as one of a known person: `V(x)^T (W_i + w_0) + b` (Zakharov et al., 2019).

    Call with images (and conditions) `n h w c` and the people's indices `[n]`; `person=None` leaves out W_i, as for a
    new person, whose embedding is added to 'common' at first. Returns scores `[n]` and the activations of V.
    The parameter 'people' holds the rows W_i, `people features`; 'common' is w_0; 'bias' is b.

    Attributes:
        people: how many W_i there are.
        width, halvings, maximum, attention: of V, a `ResidualEncoder`.
    """

    people: int
    width: int = 64
    halvings: int = 6
    maximum: int = 8
    attention: int | None = 2

    @nn.compact
    def __call__(self, x: Array, person: Array | None) -> tuple[Array, list[Array]]:
        encoder = ResidualEncoder(self.width, self.halvings, self.maximum, self.attention, name='encoder')
        vector, activations = encoder(x)
        features = vector.shape[-1]
        people = self.param('people', nn.initializers.normal(0.02), (self.people, features))
        common = self.param('common', nn.initializers.normal(0.02), (features,))
        bias = self.param('bias', nn.initializers.zeros, ())
        score = vector @ common + bias
        if person is not None:
            checks.shape('person', person, 'n', 'One index is needed for each image', sizes={'n': x.shape[0]})
            score = score + jnp.sum(vector * people[person], axis=-1)
        return score, activations


def _logits(size: int, layers: int, padding: int) -> int:
    for stride in (2,) * layers + (1, 1):
        size = (size + 2 * padding - 4) // stride + 1
    return size
