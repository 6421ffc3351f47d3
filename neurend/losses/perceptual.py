"""Perceptual loss: images shall excite a classifier's layers alike (Johnson et al., 2016).

The classifier's weights come from torchvision's file, which `neurend.images.backbones.load` reads without executing it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.checks import InputError
from neurend.images import backbones
from neurend.losses import photometric
from neurend.typing import Array

OUTPUTS = ('relu1_1', 'relu2_1', 'relu3_1', 'relu4_1', 'relu5_1')
# Of ImageNet's colours in [0, 1], as torchvision's weights were trained.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


def distance(
    weights: backbones.Weights,
    prediction: Array,
    target: Array,
    *,
    layer_weights: Sequence[float] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1),
) -> Array:
    """Weighted sum of the mean absolute differences of VGG's activations `relu1_1` to `relu5_1`.

    pix2pixHD (Wang et al., 2018) takes VGG19 and multiplies the result by 10. Its code feeds images in [-1, 1]; here
    they are normalised by ImageNet's mean and deviation, as the weights expect, so values are not comparable with
    those of that code.

    Args:
        weights: of 'vgg16' or 'vgg19', from `neurend.images.backbones.load`.
        prediction: `... H W 3` in [0, 1], sRGB, at least 16 x 16 pixels.
        target: of the same shape; no gradient flows into it.
        layer_weights: one for each of the five layers.

    Raises:
        InputError: another backbone, shapes that differ, images too small, or another number of weights.
    """
    checks.one_of('weights', weights.name, ('vgg16', 'vgg19'))
    checks.shape('prediction', prediction, '... H W 3')
    checks.shape('target', target, ' '.join(map(str, prediction.shape)), 'It must match prediction')
    if len(layer_weights) != len(OUTPUTS):
        raise InputError(f'layer_weights: got {len(layer_weights)}, expected {len(OUTPUTS)}, one for each of {OUTPUTS}')
    predicted = backbones.features(weights, _normalize(prediction), OUTPUTS)
    wanted = backbones.features(weights, _normalize(jax.lax.stop_gradient(target)), OUTPUTS)
    terms = [weight * photometric.l1(a, b) for weight, a, b in zip(layer_weights, predicted, wanted)]
    return sum(terms, jnp.zeros(()))


def _normalize(images: Array) -> Array:
    mean, deviation = (jnp.asarray(values).reshape(1, 1, 1, 3) for values in (_MEAN, _DEVIATION))
    return (jnp.asarray(images).reshape(-1, *images.shape[-3:]) - mean) / deviation
