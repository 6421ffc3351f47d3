"""From audio expressions to a new person's face model: the matrix that a person's own tracked film tells.

The network hears the film; a linear map takes the audio expressions that it makes to the expressions that were tracked
(Thies et al., "Neural Voice Puppetry", 2020). The map belongs to that network alone: it carries a fingerprint.
"""

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, trees
from neurend.adam import adam
from neurend.checks import InputError
from neurend.images import statedict
from neurend.speech import expression
from neurend.speech.expression import CODES, FACTOR
from neurend.speech.expression_losses import Space
from neurend.typing import Array, Key, PyTree

_RATE, _EPOCHS, _FALL = 0.01, 90, 30


@flax.struct.dataclass
class Mapping:
    """A person's, for the audio expressions of one network.

    Attributes:
        matrix: float32 `e 32`.
        rest: float32 `e`, expressions are rest + 10 matrix audio; zero in the published code.
        network: fingerprint of the network, see `fingerprint`; '' if it is not known.
    """

    matrix: Any
    rest: Any
    network: str = flax.struct.field(pytree_node=False, default='')

    def __call__(self, audio: Array) -> Array:
        """Expressions `... e` of audio expressions `... 32`."""
        rest = jnp.asarray(self.rest)
        return rest.reshape((1,) * (jnp.ndim(audio) - 1) + (-1,)) + expression.express(jnp.asarray(self.matrix), audio)


def ridge(
    audio: np.ndarray,
    expressions: np.ndarray,
    *,
    space: Space | None = None,
    strength: float = 1e-3,
    rest: np.ndarray | None = None,
    network: str = '',
) -> Mapping:
    """The map of least squares in closed form: the mean of |rest + 10 X a - e|^2 plus a penalty of |X|^2.

    In the space of coefficients, or of vertices with the mouth's weights: without penalty and with expressions that
    move vertices independently of each other both have the same minimum. The penalty is in units of the mean curvature
    of the first term, so that it neither depends on the loudness of audio expressions nor on the unit of vertices.

    Args:
        audio: `t 32`, see `expression.audio_expressions`.
        expressions: `t e`, tracked.
        space: of the distances; coefficients if not given.
        strength: of the penalty, 0 or more. With 0 the smallest of all maps of least squares is taken.
        rest: `e`; zero if not given.
        network: fingerprint of the network that heard.

    Raises:
        InputError: arrays that do not fit, are empty or not finite, or a space of another number of expressions.
    """
    audio, expressions, rest = _checked(audio, expressions, rest, space)
    if not strength >= 0:
        raise InputError(f'strength: got {strength}, expected 0 or more')
    heard = FACTOR * audio.astype(np.float64)
    wanted = (expressions - rest[None]).astype(np.float64)
    root = np.eye(expressions.shape[1]) if space is None else np.asarray(space.root, np.float64)
    # Both quadratic forms are diagonal in these bases, so that the penalised problem is one division for each number.
    curvature, codes = np.linalg.eigh(heard.T @ heard / len(heard))
    values, modes = np.linalg.eigh(root @ root.T)
    curvature, values = np.maximum(curvature, 0), np.maximum(values, 0)
    penalty = strength * curvature.mean() * values.mean()
    slope = codes.T @ (heard.T @ wanted / len(heard)) @ modes * values[None]
    bending = curvature[:, None] * values[None] + penalty
    least = 1e-12 * curvature.max() * values.max()
    found = np.where(bending > least, slope / np.maximum(bending, least + 1e-300), 0)
    return Mapping((codes @ found @ modes.T).T.astype(np.float32), rest, network)


def gradient(
    key: Key,
    audio: np.ndarray,
    expressions: np.ndarray,
    *,
    space: Space | None = None,
    epochs: int = _EPOCHS,
    rest: np.ndarray | None = None,
    network: str = '',
) -> Mapping:
    """The map by gradients as published: X from N(0, 1), frames one by one in random order, Adam at 0.01.

    The rate falls to a tenth after every third of the epochs. `ridge` finds the minimum at once; this ends near it.

    Args:
        key: of the start and of the order.
        epochs: passes over the film.
        audio, expressions, space, rest, network: see `ridge`.

    Raises:
        InputError: see `ridge`.
    """
    audio, expressions, rest = _checked(audio, expressions, rest, space)
    if epochs < 1:
        raise InputError(f'epochs: got {epochs}, expected at least 1')
    count = expressions.shape[1]
    # The mean over coordinates, as published. A root of another scale would do the same: Adam does not feel it.
    root = np.eye(count, dtype=np.float32) / np.sqrt(np.float32(count)) if space is None else np.asarray(space.root)
    matrix = _descend(key, jnp.asarray(audio), jnp.asarray(expressions - rest[None]), jnp.asarray(root), epochs)
    return Mapping(np.asarray(matrix), rest, network)


