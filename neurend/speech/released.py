"""Published checkpoints of Neural Voice Puppetry (Thies et al., 2020), read without PyTorch and not executed."""

import os

import jax
import jax.numpy as jnp
import numpy as np

from neurend.checks import InputError
from neurend.images import statedict
from neurend.speech.expression import Audio2Expression
from neurend.typing import PyTree

_LETTERS = 29
LAYERS = {
    **{f'encoder/convolution_{k}': f'convNet.{2 * k}' for k in range(4)},
    **{f'dense_{k}': f'fullNet.{2 * k}' for k in range(3)},
    **{f'attention_{k}': f'attentionConvNet.{2 * k}' for k in range(5)},
    'weigh': 'attentionNet.0',
}
"""Names of the published modules by those of `Audio2Expression`."""


def read(path: str | os.PathLike[str]) -> PyTree:
    """Parameters of `expression.Audio2Expression` from a file such as `20_netG.pth`, which is not executed.

    Speakers and expressions, 116 and 76 in the published files, are those of the file's mapping: `speakers_of` tells
    them of the result. Of the files `20_netG.pth` has the best validation error, `latest_netG.pth` is the paper's. They
    were trained with look-ahead, with the expressions 32, 41 and 71 to 74 set to zero.

    Raises:
        InputError: the file cannot be read, its pickle asks for anything but tensors, or one message with all keys that
            are missing, of another shape, or unknown to the network.
    """
    state = {name.removeprefix('module.'): value for name, value in statedict.read(path, what='checkpoint').items()}
    mapping = state.get('mapping')
    if mapping is None or mapping.ndim != 4 or mapping.shape[0] != 1 or 0 in mapping.shape:
        came = 'none' if mapping is None else mapping.shape
        raise InputError(
            f'checkpoint {path}: got mapping {came}, expected (1, speakers, expressions, 32), '
            "as in Neural Voice Puppetry's netG.pth"
        )
    network = Audio2Expression(*mapping.shape[1:3])
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 16, _LETTERS)), jnp.zeros(1, jnp.int32))
    problems, used = [], set()

    def one(path, leaf):
        *parents, kind = (part.key for part in path)
        if kind == 'mapping':
            key, axes, shape = 'mapping', (0, 1, 2), (1, *leaf.shape)
        else:
            key = f'{LAYERS["/".join(parents)]}.{"weight" if kind == "kernel" else "bias"}'
            # PyTorch's kernels are (out, in, *size); those over windows have a last axis of 1.
            axes = tuple(reversed(range(leaf.ndim)))
            shape = tuple(leaf.shape[axis] for axis in axes) + (1,) * key.startswith('convNet.') * (kind == 'kernel')
        used.add(key)
        if key not in state or state[key].shape != shape:
            problems.append(f'{key}: {state[key].shape if key in state else "missing"}, expected {shape}')
            return np.zeros(leaf.shape, np.float32)
        return state[key].reshape([leaf.shape[axis] for axis in axes]).transpose(axes).astype(np.float32)

    params = jax.tree_util.tree_map_with_path(one, shapes['params'])
    problems += [f'{key}: {state[key].shape}, unknown to the network' for key in state if key not in used]
    if problems:
        raise InputError(f'checkpoint {path}: is not of this network. {"; ".join(problems)}')
    return jax.tree.map(jnp.asarray, params)
