"""Batches of rays with their true colours, sampled on the device from images that lie there."""

from collections.abc import Sequence
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data import posed
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.rays import Rays
from neurend.typing import Array, Key, PyTree, Source

Background = Literal['white', 'black', 'random'] | Sequence[float]
"""What transparent pixels are composited on; 'random' is a new colour for every ray."""


@flax.struct.dataclass
class RayBatch:
    """Pixels drawn from posed images, n of them, and their rays.

    Attributes:
        index: `[n]` int32, position of the image in `PosedImages`; for appearance codes and refined cameras.
        pixels: `[n 2]` float32 (x, y), at pixel centres.
        rgb: `[n 3]` the true colour in [0, 1], composited on `background`.
        alpha: `[n]` opacity of the image there, 1 where it has none.
        mask: `[n]` 1 on the object, 0 off it; 1 where there are no masks.
        background: `[n 3]` the colour behind the scene.
        rays: leading dim n, or None if the batch leaves casting to the method; then see `cast`.
    """

    index: Array
    pixels: Array
    rgb: Array
    alpha: Array
    mask: Array
    background: Array
    rays: Rays | None = None


@flax.struct.dataclass
class PackedImages:
    """Images of any sizes as rows of pixels, with their cameras.

    Attributes:
        rows: `[m c]` uint8, all pixels of all images, row by row: red, green, blue, then alpha if `alpha`, then mask if
            `mask`.
        offsets: `[n]` int32, the row where each image begins.
        cameras: leading dim n.
        active: `[a]` int32 rows that may be drawn, or None for all.
        alpha, mask: which channels `rows` has.
        uniform: (width, height) if all images have that size, else None.
    """

    rows: Any
    offsets: Any
    cameras: cameras_lib.Camera
    active: Any = None
    alpha: bool = flax.struct.field(pytree_node=False, default=False)
    mask: bool = flax.struct.field(pytree_node=False, default=False)
    uniform: tuple[int, int] | None = flax.struct.field(pytree_node=False, default=None)


def pack(images: posed.PosedImages, *, active: np.ndarray | None = None) -> PackedImages:
    """Packs images into rows (NumPy, no copy to a device).

    Args:
        images: of any sizes; alpha 255 is added where only some have it.
        active: int rows to draw from: pixel (x, y) of image i is row `offsets[i] + y * width_i + x`; None for all.

    Raises:
        InputError: more pixels than int32 can count, or `active` is empty or out of range.
    """
    sizes = np.asarray(images.cameras.size, np.int64)
    counts = sizes[:, 0] * sizes[:, 1]
    total = int(counts.sum())
    if total >= 2**31:
        raise checks.InputError(f'images: {total} pixels, expected fewer than 2^31; reduce them by factor')
    alpha, mask = images.has_alpha, images.masks is not None
    rows = np.empty((total, 3 + alpha + mask), np.uint8)
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for i, image in enumerate(images.images):
        block = rows[offsets[i] : offsets[i] + counts[i]]
        flat = image.reshape(-1, image.shape[-1])
        block[:, :3] = flat[:, :3]
        if alpha:
            block[:, 3] = flat[:, 3] if flat.shape[1] == 4 else 255
        if images.masks is not None:
            block[:, -1] = images.masks[i].reshape(-1)
    if active is not None:
        active = np.asarray(active)
        if active.ndim != 1 or not len(active) or active.min() < 0 or active.max() >= total:
            raise checks.InputError(f'active: expected a list of at least one row in [0, {total}), got {active.shape}')
        active = active.astype(np.int32)
    uniform = (int(sizes[0, 0]), int(sizes[0, 1])) if (sizes == sizes[0]).all() else None
    return PackedImages(rows, offsets.astype(np.int32), images.cameras, active, alpha, mask, uniform)


