"""FLAME (Li et al., 2017): shapes and expressions, and five joints that turn neck, jaw and eyes by skinning.

The model is its owners' to give; this reads their files. Metres, y up, looking along z, the person's left at +x.
Joints are the root, the neck, the jaw, and the left and the right eye. Coefficients of identity and expression have
deviation 1 among people.
"""

import os
from typing import Any

import flax.struct
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.faces import blendshapes, pickled
from neurend.faces.blendshapes import FaceModel
from neurend.geometry import rotations
from neurend.geometry.leading import align
from neurend.typing import Array

JOINTS = ('root', 'neck', 'jaw', 'left_eye', 'right_eye')
_NECK = 1
_FIRST_EXPRESSION = 300  # of the modes of shape
_ROWS, _TURN = 79, 39  # of landmarks of the contour: 0 to 39 degrees one way, then 1 to 39 the other


@flax.struct.dataclass
class Flame:
    """The model (NumPy leaves).

    Attributes:
        face: the blendshapes; its landmarks are the 51 that do not depend on the pose, if they were given.
        pose_modes: float32 [9 (j - 1) v 3], what each number of the rotations but the root's, less the identity, adds.
        joint_regressor: float32 [j v], joints of vertices.
        weights: float32 [v j], how much each vertex follows each joint.
        contour: int32 [79 17 3] vertices by degrees of yaw, or None; `contour_weights` [79 17 3] mixes them.
        contour_weights: see there.
        parents: of the joints, -1 of the first.
    """

    face: FaceModel
    pose_modes: Any
    joint_regressor: Any
    weights: Any
    contour: Any = None
    contour_weights: Any = None
    parents: tuple[int, ...] = flax.struct.field(pytree_node=False, default=(-1, 0, 1, 1, 1))


def read(
    path: str | os.PathLike[str],
    *,
    identities: int = 300,
    expressions: int = 100,
    static: str | os.PathLike[str] | None = None,
    contour: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
) -> Flame:
    """Reads the model from its owners' files, which are pickled, without executing them.

    Args:
        path: `generic_model.pkl`, with `v_template` [v 3], `f` [f 3], `shapedirs` [v 3 m], where expressions begin at
            300, `posedirs` [v 3 36], `J_regressor` [5 v], `kintree_table` [2 5] and `weights` [v 5].
        identities, expressions: how many modes of either, the first ones.
        static: `flame_static_embedding.pkl`, with `lmk_face_idx` [51] and `lmk_b_coords` [51 3].
        contour: `flame_dynamic_embedding.npy`, with the same of shapes [79 17] and [79 17 3].
        masks: `FLAME_masks.pkl`, vertices by the name of a part.

    Raises:
        InputError: a file is missing, damaged, asks for more than arrays, or its arrays do not fit.
    """
    table = pickled.read(path)

    def get(name: str, pattern: str) -> np.ndarray:
        return _array(table, name, pattern, path)

    template = get('v_template', 'v 3').astype(np.float32)
    count = len(template)
    modes = get('shapedirs', f'{count} 3 m')
    faces = get('f', 'f 3')
    if not 0 <= identities <= _FIRST_EXPRESSION or not 0 <= expressions <= modes.shape[2] - _FIRST_EXPRESSION:
        raise checks.InputError(
            f'identities, expressions: got {identities} and {expressions}, expected at most {_FIRST_EXPRESSION} and '
            f'{max(modes.shape[2] - _FIRST_EXPRESSION, 0)}, since {path} has {modes.shape[2]} modes'
        )
    modes = np.ascontiguousarray(np.moveaxis(modes, -1, 0), np.float32)
    corners, mix = (None, None) if static is None else _embedding(static, faces, 'n')
    rows, row_mix = (None, None) if contour is None else _embedding(contour, faces, f'{_ROWS} 17')
    face = FaceModel(
        template=template,
        identity=modes[:identities],
        expressions=modes[_FIRST_EXPRESSION : _FIRST_EXPRESSION + expressions],
        faces=faces.astype(np.int32),
        landmarks=np.zeros((0, 3), np.int32) if corners is None else corners,
        landmark_weights=np.zeros((0, 3), np.float32) if mix is None else mix,
        masks={} if masks is None else _masks(masks, count),
        names=tuple(f'expression{k:03d}' for k in range(expressions)),
    )
    parents = get('kintree_table', f'2 {len(JOINTS)}')[0].astype(np.int64)  # the root's is 2^32 - 1
    chain = (-1, *(int(parent) for parent in parents[1:]))
    if any(not 0 <= parent < joint for joint, parent in enumerate(chain) if joint):
        raise checks.InputError(f'kintree_table of {path}: got parents {chain}, expected each before its child')
    bends = get('posedirs', f'{count} 3 {9 * (len(JOINTS) - 1)}')
    return Flame(
        face=blendshapes.check(face, f'face model {path}'),
        pose_modes=np.ascontiguousarray(np.moveaxis(bends, -1, 0), np.float32),
        joint_regressor=get('J_regressor', f'{len(JOINTS)} {count}').astype(np.float32),
        weights=get('weights', f'{count} {len(JOINTS)}').astype(np.float32),
        contour=rows,
        contour_weights=row_mix,
        parents=chain,
    )


