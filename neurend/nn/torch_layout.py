"""Parameters of image networks from the state dicts of their public PyTorch versions.

Known are the U-Net, ResNet and patch discriminator of pytorch-CycleGAN-and-pix2pix and the global generator and local
enhancer of pix2pixHD. `neurend.images.statedict.read` reads the file.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from neurend.checks import InputError
from neurend.nn.patchgan import PatchGAN
from neurend.nn.resnet import GlobalGenerator, LocalEnhancer
from neurend.nn.unet import UNet
from neurend.typing import PyTree

_Table = dict[str, str]  # keys of the PyTorch modules, by the paths of the modules here, joined by slashes
# Running averages, which are not used here, and their counter.
_IGNORED = ('.running_mean', '.running_var', '.num_batches_tracked')


def load(state: Mapping[str, np.ndarray], network: nn.Module, params: PyTree) -> PyTree:
    """Parameters of `network` with the values of a state dict.

    Args:
        state: arrays by name, with or without the prefix 'module.' of parallel training.
        network: a `UNet` with transposed convolutions, `PatchGAN`, `GlobalGenerator` or `LocalEnhancer`, made with the
            options that the checkpoint was.
        params: its parameters, whose shapes alone are used: what `init` returns, or `jax.eval_shape` of it, or its
            entry 'params'.

    Returns:
        The same tree, float32. Kernels are `*size in out`, of transposed convolutions `*size out in`; not flipped.

    Raises:
        InputError: one message with all keys that are missing, of another shape, or unknown to the network; or
            parameters of another network.
    """
    if set(params) == {'params'}:
        return {'params': load(state, network, params['params'])}
    table = _table(network)
    state = {key.removeprefix('module.'): value for key, value in state.items() if not key.endswith(_IGNORED)}
    problems, used = [], set()

    def one(path, leaf):
        *parents, kind = (part.key for part in path)
        module = '/'.join(parents)
        if module not in table:
            raise InputError(f'params: has {module}, which {network!r} has not, expected what its init returns')
        key = table[module] + ('.bias' if kind == 'bias' else '.weight')
        used.add(key)
        # PyTorch's kernels are (out, in, *size), of transposed convolutions (in, out, *size).
        axes = (*range(2, leaf.ndim), 1, 0) if kind == 'kernel' else (0,)
        expected = tuple(leaf.shape[axes.index(axis)] for axis in range(leaf.ndim))
        if key not in state or state[key].shape != expected:
            problems.append(f'{key}: {state[key].shape if key in state else "missing"}, expected {expected}')
            return leaf
        return jnp.asarray(state[key].transpose(axes), jnp.float32)

    loaded = jax.tree_util.tree_map_with_path(one, params)
    problems += [f'{key}: {state[key].shape}, unknown to the network' for key in state if key not in used]
    if problems:
        raise InputError(f'state: does not fit {type(network).__name__}. {"; ".join(problems)}')
    return loaded


def _table(network: nn.Module) -> _Table:
    if isinstance(network, UNet) and network.upsample == 'transposed' and not network.refinements:
        return _unet(network.depth)
    if isinstance(network, PatchGAN):
        return _patchgan(network.layers)
    if isinstance(network, GlobalGenerator):
        return _global_generator(network.halvings, network.blocks)
    if isinstance(network, LocalEnhancer):
        return _local_enhancer(network)
    raise InputError(
        f'network: no table for {network!r}. Expected a UNet with transposed convolutions and no refinements, '
        'a PatchGAN, a GlobalGenerator or a LocalEnhancer'
    )


def _unet(depth: int) -> _Table:
    """Blocks nest: each holds the next one where its own halving ends."""
    table = {'encoder_0': 'model.model.0', 'decoder_0': 'model.model.3'}
    prefix = 'model.model.1.model'
    for level in range(1, depth):
        innermost = level == depth - 1
        up = 3 if innermost else 5
        table[f'encoder_{level}'] = f'{prefix}.1'
        table[f'encoder_{level}_norm'] = f'{prefix}.2'
        table[f'decoder_{level}'] = f'{prefix}.{up}'
        table[f'decoder_{level}_norm'] = f'{prefix}.{up + 1}'
        prefix = f'{prefix}.3.model'
    return table


def _patchgan(layers: int) -> _Table:
    table = {'layer_0': 'model.0', 'last': f'model.{2 + 3 * layers}'}
    for layer in range(1, layers + 1):
        table |= _normed(f'layer_{layer}', 'model', 3 * layer - 1)
    return table


def _global_generator(halvings: int, blocks: int) -> _Table:
    table = _normed('first', 'model', 1)
    for level in range(halvings):
        table |= _normed(f'down_{level}', 'model', 4 + 3 * level)
    start = 4 + 3 * halvings
    for block in range(blocks):
        table |= _block(f'block_{block}', f'model.{start + block}')
    start += blocks
    for level in range(halvings):
        table |= _normed(f'up_{level}', 'model', start + 3 * level)
    return table | {'last': f'model.{start + 3 * halvings + 1}'}


def _local_enhancer(network: LocalEnhancer) -> _Table:
    coarse = _global_generator(network.halvings, network.blocks)
    table = {f'coarse/{path}': entry for path, entry in coarse.items() if path != 'last'}
    table |= _normed('first', 'model1_1', 1) | _normed('down', 'model1_1', 4)
    for block in range(network.local_blocks):
        table |= _block(f'block_{block}', f'model1_2.{block}')
    table |= _normed('up', 'model1_2', network.local_blocks)
    return table | {'last': f'model1_2.{network.local_blocks + 4}'}


def _normed(path: str, prefix: str, index: int) -> _Table:
    """A convolution and the norm after it."""
    return {path: f'{prefix}.{index}', f'{path}_norm': f'{prefix}.{index + 1}'}


def _block(path: str, prefix: str) -> _Table:
    return _normed(f'{path}/first', f'{prefix}.conv_block', 1) | _normed(f'{path}/second', f'{prefix}.conv_block', 5)
