"""What one asks of a whole pytree: names, sizes, bad values, selection."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from neurend.typing import Array, PyTree


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """Leaves with their paths, in the order of `jax.tree.leaves`.

    >>> named_leaves({'dense': {'bias': 0.0, 'kernel': 1.0}})
    [('dense/bias', 0.0), ('dense/kernel', 1.0)]
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator='/'), leaf) for path, leaf in leaves]


def count(tree: PyTree) -> int:
    """Number of scalars in all leaves (of a network's parameters: the parameter count); leaves may be abstract."""
    return sum(math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(tree))


def size_bytes(tree: PyTree) -> int:
    """Bytes held by all leaves, each array counted whole even if sharded or replicated; leaves may be abstract."""
    return sum(math.prod(jnp.shape(leaf)) * jnp.result_type(leaf).itemsize for leaf in jax.tree.leaves(tree))


def nonfinite(tree: PyTree) -> list[str]:
    """Names of the floating leaves that hold a NaN or an infinity, in leaf order. Runs on the host, not under jit."""
    return [
        name
        for name, leaf in named_leaves(tree)
        if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) and not bool(jnp.all(jnp.isfinite(leaf)))
    ]


def select(mask: Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    """Leaf by leaf `where(mask, on_true, on_false)`; the mask covers the leaves' leading axes (a scalar: whole trees).

    Args:
        mask: boolean `[...]`; every leaf has shape `[... any]`.
        on_true: a tree.
        on_false: a tree of the same structure, shapes and types.
    """

    def one(a, b):
        return jnp.where(jnp.reshape(mask, jnp.shape(mask) + (1,) * (jnp.ndim(a) - jnp.ndim(mask))), a, b)

    return jax.tree.map(one, on_true, on_false)
