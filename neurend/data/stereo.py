"""Views to make multi-plane images from, and others near them to draw, as stereo magnification samples them."""

import dataclasses
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data.photographs import Photographs, size_of
from neurend.data.posed import PosedImages, composite
from neurend.geometry import cameras as cameras_lib
from neurend.images import resample
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


def fitted(images: PosedImages, size: int) -> PosedImages:
    """The square middles of photographs, `size` wide and high, every pixel the mean of what it covers.

    Raises:
        InputError: photographs smaller than that.
    """
    pictures, cameras, masks = [], [], None if images.masks is None else []
    for k, (name, picture) in enumerate(zip(images.names, images.images)):
        side = min(picture.shape[:2])
        if side < size:
            raise checks.InputError(f'photograph {name}: {side} pixels high or wide, expected at least size={size}')
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        window = slice(top, top + side), slice(left, left + side)
        pictures.append(resample.resize(picture[window], size, size))
        if masks is not None and images.masks is not None:
            masks.append(resample.resize(images.masks[k][window][..., None], size, size)[..., 0])
        cropped = cameras_lib.crop(images.camera(k), left, top, side, side)
        cameras.append(jax.device_get(cameras_lib.resize(cropped, size / side)))
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *cameras)
    return dataclasses.replace(
        images, images=tuple(pictures), cameras=batch, masks=None if masks is None else tuple(masks)
    )


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
