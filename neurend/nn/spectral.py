"""Spectral normalisation (Miyato et al., 2018) of the kernels among a network's parameters.

It maps parameters to parameters, so that any module takes it:

    vectors = spectral.init(key, params)                          # stored beside the parameters
    normalized, vectors = spectral.normalize(params, vectors)     # in each step; gradients run through
    network.apply({'params': normalized}, x)
"""

import jax
import jax.numpy as jnp

from neurend.checks import InputError
from neurend.typing import Array, Key, PyTree

Vectors = dict[str, Array]


def normalize_kernel(kernel: Array, u: Array) -> tuple[Array, Array]:
    """Divides a kernel by its largest singular value, as one step of the power iteration from `u` estimates it.

    Args:
        kernel: `... out`; its singular values are those of the matrix with all other axes made one.
        u: `[out]`, of length 1: the estimate of the right singular vector so far.

    Returns:
        The divided kernel, differentiable in `kernel` with the singular vectors held fixed, and the next `u`.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fixed = jax.lax.stop_gradient(matrix)
    v = _unit(fixed @ jax.lax.stop_gradient(u))
    u = _unit(v @ fixed)
    return kernel / jnp.maximum(v @ matrix @ u, 1e-12), u


def init(key: Key, params: PyTree) -> Vectors:
    """Random unit vectors, by path, for all leaves of `params` called 'kernel'; delete entries to leave kernels out."""
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    kernels = {path: leaf for path, leaf in leaves.items() if path.endswith("['kernel']")}
    keys = jax.random.split(key, max(1, len(kernels)))
    return {path: _unit(jax.random.normal(k, leaf.shape[-1:])) for k, (path, leaf) in zip(keys, kernels.items())}


def normalize(params: PyTree, vectors: Vectors) -> tuple[PyTree, Vectors]:
    """`normalize_kernel` of all leaves of `params` that `vectors` names; the others stay.

    Raises:
        InputError: a vector belongs to no leaf.
    """
    following = {}

    def one(path, leaf):
        name = jax.tree_util.keystr(path)
        if name not in vectors:
            return leaf
        normalized, following[name] = normalize_kernel(leaf, vectors[name])
        return normalized

    normalized = jax.tree_util.tree_map_with_path(one, params)
    if len(following) < len(vectors):
        lost = sorted(set(vectors) - set(following))
        raise InputError(f'vectors: {", ".join(lost)} belong to none of the parameters. Make them by init(key, params)')
    return normalized, following


def _unit(x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x)), 1e-24))
