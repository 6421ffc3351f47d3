"""Views to make multi-plane images from, and others near them to draw, as stereo magnification samples them."""

from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data.photographs import Photographs, size_of
from neurend.data.posed import PosedImages, composite
from neurend.typing import Array, Key, PyTree, Source


@flax.struct.dataclass
class StereoBatch:
    """A batch of scenes' views.

    Attributes:
        source: photographs [b v ...] to make a multi-plane image from, that whose camera it faces first.
        target: photographs [b ...] to draw.
        near, far: [b] depths between which there is something.
    """

    source: Photographs
    target: Photographs
    near: Array
    far: Array


def nearest(images: PosedImages, count: int) -> np.ndarray:
    """The views taken from nearest to where each was, itself first: int32 [n count]."""
    eyes = np.asarray(images.cameras.world_from_camera, np.float64)[:, :3, 3]
    away = np.linalg.norm(eyes[:, None] - eyes[None], axis=-1)
    np.fill_diagonal(away, -1)
    return np.argsort(away, axis=-1, kind='stable')[:, :count].astype(np.int32)


def stereo_source(
    scenes: Sequence[PosedImages],
    *,
    batch: int = 1,
    sources: int = 2,
    within: int = 8,
    background: Sequence[float] = (1.0, 1.0, 1.0),
) -> Source:
    """A source whose photographs lie on the device.

    Of a random view and those nearest to it, `sources` make the multi-plane image and another one is to be drawn: all
    differ, so that views between and beyond the sources are learned.

    Args:
        scenes: of photographs of one size.
        batch: multi-plane images in a batch.
        sources: photographs for each.
        within: how many views, the random one and those nearest to it, the others are drawn from.
        background: colour in [0, 1] that transparent pixels are put on.

    Raises:
        InputError: photographs of several sizes, or scenes of too few views.
    """
    if not 1 <= sources < within:
        raise checks.InputError(f'sources, within: got {sources} and {within}, expected the former to be the smaller')
    for scene in scenes:
        if len(scene) < within:
            raise checks.InputError(f'within: got {within}, expected at most {len(scene)}, the views of a scene')
        if size_of(scene) != size_of(scenes[0]):
            raise checks.InputError(f'scenes: got sizes {size_of(scene)} and {size_of(scenes[0])}, expected one')
    starts = np.cumsum([0, *(len(scene) for scene in scenes)])
    near = np.concatenate([nearest(scene, within) + start for scene, start in zip(scenes, starts)])
    pictures = np.concatenate(
        [
            np.stack([np.rint(255 * composite(image, background)).astype(np.uint8) for image in scene.images])
            for scene in scenes
        ]
    )
    cameras = jax.tree.map(lambda *leaves: np.concatenate(leaves), *(scene.cameras for scene in scenes))
    depths = np.concatenate([np.full((len(scene), 2), [scene.near, scene.far], np.float32) for scene in scenes])

    def draw(key: Key, data: PyTree) -> StereoBatch:
        cameras, pictures, near, depths = (jax.tree.map(jnp.asarray, part) for part in data)

        def shown(index: Array) -> Photographs:
            rgb = pictures[index].astype(jnp.float32) / 255
            behind = jnp.broadcast_to(jnp.asarray(background, jnp.float32), (*index.shape, 3))
            return Photographs(jax.tree.map(lambda leaf: leaf[index], cameras), rgb, behind)

        chosen = []
        for each in jax.random.split(key, batch):
            first_key, other_key = jax.random.split(each)
            first = jax.random.randint(first_key, (), 0, len(pictures))
            others = jax.random.choice(other_key, near[first, 1:], (sources,), replace=False)
            chosen.append(jnp.concatenate([first[None], others]))
        index = jnp.stack(chosen)
        bounds = depths[index[:, 0]]
        return StereoBatch(shown(index[:, :-1]), shown(index[:, -1]), bounds[:, 0], bounds[:, 1])

    return Source(data=(cameras, pictures, near, depths), draw=draw)