def center_pixels(images: posed.PosedImages, fraction: float) -> np.ndarray:
    """Rows of the central part of every image, for `active`: NeRF's warm-up draws only from the central half.

    Args:
        images: of any sizes.
        fraction: in (0, 1], of the width and of the height.
    """
    if not 0 < fraction <= 1:
        raise checks.InputError(f'fraction: got {fraction}, expected in (0, 1]')
    rows, offset = [], 0
    for width, height in np.asarray(images.cameras.size, np.int64):
        half = np.maximum((np.array([height, width]) * fraction / 2).astype(np.int64), 1)
        y, x = (np.arange(max(n // 2 - h, 0), min(n // 2 + h, n)) for n, h in zip((height, width), half))
        rows.append((offset + y[:, None] * width + x).reshape(-1))
        offset += width * height
    return np.concatenate(rows)


def cast(cameras: cameras_lib.Camera, index: Array, pixels: Array) -> Rays:
    """Rays `[n]` through pixels `[n 2]` of the images `index` `[n]`; differentiable with respect to the cameras."""
    return cameras_lib.rays(jax.tree.map(lambda leaf: jnp.asarray(leaf)[index], cameras), pixels, index=index)


def draw(
    key: Key,
    data: PackedImages,
    *,
    num_rays: int,
    background: Background = 'white',
    image_per_batch: bool = False,
    mask_as_alpha: bool = False,
    cast_rays: bool = True,
) -> RayBatch:
    """Draws pixels uniformly, with replacement. Pure; made to be traced inside a training step.

    Args:
        key: random key.
        data: the packed images; `data.active`, if given, is drawn from instead of all pixels.
        num_rays: n.
        background: what transparent pixels are composited on.
        image_per_batch: all pixels from one image, drawn uniformly, as in the original NeRF; ignores no pixel, so it
            excludes `active`.
        mask_as_alpha: what the masks leave out is replaced by the background, as if it were transparent.
        cast_rays: whether to cast the rays; False for methods that refine the cameras and cast with their own.

    Raises:
        InputError: an option without the data that it needs.
    """
    if mask_as_alpha and not data.mask:
        raise checks.InputError('mask_as_alpha: the images have no masks, expected some; leave it False')
    key_row, key_image, key_background = jax.random.split(key, 3)
    index, row, pixels = _draw_pixels(key_row, key_image, data, num_rays, image_per_batch)
    values = jnp.asarray(data.rows)[row].astype(jnp.float32) / 255
    rgb = values[:, :3]
    alpha = values[:, 3] if data.alpha else jnp.ones_like(rgb[:, 0])
    mask = values[:, -1] if data.mask else jnp.ones_like(rgb[:, 0])
    alpha = alpha * mask if mask_as_alpha else alpha
    behind = _background(key_background, background, num_rays)
    if data.alpha or mask_as_alpha:
        rgb = rgb * alpha[:, None] + behind * (1 - alpha[:, None])
    rays = cast(data.cameras, index, pixels) if cast_rays else None
    return RayBatch(index, pixels, rgb, alpha, mask, behind, rays)


def device_source(
    images: posed.PosedImages,
    *,
    num_rays: int,
    background: Background = 'white',
    precrop: float | None = None,
    image_per_batch: bool = False,
    mask_as_alpha: bool = False,
    active: np.ndarray | None = None,
    cast_rays: bool = True,
) -> Source:
    """A source whose images lie on the device: `data` is `PackedImages`, `draw` gives a `RayBatch`.

    `source.data.replace(active=..., cameras=...)` changes what is drawn or the cameras without a new source.

    Args:
        images: what to draw from.
        num_rays: per batch.
        background, image_per_batch, mask_as_alpha, cast_rays: see `draw`.
        precrop: draw only from the central part of the images, this fraction of their width and height.
        active: rows to draw from, see `pack`.

    Raises:
        InputError: `precrop`, `active` and `image_per_batch` exclude each other; see also `pack` and `draw`.

    >>> source = device_source(images, num_rays=4096, background='white')   # doctest: +SKIP
    >>> batch = source.draw(jax.random.key(0), source.data)                 # doctest: +SKIP
    """
    if (precrop is not None) + (active is not None) + image_per_batch > 1:
        raise checks.InputError('precrop, active, image_per_batch: got more than one of them, expected at most one')
    check_options(num_rays=num_rays, background=background)
    if precrop is not None:
        active = center_pixels(images, precrop)
    if mask_as_alpha and images.masks is None:
        raise checks.InputError('mask_as_alpha: the images have no masks, expected some; leave it False')

    def draw_batch(key: Key, data: PyTree) -> RayBatch:
        return draw(
            key,
            data,
            num_rays=num_rays,
            background=background,
            image_per_batch=image_per_batch,
            mask_as_alpha=mask_as_alpha,
            cast_rays=cast_rays,
        )

    return Source(data=pack(images, active=active), draw=draw_batch)


def check_options(*, num_rays: int, background: Background) -> None:
    """Checks what all sources take.

    Raises:
        InputError: no rays, or a background that is neither a name nor three numbers.
    """
    if num_rays < 1:
        raise checks.InputError(f'num_rays: got {num_rays}, expected at least 1')
    if isinstance(background, str):
        checks.one_of('background', background, ('white', 'black', 'random'))
    else:
        checks.shape('background', background, '3')


def locate(data: PackedImages, row: Any) -> tuple[Any, Any]:
    """The image `[n]` int32 and the pixel centre `[n 2]` float32 of rows `[n]`; NumPy in, NumPy out."""
    xp = np if isinstance(row, np.ndarray) else jnp
    if data.uniform is not None:
        index = row // (data.uniform[0] * data.uniform[1])
        width = data.uniform[0]
    else:
        index = xp.searchsorted(xp.asarray(data.offsets), row, side='right') - 1
        width = xp.asarray(data.cameras.size)[index, 0]
    within = row - xp.asarray(data.offsets)[index]
    pixels = xp.stack([within % width, within // width], axis=-1).astype(xp.float32) + xp.float32(0.5)
    return index.astype(xp.int32), pixels


def _draw_pixels(
    key_row: Key, key_image: Key, data: PackedImages, num_rays: int, image_per_batch: bool
) -> tuple[Array, Array, Array]:
    if image_per_batch:
        if data.active is not None:
            raise checks.InputError('image_per_batch: draws from whole images, expected active=None')
        image = jax.random.randint(key_image, (), 0, len(data.offsets))
        size = jnp.asarray(data.cameras.size)[image]
        within = jax.random.randint(key_row, (num_rays,), 0, size[0] * size[1])
        row = jnp.asarray(data.offsets)[image] + within
    elif data.active is not None:
        row = jnp.asarray(data.active)[jax.random.randint(key_row, (num_rays,), 0, len(data.active))]
    else:
        row = jax.random.randint(key_row, (num_rays,), 0, len(data.rows))
    index, pixels = locate(data, row)
    return index, row, pixels


def _background(key: Key, background: Background, num_rays: int) -> Array:
    if isinstance(background, str) and background == 'random':
        return jax.random.uniform(key, (num_rays, 3))
    color = (
        {'white': (1.0, 1.0, 1.0), 'black': (0.0, 0.0, 0.0)}[background] if isinstance(background, str) else background
    )
    return jnp.broadcast_to(jnp.asarray(color, jnp.float32), (num_rays, 3))
