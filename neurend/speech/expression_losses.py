"""What the network from speech to expressions is trained for: vertices of the face, and how they move.

The losses of Neural Voice Puppetry (Thies et al., 2020), in the space of a face's vertices, or of the coefficients
themselves where the face model is not known.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import flax.struct
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.numerics import safe_sqrt
from neurend.typing import Array

Kind = Literal['rms', 'l2', 'l1']


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Kind and weights; the defaults are the published ones.

    Attributes:
        kind: of the distance: 'rms', root of the mean square over a batch; 'l2', the mean square; 'l1', the mean
            magnitude, which needs the vertices themselves and takes as long as there are many.
        frames: weight of the distances of a frame, the one before and the one after.
        intermediate: of that of the expression which the frame's own window has without attention.
        temporal: of the distances of what changes between each two of the three frames.
    """

    kind: Kind = 'rms'
    frames: float = 1000.0
    intermediate: float = 3000.0
    temporal: float = 20000.0

    def __post_init__(self):
        """Raises `InputError` for weights below zero."""
        checks.one_of('kind', self.kind, ('rms', 'l2', 'l1'))
        if min(self.frames, self.intermediate, self.temporal) < 0:
            raise checks.InputError(f'weights of the loss: got {self}, expected 0 or more')


@flax.struct.dataclass
class Space:
    """Where differences of expressions are measured; NumPy leaves.

    Attributes:
        root: `e k`, by which differences are multiplied so that their squares add up to the weighted mean square.
        basis: `e d`, by which they become the coordinates whose magnitudes 'l1' takes.
        weights: `d` of these.
    """

    root: Any
    basis: Any
    weights: Any


def vertex_space(basis: np.ndarray, mouth: np.ndarray, *, least: float = 0.1) -> Space:
    """The space of a face's vertices, of which those of the mouth count most.

    Of many vertices 'rms' and 'l2' see only an e x e matrix, so that their number costs nothing.

    Args:
        basis: `e v 3`, what each expression adds to vertices, in metres.
        mouth: `v` in [0, 1], 1 at the mouth.
        least: added to it, what other vertices weigh.

    Raises:
        InputError: shapes that do not fit, values that are not finite, or weights that are negative.
    """
    sizes = checks.shape('basis', basis, 'e v 3')
    checks.shape('mouth', mouth, 'v', 'Give one weight for each vertex', sizes=sizes)
    checks.finite('basis', basis)
    flat = np.asarray(basis, np.float64).reshape(sizes['e'], -1)
    return _space(flat, np.repeat(np.asarray(mouth, np.float64) + least, 3))


def coefficient_space(weights: np.ndarray) -> Space:
    """The space of e coefficients themselves, of weights `e`, for faces whose vertices are not known.

    Raises:
        InputError: weights of another shape, negative or not finite ones.
    """
    count = checks.shape('weights', weights, 'e', 'Give one for each coefficient')['e']
    return _space(np.eye(count), np.asarray(weights, np.float64))


def distance(space: Space, difference: Array, *, kind: Kind = 'rms') -> Array:
    """How far apart expressions are, of their difference `... e`: the mean over coordinates and all leading axes.

    With weights w and coordinates D(x) 'rms' is sqrt(mean(w D^2)), 'l2' mean(w D^2), and 'l1' mean(w |D|).
    """
    checks.shape('difference', difference, f'... {len(space.root)}', 'The space was made for as many expressions')
    if kind == 'l1':
        moved = jnp.matmul(difference, jnp.asarray(space.basis, jnp.float32), precision='highest')
        return jnp.mean(jnp.abs(moved) @ jnp.asarray(space.weights, jnp.float32)) / len(space.weights)
    squares = jnp.square(jnp.matmul(difference, jnp.asarray(space.root, jnp.float32), precision='highest'))
    mean = jnp.mean(jnp.sum(squares, axis=-1))
    return safe_sqrt(mean) if kind == 'rms' else mean


class Terms(NamedTuple):
    """The parts of the loss, unweighted: each is a sum of three distances but for `intermediate`, which is one."""

    frames: Array
    intermediate: Array
    temporal: Array


def terms(space: Space, predicted: Array, intermediate: Array, target: Array, *, kind: Kind = 'rms') -> Terms:
    """The parts of the loss of t >= 3 consecutive frames, each of which but the first and last has two neighbours.

    Args:
        space: of the distances.
        predicted, target: `n t e`.
        intermediate: `n t e`, of each frame's own window alone; see `expression.current`. The published code takes the
            window after it by mistake.
        kind: see `distance`.

    Raises:
        InputError: fewer than three frames, or shapes that do not fit.
    """
    sizes = checks.shape('predicted', predicted, 'n t e')
    for name, value in (('intermediate', intermediate), ('target', target)):
        checks.shape(name, value, 'n t e', 'It must match predicted', sizes=sizes)
    if sizes['t'] < 3:
        raise checks.InputError(f'predicted: got {sizes["t"]} frames, expected at least 3: one, and its two neighbours')

    def away(difference: Array) -> Array:
        return distance(space, difference, kind=kind)

    error = predicted - target
    before, now, after = error[:, :-2], error[:, 1:-1], error[:, 2:]
    return Terms(
        away(now) + away(before) + away(after),
        away((intermediate - target)[:, 1:-1]),
        away(now - after) + away(before - now) + away(after - before),
    )


def total(config: LossConfig, parts: Terms) -> Array:
    """The weighted sum."""
    return (
        config.frames * parts.frames + config.intermediate * parts.intermediate + config.temporal * parts.temporal
    )  # fmt: skip


def _space(basis: np.ndarray, weights: np.ndarray) -> Space:
    checks.finite('weights', weights)
    if not len(weights) or weights.min() < 0 or not weights.max() > 0:
        raise checks.InputError('weights: got negative ones or none above 0, expected 0 or more, and some above')
    gram = (basis * weights[None]) @ basis.T / len(weights)
    values, vectors = np.linalg.eigh(gram)
    root = vectors * np.sqrt(np.maximum(values, 0))[None]
    return Space(root.astype(np.float32), basis.astype(np.float32), weights.astype(np.float32))