def pose_from(
    root: Array | None = None, jaw: Array | None = None, *, neck: Array | None = None, eyes: Array | None = None
) -> Array:
    """A pose [... 5 3] of rotation vectors [... 3] of some joints, `eyes` [... 2 3] left first; others rest.

    The `pose_params` [6] of FLAME's own programs are root and jaw.
    """
    zero = jnp.zeros(3)
    left, right = (None, None) if eyes is None else (eyes[..., 0, :], eyes[..., 1, :])
    given = [zero if turn is None else jnp.asarray(turn) for turn in (root, neck, jaw, left, right)]
    return jnp.stack(jnp.broadcast_arrays(*align(*((turn, 1) for turn in given))), axis=-2)


def vertices(
    model: Flame,
    identity: Array | None = None,
    expressions: Array | None = None,
    pose: Array | None = None,
    *,
    translation: Array | None = None,
) -> Array:
    """Vertices [... v 3] by linear blend skinning with correctives of the pose. Leading dims broadcast.

    Args:
        model: of the face.
        identity: [... i]; the mean person if not given.
        expressions: [... e]; none if not given.
        pose: [... 5 3] rotation vectors (axis times angle in radians) by `JOINTS`, each in its parent's frame; at rest
            if not given.
        translation: [... 3] of all, after the rotations.

    Raises:
        InputError: numbers of coefficients or joints are not the model's.
    """
    points = blendshapes.vertices(model.face, identity, expressions)
    if pose is not None:
        checks.shape('pose', pose, f'... {len(JOINTS)} 3', 'Give one rotation vector per joint; see pose_from')
        points = _skinned(model, points, rotations.exp(jnp.asarray(pose)))
    if translation is not None:
        points, shift = align((points, 2), (jnp.asarray(translation)[..., None, :], 2))
        points = points + shift
    return points


def landmark_points(model: Flame, points: Array, pose: Array | None = None) -> Array:
    """Landmarks [... n 3] on vertices [... v 3]: 17 of the contour, where the model has them, and the static 51.

    The contour is what is seen from in front, so it depends on how far root and neck turn the head (Ranjan et al.,
    2018); it jumps from degree to degree, and its gradients are those of the points alone.

    Args:
        model: of the face.
        points: from `vertices`.
        pose: [... 5 3], that of the points, with the same leading dims; at rest if not given.
    """
    still = blendshapes.landmark_points(model.face, points)
    if model.contour is None:
        return still
    turned = jnp.zeros((*points.shape[:-2], len(JOINTS), 3)) if pose is None else jnp.asarray(pose)
    row = contour_row(model, rotations.exp(turned))
    corners, weights = jnp.asarray(model.contour)[row], jnp.asarray(model.contour_weights)[row]
    flat = corners.reshape(*row.shape, -1)
    flat = jnp.broadcast_to(flat, (*points.shape[:-2], flat.shape[-1]))
    found = jnp.take_along_axis(points, flat[..., None], axis=-2).reshape(*flat.shape[:-1], -1, 3, 3)
    edge = jnp.einsum('...nkc,...nk->...nc', found, weights, precision='highest')
    return jnp.concatenate([edge, still], axis=-2)


