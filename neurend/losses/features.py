"""Feature matching: generated images shall excite the discriminator's layers as the real ones do."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from neurend.checks import InputError
from neurend.losses import photometric
from neurend.typing import Array


def feature_matching(fake: Sequence[Sequence[Array]], real: Sequence[Sequence[Array]]) -> Array:
    """Mean absolute difference of activations, over the layers of each scale (pix2pixHD, Wang et al., 2018).

    Every layer but the last, the logits, has the weight `4 / (n + 1) / scales`, where n + 1 is the number of these
    layers; a PatchGAN of the usual n = 3 thus counts each layer once. pix2pixHD multiplies the result by 10.

    Args:
        fake: activations of generated images, layer by layer, logits last, for each scale; `[layers]` if there is one.
        real: those of the real images, of the same shapes; no gradient flows into them.

    Raises:
        InputError: the two differ in scales, layers or shapes, or a scale has logits alone.
    """
    if not fake or [len(layers) for layers in fake] != [len(layers) for layers in real]:
        raise InputError(
            f'real: got {[len(layers) for layers in real]} layers at each scale, expected as many as of fake, '
            f'{[len(layers) for layers in fake]}'
        )
    total = jnp.zeros(())
    for scale, (fake_layers, real_layers) in enumerate(zip(fake, real)):
        hidden = len(fake_layers) - 1
        if hidden < 1:
            raise InputError(f'fake: got {hidden + 1} layers at scale {scale}, expected hidden layers and the logits')
        for layer, (one, other) in enumerate(zip(fake_layers[:-1], real_layers[:-1])):
            if one.shape != other.shape:
                raise InputError(
                    f'real: got shape {other.shape} at scale {scale}, layer {layer}, expected that of fake, {one.shape}'
                )
            total = total + 4 / hidden / len(fake) * photometric.l1(one, jax.lax.stop_gradient(other))
    return total
