"""Training at one resolution after another: the global generator first, then the enhancer around it."""

import jax
import jax.numpy as jnp

from neurend import trees
from neurend.checks import InputError
from neurend.typing import Array, PyTree


def graft(enhancer: PyTree, coarse: PyTree) -> PyTree:
    """Parameters of a `LocalEnhancer` whose inner generator is a trained one (pix2pixHD, Wang et al., 2018).

    Args:
        enhancer: the parameters of the enhancer, freshly drawn.
        coarse: those of a `GlobalGenerator` of twice its width; its last convolution is left behind.

    Raises:
        InputError: they do not fit; the message names what differs.
    """
    if 'coarse' not in enhancer:
        raise InputError("enhancer: got parameters without 'coarse', expected those of the generator 'local'")
    inner = {name: leaf for name, leaf in coarse.items() if name != 'last'}
    wanted, given = (
        {name: leaf.shape for name, leaf in trees.named_leaves(tree)} for tree in (enhancer['coarse'], inner)
    )
    wrong = [name for name in wanted | given if wanted.get(name) != given.get(name)]
    if wrong:
        name = wrong[0]
        raise InputError(
            f'coarse: {len(wrong)} of {len(wanted)} arrays differ, the first is {name}: got {given.get(name)}, '
            f'expected {wanted.get(name)}. Train the generator "global" with twice the width of "local", and the same '
            'depth, blocks and norm'
        )
    return {**enhancer, 'coarse': jax.tree.map(jnp.asarray, inner)}


def hold(gradients: PyTree, held: Array) -> PyTree:
    """The enhancer's gradients, those of its inner generator zero where `held`, a bool scalar, is true."""
    inner = jax.tree.map(lambda grad: jnp.where(held, jnp.zeros_like(grad), grad), gradients['coarse'])
    return {**gradients, 'coarse': inner}
