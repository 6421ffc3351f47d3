"""The generator as a function of conditions in [0, 1], frame by frame, and what the discriminator sees."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.models.pix2pix import config as configs
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.typing import Array, Key, PyTree

GenerateFn = Callable[[PyTree, Key | None, Array, Array | None], Array]
"""`(params, key, condition, previous) -> image`, see `translation`."""


def translation(config: Pix2PixConfig) -> tuple[nn.Module, GenerateFn]:
    """The generator's module, and it as a function `(params, key, condition, previous) -> image`.

    params: of the module. key: of dropout; None for none. condition: `n h w c` in [0, 1], of any size: it is padded by
    its border to what the network takes, and the result cropped. previous: `n h w 3` in [-1, 1], the generated frame
    before, or None where `config.frames` is 1. image: `n h w 3` in [-1, 1].
    """
    module = configs.generator(config.generator)
    multiple = configs.multiple(config.generator)

    def generate(params: PyTree, key: Key | None, condition: Array, previous: Array | None) -> Array:
        height, width = condition.shape[1:3]
        x = 2 * condition - 1
        x = x if previous is None else jnp.concatenate([x, previous], axis=-1)
        extra = -height % multiple, -width % multiple
        if any(extra):
            x = jnp.pad(x, ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)), mode='edge')
        if config.generator.name in ('unet', 'unet_bilinear'):
            rngs = {} if key is None else {'dropout': key}
            y = module.apply({'params': params}, x, deterministic=key is None, rngs=rngs)
        else:
            y = module.apply({'params': params}, x)
        assert isinstance(y, Array)
        return y[:, :height, :width]

    return module, generate


def roll(
    generate: GenerateFn, config: Pix2PixConfig, params: PyTree, key: Key, conditions: Sequence[Array]
) -> list[Array]:
    """Images in [-1, 1], `n h w 3` each, of consecutive frames; each sees the one before, the first zeros.

    Gradients run through all frames, as in Everybody Dance Now (Chan et al., 2019).
    """
    images: list[Array] = []
    for number, condition in enumerate(conditions):
        previous = None
        if config.frames > 1:
            previous = images[-1] if images else jnp.zeros((*condition.shape[:3], 3))
        images.append(generate(params, jax.random.fold_in(key, number), condition, previous))
    return images


def shown(conditions: Sequence[Array], images: Sequence[Array]) -> Array:
    """What a discriminator sees: `n h w c + 3` of single pictures, pairs `n (t - 1) h w 2c + 6` of consecutive frames.

    Args:
        conditions: `n h w c` in [0, 1] for each frame.
        images: `n h w 3` in [-1, 1] for each frame.
    """
    scaled = [2 * condition - 1 for condition in conditions]
    if len(images) == 1:
        return jnp.concatenate([scaled[0], images[0]], axis=-1)
    pairs = [jnp.concatenate([*scaled[k : k + 2], *images[k : k + 2]], axis=-1) for k in range(len(images) - 1)]
    return jnp.concatenate(pairs, axis=0)
