"""Held-out views: a full image within the memory budget, its metrics and its pictures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.images import color, metrics, show
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.render.tiled import Tiler

UNSEEN = -1
"""Image index of a view that was not trained on; it gets the mean appearance code."""


class Example(NamedTuple):
    """One held-out view.

    Attributes:
        name: of the image.
        camera: one camera, no leading dims.
        image: uint8 [H W 3], or [H W 4] with straight alpha.
        mask: uint8 [H W], positive on the object, or None.
    """

    name: str
    camera: Camera
    image: np.ndarray
    mask: np.ndarray | None = None


def evaluator(
    render: Callable[[State, Any], Any], *, background: np.ndarray, memory_mb: int
) -> Callable[[State, Example], tuple[dict[str, float], dict[str, np.ndarray]]]:
    """Makes a method's `evaluate`.

    Metrics are 'psnr', 'ssim' (Gaussian window), 'ssim_uniform' and, where there is a mask, 'psnr_masked', of float
    predictions clipped to [0, 1]. Pictures are 'truth', 'prediction', 'depth' and 'error'.

    Args:
        render: `render(state, rays) -> Rendering`.
        background: [3] colour that images with alpha are put on.
        memory_mb: bound on the growth of memory, in MB.
    """
    tiler = Tiler(render, memory_mb=memory_mb)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        return compare(tiler(state, example.camera, index=UNSEEN), example, background=background)

    return evaluate


def compare(
    rendering: Rendering, example: Example, *, background: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics and pictures of a rendering (NumPy, [H W ...]) of one view, as `evaluator` gives them."""
    truth = example.image.astype(np.float32) / 255
    truth = color.composite(truth, background) if truth.shape[-1] == 4 else truth
    prediction = np.clip(rendering.rgb, 0, 1)
    checks.shape(f'image {example.name}', truth, ' '.join(map(str, prediction.shape)), 'Its camera says so.')
    values = {
        'psnr': _psnr(truth, prediction),
        'ssim': _ssim(truth, prediction, convention='gaussian'),
        'ssim_uniform': _ssim(truth, prediction, convention='uniform'),
    }
    if example.mask is not None:
        values['psnr_masked'] = _psnr(truth, prediction, (example.mask > 0).astype(np.float32))
    shown = show.comparison(truth, prediction, rendering.depth, rendering.alpha)
    pictures = {str(name): picture for name, picture in zip(show.COMPARISON, shown, strict=True)}
    return {name: float(value) for name, value in values.items()}, pictures


_psnr = jax.jit(metrics.psnr)
_ssim = jax.jit(metrics.ssim, static_argnames='convention')
