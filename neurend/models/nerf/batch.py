"""What radiance fields ask of a training batch; `neurend.data.batches.RayBatch` has it."""

from typing import Protocol

from neurend.geometry.rays import Rays
from neurend.typing import Array


class Batch(Protocol):
    """A pytree with these fields, one leading dim n.

    Attributes:
        rays: cast through the pixels.
        rgb: [n 3] true colours, composited on `background` where the photograph has alpha.
        alpha: [n] true opacity, 1 where the photograph has none.
        mask: [n] weight of each ray in the loss, in [0, 1].
        background: [n 3] the colour the truth was composited on.
    """

    @property
    def rays(self) -> Rays: ...
    @property
    def rgb(self) -> Array: ...
    @property
    def alpha(self) -> Array: ...
    @property
    def mask(self) -> Array: ...
    @property
    def background(self) -> Array: ...
