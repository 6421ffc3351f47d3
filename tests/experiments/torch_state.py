"""State dicts as PyTorch would write them, from the parameters of a network here."""

import jax
import numpy as np

from neurend.nn import torch_layout


def torch_state(network, params):
    """Arrays by the keys of the published modules."""
    table, state = torch_layout._table(network), {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *parents, kind = (part.key for part in path)
        array = np.asarray(leaf)
        if kind == 'kernel':  # *size in out, to out in *size
            array = np.moveaxis(array, (-1, -2), (0, 1))
        state[table['/'.join(parents)] + ('.bias' if kind == 'bias' else '.weight')] = array
    return state


def write(path, state):
    """A file that `statedict.read` reads, whatever its suffix."""
    with open(path, 'wb') as file:
        np.savez(file, **state)
