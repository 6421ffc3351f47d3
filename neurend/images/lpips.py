"""LPIPS, the learned perceptual distance (Zhang et al. 2018, version 0.1), with weights read from files.

Two files make a measure: the backbone as torchvision publishes it (`alexnet-owt-*.pth`, `vgg16-*.pth`) and the linear
layers as the authors do (`lpips/weights/v0.1/alex.pth`, `vgg.pth`); `.npz` with the same names works too. Neither is
executed.
"""

import os
from typing import Literal, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, numerics
from neurend.checks import InputError
from neurend.images import statedict
from neurend.typing import Array

Backbone = Literal['alex', 'vgg']


class _Layer(NamedTuple):
    name: str  # in torchvision's state dict
    kernel: int
    channels: tuple[int, int]
    stride: int = 1
    padding: int = 1
    pool: int = 0  # window of a max pooling of stride 2 before the layer
    tap: bool = False  # its output, after the ReLU, is compared


_LAYERS: dict[str, tuple[_Layer, ...]] = {
    'alex': (
        _Layer('features.0', 11, (3, 64), stride=4, padding=2, tap=True),
        _Layer('features.3', 5, (64, 192), padding=2, pool=3, tap=True),
        _Layer('features.6', 3, (192, 384), pool=3, tap=True),
        _Layer('features.8', 3, (384, 256), tap=True),
        _Layer('features.10', 3, (256, 256), tap=True),
    ),
    'vgg': (
        _Layer('features.0', 3, (3, 64)),
        _Layer('features.2', 3, (64, 64), tap=True),
        _Layer('features.5', 3, (64, 128), pool=2),
        _Layer('features.7', 3, (128, 128), tap=True),
        _Layer('features.10', 3, (128, 256), pool=2),
        _Layer('features.12', 3, (256, 256)),
        _Layer('features.14', 3, (256, 256), tap=True),
        _Layer('features.17', 3, (256, 512), pool=2),
        _Layer('features.19', 3, (512, 512)),
        _Layer('features.21', 3, (512, 512), tap=True),
        _Layer('features.24', 3, (512, 512), pool=2),
        _Layer('features.26', 3, (512, 512)),
        _Layer('features.28', 3, (512, 512), tap=True),
    ),
}
# ImageNet's mean and deviation carried over to inputs in [-1, 1], as LPIPS has them.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


@flax.struct.dataclass
class Weights:
    """What `distance` needs.

    Attributes:
        kernels: one [k k in out] per convolution.
        biases: one [out] per convolution.
        linear: one [channels], not negative, per compared layer.
        backbone: 'alex' or 'vgg'.
    """

    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    linear: tuple[Array, ...]
    backbone: str = flax.struct.field(pytree_node=False)


def load(backbone_path: str | os.PathLike[str], linear_path: str | os.PathLike[str], *, backbone: Backbone) -> Weights:
    """Reads the weights.

    Args:
        backbone_path: torchvision's AlexNet or VGG16, keys `features.N.weight` and `features.N.bias`.
        linear_path: the authors' linear layers, keys `lin0.model.1.weight` to `lin4.model.1.weight`.
        backbone: which of the two it is; `alex` is the authors' choice as a metric, `vgg` that of most tables of
            radiance fields.

    Raises:
        InputError: a file that cannot be read safely, or lacks a key or has it in another shape; the message names all.
    """
    checks.one_of('backbone', backbone, tuple(_LAYERS))
    layers = _LAYERS[backbone]
    taps = [layer.channels[1] for layer in layers if layer.tap]
    wanted = {}
    for layer in layers:
        wanted[f'{layer.name}.weight'] = (layer.channels[1], layer.channels[0], layer.kernel, layer.kernel)
        wanted[f'{layer.name}.bias'] = (layer.channels[1],)
    found = _take(backbone_path, wanted)
    linear = _take(linear_path, {f'lin{i}.model.1.weight': (1, channels, 1, 1) for i, channels in enumerate(taps)})
    return Weights(
        kernels=tuple(jnp.asarray(found[f'{layer.name}.weight'].transpose(2, 3, 1, 0)) for layer in layers),
        biases=tuple(jnp.asarray(found[f'{layer.name}.bias']) for layer in layers),
        linear=tuple(jnp.asarray(value.reshape(-1)) for value in linear.values()),
        backbone=backbone,
    )


def distance(weights: Weights, a: Array, b: Array) -> Array:
    """Perceptual distance [...] of images [... H W 3] in [0, 1], sRGB; 0 for equal ones. jit-able, differentiable.

    Raises:
        InputError: images too small for the backbone's poolings (31 pixels for AlexNet, 16 for VGG16).
    """
    sizes = checks.shape('a', a, '... H W 3')
    checks.shape('b', b, '... H W 3', 'It must match a', sizes=sizes)
    least = 31 if weights.backbone == 'alex' else 16
    if min(sizes['H'], sizes['W']) < least:
        raise InputError(
            f'a: got {sizes["W"]} x {sizes["H"]} pixels, expected at least {least} x {least} for the LPIPS of '
            f'{weights.backbone}'
        )
    leading = a.shape[:-3]
    pair = jnp.stack([jnp.asarray(a), jnp.asarray(b)]).reshape(-1, *a.shape[-3:])
    pair = ((2 * pair - 1) - jnp.asarray(_SHIFT).reshape(1, 1, 1, 3)) / jnp.asarray(_SCALE).reshape(1, 1, 1, 3)
    total = jnp.zeros((pair.shape[0] // 2,), pair.dtype)
    for feature, linear in zip(_features(weights, pair), weights.linear):
        unit = feature / (numerics.safe_norm(feature, axis=-1, keepdims=True) + 1e-10)
        first, second = jnp.split(unit, 2)
        total = total + jnp.mean(jnp.square(first - second) @ linear, axis=(1, 2))
    return total.reshape(leading)


def _features(weights: Weights, x: Array) -> list[Array]:
    compared = []
    for layer, kernel, bias in zip(_LAYERS[weights.backbone], weights.kernels, weights.biases):
        if layer.pool:
            window = (1, layer.pool, layer.pool, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, (1, 2, 2, 1), 'VALID')
        x = jax.lax.conv_general_dilated(
            x,
            kernel,
            (layer.stride, layer.stride),
            [(layer.padding, layer.padding)] * 2,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )
        x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
        if layer.tap:
            compared.append(x)
    return compared


def _take(path: str | os.PathLike[str], wanted: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    arrays = statedict.read(path)
    missing = [f'{name} {shape}' for name, shape in wanted.items() if name not in arrays or arrays[name].shape != shape]
    if missing:
        raise InputError(f'weights {path}: lacks, or has in another shape, {", ".join(missing)}')
    return {name: arrays[name].astype(np.float32) for name in wanted}
