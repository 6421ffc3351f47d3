"""Batches of whole photographs, for methods that draw whole pictures."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data.posed import PosedImages
from neurend.geometry.cameras import Camera
from neurend.typing import Array, Key, PyTree, Source


@flax.struct.dataclass
class Photographs:
    """Photographs of one size with their cameras, over leading dims `...`.

    Attributes:
        camera: of each.
        rgb: [... H W 3] in [0, 1], on the background.
        background: [... 3] the colour behind, or [... H W 3], or [... H W 4] with alpha 0 where it is not known.
        alpha: [... H W] in [0, 1], how much of each pixel shows something; None where that is not known.
        deformation: what shapes a moving subject in each, e.g. coefficients; None for what stands still.
    """

    camera: Camera
    rgb: Array
    background: Array
    alpha: Any = None
    deformation: Any = None


def photograph_source(
    images: PosedImages, *, views: int = 1, background: Sequence[float] | None = (1.0, 1.0, 1.0)
) -> Source:
    """A source whose photographs lie on the device: `draw` gives `views` of them, all different.

    Args:
        images: of one size.
        views: in a batch.
        background: colour in [0, 1] that transparent pixels are put on; None for a random one each time, which
            shows what is learned how opaque things are.

    Raises:
        InputError: photographs of several sizes, fewer of them than a batch has, or random backgrounds for such as have
            no alpha.

    >>> source = photograph_source(images, views=2)           # doctest: +SKIP
    >>> batch = source.draw(jax.random.key(0), source.data)   # doctest: +SKIP
    """
    if background is not None:
        checks.shape('background', background, '3')
    size_of(images)
    if not 1 <= views <= len(images):
        raise checks.InputError(f'views: got {views}, expected 1 to {len(images)}, the number of photographs')
    channels = 4 if images.has_alpha else 3
    if background is None and channels == 3:
        raise checks.InputError('background: got None, expected a colour, since no photograph has transparent pixels')
    opaque = [
        np.concatenate([image, np.full_like(image[..., :1], 255)], axis=-1) if image.shape[-1] < channels else image
        for image in images.images
    ]

    def draw(key: Key, data: PyTree) -> Photographs:
        cameras, pixels, color = data
        choice_key, color_key = jax.random.split(key)
        chosen = jax.random.choice(choice_key, len(images), (views,), replace=False)
        behind = jax.random.uniform(color_key, (views, 3)) if color is None else jnp.broadcast_to(color, (views, 3))
        rgb = jnp.asarray(pixels)[chosen].astype(jnp.float32) / 255
        if channels == 4:
            alpha = rgb[..., 3:]
            rgb = rgb[..., :3] * alpha + (1 - alpha) * behind[:, None, None]
        camera = jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen], cameras)
        return Photographs(camera, rgb, behind)

    color = None if background is None else np.asarray(background, np.float32)
    return Source(data=(images.cameras, np.stack(opaque), color), draw=draw)


def size_of(images: PosedImages) -> tuple[int, int]:
    """Width and height that all photographs have.

    Raises:
        InputError: they differ.
    """
    sizes = np.unique(np.asarray(images.cameras.size), axis=0)
    if len(sizes) > 1:
        raise checks.InputError(
            f'images: got {len(sizes)} sizes, expected photographs of one size; resize or crop them'
        )
    return int(sizes[0, 0]), int(sizes[0, 1])
