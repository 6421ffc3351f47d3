"""A ray marcher that learns how far to step: an LSTM that sees the scene's features at each point."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neurend.linear import linear
from neurend.models.srn.config import Gradient
from neurend.typing import Array, Key, PyTree

FeatureFn = Callable[[Array], Array]
"""Features `... w` of positions on the rays, given as `t` `...`."""
_CLIP = 10.0
_FORGET = 2.0


def init(key: Key, features: int, width: int) -> dict[str, Any]:
    """Parameters of the marcher: uniform in 1 / sqrt(width), and a forget gate that is open at first.

    Args:
        key: random key.
        features: of a point.
        width: of the LSTM.

    Returns:
        {'input': [features 4w], 'hidden': [w 4w], 'bias': [4w], 'step': {'kernel': [w], 'bias': []}}; the gates lie in
        PyTorch's order: input, forget, cell, output.
    """
    keys = jax.random.split(key, 5)
    bound = width**-0.5

    def uniform(key: Key, *shape: int) -> Array:
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    # The two biases of PyTorch's cell, as one: their forget gates are one each.
    bias = uniform(keys[2], 2, 4 * width).sum(0).at[width : 2 * width].set(_FORGET)
    step = {'kernel': uniform(keys[3], width), 'bias': uniform(keys[4])}
    return {'input': uniform(keys[0], features, 4 * width), 'hidden': uniform(keys[1], width, 4 * width)} | {
        'bias': bias,
        'step': step,
    }


def march(feature_fn: FeatureFn, params: PyTree, start: Array, *, steps: int, gradient: Gradient) -> Array:
    """Where rays end after `steps` steps whose lengths the marcher chooses (Sitzmann et al., 2019).

    Args:
        feature_fn: features of points at `t`; the steps of `gradient` 'recomputed' call it again for the gradient.
        params: of `init`.
        start: `...`, t to begin with, in the units of the steps.
        steps: at least 1.
        gradient: see `Gradient`. With 'last' the state and the point before the last step count as given.

    Returns:
        `...`, t after the last step.
    """
    width = params['hidden'].shape[0]

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        t, hidden, cell = carry
        hidden, cell = lstm(params, feature_fn(t), hidden, cell)
        return (t + hidden @ params['step']['kernel'] + params['step']['bias'], hidden, cell), None

    zeros = jnp.zeros((*start.shape, width), start.dtype)
    carry = (start, zeros, zeros)
    if gradient == 'recomputed':
        # As a loop, since XLA on a CPU would otherwise share what is computed again with what was kept.
        carry, _ = jax.lax.scan(jax.checkpoint(step, prevent_cse=False), carry, length=steps)
        return carry[0]
    for number in range(steps):
        if gradient == 'last' and number == steps - 1:
            carry = jax.lax.stop_gradient(carry)
        carry, _ = step(carry, None)
    return carry[0]


def lstm(params: PyTree, x: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
    """One step of an LSTM (Hochreiter and Schmidhuber, 1997): the new hidden state and cell, `... w` each.

    Gradients of the hidden state are clipped to [-10, 10], element by element.
    """
    shape = hidden.shape
    # Rays in a row: gradients of products over several leading axes take XLA on a CPU twice the time.
    x, hidden, cell = (part.reshape(-1, part.shape[-1]) for part in (x, hidden, cell))
    gates = x @ params['input'] + hidden @ params['hidden'] + params['bias'][None]
    enter, forget, candidate, out = jnp.split(gates, 4, axis=-1)
    cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
    hidden = clip_gradient(jax.nn.sigmoid(out) * jnp.tanh(cell))
    return hidden.reshape(shape), cell.reshape(shape)


def clip_gradient(x: Array) -> Array:
    """`x`, whose gradient in reverse mode is clipped to [-10, 10]."""
    return linear(lambda _, x: x, lambda _, cotangent: jnp.clip(cotangent, -_CLIP, _CLIP), (), x)
