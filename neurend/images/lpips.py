"""LPIPS, the learned perceptual distance (Zhang et al. 2018, version 0.1), with weights read from files.

Two files make a measure: the backbone as torchvision publishes it (`alexnet-owt-*.pth`, `vgg16-*.pth`) and the linear
layers as the authors do (`lpips/weights/v0.1/alex.pth`, `vgg.pth`); `.npz` with the same names works too. Neither is
executed.
"""

import os
from typing import Literal

import flax.struct
import jax.numpy as jnp

from neurend import checks, numerics
from neurend.images import backbones
from neurend.typing import Array

Backbone = Literal['alex', 'vgg']

# Which backbone, and which of its outputs are compared.
_COMPARED: dict[str, tuple[backbones.Name, tuple[str, ...], tuple[int, ...]]] = {
    'alex': ('alexnet', ('relu1', 'relu2', 'relu3', 'relu4', 'relu5'), (64, 192, 384, 256, 256)),
    'vgg': ('vgg16', ('relu1_2', 'relu2_2', 'relu3_3', 'relu4_3', 'relu5_3'), (64, 128, 256, 512, 512)),
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
    checks.one_of('backbone', backbone, tuple(_COMPARED))
    name, _, channels = _COMPARED[backbone]
    convolutions = backbones.load(backbone_path, name)
    linear = backbones.take(
        linear_path, {f'lin{i}.model.1.weight': (1, count, 1, 1) for i, count in enumerate(channels)}
    )
    return Weights(
        kernels=convolutions.kernels,
        biases=convolutions.biases,
        linear=tuple(jnp.asarray(value.reshape(-1)) for value in linear.values()),
        backbone=backbone,
    )


def distance(weights: Weights, a: Array, b: Array) -> Array:
    """Perceptual distance [...] of images [... H W 3] in [0, 1], sRGB; 0 for equal ones. jit-able, differentiable.

    Raises:
        InputError: images too small for the backbone's poolings (31 pixels for AlexNet, 16 for VGG16).
    """
    checks.shape('b', b, '... H W 3', 'It must match a', sizes=checks.shape('a', a, '... H W 3'))
    leading = a.shape[:-3]
    pair = jnp.stack([jnp.asarray(a), jnp.asarray(b)]).reshape(-1, *a.shape[-3:])
    pair = ((2 * pair - 1) - jnp.asarray(_SHIFT).reshape(1, 1, 1, 3)) / jnp.asarray(_SCALE).reshape(1, 1, 1, 3)
    total = jnp.zeros((pair.shape[0] // 2,), pair.dtype)
    name, outputs, _ = _COMPARED[weights.backbone]
    convolutions = backbones.Weights(weights.kernels, weights.biases, name)
    for feature, linear in zip(backbones.features(convolutions, pair, outputs), weights.linear):
        unit = feature / (numerics.safe_norm(feature, axis=-1, keepdims=True) + 1e-10)
        first, second = jnp.split(unit, 2)
        total = total + jnp.mean(jnp.square(first - second) @ linear, axis=(1, 2))
    return total.reshape(leading)
