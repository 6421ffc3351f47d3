"""What methods of image translation are made of: batches frame by frame, updates, renderings and their measures."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks
from neurend.images import metrics
from neurend.render.rendering import Rendering
from neurend.typing import Array, PyTree


def frames_of_batch(batch: Any, frames: int) -> tuple[list[Array], list[Array]]:
    """Conditions `n h w c` in [0, 1] and images `n h w 3` in [-1, 1], frame by frame.

    Raises:
        InputError: the batch is not of so many frames, or its parts do not match.
    """
    axes = 'n h w' if frames == 1 else f'n {frames} h w'
    sizes = checks.shape('batch.image', batch.image, f'{axes} 3', f'The method was made for frames={frames}')
    checks.shape('batch.condition', batch.condition, f'{axes} c', 'It must match batch.image', sizes=sizes)
    if frames == 1:
        return [batch.condition], [2 * batch.image - 1]
    return [batch.condition[:, k] for k in range(frames)], [2 * batch.image[:, k] - 1 for k in range(frames)]


def apply(module: nn.Module, params: PyTree, x: Array) -> Any:
    """The module's output, with nothing but its parameters."""
    return module.apply({'params': params}, x)


def descend(
    optimizer: optax.GradientTransformation, params: PyTree, state: PyTree, grads: PyTree
) -> tuple[PyTree, PyTree]:
    """One update: the next parameters and the optimizer's next state."""
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def rendering(images: Array) -> Rendering:
    """Images in [-1, 1] as an opaque rendering in [0, 1]."""
    flat = images[..., 0]
    return Rendering(rgb=(images + 1) / 2, alpha=jnp.ones_like(flat), depth=jnp.zeros_like(flat))


def measure(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None) -> dict[str, float]:
    """'psnr', 'ssim', 'l1' and, with a mask `h w`, 'psnr_masked' of pictures `h w 3` in [0, 1]."""
    values = {
        'psnr': _psnr(truth, prediction),
        'ssim': _ssim(truth, prediction, convention='gaussian'),
        'l1': np.mean(np.abs(truth - prediction)),
    }
    if mask is not None:
        values['psnr_masked'] = _psnr(truth, prediction, (mask > 0).astype(np.float32))
    return {name: float(value) for name, value in values.items()}


def bytes_of(picture: np.ndarray) -> np.ndarray:
    """A picture in [0, 1] as uint8; what lies outside is clipped."""
    return (255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8)


_psnr = jax.jit(metrics.psnr)
_ssim = jax.jit(metrics.ssim, static_argnames='convention')
