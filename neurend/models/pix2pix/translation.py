"""The generator as a function of conditions in [0, 1], frame by frame, and what the discriminator sees."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.losses import photometric, temporal
from neurend.models.pix2pix import config as configs
from neurend.models.pix2pix.config import Composition, Pix2PixConfig
from neurend.nn.modulated import compose
from neurend.nn.sizes import padded
from neurend.typing import Array, Key, PyTree

_CHANNELS: dict[Composition, int] = {'none': 3, 'mask': 4, 'flow': 6}
_LEAST = 0.25  # of what is drawn anew, so that what went wrong in a frame fades from those after it
_REACH = 0.125  # the longest flow along each axis, in parts of the picture's larger side


class Frame(NamedTuple):
    """A generated frame.

    Attributes:
        image: `n h w 3` in [-1, 1].
        flow: `n h w 2` in pixels, by which the frame before was moved, see `neurend.losses.temporal`; None but for
            `config.composition` 'flow'.
    """

    image: Array
    flow: Array | None = None


GenerateFn = Callable[[PyTree, Key | None, Array, Array | None], Frame]
"""`(params, key, condition, previous) -> frame`, see `translation`."""


def translation(config: Pix2PixConfig) -> tuple[nn.Module, GenerateFn]:
    """The generator's module, and it as a function `(params, key, condition, previous) -> Frame`.

    params: of the module. key: of dropout; None for none. condition: `n h w c` in [0, 1], of any size: it is padded by
    its border to what the network takes, and the result cropped. previous: `n h w 3` in [-1, 1], the generated frame
    before, zeros for the first frame, or None where `config.frames` is 1.
    """
    module = configs.generator(config.generator, out=_CHANNELS[config.composition])
    multiple = configs.multiple(config.generator)

    def generate(params: PyTree, key: Key | None, condition: Array, previous: Array | None) -> Frame:
        height, width = condition.shape[1:3]
        x = 2 * condition - 1
        x = x if previous is None else jnp.concatenate([x, previous], axis=-1)
        x = padded(x, multiple)
        if config.generator.name in ('unet', 'unet_bilinear'):
            rngs = {} if key is None else {'dropout': key}
            y = module.apply({'params': params}, x, deterministic=key is None, rngs=rngs)
        else:
            y = module.apply({'params': params}, x)
        assert isinstance(y, Array)
        y = y[:, :height, :width]
        return Frame(y) if config.composition == 'none' else _composed(y, previous)

    return module, generate


def _composed(y: Array, previous: Array | None) -> Frame:
    """Colour, mask and perhaps flow over the frame before."""
    assert previous is not None
    color, mask = y[..., :3], _LEAST + (1 - _LEAST) * (y[..., 3:4] + 1) / 2
    first = jnp.all(previous == 0, axis=(1, 2, 3), keepdims=True)  # nothing to compose with
    flow = y[..., 4:] * (_REACH * max(y.shape[1:3])) if y.shape[-1] == _CHANNELS['flow'] else None
    before = previous if flow is None else temporal.warp(previous, flow)
    return Frame(compose(color, jnp.where(first, 1.0, mask), before), flow)


def roll(
    generate: GenerateFn, config: Pix2PixConfig, params: PyTree, key: Key, conditions: Sequence[Array]
) -> list[Frame]:
    """Consecutive frames; each sees the one before, the first zeros.

    Gradients run through all frames, as in Everybody Dance Now (Chan et al., 2019).
    """
    frames: list[Frame] = []
    for number, condition in enumerate(conditions):
        previous = None
        if config.frames > 1:
            previous = frames[-1].image if frames else jnp.zeros((*condition.shape[:3], 3))
        frames.append(generate(params, jax.random.fold_in(key, number), condition, previous))
    return frames


def flow_loss(frames: Sequence[Frame], reals: Sequence[Array]) -> Array:
    """Mean absolute difference between true frames, `n h w 3`, and those before moved by the drawn flow (vid2vid)."""
    drawn = zip(reals, frames[1:])
    moved = [temporal.warp(before, frame.flow) for before, frame in drawn if frame.flow is not None]
    return photometric.l1(jnp.stack(moved), jnp.stack(reals[1:]))


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