def contour_row(model: Flame, turns: Array) -> Array:
    """Row int32 [...] of the contour's landmarks for rotations [... 5 3 3] of the joints.

    Rows 0 to 39 are of whole degrees of -yaw, 40 to 78 of 1 to 39 degrees of yaw; beyond either end the last one.
    """
    joint, turned = _NECK, jnp.eye(3, dtype=turns.dtype)
    while joint >= 0:
        turned = jnp.matmul(turns[..., joint, :, :], turned, precision='highest')
        joint = model.parents[joint]
    yaw = jnp.arctan2(-turned[..., 2, 0], jnp.hypot(turned[..., 0, 0], turned[..., 1, 0]))
    degrees = jnp.round(jnp.clip(-jnp.degrees(yaw), -_TURN, _TURN)).astype(jnp.int32)
    return jnp.where(degrees < 0, _TURN - degrees, degrees)


def _skinned(model: Flame, points: Array, turns: Array) -> Array:
    points, turns = align((points, 2), (turns, 3))
    joints = jnp.einsum('jv,...vc->...jc', jnp.asarray(model.joint_regressor), points, precision='highest')
    bent = turns[..., 1:, :, :] - jnp.eye(3, dtype=turns.dtype).reshape((1,) * (turns.ndim - 2) + (3, 3))
    points = points + blendshapes.mixed(model.pose_modes, bent.reshape(*bent.shape[:-3], -1))
    joints = jnp.broadcast_to(joints, (*points.shape[:-2], *joints.shape[-2:]))
    turns = jnp.broadcast_to(turns, (*points.shape[:-2], *turns.shape[-3:]))
    # Frames of the joints, each after its parent's; they take points at rest, so the joints' own places are taken off.
    whole, places, shifts = [], [], []
    for joint, parent in enumerate(model.parents):
        turn, place = turns[..., joint, :, :], joints[..., joint, :]
        if parent >= 0:
            place = places[parent] + _turned(whole[parent], place - joints[..., parent, :])
            turn = jnp.matmul(whole[parent], turn, precision='highest')
        whole.append(turn)
        places.append(place)
        shifts.append(place - _turned(turn, joints[..., joint, :]))
    frames = jnp.concatenate([jnp.stack(whole, -3), jnp.stack(shifts, -2)[..., None]], -1)
    blended = jnp.einsum('vj,...jab->...vab', jnp.asarray(model.weights), frames, precision='highest')
    return jnp.einsum('...vab,...vb->...va', blended[..., :3], points, precision='highest') + blended[..., 3]


def _turned(matrix: Array, vector: Array) -> Array:
    return jnp.einsum('...ab,...b->...a', matrix, vector, precision='highest')


def _embedding(path: str | os.PathLike[str], faces: np.ndarray, dims: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices int32 [... 3] and weights float32 [... 3] of landmarks on faces."""
    table = pickled.read(path, what='landmarks')
    index = _array(table, 'lmk_face_idx', dims, path)
    weights = _array(table, 'lmk_b_coords', ' '.join([*map(str, index.shape), '3']), path)
    if index.size and not 0 <= index.min() <= index.max() < len(faces):
        raise checks.InputError(f'lmk_face_idx of {path}: expected whole numbers from 0 to {len(faces) - 1}')
    return faces[index.astype(np.int64)].astype(np.int32), weights.astype(np.float32)


def _masks(path: str | os.PathLike[str], count: int) -> dict[str, np.ndarray]:
    masks = {}
    for name in (table := pickled.read(path, what='masks')):
        index = _array(table, name, 'n', path)
        if index.size and not 0 <= index.min() <= index.max() < count:
            raise checks.InputError(f'{name} of {path}: expected whole numbers from 0 to {count - 1}')
        masks[name] = np.zeros(count, np.float32)
        masks[name][index.astype(np.int64)] = 1
    return masks


def _array(table: dict[str, Any], name: str, pattern: str, path: str | os.PathLike[str]) -> np.ndarray:
    if table.get(name) is None:
        raise checks.InputError(f'{path}: lacks {name}, expected it beside {", ".join(sorted(table))}')
    array = np.asarray(table[name])
    if array.dtype.kind not in 'biuf':
        raise checks.InputError(f'{name} of {path}: got {array.dtype}, expected numbers')
    checks.shape(f'{name} of {path}', array, pattern)
    checks.finite(f'{name} of {path}', array)
    return array
