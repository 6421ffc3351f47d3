"""The contract between a method (what is learned and how) and the one training loop."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neurend.models.state import State
from neurend.typing import Array, Key, Metrics, PyTree

if TYPE_CHECKING:
    from neurend.render.rendering import Rendering

StepFn = Callable[[Key, State, Any], tuple[State, Metrics]]
"""`(key, state, batch) -> (state, metrics)`: one optimisation step, pure; it adds 1 to `state.step`."""

LossFn = Callable[[Key, PyTree, PyTree, Any, Array], tuple[Array, Metrics]]
"""`(key, params, aux, batch, step) -> (loss, metrics)`: scalar loss (mean over the batch) and scalar metrics, pure."""


class Stepper(NamedTuple):
    """How a plain loss is minimised; built by `neurend.train.step.stepper` and handed to the factory of a method.

    Attributes:
      init: `params -> optimizer state`.
      step: `loss_fn -> StepFn`, see `LossFn` and `StepFn`.
      ema: whether steps keep `State.ema`; `neurend.models.state.create` makes it.
    """
    init: Callable[[PyTree], PyTree]
    step: Callable[[LossFn], StepFn]
    ema: bool = False


class Method(NamedTuple):
    """A method as a bundle of functions; `neurend.train.loop.fit` trains it.

    Attributes:
      init: `key -> State`. Pure: it is traced by `jax.eval_shape` and compiled, so parameters are born sharded. A
        factory may capture arrays computed on the host before.
      step: `(key, state, batch) -> (state, metrics)`. Pure; compiled and looped on the device. Metrics are scalars and
        hold 'loss'. It must add 1 to `state.step`.
      render: `(state, inputs) -> Rendering`. Pure. Radiance fields take `Rays` with one leading dim.
      evaluate: `(state, example) -> (metrics, pictures)` on the host: floats by name, and images `H W C` by name.
      update: `state -> state` on the host between steps (prune, refine a grid); may change shapes but not the
        structure of the tree; a deterministic function of the state. It must not change `state.step`.
      update_steps: numbers of finished steps after which `update` is called.
    """
    init: Callable[[Key], State]
    step: StepFn
    render: Callable[[State, Any], Rendering]
    evaluate: Callable[[State, Any], tuple[dict[str, float], dict[str, np.ndarray]]]
    update: Callable[[State], State] | None = None
    update_steps: tuple[int, ...] = ()
