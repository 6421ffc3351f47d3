"""Windows in time: each frame with the conditions of the frames before it, as channels (Kim et al., 2018)."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from neurend import checks


def padded(frames: Any, window: int) -> Any:
    """A clip with its first frame repeated, so that `windows` gives one for each frame of the clip.

    Args:
        frames: `[t ...]`, NumPy or JAX.
        window: frames of a window, the current one included; 11 in Deep Video Portraits.

    Returns:
        `[t + window - 1 ...]`, of the same kind.

    Raises:
        InputError: no frames, or a window below 1.
    """
    if window < 1 or not len(frames):
        raise checks.InputError(f'window, frames: got {window} and {len(frames)} frames, expected at least 1 of each')
    library = np if isinstance(frames, np.ndarray) else jnp
    return library.concatenate([library.repeat(frames[:1], window - 1, axis=0), frames])


def windows(frames: Any, window: int) -> Any:
    """Stacks the conditions of `window` consecutive frames as channels: the current frame first, then back in time.

    Args:
        frames: `[... t h w c]`, NumPy or JAX.
        window: see `padded`.

    Returns:
        `[... t - window + 1, h, w, window c]`, of the same kind and type; the first is of frame `window - 1`.

    Raises:
        InputError: fewer frames than a window has, or a window below 1.
    """
    sizes = checks.shape('frames', frames, '... t h w c')
    count = sizes['t'] - window + 1
    if window < 1 or count < 1:
        raise checks.InputError(
            f'window: got {window}, expected 1 to {sizes["t"]}, the number of frames; see `padded` for the first ones'
        )
    library = np if isinstance(frames, np.ndarray) else jnp
    shifted = [frames[..., start : start + count, :, :, :] for start in reversed(range(window))]
    return library.concatenate(shifted, axis=-1)
