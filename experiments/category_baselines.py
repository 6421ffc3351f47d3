"""Simple guesses of views of instances: the mean picture, and the views of the training instance that is most alike."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from neurend.data.categories import Category
from neurend.geometry.cameras import Camera
from neurend.images import metrics
from neurend.models.srn.method import Example

DrawFn = Callable[[int, Camera], np.ndarray]
"""`(instance, camera) -> uint8 [h w 3]`: a training instance as that camera sees it."""


def mean_image(train: Category) -> np.ndarray:
    """The mean of all training pictures, `[h w 3]` in [0, 1]."""
    return np.asarray(np.mean(train.images, axis=(0, 1), dtype=np.float64) / 255, np.float32)


def nearest_views(train: Category) -> DrawFn:
    """What shows a training instance by its picture whose camera lies nearest."""

    def draw(instance: int, camera: Camera) -> np.ndarray:
        centers = np.asarray(train.cameras.world_from_camera)[instance, :, :3, 3]
        distance = np.linalg.norm(centers - np.asarray(camera.world_from_camera)[:3, 3], axis=-1)
        return train.images[instance, np.argmin(distance)]

    return draw


def measure(
    train: Category, draw: DrawFn, observed: Sequence[Example], examples: Sequence[Example]
) -> dict[str, dict[str, float]]:
    """Mean 'psnr' of the guesses over the examples.

    Args:
        train: what was learned from.
        draw: see there.
        observed: the views by which the training instance is chosen that shows them best.
        examples: what is guessed, of the same instances.
    """
    alike: dict[int, int] = {}
    for instance in sorted({each.instance for each in examples}):
        views = [each for each in observed if each.instance == instance]
        errors = [sum(_error(draw(k, view.camera), view.image) for view in views) for k in range(len(train))]
        alike[instance] = int(np.argmin(errors))
    mean = mean_image(train)
    found: dict[str, list[float]] = {'mean image': [], 'nearest instance': []}
    for each in examples:
        truth = each.image.astype(np.float32) / 255
        near = draw(alike[each.instance], each.camera).astype(np.float32) / 255
        for name, guess in zip(found, (mean, near)):
            found[name].append(float(_psnr(guess, truth)))
    return {name: {'psnr': float(np.mean(values))} for name, values in found.items()}


def _error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(np.square(a.astype(np.float32) - b.astype(np.float32))))


_psnr = jax.jit(metrics.psnr)
