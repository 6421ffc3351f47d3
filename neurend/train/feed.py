"""Batches from the host, read ahead and put on the devices while these work."""

import queue
import threading
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from neurend.checks import InputError
from neurend.train import mesh as meshes
from neurend.typing import PyTree

_AHEAD = 2


class Feed:
    """Chunks of stacked batches from an iterator, each with the iterator's state after it.

    Each process reads the same global batches and places its part, so that neither data order nor checkpoints depend on
    the number of processes.
    """

    def __init__(self, iterator: Any, counts: Iterable[int], *, length: int, mesh: Mesh):
        """Starts reading.

        Args:
            iterator: see `neurend.typing.Source`.
            counts: how many batches go into each chunk.
            length: size of a chunk's first axis, at least every count; the rest is filled with the last batch.
            mesh: where batches go, sharded along their own first axis.
        """
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=_AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(iterator, counts, length, mesh), daemon=True)
        self._thread.start()

    def next(self) -> tuple[PyTree, Any]:
        """The next chunk, `[length batch ...]` on the devices, and the iterator's state after it.

        Raises:
            InputError: the iterator has ended.
        """
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Stops reading."""
        self._stop.set()
        self._thread.join()

    def _read(self, iterator, counts, length, mesh) -> None:
        try:
            for count in counts:
                batches = [next(iterator) for _ in range(count)]
                batches += [batches[-1]] * (length - count)
                stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batches)
                placed = meshes.place(stacked, meshes.batch_shardings(stacked, mesh, axis=1))
                if not self._put((placed, iterator.get_state())):
                    return
        except StopIteration:
            self._put(InputError('Source.iterator: ended before the run did; let it repeat the data'))
        except Exception as error:  # raised where the chunk is asked for
            self._put(error)

    def _put(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
