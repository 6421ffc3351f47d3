"""What a Scene Representation Network asks of a training batch; `neurend.data.category_batches` makes them."""

from typing import Protocol

from neurend.geometry.rays import Rays
from neurend.typing import Array


class Batch(Protocol):
    """A pytree with these fields.

    Attributes:
        instance: `[i]` int32, which instances.
        rays: `[i r]`, r rays through each.
        rgb: `[i r 3]`, true colours in [0, 1].
    """

    @property
    def instance(self) -> Array: ...
    @property
    def rays(self) -> Rays: ...
    @property
    def rgb(self) -> Array: ...
