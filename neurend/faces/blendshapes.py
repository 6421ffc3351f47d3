"""The algebra of linear face models: a template, what a person adds to it, and what an expression adds.

Vertices are template + sum of coefficients times modes (Blanz and Vetter, 1999). Whatever file a model comes from, its
readers bring it to the one form here: modes are scaled so that coefficients of identity and colour are normal with
deviation 1 among people; 1 is the whole of a named expression.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.leading import align
from neurend.typing import Array


@flax.struct.dataclass
class FaceModel:
    """A face as readers give it (NumPy leaves); any leaf may be a traced array.

    Attributes:
        template: float32 [v 3], the mean person without expression, in the model's own frame: y up, looking along z.
        identity: float32 [i v 3], what each number of a person's shape adds at 1.
        expressions: float32 [e v 3], what each expression adds at 1.
        faces: int32 [f 3], counter-clockwise.
        uvs: float32 [v 2], (0, 0) at the bottom left; None for none.
        landmarks: int32 [n] vertices, or [n 3] three each that `landmark_weights` mixes; n is 68 in iBUG's order,
            as far as the model has them, and 0 if it has none.
        landmark_weights: float32 [n 3] that sum to 1, or None.
        colors: float32 [v 3] in [0, 1], sRGB-encoded, the mean person's; None for none.
        color_modes: float32 [c v 3]; None for none.
        masks: float32 [v] in [0, 1] by the name of a part. `mouth` is what speech moves of the outside.
        names: of the expressions.
    """

    template: Any
    identity: Any
    expressions: Any
    faces: Any
    uvs: Any = None
    landmarks: Any = flax.struct.field(default_factory=lambda: np.zeros(0, np.int32))
    landmark_weights: Any = None
    colors: Any = None
    color_modes: Any = None
    masks: dict[str, Any] = flax.struct.field(default_factory=dict)
    names: tuple[str, ...] = flax.struct.field(pytree_node=False, default=())


def check(model: FaceModel, what: str = 'face model') -> FaceModel:
    """Returns the model if it is sound, on the host.

    Raises:
        InputError: shapes that do not fit each other, numbers that are not finite, indices out of range, or names that
            are not as many as the expressions.
    """
    sizes = checks.shape(f'template of {what}', model.template, 'v 3')
    optional = {'uvs': 'v 2', 'colors': 'v 3', 'color_modes': 'c v 3', 'landmark_weights': 'n 3'}
    for name, pattern in {'identity': 'i v 3', 'expressions': 'e v 3', **optional}.items():
        value = getattr(model, name)
        if value is not None:
            sizes = checks.shape(f'{name} of {what}', value, pattern, sizes=sizes)
            checks.finite(f'{name} of {what}', value)
    checks.finite(f'template of {what}', model.template)
    checks.shape(f'faces of {what}', model.faces, 'f 3')
    weighted = model.landmark_weights is not None
    checks.shape(f'landmarks of {what}', model.landmarks, 'n 3' if weighted else 'n', sizes=sizes)
    for name, mask in model.masks.items():
        checks.shape(f'mask {name} of {what}', mask, 'v', sizes=sizes)
    for name in ('faces', 'landmarks'):
        index, last = np.asarray(getattr(model, name)), sizes['v'] - 1
        if index.size and (index.dtype.kind not in 'iu' or not 0 <= index.min() <= index.max() <= last):
            raise checks.InputError(f'{name} of {what}: expected whole numbers from 0 to {last}')
    if len(model.names) != sizes['e']:
        raise checks.InputError(f'{what}: got {len(model.names)} names for {sizes["e"]} expressions')
    return model


def vertices(model: FaceModel, identity: Array | None = None, expressions: Array | None = None) -> Array:
    """Vertices [... v 3] in the model's own frame.

    Args:
        model: the face.
        identity: [... i]; the mean person if not given.
        expressions: [... e]; none if not given. Leading dims broadcast against those of `identity`.

    Raises:
        InputError: a number of coefficients is not the model's.
    """
    points = jnp.asarray(model.template)
    for modes, values, name in (
        (model.identity, identity, 'identity'),
        (model.expressions, expressions, 'expressions'),
    ):
        if values is not None:
            points, offsets = align((points, 2), (mixed(modes, values, name), 2))
            points = points + offsets
    return points


def mixed(modes: Any, coefficients: Array, name: str = 'coefficients') -> Array:
    """The sum [... v 3] of modes [k v 3] times coefficients [... k].

    Raises:
        InputError: there are more or fewer coefficients than modes.
    """
    count = len(modes)
    remedy = 'They belong to another model' if name == 'expressions' else 'Pad them with zeros, or leave modes out'
    checks.shape(name, coefficients, f'... {count}', remedy)
    points = np.shape(modes)[1]
    flat = jnp.asarray(modes).reshape(count, 3 * points)
    offsets = jnp.matmul(jnp.asarray(coefficients, flat.dtype), flat, precision='highest')
    return offsets.reshape(*offsets.shape[:-1], points, 3)


def colors(model: FaceModel, coefficients: Array | None = None) -> Array:
    """Colours [... v 3] of the vertices, clipped to [0, 1], of coefficients [... c]; the mean person's without.

    Raises:
        InputError: the model has no colours, or the coefficients are not as many as its modes of colour.
    """
    if model.colors is None:
        raise checks.InputError('face model: has no colours')
    shades = jnp.asarray(model.colors)
    if coefficients is not None:
        modes = np.zeros((0, *shades.shape), np.float32) if model.color_modes is None else model.color_modes
        shades, offsets = align((shades, 2), (mixed(modes, coefficients, 'colour coefficients'), 2))
        shades = shades + offsets
    return jnp.clip(shades, 0, 1)


def landmark_points(model: FaceModel, points: Array) -> Array:
    """Where the landmarks [... n 3] are on vertices [... v 3]."""
    found = jnp.take(points, jnp.asarray(model.landmarks), axis=-2)
    if model.landmark_weights is None:
        return found
    weights = jnp.asarray(model.landmark_weights)
    return jnp.einsum('...nkc,nk->...nc', found, weights, precision='highest')


def person(model: FaceModel, identity: Array) -> FaceModel:
    """The model of one person, with coefficients of identity [i]: there are none left to choose."""
    return dataclasses.replace(
        model, template=vertices(model, identity), identity=jnp.zeros((0, *np.shape(model.template)))
    )


def coefficients(names: Sequence[str], values: Mapping[str, float]) -> np.ndarray:
    """Expressions float32 [e] in the order of `names`, of some of them by name; the others are 0.

    Raises:
        InputError: an expression is unknown.

    >>> coefficients(('jawOpen', 'mouthPucker'), {'mouthPucker': 0.5}).tolist()
    [0.0, 0.5]
    """
    found = np.zeros(len(names), np.float32)
    found[places(names, list(values))] = list(values.values())
    return found


def places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where wanted expressions are among all.

    Raises:
        InputError: one is unknown.
    """
    strange = [name for name in wanted if name not in names]
    if strange:
        raise checks.InputError(f'expressions {", ".join(strange)} are unknown, expected some of {", ".join(names)}')
    return [list(names).index(name) for name in wanted]


