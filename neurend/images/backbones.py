"""Convolutional parts of image classifiers, with weights read from torchvision's files: AlexNet, VGG16 and VGG19.

Their activations measure how alike two images look (`neurend.images.lpips`, `neurend.losses.perceptual`). Outputs are
named as the field does, after the ReLU: `relu3_1` is the first layer of VGG's third block; AlexNet's are `relu1` to
`relu5`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.images import statedict
from neurend.nn import convolution
from neurend.typing import Array

Name = Literal['alexnet', 'vgg16', 'vgg19']


class _Layer(NamedTuple):
    key: str  # in torchvision's state dict
    output: str  # name of what comes out of the ReLU
    channels: tuple[int, int]
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: int = 0  # window of a max pooling of stride 2 before the layer


def _vgg(*depths: int) -> tuple[_Layer, ...]:
    """Blocks of `depths` convolutions with a pooling between blocks; torchvision counts ReLUs and poolings too."""
    layers, index, previous = [], 0, 3
    for block, (depth, channels) in enumerate(zip(depths, (64, 128, 256, 512, 512)), 1):
        for position in range(1, depth + 1):
            pool = 2 if block > 1 and position == 1 else 0
            layers.append(_Layer(f'features.{index}', f'relu{block}_{position}', (previous, channels), pool=pool))
            index, previous = index + 2, channels
        index += 1
    return tuple(layers)


_LAYERS: dict[str, tuple[_Layer, ...]] = {
    'alexnet': (
        _Layer('features.0', 'relu1', (3, 64), 11, stride=4, padding=2),
        _Layer('features.3', 'relu2', (64, 192), 5, padding=2, pool=3),
        _Layer('features.6', 'relu3', (192, 384), pool=3),
        _Layer('features.8', 'relu4', (384, 256)),
        _Layer('features.10', 'relu5', (256, 256)),
    ),
    'vgg16': _vgg(2, 2, 3, 3, 3),
    'vgg19': _vgg(2, 2, 4, 4, 4),
}


@flax.struct.dataclass
class Weights:
    """The convolutions of a backbone.

    Attributes:
        kernels: one [k k in out] per convolution.
        biases: one [out] per convolution.
        name: 'alexnet', 'vgg16' or 'vgg19'.
    """

    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    name: Name = flax.struct.field(pytree_node=False)


def load(path: str | os.PathLike[str], name: Name) -> Weights:
    """Reads torchvision's weights (`.pth`, or `.npz` of the same keys `features.N.weight`, `features.N.bias`).

    The file is not executed; what it holds beside the convolutions is ignored.

    Raises:
        InputError: a file that cannot be read safely, or lacks a key or has it in another shape; the message names all.
    """
    checks.one_of('name', name, tuple(_LAYERS))
    layers = _LAYERS[name]
    wanted = {}
    for layer in layers:
        wanted[f'{layer.key}.weight'] = (layer.channels[1], layer.channels[0], layer.kernel, layer.kernel)
        wanted[f'{layer.key}.bias'] = (layer.channels[1],)
    found = take(path, wanted, f"Expected torchvision's {name}")
    return Weights(
        kernels=tuple(jnp.asarray(found[f'{layer.key}.weight'].transpose(2, 3, 1, 0)) for layer in layers),
        biases=tuple(jnp.asarray(found[f'{layer.key}.bias']) for layer in layers),
        name=name,
    )


def features(weights: Weights, x: Array, outputs: Sequence[str]) -> list[Array]:
    """Activations [n h w c] of images [n H W 3], already normalised as the backbone wants them.

    Args:
        weights: see `load`.
        x: at least `smallest(name)` pixels on each side.
        outputs: names of layers, in the backbone's order, e.g. `('relu1_1', 'relu2_1')`; layers after the last are
            not computed.

    Raises:
        InputError: images smaller than the poolings need, or a name that is no layer's.
    """
    for output in outputs:
        checks.one_of('outputs', output, tuple(layer.output for layer in _LAYERS[weights.name]))
    sizes = checks.shape('images', x, 'n H W 3')
    least = smallest(weights.name)
    if min(sizes['H'], sizes['W']) < least:
        raise InputError(
            f'images: got {sizes["W"]} x {sizes["H"]} pixels, expected at least {least} x {least} for {weights.name}'
        )
    found = []
    for layer, kernel, bias in zip(_LAYERS[weights.name], weights.kernels, weights.biases):
        if layer.pool:
            window = (1, layer.pool, layer.pool, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, (1, 2, 2, 1), 'VALID')
        x = convolution.convolve(x, kernel, stride=layer.stride, padding=layer.padding)
        x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
        if layer.output in outputs:
            found.append(x)
        if len(found) == len(outputs):
            break
    return found


def smallest(name: Name) -> int:
    """Pixels that images need on each side for something to be left after the poolings."""
    return 31 if name == 'alexnet' else 16


def take(
    path: str | os.PathLike[str], wanted: Mapping[str, tuple[int, ...]], remedy: str = ''
) -> dict[str, np.ndarray]:
    """Reads the arrays of a weight file that have the names and shapes `wanted`, as float32.

    Raises:
        InputError: a file that cannot be read safely, or lacks some of them; the message names each with its shape.
    """
    arrays = statedict.read(path)
    wrong = [
        f'{name} {shape}, got {arrays[name].shape if name in arrays else "nothing"}'
        for name, shape in wanted.items()
        if name not in arrays or arrays[name].shape != shape
    ]
    if wrong:
        problem = f'weights {path}: lacks, or has in another shape, {"; ".join(wrong)}'
        raise InputError(f'{problem}. {remedy}' if remedy else problem)
    return {name: arrays[name].astype(np.float32) for name in wanted}
