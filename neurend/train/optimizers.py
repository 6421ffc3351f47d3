"""Optimizers and learning-rate schedules of the NeRF family, as optax transformations."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neurend.adam import adam
from neurend.checks import InputError
from neurend.numerics import safe_divide
from neurend.typing import Array, PyTree


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Flags of an optimizer; `make` builds it. The defaults are those of the published NeRF (Mildenhall et al., 2020).

    Attributes:
        name: 'adam' (Kingma and Ba, 2015), 'adamw' (decoupled weight decay; Loshchilov and Hutter, 2019), 'radam' (Liu
            et al., 2020), 'uniform_adam' (for vertices; Nicolet et al., 2021) or 'sgd'.
        learning_rate: at the start.
        final_learning_rate: reached at `decay_steps`, log-linearly.
        decay_steps: 0 for the number of steps of the run.
        beyond: whether the rate goes on falling after `decay_steps` (as in NeRF) or stays (as in JaxNeRF).
        delay_steps: steps over which the rate rises from `delay_multiplier` times its schedule; 0 for no delay.
        delay_multiplier: see there.
        b1: Adam's decay of the first moment; momentum for sgd.
        b2: Adam's decay of the second moment (.99 for hash grids).
        eps: Adam's epsilon (1e-7 in NeRF, 1e-6 in mip-NeRF 360, 1e-15 for hash grids).
        weight_decay: for 'adamw'.
    """

    name: Literal['adam', 'adamw', 'radam', 'uniform_adam', 'sgd'] = 'adam'
    learning_rate: float = 5e-4
    final_learning_rate: float = 5e-5
    decay_steps: int = 0
    beyond: bool = False
    delay_steps: int = 0
    delay_multiplier: float = 0.01
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-7
    weight_decay: float = 0.0


def make(config: OptimizerConfig, *, steps: int) -> optax.GradientTransformation:
    """The optimizer a configuration describes, for a run of `steps` steps.

    Raises:
        InputError: a rate that is not positive, or weight decay for an optimizer that has none.
    """
    if not (config.learning_rate > 0 and config.final_learning_rate > 0):
        raise InputError(
            f'learning rates: got {config.learning_rate} to {config.final_learning_rate}, expected positive numbers'
        )
    if config.weight_decay and config.name != 'adamw':
        raise InputError(f'weight_decay: got {config.weight_decay} with {config.name}; choose adamw')
    length = config.decay_steps or steps
    if config.beyond:
        rate = exponential(config.learning_rate, factor=config.final_learning_rate / config.learning_rate, steps=length)
    else:
        rate = log_linear(config.learning_rate, config.final_learning_rate, steps=length)
    if config.delay_steps:
        rate = delayed(rate, steps=config.delay_steps, multiplier=config.delay_multiplier)
    if config.name == 'sgd':
        return optax.sgd(rate, momentum=config.b1 or None)
    if config.name == 'adamw':
        return optax.adamw(rate, config.b1, config.b2, config.eps, weight_decay=config.weight_decay)
    if config.name == 'uniform_adam':
        return uniform_adam(rate, config.b1, config.b2)
    make_adam = optax.radam if config.name == 'radam' else adam
    return make_adam(rate, config.b1, config.b2, config.eps)


class UniformState(NamedTuple):
    """State of `uniform_adam`: finished steps, running means of gradients, and of the largest squared gradient."""

    count: Array
    first: PyTree
    second: PyTree


def uniform_adam(rate: optax.ScalarOrSchedule, b1: float = 0.9, b2: float = 0.999) -> optax.GradientTransformation:
    """Adam with one second moment for each array, of its largest element (Nicolet et al., 2021).

    Steps keep the direction of the gradient, so that elements that feel little move little: vertices that no silhouette
    touches stay smooth.

    Args:
        rate: learning rate, or a schedule of it.
        b1, b2: decays of the first and the second moment.
    """

    def init(params: PyTree) -> UniformState:
        return UniformState(
            jnp.zeros((), jnp.int32),
            jax.tree.map(jnp.zeros_like, params),
            jax.tree.map(lambda leaf: jnp.zeros((), leaf.dtype), params),
        )

    def update(updates: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, UniformState]:
        del params
        count = state.count + 1
        first = jax.tree.map(lambda mean, grad: b1 * mean + (1 - b1) * grad, state.first, updates)
        second = jax.tree.map(
            lambda mean, grad: b2 * mean + (1 - b2) * jnp.max(jnp.square(grad), initial=0), state.second, updates
        )
        size = jnp.asarray(rate(state.count) if callable(rate) else rate)

        def change(mean: Array, square: Array) -> Array:
            return -size * safe_divide(mean / (1 - b1**count), jnp.sqrt(square / (1 - b2**count)))

        return jax.tree.map(change, first, second), UniformState(count, first, second)

    return optax.GradientTransformation(init, update)


def exponential(initial: float, *, factor: float = 0.1, steps: int) -> optax.Schedule:
    """`initial * factor ** (step / steps)`, without end: NeRF has 5e-4, factor .1 and 500k steps (250k for LLFF)."""
    return lambda step: initial * jnp.asarray(factor, jnp.float32) ** (step / steps)


def log_linear(initial: float, final: float, *, steps: int) -> optax.Schedule:
    """From `initial` to `final` in `steps` steps, log-linearly, then constant (JaxNeRF; Deng et al., 2020)."""

    def schedule(step):
        fraction = jnp.clip(step / steps, 0, 1)
        return jnp.exp((1 - fraction) * jnp.log(initial) + fraction * jnp.log(final))

    return schedule


def delayed(schedule: optax.Schedule, *, steps: int, multiplier: float = 0.01) -> optax.Schedule:
    """A schedule times `m + (1 - m) sin(pi/2 min(step / steps, 1))`: a slow start (JaxNeRF; Deng et al., 2020)."""

    def slow(step):
        rise = jnp.sin(jnp.pi / 2 * jnp.clip(step / steps, 0, 1))
        return schedule(step) * (multiplier + (1 - multiplier) * rise)

    return slow


def by_name(optimizers: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformation:
    """One optimizer per group of parameters, e.g. another learning rate for poses.

    Args:
        optimizers: by regular expression; the first that is found in a parameter's name ('field/dense_0/kernel')
            optimizes it.

    Raises:
        InputError: when initialised, a parameter that no expression matches.

    Example: `by_name({'^poses/': optax.adam(1e-4), '': optax.adam(5e-4)})`
    """

    def label(path, _):
        name = jax.tree_util.keystr(path, simple=True, separator='/')
        for pattern in optimizers:
            if re.search(pattern, name):
                return pattern
        raise InputError(f'parameter {name}: none of {list(optimizers)} matches; add one for it, or "" for all others')

    def labels(params: PyTree) -> PyTree:
        return jax.tree_util.tree_map_with_path(label, params)

    return optax.multi_transform({**optimizers}, labels)
