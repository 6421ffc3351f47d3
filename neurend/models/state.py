"""Everything a training run carries from step to step."""
from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import struct

from neurend.typing import Array, PyTree

if TYPE_CHECKING:
    from neurend.models.method import Stepper


@struct.dataclass
class State:
    """State of a training run: one pytree, saved whole in a checkpoint.

    Attributes:
      step: number of finished steps, int32 scalar.
      params: trained arrays, float32.
      optimizer: state of the optimizer (an optax state, or several in a container for an adversarial method).
      ema: exponential moving average of `params`, same structure, or None when none is kept.
      aux: arrays that are carried and not trained by gradients (occupancy, counters, ...), or None.
    """
    step: Array
    params: PyTree
    optimizer: PyTree
    ema: PyTree = None
    aux: PyTree = None

    @property
    def weights(self) -> PyTree:
        """What to render and evaluate with: `ema` where it is kept, else `params`."""
        return self.params if self.ema is None else self.ema


def create(params: PyTree, stepper: Stepper, *, aux: PyTree = None) -> State:
    """The state before the first step: step 0, fresh optimizer, and `ema` equal to `params` if the stepper keeps one.

    Example, the `init` of a method:

      def init(key):
          return state.create(network.init(key, points), stepper, aux=occupancy)
    """
    # A copy, because donated buffers must not be shared between two leaves of one state.
    ema = jax.tree.map(jnp.copy, params) if stepper.ema else None
    return State(step=jnp.zeros((), jnp.int32), params=params, optimizer=stepper.init(params), ema=ema, aux=aux)
