"""Parameters from the checkpoints that the authors of Scene Representation Networks released."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from neurend.checks import InputError
from neurend.models.srn import scene
from neurend.models.srn.config import SRNConfig
from neurend.typing import PyTree

_CODES = 'latent_codes.weight'


def load(state: Mapping[str, np.ndarray], config: SRNConfig) -> dict[str, PyTree]:
    """Parameters of `neurend.models.srn.method.srn` with the values of a released state dict.

    Codes are loaded where the file has them, and the field of a single scene otherwise. The authors cast rays through
    the corners of pixels, where centres lie here: shift the cameras' `center` by half a pixel for the very rays.

    Args:
        state: arrays by name, of `neurend.images.statedict.read`.
        config: what the checkpoint was trained with, e.g. the published numbers, `SRNConfig()`.

    Returns:
        The parameters, float32, for as many instances as there are codes; 0, a single scene, if there are none.

    Raises:
        InputError: one message with all keys that are missing, of another shape, or unknown.
    """
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    instances = len(state[_CODES]) if _CODES in state else 0
    template = jax.eval_shape(lambda key: scene.init(key, config, instances), jax.random.key(0))
    table = _table(config, instances)
    problems, used = [], set()

    def take(key: str, shape: tuple[int, ...]) -> np.ndarray | None:
        used.add(key)
        if key in state and state[key].shape == shape:
            return state[key]
        problems.append(f'{key}: {state[key].shape if key in state else "missing"}, expected {shape}')
        return None

    def one(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator='/')
        shape = leaf.shape[::-1]
        if name == 'codes':
            shape = leaf.shape
        elif name == 'marcher/step/kernel':
            shape = (1, *leaf.shape)
        elif name == 'marcher/step/bias':
            shape = (1,)
        parts = [take(key, shape) for key in table[name]]
        # The two biases of PyTorch's cell act as their sum. Its matrices are (out, in).
        found = sum(part for part in parts if part is not None)
        value = np.asarray(found, np.float32)
        return jnp.asarray(value if name == 'codes' else value.T).reshape(leaf.shape) if not problems else leaf

    loaded = jax.tree_util.tree_map_with_path(one, template)
    problems += [f'{key}: {state[key].shape}, unknown' for key in state if key not in used]
    if problems:
        raise InputError(
            f'state: does not fit Scene Representation Networks of {config}. {"; ".join(problems)}. Expected a '
            'checkpoint with a pixel generator of dense layers, and the configuration that it was trained with'
        )
    return loaded


def _table(config: SRNConfig, instances: int) -> dict[str, tuple[str, ...]]:
    """Keys of the PyTorch modules by paths of parameters here."""
    table = {
        'marcher/input': ('ray_marcher.lstm.weight_ih',),
        'marcher/hidden': ('ray_marcher.lstm.weight_hh',),
        'marcher/bias': ('ray_marcher.lstm.bias_ih', 'ray_marcher.lstm.bias_hh'),
        'marcher/step/kernel': ('ray_marcher.out_layer.weight',),
        'marcher/step/bias': ('ray_marcher.out_layer.bias',),
        **_block('generator', 'pixel_generator', config.generator_depth, out=True),
    }
    if not instances:
        return table | _block('field', 'phi', config.depth, out=False)
    for layer in range(config.depth):
        prefix = f'hyper_phi.layers.{layer}.hyper_linear.hypo_params'
        table |= _block(f'hypernetwork/for_layer_{layer}', prefix, config.hyper_depth, out=True)
    return table | {'codes': (_CODES,)}


def _block(path: str, prefix: str, depth: int, *, out: bool) -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for layer in range(depth):
        within = f'{prefix}.net.{layer}.net'
        table |= _pair(f'{path}/layer_{layer}', f'{within}.0', 'kernel')
        table |= _pair(f'{path}/norm_{layer}', f'{within}.1', 'scale')
    return table | (_pair(f'{path}/out', f'{prefix}.net.{depth}', 'kernel') if out else {})


def _pair(path: str, key: str, kind: str) -> dict[str, tuple[str, ...]]:
    return {f'{path}/{kind}': (f'{key}.weight',), f'{path}/bias': (f'{key}.bias',)}
