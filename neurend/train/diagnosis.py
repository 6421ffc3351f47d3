"""What to say when a loss is not finite."""

import math
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp

from neurend import trees
from neurend.models.state import State
from neurend.typing import Array, PyTree


class NonFiniteError(FloatingPointError):
    """Training stopped because a loss or a parameter was NaN or infinite; the message says where it began."""


@jax.jit
def finite(tree: PyTree) -> Array:
    """Whether all floating leaves are finite."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def describe(
    step: int, terms: Mapping[str, float], states: Iterator[tuple[int, State]], checkpoint: str | None
) -> NonFiniteError:
    """The error for a run whose loss was not finite.

    The states before are gone (their memory was used again), so the steps since the last checkpoint are run a second
    time, one by one, and the first parameters that are not finite tell whose gradients were not: an update by NaN is
    NaN.

    Args:
        step: the step whose loss was not finite, or after which a parameter was not, from 1.
        terms: the metrics of that step.
        states: from the last checkpoint on, run again: (number of finished steps, state after them).
        checkpoint: what to call the last good checkpoint; None if there is none.
    """
    shown = ', '.join(f'{name} {value:.6g}' for name, value in terms.items())
    if math.isfinite(terms['loss']):
        message = f'step {step}: the loss is finite and parameters are not ({shown})'
    else:
        message = f'step {step}: the loss is not finite ({shown})'
    names: list[str] = []
    done = step
    for done, state in states:
        if not finite((state.params, state.optimizer)):
            names = trees.nonfinite(state.params) or trees.nonfinite(state.optimizer)
        if names or done >= step:
            break
    if names:
        more = f' and {len(names) - 8} more' if len(names) > 8 else ''
        message += f'. First non-finite gradients, in step {done}: {", ".join(names[:8])}{more}'
    else:
        message += '. Run again, these steps left all parameters finite: the gradients were'
    last = f'The last good checkpoint is {checkpoint}' if checkpoint else 'There is no checkpoint yet'
    return NonFiniteError(f'{message}. {last}. A lower learning rate or gradient clipping may help')
