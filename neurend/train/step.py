"""One optimisation step from a plain loss: accumulated gradients, clipping, mixed precision, a running average."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neurend import trees
from neurend.checks import InputError
from neurend.models.method import LossFn, StepFn, Stepper
from neurend.models.state import State
from neurend.typing import Array, Key, Metrics, PyTree


def stepper(
    optimizer: optax.GradientTransformation,
    *,
    accumulate: int = 1,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    compute_dtype: Any = None,
) -> Stepper:
    """How to minimise a loss; hand it to a method's factory as `stepper=`.

    The steps it makes report the loss function's metrics, 'loss', and with `clip_norm` 'gradient_norm' before clipping.

    Args:
        optimizer: an optax transformation, see `neurend.train.optimizers`.
        accumulate: number of equal parts the batch is cut into (every `accumulate`-th element goes to one part). Parts
            run one after another and their gradients are averaged, which is the gradient of the whole batch if the loss
            is a mean, in less memory. Leaves of the batch without axes go to every part.
        clip_norm: gradients of a larger global norm are scaled down to it (Pascanu et al., 2013).
        ema_decay: `State.ema` becomes `ema_decay * ema + (1 - ema_decay) * params` after each step.
        compute_dtype: e.g. `jnp.bfloat16`: the loss function sees parameters in this type, while `State.params`, their
            gradients and the optimizer stay float32 (Micikevicius et al., 2018). The batch stays as it is, since
            coordinates do not survive 8 bits: layers cast what they are given to the type of their parameters.

    Raises:
        InputError: an option out of its range.
    """
    if accumulate < 1:
        raise InputError(f'accumulate: got {accumulate}, expected a number of parts of at least 1')
    if clip_norm is not None and not clip_norm > 0:
        raise InputError(f'clip_norm: got {clip_norm}, expected a positive norm, or None for no clipping')
    if ema_decay is not None and not 0 <= ema_decay < 1:
        raise InputError(f'ema_decay: got {ema_decay}, expected a number in [0, 1), or None for no average')

    def make(loss_fn: LossFn) -> StepFn:
        def cast_loss(params, key, aux, batch, step):
            loss, metrics = loss_fn(key, _cast(params, compute_dtype), aux, batch, step)
            return jnp.asarray(loss, jnp.float32), metrics

        gradients = jax.value_and_grad(cast_loss, has_aux=True)

        def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
            if (state.ema is None) != (ema_decay is None):
                raise InputError(
                    f'State.ema: got {"None" if state.ema is None else "arrays"} with ema_decay={ema_decay}; make the '
                    'state by neurend.models.state.create(params, stepper), which fits the stepper'
                )
            if accumulate == 1:
                (loss, metrics), grads = gradients(state.params, key, state.aux, batch, state.step)
            else:
                (loss, metrics), grads = _accumulated(gradients, accumulate, key, state, batch)
            metrics = {**metrics, 'loss': loss}
            if clip_norm is not None:
                grads, norm = clip_by_global_norm(grads, clip_norm)
                metrics['gradient_norm'] = norm
            updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
            params = optax.apply_updates(state.params, updates)
            ema = None
            if ema_decay is not None:
                ema = optax.incremental_update(params, state.ema, 1 - ema_decay)
            new = {'step': state.step + 1, 'params': params, 'optimizer': optimizer_state, 'ema': ema}
            return dataclasses.replace(state, **new), metrics

        return step

    return Stepper(init=optimizer.init, step=make, ema=ema_decay is not None)


def gradient_step(loss_fn: LossFn, optimizer: optax.GradientTransformation, **options: Any) -> StepFn:
    """The step of a method with one plain loss; options are those of `stepper`."""
    return stepper(optimizer, **options).step(loss_fn)


def clip_by_global_norm(grads: PyTree, limit: float) -> tuple[PyTree, Array]:
    """Scales gradients to a global Euclidean norm of at most `limit`; returns them and the norm before.

    Gradients with a NaN or an infinity pass unscaled: scaling would spread it over all leaves, and nobody could tell
    any more where it came from.
    """
    norm = optax.tree.norm(grads)
    scale = jnp.where(jnp.isfinite(norm), jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-30)), 1.0)
    return jax.tree.map(lambda grad: grad * scale.astype(grad.dtype), grads), norm


def _cast(params: PyTree, dtype: Any) -> PyTree:
    if dtype is None:
        return params
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, params)


def _accumulated(gradients: Any, parts: int, key: Key, state: State, batch: Any) -> Any:
    """Means over the parts of ((loss, metrics), gradients)."""

    def cut(name: str, leaf: Array) -> Array:
        if leaf.shape[0] % parts:
            raise InputError(
                f'batch {name}: got {leaf.shape[0]} elements, expected a multiple of accumulate={parts}; '
                'change the batch size or accumulate'
            )
        # Strided parts, so that each part of a sharded batch is spread over all devices.
        return jnp.swapaxes(leaf.reshape(leaf.shape[0] // parts, parts, *leaf.shape[1:]), 0, 1)

    treedef = jax.tree.structure(batch)
    named = [(name, jnp.asarray(leaf)) for name, leaf in trees.named_leaves(batch)]
    shared = [leaf if leaf.ndim == 0 else None for _, leaf in named]
    pieces = [None if leaf.ndim == 0 else cut(name, leaf) for name, leaf in named]

    def one(index, piece):
        leaves = [part if part is not None else whole for part, whole in zip(piece, shared)]
        part_key = jax.random.fold_in(key, index)
        return gradients(state.params, part_key, state.aux, jax.tree.unflatten(treedef, leaves), state.step)

    def body(total, item):
        return jax.tree.map(jnp.add, total, one(*item)), None

    shapes = jax.eval_shape(one, 0, [None if piece is None else piece[0] for piece in pieces])
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total, _ = jax.lax.scan(body, zeros, (jnp.arange(parts), pieces))
    return jax.tree.map(lambda leaf: (leaf / parts).astype(leaf.dtype), total)
