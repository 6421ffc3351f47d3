"""Jacobians three ways: central differences, forward mode and reverse mode."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree


def check_jacobian(function: Callable, *parameters, step: float = 1e-6, rtol: float = 1e-6, atol: float = 1e-6) -> None:
    """Asserts that the three agree for all parameters and outputs (pytrees), in float64.

    One compilation for each way, whatever the number of parameters, where `check_grads` takes many.
    """
    start, unravel = ravel_pytree(parameters)
    assert start.dtype == jnp.float64

    def flat(x):
        return ravel_pytree(function(*unravel(x)))[0]

    value = jax.jit(flat)
    push = jax.jit(lambda x, tangent: jax.jvp(flat, (x,), (tangent,))[1])
    pull = jax.jit(lambda x, cotangent: jax.vjp(flat, x)[1](cotangent)[0])
    inputs, outputs = np.eye(start.size), np.eye(value(start).size)
    differences = np.stack([(value(start + step * e) - value(start - step * e)) / (2 * step) for e in inputs], axis=-1)
    forward = np.stack([push(start, e) for e in inputs], axis=-1)
    reverse = np.stack([pull(start, e) for e in outputs], axis=0)
    np.testing.assert_allclose(forward, differences, rtol=rtol, atol=atol)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-10)