@functools.partial(jax.jit, static_argnums=4)
def _descend(key: Key, audio: Array, wanted: Array, root: Array, epochs: int) -> Array:
    start_key, order_key = jax.random.split(key)
    fall = max(epochs * _FALL // _EPOCHS, 1) * len(audio)
    optimizer = adam(optax.exponential_decay(_RATE, fall, 0.1, staircase=True))

    def loss(matrix: Array, heard: Array, target: Array) -> Array:
        return jnp.sum(jnp.square((expression.express(matrix, heard) - target) @ root))

    def frame(carry: tuple[Array, Any], place: Array) -> tuple[tuple[Array, Any], None]:
        matrix, moments = carry
        slope = jax.grad(loss)(matrix, audio[place], wanted[place])
        change, moments = optimizer.update(slope, moments, matrix)
        return (matrix + jnp.asarray(change), moments), None

    def epoch(k: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        order = jax.random.permutation(jax.random.fold_in(order_key, k), len(audio))
        return jax.lax.scan(frame, carry, order)[0]

    matrix = jax.random.normal(start_key, (wanted.shape[1], CODES))
    return jax.lax.fori_loop(0, epochs, epoch, (matrix, optimizer.init(matrix)))[0]


def fingerprint(params: PyTree, *, look_ahead: bool = True) -> str:
    """What tells networks apart whose audio expressions differ: a hash of all parameters but the speakers' matrices."""
    digest = hashlib.sha256(b'ahead' if look_ahead else b'behind')
    for name, leaf in sorted(trees.named_leaves({key: part for key, part in params.items() if key != 'mapping'})):
        digest.update(f'{name}{np.shape(leaf)}'.encode())
        digest.update(np.ascontiguousarray(leaf, np.float32).tobytes())
    return digest.hexdigest()


def save(path: str | os.PathLike[str], mapping: Mapping) -> None:
    """Writes a map to an `.npz` file, with the fingerprint of its network; its folder is made.

    Raises:
        InputError: it cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, 'wb') as file:
            np.savez(file, matrix=mapping.matrix, rest=mapping.rest, network=np.array(mapping.network))
    except OSError as error:
        raise InputError(f'mapping {target}: cannot be written ({error.strerror})') from error


def load(path: str | os.PathLike[str], *, network: str, expressions: int | None = None) -> Mapping:
    """Reads a map that was saved for the same network.

    Args:
        path: of the file.
        network: fingerprint of the network that is to be used with it.
        expressions: of the face model, to be checked.

    Raises:
        InputError: it cannot be read, was fitted to another network, or is for another number of expressions.
    """
    arrays = statedict.read(path, what='mapping')
    if not {'matrix', 'rest', 'network'} <= set(arrays):
        raise InputError(f'mapping {path}: holds {sorted(arrays)}, expected matrix, rest and network')
    came = str(arrays['network'])
    if came != network:
        raise InputError(
            f'mapping {path}: was fitted to another network ({came[:8] or "unknown"}, expected {network[:8]}), whose '
            'audio expressions mean something else. Delete it, or fit it anew'
        )
    sizes = {} if expressions is None else {'e': expressions}
    sizes = checks.shape(f'mapping {path}', arrays['matrix'], f'e {CODES}', 'Fit it to this face model', sizes=sizes)
    checks.shape(f'rest of mapping {path}', arrays['rest'], 'e', sizes=sizes)
    for name in ('matrix', 'rest'):
        checks.finite(f'{name} of mapping {path}', arrays[name])
    return Mapping(arrays['matrix'].astype(np.float32), arrays['rest'].astype(np.float32), came)


def _checked(
    audio: np.ndarray, expressions: np.ndarray, rest: np.ndarray | None, space: Space | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = checks.shape('audio', audio, f't {CODES}')
    sizes = checks.shape('expressions', expressions, 't e', 'Give those of the frames that are heard', sizes=sizes)
    if not sizes['t']:
        raise InputError('audio: got no frames, expected those of a tracked film')
    if space is not None and len(space.root) != sizes['e']:
        raise InputError(
            f'expressions: got {sizes["e"]}, expected {len(space.root)}, those of the face model. '
            'Track the film with the same model'
        )
    rest = np.zeros(sizes['e'], np.float32) if rest is None else np.asarray(rest, np.float32)
    checks.shape('rest', rest, 'e', sizes=sizes)
    for name, value in (('audio', audio), ('expressions', expressions), ('rest', rest)):
        checks.finite(name, value)
    return np.asarray(audio, np.float32), np.asarray(expressions, np.float32), rest
