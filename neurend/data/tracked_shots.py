"""Batches of a filmed head's frames with their tracking, for methods that draw a mesh which deforms."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data.photographs import Photographs
from neurend.data.tracked_head import TrackedHead
from neurend.typing import Array, Key, Source


def shot_source(head: TrackedHead, *, frames: int = 1, window: int = 1) -> Source:
    """A source of `Photographs` from the frames to learn from, which lie on the device.

    Behind them is the head's background, or its surroundings [n H W 4] where it has such.

    `deformation` is a tuple of what `tracked_head.pose` takes, expressions [n e] and poses [n 4 4]; [n w e] and
    [n w 4 4] for a window of w frames.

    Args:
        head: whose first `head.train` frames are drawn from.
        frames: n, in a batch, all different.
        window: w, each with so many frames of tracking, its own and those before it, see `before`.

    Raises:
        InputError: fewer frames to learn from than a batch has.
    """
    if not 1 <= frames <= head.train:
        raise checks.InputError(f'frames: got {frames}, expected 1 to {head.train}, the number to learn from')

    def draw(key: Key, data: Any) -> Photographs:
        images, tracked, camera, background = jax.tree.map(jnp.asarray, data)
        chosen = jax.random.choice(key, len(images), (frames,), replace=False)
        found = jnp.broadcast_to(background[None], images[chosen].shape) if background.ndim == 3 else background[chosen]
        rgb, behind = (pixels.astype(jnp.float32) / 255 for pixels in (images[chosen], found))
        camera = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (frames, *leaf.shape)), camera)
        deformation = tuple(each[before(chosen, window)] for each in tracked)
        return Photographs(camera, rgb, behind, deformation=deformation)

    learned = tuple(each[: head.train] for each in head.performance)
    behind = head.background if head.surroundings is None else head.surroundings[: head.train]
    return Source(data=(head.images[: head.train], learned, head.camera, behind), draw=draw)


def behind(head: TrackedHead, places: np.ndarray) -> list[np.ndarray]:
    """What is behind the head in frames `places` [n] of its film: uint8 [h w 3], or its surroundings [h w 4], each."""
    return [head.background if head.surroundings is None else head.surroundings[place] for place in places]


def before(frames: Array, window: int) -> Array:
    """Numbers [... w] of frames and of those before them, the frames first; the first of all has itself before it.

    For a window of one frame the numbers as they are, [...].
    """
    if window < 1:
        raise checks.InputError(f'window: got {window} frames, expected at least 1')
    if window == 1:
        return frames
    return jnp.maximum(jnp.stack([frames - k for k in range(window)], axis=-1), 0)
