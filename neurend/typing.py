"""Names for the types that cross floors."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

Array = jax.Array
Key = jax.Array
"""A random key as made by `jax.random.key`."""
PyTree = Any
Batch = Any
"""A pytree of arrays that a method's `step` consumes."""
Metrics = Mapping[str, Array]
"""Scalars by name, reported by a training step."""


class Source(NamedTuple):
    """What training draws its batches from: arrays on the device, or an iterator on the host.

    Exactly one of `draw` and `iterator` is given.

    Attributes:
        data: arrays placed on the device once and passed to the compiled step (images, cameras); `()` if none.
        draw: `draw(key, data) -> batch`, pure, traced inside the step: the device samples for itself.
        iterator: an object whose `__next__` gives NumPy batches and whose `get_state()` and `set_state(state)` make it
            resumable (grain's iterators do); its state is saved with every checkpoint.
    """

    data: PyTree = ()
    draw: Callable[[Key, PyTree], Batch] | None = None
    iterator: Any | None = None
