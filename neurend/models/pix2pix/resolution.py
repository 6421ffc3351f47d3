"""Training that begins with what was learned before: at a lower resolution, or elsewhere."""

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
    remedy = 'Train the generator "global" with twice the width of "local", and the same depth, blocks and norm'
    return {**enhancer, 'coarse': _fitting('coarse', enhancer['coarse'], inner, remedy)}


def begun(fresh: PyTree, initial: PyTree) -> PyTree:
    """The parameters `initial`, which must have the structure and shapes of those freshly drawn.

    Raises:
        InputError: they have not; the message names what differs.
    """
    return _fitting('initial', fresh, initial, 'They must be those of the same generator with the same channels')


def hold(gradients: PyTree, held: Array) -> PyTree:
    """The enhancer's gradients, those of its inner generator zero where `held`, a bool scalar, is true."""
    inner = jax.tree.map(lambda grad: jnp.where(held, jnp.zeros_like(grad), grad), gradients['coarse'])
    return {**gradients, 'coarse': inner}


def _fitting(what: str, fresh: PyTree, given: PyTree, remedy: str) -> PyTree:
    wanted, came = ({name: jnp.shape(leaf) for name, leaf in trees.named_leaves(tree)} for tree in (fresh, given))
    wrong = [name for name in wanted | came if wanted.get(name) != came.get(name)]
    if wrong:
        name = wrong[0]
        raise InputError(
            f'{what}: {len(wrong)} of {len(wanted)} arrays differ, the first is {name}: got {came.get(name)}, '
            f'expected {wanted.get(name)}. {remedy}'
        )
    return jax.tree.map(jnp.asarray, given)
