"""Networks of few-shot talking heads: an embedder of people and a generator of pictures from landmarks."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.checks import InputError
from neurend.nn import spectral
from neurend.nn.convolution import Convolution
from neurend.nn.modulated import AdaIN, ModulatedBlock, SelfAttention
from neurend.nn.norms import Norm
from neurend.nn.patchgan import ResidualEncoder
from neurend.nn.sizes import require_multiple
from neurend.typing import Array, Key, PyTree


class HeadEmbedder(nn.Module):
    """A person's code: the mean of what a `ResidualEncoder` says of K frames (Zakharov et al., 2019).

    The code is scaled to a root mean square of one, which the paper's is not: with normalised kernels it would begin
    some hundred times smaller, and people would look alike for as long as it takes the generator to notice.

    Call with frames and their landmark pictures, concatenated, `n k h w c`; returns `n d`.

    Attributes:
        width, halvings, maximum, attention: of the encoder.
    """

    width: int = 64
    halvings: int = 6
    maximum: int = 8
    attention: int | None = 2

    @nn.compact
    def __call__(self, frames: Array) -> Array:
        checks.shape('frames', frames, 'n k h w c')
        flat = frames.reshape(-1, *frames.shape[2:])
        encoder = ResidualEncoder(self.width, self.halvings, self.maximum, self.attention, name='encoder')
        vectors, _ = encoder(flat)
        code = jnp.mean(vectors.reshape(*frames.shape[:2], -1), axis=1)
        return code * jax.lax.rsqrt(jnp.mean(jnp.square(code), axis=-1, keepdims=True) + 1e-12)


class HeadGenerator(nn.Module):
    """Pictures of a person from landmark pictures: convolutions down, residual blocks, residual blocks up.

    The way down is a 7x7 convolution and 3x3 ones of stride 2, with instance norm and ReLU, and knows nothing of the
    person. All norms of the middle and of the way up are `AdaIN`, whose scales and shifts are linear in the person's
    code; their layers, called 'affine', are the matrix P of Zakharov et al. (2019), which otherwise this follows. There
    are no connections past the middle. Blocks down have one convolution and not two.

    Call with `n h w c` in [-1, 1], sizes multiples of `2 ** halvings`, and the code `n d`; returns `n h w 3` in the
    same range.

    Attributes:
        width: channels at full resolution; they double with every halving until `maximum`.
        halvings: of the picture.
        blocks: residual blocks in the middle.
        maximum: of the channels, in widths.
        attention: after how many halvings there is self-attention, on both ways; 3 is 32 x 32 of 256 x 256 pixels.
    """

    width: int = 64
    halvings: int = 4
    blocks: int = 5
    maximum: int = 8
    attention: int | None = 3

    @nn.compact
    def __call__(self, landmarks: Array, code: Array) -> Array:
        require_multiple(landmarks, 2**self.halvings)
        widths = [self.width * min(2**level, self.maximum) for level in range(self.halvings + 1)]
        x = Convolution(widths[0], 7, padding=3, name='first')(landmarks)
        x = nn.relu(Norm('instance', affine=True, name='first_norm')(x))
        for level in range(1, self.halvings + 1):
            x = Convolution(widths[level], 3, stride=2, padding=1, name=f'down_{level}')(x)
            x = nn.relu(Norm('instance', affine=True, name=f'down_{level}_norm')(x))
            if level == self.attention:
                x = SelfAttention(name='attention_down')(x)
        for block in range(self.blocks):
            x = ModulatedBlock(widths[-1], AdaIN, name=f'block_{block}')(x, code)
        for level in range(self.halvings, 0, -1):
            if level == self.attention:
                x = SelfAttention(name='attention_up')(x)
            x = ModulatedBlock(widths[level - 1], AdaIN, upsample=True, name=f'up_{level}')(x, code)
        x = nn.leaky_relu(AdaIN(name='last_modulation')(x, code), 0.2)
        return jnp.tanh(Convolution(3, 7, padding=3, name='last')(x))


def spectral_vectors(key: Key, params: PyTree) -> spectral.Vectors:
    """Vectors for spectral normalisation of all kernels but AdaIN's, which are no filters."""
    return {path: vector for path, vector in spectral.init(key, params).items() if "['affine']" not in path}


def personalize(generator: PyTree, code: Array) -> PyTree:
    """A `HeadGenerator`'s parameters with a person's scales and shifts, psi' = P e, in the place of the matrix P.

    What comes back is for codes of zeros `n 1` (`no_code`): scales and shifts are then the biases alone.

    Args:
        generator: parameters.
        code: `[d]`, the person's.

    Raises:
        InputError: a code of another length than the parameters are for.
    """

    def one(layer: dict[str, PyTree], name: str) -> PyTree:
        if name != 'affine':
            return {key: one(value, key) if isinstance(value, dict) else value for key, value in layer.items()}
        if code.shape != layer['kernel'].shape[:1]:
            raise InputError(
                f'code: got shape {code.shape}, expected {layer["kernel"].shape[:1]}, as the generator has'
            )
        return {'kernel': jnp.zeros((1, len(layer['bias']))), 'bias': layer['bias'] + code @ layer['kernel']}

    return one(generator, '')


def no_code(count: int) -> Array:
    """Codes `count 1` for a generator that is somebody's already."""
    return jnp.zeros((count, 1))


def embed(embedder: HeadEmbedder, params: PyTree, images: Array, conditions: Array) -> Array:
    """Codes `n d` of people by frames and landmark pictures `n k h w 3` in [0, 1]."""
    return jnp.asarray(embedder.apply({'params': params}, 2 * jnp.concatenate([images, conditions], axis=-1) - 1))


def generate(generator: HeadGenerator, params: PyTree, conditions: Array, code: Array) -> Array:
    """Images `n h w 3` in [-1, 1] for landmark pictures `n h w 3` in [0, 1]."""
    return jnp.asarray(generator.apply({'params': params}, 2 * conditions - 1, code))


def normalized(params: dict[str, PyTree], vectors: dict[str, spectral.Vectors]) -> tuple[dict, dict]:
    """Spectral normalisation of several networks by name; those without vectors stay."""
    pairs = {name: spectral.normalize(tree, vectors[name]) for name, tree in params.items()}
    return {name: pair[0] for name, pair in pairs.items()}, jax.tree.map(
        jax.lax.stop_gradient, {name: pair[1] for name, pair in pairs.items()}
    )
