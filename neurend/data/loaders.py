"""Streams of ray batches from images that stay on the host, by grain: deterministic, resumable to the exact batch."""

import dataclasses
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np

from neurend import checks
from neurend.data import batches, posed
from neurend.typing import Source

# Random access by position, so that the length costs nothing: one batch per step of any run.
_LENGTH = 1 << 40


class RayIterator:
    """Iterates over `RayBatch`es with NumPy leaves; batch number i depends on i and the seed alone.

    `get_state()` gives a JSON-able state from which `set_state()` of an iterator made alike goes on with the very next
    batch, whatever was prefetched.
    """

    def __init__(self, pixels: Any, cameras: Any, *, cast_rays: bool):
        self._pixels, self._cameras, self._cast_rays = pixels, cameras, cast_rays
        self._cast = jax.jit(batches.cast)
        try:  # small work: not worth a trip to an accelerator, if the host is there as a device
            self._device = jax.local_devices(backend='cpu')[0]
        except RuntimeError:
            self._device = jax.local_devices()[0]

    def __iter__(self) -> 'RayIterator':
        return self

    def __next__(self) -> batches.RayBatch:
        """The next batch."""
        batch = batches.RayBatch(**next(self._pixels))
        if not self._cast_rays:
            return batch
        with jax.default_device(self._device):
            rays = self._cast(self._cameras, batch.index, batch.pixels)
        return dataclasses.replace(batch, rays=jax.tree.map(np.asarray, rays))

    def get_state(self) -> Any:
        """Where the iterator stands."""
        return self._pixels.get_state()

    def set_state(self, state: Any) -> None:
        """Goes to where another iterator stood."""
        self._pixels.set_state(state)


class _Rows:
    """The rows of packed images: in memory, or in a file that every process maps for itself."""

    def __init__(self, rows: np.ndarray, path: Path | None):
        self._rows, self._path = rows, path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, rows)
            self._rows = None

    def __getstate__(self) -> dict[str, Any]:
        return {'_rows': None if self._path else self._rows, '_path': self._path}

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        if self._rows is None:
            assert self._path is not None
            self._rows = np.load(self._path, mmap_mode='r', allow_pickle=False)
        return self._rows[index]


class _Draw(grain.transforms.RandomMap):
    """Draws one batch of pixels; the host's counterpart of `batches.draw`."""

    def __init__(
        self,
        data: batches.PackedImages,
        rows: _Rows,
        num_rays: int,
        background: batches.Background,
        mask_as_alpha: bool,
    ):
        self._count = len(data.rows) if data.active is None else len(data.active)
        self._active, self._num_rays, self._mask_as_alpha = data.active, num_rays, mask_as_alpha
        self._background, self._has_alpha, self._has_mask = background, data.alpha, data.mask
        self._rows, self._places = rows, dataclasses.replace(data, rows=None, active=None)

    def random_map(self, element: Any, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The fields of a `RayBatch` but its rays."""
        del element  # the generator already depends on the position
        row = rng.integers(0, self._count, self._num_rays)
        row = row if self._active is None else self._active[row].astype(np.int64)
        index, pixels = batches.locate(self._places, row)
        values = self._rows[row].astype(np.float32) / np.float32(255)
        rgb, ones = values[:, :3], np.ones(self._num_rays, np.float32)
        alpha = values[:, 3] if self._has_alpha else ones
        mask = values[:, -1] if self._has_mask else ones
        alpha = alpha * mask if self._mask_as_alpha else alpha
        if isinstance(self._background, str) and self._background == 'random':
            behind = rng.random((self._num_rays, 3), np.float32)
        else:
            color = {'white': 1.0, 'black': 0.0}.get(self._background) if isinstance(self._background, str) else None
            behind = np.full((self._num_rays, 3), self._background if color is None else color, np.float32)
        rgb = rgb * alpha[:, None] + behind * (1 - alpha[:, None])
        return {'index': index, 'pixels': pixels, 'rgb': rgb, 'alpha': alpha, 'mask': mask, 'background': behind}


def stream_source(
    images: posed.PosedImages,
    *,
    num_rays: int,
    seed: int,
    background: batches.Background = 'white',
    mask_as_alpha: bool = False,
    active: np.ndarray | None = None,
    cast_rays: bool = True,
    workers: int = 0,
    cache_dir: str | Path | None = None,
) -> Source:
    """A source that streams `RayBatch`es from the host, for images that do not fit on the device.

    Args:
        images: what to draw from.
        num_rays: per batch.
        seed: of the order and the random backgrounds.
        background, mask_as_alpha, active, cast_rays: as in `batches.device_source`.
        workers: processes that draw ahead; 0 draws ahead in a thread. The batches are the same; a state may be restored
            only under the same number.
        cache_dir: with workers, where the pixels are written once, for the processes to share them.

    Raises:
        InputError: see `batches.device_source`; workers without `cache_dir`.

    >>> batch = next(stream_source(images, num_rays=4096, seed=0).iterator)   # doctest: +SKIP
    """
    batches.check_options(num_rays=num_rays, background=background)
    if mask_as_alpha and images.masks is None:
        raise checks.InputError('mask_as_alpha: the images have no masks, expected some; leave it False')
    if workers < 0 or (workers and cache_dir is None):
        raise checks.InputError(f'workers: got {workers} and cache_dir={cache_dir}; give workers a folder to share')
    data = batches.pack(images, active=active)
    rows = _Rows(data.rows, Path(cache_dir) / 'rows.npy' if workers and cache_dir is not None else None)
    dataset = (
        grain.MapDataset.range(_LENGTH).seed(seed).random_map(_Draw(data, rows, num_rays, background, mask_as_alpha))
    )
    if workers:
        read = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
        stream = dataset.to_iter_dataset(read).mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    else:
        stream = dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=8))
    return Source(iterator=RayIterator(iter(stream), images.cameras, cast_rays=cast_rays))
