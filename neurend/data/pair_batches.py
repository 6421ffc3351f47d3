"""Batches of aligned pairs, and of windows of clips, cropped and mirrored on the device where the pictures lie."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data import pairs as pairs_lib
from neurend.data.clips import Clip
from neurend.data.pairs import Pairs
from neurend.typing import Array, Key, Source


@flax.struct.dataclass
class PairBatch:
    """Conditions and the images that belong to them.

    Attributes:
        condition: `[n h w c]` in [0, 1], from clips `[n t h w c]`.
        image: `[n h w 3]` in [0, 1], from clips `[n t h w 3]`.
        index: `[n]` int32, position of the pair; from clips that of the window's first frame among the frames of all
            clips, one after the other. For tables of what else belongs to them, such as boxes around faces.
    """

    condition: Array
    image: Array
    index: Array | None = None


@flax.struct.dataclass
class PackedPairs:
    """Pictures of one size, one after the other.

    Attributes:
        conditions: `[m h w c]` uint8.
        images: `[m h w 3]` uint8.
        starts: `[s]` int32, where a window may begin.
    """

    conditions: Any
    images: Any
    starts: Any


def pair_source(
    pairs: Pairs,
    *,
    batch: int,
    load_size: tuple[int, int] | None = (286, 286),
    crop: tuple[int, int] | None = (256, 256),
    flip: bool = True,
    labels: bool = False,
) -> Source:
    """A source of pairs with the jitter of pix2pix: enlarged, cropped at random, mirrored half of the time.

    Pairs are drawn uniformly and with replacement, so a batch depends on its key alone; there are no epochs.
    Condition and image are cropped and mirrored alike.

    Source: Isola et al. 2017.

    Args:
        pairs: of any sizes if `load_size` is given, else of one.
        batch: n.
        load_size: (width, height) that all are resized to once, see `pairs.resize`; None to leave them.
        crop: (width, height) of the random window; None for the whole picture.
        flip: mirror left and right. Not for conditions that tell left from right, such as joints.
        labels: conditions name classes: their values are kept when resizing.

    Raises:
        InputError: pairs of several sizes, or a crop larger than they are.

    >>> source = pair_source(pairs, batch=4)                  # doctest: +SKIP
    >>> batch = source.draw(jax.random.key(0), source.data)   # doctest: +SKIP
    """
    pairs = pairs_lib.checked(pairs)
    conditions = [_fit(x, load_size, labels) for x in pairs.conditions]
    images = [_fit(x, load_size, False) for x in pairs.images]
    starts = np.arange(len(images), dtype=np.int32)
    _one_size(pairs.names, images)
    return _source(PackedPairs(np.stack(conditions), np.stack(images), starts), batch, None, crop, flip)


def clip_source(
    clips: Clip | Sequence[Clip],
    *,
    batch: int,
    frames: int,
    load_size: tuple[int, int] | None = None,
    crop: tuple[int, int] | None = None,
    flip: bool = False,
    labels: bool = False,
) -> Source:
    """A source of windows of consecutive frames; one crop and one mirroring for all frames of a window.

    Windows are drawn uniformly from all that lie within one clip, with replacement.

    Args:
        clips: one or several, with conditions.
        batch: n.
        frames: t, length of a window.
        load_size, crop, flip, labels: see `pair_source`; the defaults leave pictures as they are.

    Raises:
        InputError: no clips, one without conditions or shorter than a window, clips of several sizes or numbers of
            channels, or a crop larger than they are.
    """
    clips = [clips] if isinstance(clips, Clip) else list(clips)
    if not clips or frames < 1:
        raise checks.InputError(f'clips, frames: got {len(clips)} clips and {frames}, expected at least one of each')
    conditions, images, starts, first = [], [], [], 0
    for clip in clips:
        if clip.conditions is None:
            raise checks.InputError(f'clip {clip.name}: has no conditions, expected one per frame; draw them first')
        if len(clip) < frames:
            raise checks.InputError(
                f'clip {clip.name}: {len(clip)} frames, expected at least {frames}, a window; leave it out'
            )
        conditions.append([_fit(x, load_size, labels) for x in clip.conditions])
        images.append([_fit(x, load_size, False) for x in clip.images])
        starts.append(np.arange(first, first + len(clip) - frames + 1, dtype=np.int32))
        first += len(clip)
    names = [clip.name for clip in clips]
    _one_size(names, [part[0] for part in images])
    _one_size(names, [part[0] for part in conditions])
    conditions, images = (np.stack([x for part in parts for x in part]) for parts in (conditions, images))
    return _source(PackedPairs(conditions, images, np.concatenate(starts)), batch, frames, crop, flip)


def _source(data: PackedPairs, batch: int, frames: int | None, crop: tuple[int, int] | None, flip: bool) -> Source:
    height, width = data.images.shape[1:3]
    crop_width, crop_height = (width, height) if crop is None else crop
    if not (1 <= crop_width <= width and 1 <= crop_height <= height):
        raise checks.InputError(f'crop: got {crop_width} x {crop_height}, expected within {width} x {height} pixels')
    if batch < 1:
        raise checks.InputError(f'batch: got {batch}, expected at least 1')

    def draw(key: Key, data: PackedPairs) -> PairBatch:
        key_start, key_x, key_y, key_flip = jax.random.split(key, 4)
        start = jnp.asarray(data.starts)[jax.random.randint(key_start, (batch,), 0, len(data.starts))]
        x = jax.random.randint(key_x, (batch,), 0, width - crop_width + 1)
        y = jax.random.randint(key_y, (batch,), 0, height - crop_height + 1)
        mirrored = jax.random.bernoulli(key_flip, shape=(batch,)) if flip else jnp.zeros((batch,), bool)

        def window(pictures: Array) -> Array:
            def one(start: Array, x: Array, y: Array, mirrored: Array) -> Array:
                shape = (frames or 1, crop_height, crop_width, pictures.shape[-1])
                cut = jax.lax.dynamic_slice(jnp.asarray(pictures), (start, y, x, 0), shape)
                cut = cut if frames else cut[0]
                return jnp.where(mirrored, jnp.flip(cut, axis=-2), cut) if flip else cut

            return jax.vmap(one)(start, x, y, mirrored).astype(jnp.float32) / 255

        return PairBatch(window(data.conditions), window(data.images), start)

    return Source(data=data, draw=draw)


def _fit(picture: np.ndarray, size: tuple[int, int] | None, labels: bool) -> np.ndarray:
    return picture if size is None else pairs_lib.resize(picture, size, labels=labels)


def _one_size(names: Sequence[str], pictures: Sequence[np.ndarray]) -> None:
    for name, picture in zip(names, pictures):
        if picture.shape != pictures[0].shape:
            raise checks.InputError(
                f'{name}: shape {picture.shape}, that of {names[0]} is {pictures[0].shape}, expected the same for all; '
                'give a load_size, or convert the files'
            )
