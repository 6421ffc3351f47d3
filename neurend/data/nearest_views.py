"""Batches of views to draw and of others near them, as DeepVoxels samples them (Sitzmann et al., 2019)."""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data.photographs import Photographs, size_of
from neurend.data.posed import PosedImages, composite
from neurend.geometry.cameras import Camera
from neurend.typing import Key, PyTree, Source


@flax.struct.dataclass
class NearestViews:
    """A batch.

    Attributes:
        target: photographs [n ...] to draw: one of the scene, and others that are random.
        source: photographs [m ...] near the first of them.
    """

    target: Photographs
    source: Photographs


def neighbors(cameras: Camera, count: int) -> np.ndarray:
    """The views that look most nearly the same way as each, itself left out: int32 [n count], the nearest first.

    Ways are the cameras' z axes, compared by the cosine. Where there are fewer others they recur; a single view is its
    own neighbour.
    """
    axes = np.asarray(cameras.world_from_camera)[:, :3, 2]
    axes = axes / np.linalg.norm(axes, axis=-1, keepdims=True)
    cosines = axes @ axes.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=-1, kind='stable')
    others = order[:, : max(len(axes) - 1, 1)]
    return others[:, np.arange(count) % others.shape[1]].astype(np.int32)


def nearest_view_source(
    images: PosedImages,
    *,
    targets: int = 2,
    sources: int = 1,
    nearest: int = 4,
    background: Sequence[float] = (1.0, 1.0, 1.0),
) -> Source:
    """A source whose photographs lie on the device.

    A batch has a random view and `targets - 1` more of them to draw, and `sources` random ones of those that are
    `nearest` to the first. Alpha, or masks, come with them.

    Args:
        images: of one size.
        targets, sources: in a batch.
        nearest: of how many the sources are chosen; as many as there are sources, where these are more.
        background: colour in [0, 1] that transparent pixels are put on.

    Raises:
        InputError: photographs of several sizes, or numbers below 1.

    >>> source = nearest_view_source(images)                  # doctest: +SKIP
    >>> batch = source.draw(jax.random.key(0), source.data)   # doctest: +SKIP
    """
    for name, value in (('targets', targets), ('sources', sources), ('nearest', nearest)):
        if value < 1:
            raise checks.InputError(f'{name}: got {value}, expected at least 1')
    checks.shape('background', background, '3')
    size_of(images)
    near = neighbors(images.cameras, max(nearest, sources))
    pictures = np.stack([np.rint(255 * composite(image, background)).astype(np.uint8) for image in images.images])
    opaque = opacities(images)

    def draw(key: Key, data: PyTree) -> NearestViews:
        cameras, pixels, opaque, near = data
        first_key, other_key, source_key = jax.random.split(key, 3)
        first = jax.random.randint(first_key, (1,), 0, len(images))
        others = jax.random.randint(other_key, (targets - 1,), 0, len(images))
        chosen = jax.random.choice(source_key, jnp.asarray(near)[first[0]], (sources,), replace=False)

        def shown(index):
            rgb = jnp.asarray(pixels)[index].astype(jnp.float32) / 255
            behind = jnp.broadcast_to(jnp.asarray(background, jnp.float32), (len(index), 3))
            alpha = None if opaque is None else jnp.asarray(opaque)[index].astype(jnp.float32) / 255
            return Photographs(jax.tree.map(lambda leaf: jnp.asarray(leaf)[index], cameras), rgb, behind, alpha)

        return NearestViews(shown(jnp.concatenate([first, others])), shown(chosen))

    return Source(data=(images.cameras, pictures, opaque, near), draw=draw)


def opacities(images: PosedImages) -> np.ndarray | None:
    """How much of each pixel shows something, uint8 [n H W], by alpha or else by masks; None without either."""
    if images.has_alpha:
        return np.stack([x[..., 3] if x.shape[-1] == 4 else np.full(x.shape[:2], 255, np.uint8) for x in images.images])
    return np.stack([np.where(mask > 0, np.uint8(255), np.uint8(0)) for mask in images.masks]) if images.masks else None