def choose(model: FaceModel, names: Sequence[str]) -> FaceModel:
    """The model with these expressions alone, in this order.

    Raises:
        InputError: it lacks one.
    """
    return dataclasses.replace(
        model, expressions=model.expressions[np.array(places(model.names, names), int)], names=tuple(names)
    )


def reach(model: FaceModel, names: Sequence[str]) -> np.ndarray:
    """How far expressions move each vertex, float32 [v]: the longest way of all of them over the longest of any vertex.

    Raises:
        InputError: the model lacks an expression.
    """
    way = np.linalg.norm(np.asarray(model.expressions)[places(model.names, names)], axis=-1).max(0, initial=0)
    return (way / max(float(way.max(initial=0)), 1e-12)).astype(np.float32)


def subset(model: FaceModel, source: np.ndarray, faces: np.ndarray | None = None) -> FaceModel:
    """The model of some vertices, on the host; a vertex may come several times, as where a texture has seams.

    Args:
        model: a whole one.
        source: int [u], which vertex each of the new ones was.
        faces: int32 [f 3] into the new vertices; those of the model whose corners are all there if not given.

    Raises:
        InputError: `source` is out of range, or lacks a landmark.
    """
    count = len(model.template)
    source = np.asarray(source)
    if (
        source.ndim != 1
        or source.dtype.kind not in 'iu'
        or (source.size and not 0 <= source.min() <= source.max() < count)
    ):
        raise checks.InputError(f'source: got shape {source.shape}, expected (u,) whole numbers from 0 to {count - 1}')
    first = np.full(count, -1, np.int32)
    first[source[::-1]] = np.arange(len(source), dtype=np.int32)[::-1]
    if faces is None:
        kept = first[np.asarray(model.faces)]
        faces = kept[(kept >= 0).all(1)]
    marks = first[np.asarray(model.landmarks)]
    if (marks < 0).any():
        raise checks.InputError(f'source: lacks {int((marks < 0).sum())} of the vertices that landmarks lie on')
    rows = {name: getattr(model, name) for name in ('template', 'uvs', 'colors')}
    modes = {name: getattr(model, name) for name in ('identity', 'expressions', 'color_modes')}
    return dataclasses.replace(
        model,
        faces=np.asarray(faces, np.int32),
        landmarks=marks,
        masks={name: np.asarray(mask)[source] for name, mask in model.masks.items()},
        **{name: None if value is None else np.asarray(value)[source] for name, value in rows.items()},
        **{name: None if value is None else np.asarray(value)[:, source] for name, value in modes.items()},
    )


def split_seams(model: FaceModel, uvs: np.ndarray, uv_faces: np.ndarray) -> FaceModel:
    """The model with one UV per vertex: vertices on seams of the texture come once for every UV that they have.

    Args:
        model: whose faces `uv_faces` describes.
        uvs: float [t 2].
        uv_faces: int32 [f 3] into them.

    Raises:
        InputError: the faces are not as many, or an index is out of range.
    """
    checks.shape('uv_faces', uv_faces, f'{len(model.faces)} 3')
    if not 0 <= np.min(uv_faces, initial=0) <= np.max(uv_faces, initial=0) < len(uvs):
        raise checks.InputError(f'uv_faces: expected whole numbers from 0 to {len(uvs) - 1}')
    corners = np.stack([np.asarray(model.faces), uv_faces], -1).reshape(-1, 2)
    pairs, faces = np.unique(corners, axis=0, return_inverse=True)
    lonely = np.setdiff1d(np.asarray(model.landmarks).ravel(), pairs[:, 0])  # no face has them, landmarks may
    source = np.concatenate([pairs[:, 0], lonely])
    at = np.concatenate([np.asarray(uvs, np.float32)[pairs[:, 1]], np.zeros((len(lonely), 2), np.float32)])
    return dataclasses.replace(subset(model, source, faces.reshape(-1, 3)), uvs=at)
