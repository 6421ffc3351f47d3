"""Batches of rays through the instances of a category, drawn on the device from pictures that lie there."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data.categories import Category
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.rays import Rays
from neurend.typing import Array, Key, Source

_WHITE = 250
_MARGIN = 2


@flax.struct.dataclass
class CategoryBatch:
    """Pixels of some instances.

    Attributes:
        instance: `[i]` int32, position in the category.
        rays: `[i r]`, whose `index` is the view.
        rgb: `[i r 3]` true colours in [0, 1].
    """

    instance: Array
    rays: Rays
    rgb: Array


@flax.struct.dataclass
class PackedCategory:
    """A category on the device.

    Attributes:
        images: `[n v*h*w 3]` uint8.
        cameras: `[n v]`.
        object_rows: `[n m]` int32, which pixels of each instance lie on it or near its outline; drawn from cyclically
            where there are fewer.
    """

    images: Any
    cameras: Any
    object_rows: Any


def category_source(category: Category, *, instances: int, rays: int, on_object: float = 0.0) -> Source:
    """A source of `CategoryBatch`es: distinct instances drawn uniformly, and for each rays through all its views.

    Args:
        category: what to draw from.
        instances: i, in a batch; as many as there are, if there are fewer.
        rays: r, through each of them, drawn with replacement.
        on_object: part of the rays that are drawn from pixels that are not white, or within two pixels of such, in
            [0, 1]; the others are drawn from all pixels.

    Raises:
        InputError: an option out of range.
    """
    if min(instances, rays) < 1:
        raise checks.InputError(f'instances, rays: got {instances}, {rays}, expected at least 1')
    if not 0 <= on_object <= 1:
        raise checks.InputError(f'on_object: got {on_object}, expected a part of the rays, in [0, 1]')
    count, views, height, width, _ = category.images.shape
    instances = min(instances, count)
    aimed = round(on_object * rays)

    def draw(key: Key, data: PackedCategory) -> CategoryBatch:
        keys = jax.random.split(key, 3)
        chosen = jax.random.choice(keys[0], count, (instances,), replace=False)
        rows = jax.random.randint(keys[1], (instances, rays - aimed), 0, views * height * width)
        if aimed:
            drawn = jax.random.randint(keys[2], (instances, aimed), 0, data.object_rows.shape[1])
            rows = jnp.concatenate([jnp.asarray(data.object_rows)[chosen[:, None], drawn], rows], axis=1)
        view, pixel = rows // (height * width), rows % (height * width)
        pixels = jnp.stack([pixel % width, pixel // width], axis=-1) + 0.5
        cameras = jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen[:, None], view], data.cameras)
        rgb = jnp.asarray(data.images)[chosen[:, None], rows].astype(jnp.float32) / 255
        return CategoryBatch(chosen.astype(jnp.int32), cameras_lib.rays(cameras, pixels, index=view), rgb)

    images = category.images.reshape(count, -1, 3)
    rows = _object_rows(category.images) if aimed else np.zeros((count, 1), np.int32)
    return Source(data=PackedCategory(images, category.cameras, rows), draw=draw)


def _object_rows(images: np.ndarray) -> np.ndarray:
    """For each instance the pixels within the margin of one that is not white; all pixels where there is none."""
    near = images.min(-1) < _WHITE
    for axis in (2, 3):
        padded = np.pad(near, [(_MARGIN, _MARGIN) if k == axis else (0, 0) for k in range(4)])
        size = near.shape[axis]
        near = np.logical_or.reduce([padded.take(range(k, k + size), axis) for k in range(2 * _MARGIN + 1)])
    found = [np.flatnonzero(one) if one.any() else np.arange(one.size) for one in near.reshape(len(near), -1)]
    return np.stack([np.resize(rows, max(map(len, found))) for rows in found]).astype(np.int32)


def reduced(category: Category, factor: int) -> Category:
    """The category with pictures smaller by a whole number, means over squares of pixels, for the start of training.

    Raises:
        InputError: the factor does not divide the pictures' width and height.
    """
    n, v, h, w, _ = category.images.shape
    if factor < 1 or h % factor or w % factor:
        raise checks.InputError(f'factor: got {factor}, expected a divisor of the width and height, {w} and {h}')
    if factor == 1:
        return category
    means = category.images.reshape(n, v, h // factor, factor, w // factor, factor, 3).mean((3, 5), dtype=np.float32)
    cameras = jax.device_get(cameras_lib.resize(category.cameras, 1 / factor))
    return dataclasses.replace(category, images=np.round(means).astype(np.uint8), cameras=cameras)
