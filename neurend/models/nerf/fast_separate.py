"""Tells object and background apart in photographs without masks, by a first field that was learned from them.

What follows is the easy case: with the object's outline and what lies behind it known, cells are carved, and a field
learned anew has no haze to unlearn. The outline is drawn generously, since what is cut off is lost.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.models.nerf import fast_backdrop, fast_fields, fast_spans
from neurend.models.nerf.fast_config import FastConfig
from neurend.models.nerf.fast_start import Start
from neurend.models.state import State
from neurend.typing import Array

# Pixels between the rays by which the field's opacity is found.
_SPACING = 2
# Opacity of what surely is background, and of what may be the object.
_TRANSPARENT, _OPAQUE = 0.05, 0.3


class Separation(NamedTuple):
    """What each photograph shows.

    Attributes:
        foreground: bool [H W] each, True where the object may show, a little more than it does.
        plates: uint8 [H W 3] each, the photograph without the object: colours from nearby where it stood.
    """

    foreground: list[np.ndarray]
    plates: list[np.ndarray]


def separate(state: State, config: FastConfig, start: Start, images: Sequence[np.ndarray]) -> Separation:
    """Separates the training images of a field.

    Args:
        state: of `fast` with `config` and `start`.
        config, start: of the field, with unknown background.
        images: uint8 [H W 3 or more] each, those that it was trained on.

    Raises:
        InputError: the field is empty, or fills an image.
    """
    cameras = jax.tree.map(jnp.asarray, start.cameras)
    voxels = state.aux['voxels']
    grid = fast_spans.shape(np.asarray(cameras.size), _SPACING)
    spans = fast_spans.first_spans(fast_spans.widened(voxels), cameras, grid, near=start.near, far=start.far)
    roomy = dataclasses.replace(config, longest=2 * config.longest)
    _, _, alpha = fast_fields.refresh(roomy, len(config.rays) - 1, voxels, state.params['fields'], cameras, spans)
    result = Separation([], [])
    for image, opacity in zip(images, alpha, strict=True):
        foreground, plate = _one(jnp.asarray(image[..., :3]) / 255, opacity)
        result.foreground.append(np.asarray(foreground))
        result.plates.append(np.asarray(jnp.round(255 * plate)).astype(np.uint8))
    shares = [mask.mean() for mask in result.foreground]
    if max(shares) == 0 or min(shares) == 1:
        raise checks.InputError(
            f'separate: the object fills {min(shares):.0%} to {max(shares):.0%} of the images, expected some of '
            'each; give the first field more steps, or masks'
        )
    return result


@jax.jit
def _one(photo: Array, alpha: Array) -> tuple[Array, Array]:
    """Foreground [H W] and plate [H W 3] of a photograph [H W 3], by opacity [rows columns] at nodes over it."""
    opacity = _at_pixels(alpha, photo.shape[:2])[None, :, :, None]
    foreground = fast_backdrop.window((opacity > _OPAQUE).astype(jnp.float32), 5, jax.lax.max, 0.0)
    free = 1 - fast_backdrop.window((opacity > _TRANSPARENT).astype(jnp.float32), 3, jax.lax.max, 0.0)
    found, known = fast_backdrop.spread(photo[None], free)
    mean = jnp.sum(free[0] * photo, axis=(0, 1)) / jnp.maximum(jnp.sum(free), 1)
    behind = jnp.where(known[0] > 0, found[0], mean[None, None])
    return foreground[0, :, :, 0] > 0, jnp.where(free[0] > 0, photo, behind)


def _at_pixels(nodes: Array, size: tuple[int, ...]) -> Array:
    """Bilinear interpolation [H W] between nodes, the outermost on the image's borders, at the centres of pixels."""
    for axis, count in enumerate(size):
        place = (jnp.arange(count) + 0.5) / count * (nodes.shape[axis] - 1)
        low = jnp.clip(place.astype(jnp.int32), 0, nodes.shape[axis] - 2)
        share = jnp.expand_dims(place - low, 1 - axis)
        nodes = jnp.take(nodes, low, axis) * (1 - share) + jnp.take(nodes, low + 1, axis) * share
    return nodes
