"""The ICT face model (Li et al., 2020): from one .npz, or from the folder of OBJ files that ICT-FaceKit has.

Centimetres, y up, looking along z, the person's left at +x. Coefficients of identity are normal with deviation 1.
UVs are of several tiles: u reaches 6.99 (`neurend.scenes.atlas` takes such).
"""

import dataclasses
import json
import os
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neurend import checks
from neurend.faces import blendshapes
from neurend.faces.blendshapes import FaceModel
from neurend.images import statedict
from neurend.scenes import obj

PARTS = types.MappingProxyType(
    {
        'face': (0, 9409),
        'narrow_face': (0, 6706),
        'head': (9409, 11248),
        'mouth_inside': (11248, 13294),
        'eye_sockets': (13294, 14062),
        'gums': (14062, 17039),
        'teeth': (17039, 21451),
        'left_eyeball': (21451, 23021),
        'right_eyeball': (23021, 24591),
        'eye_surroundings': (24591, 25351),
        'eyelashes': (25351, 26719),
    }
)
"""First vertex of each part and the one after its last; the .npz ends with the eyeballs."""
_FOLDER = 'Expected ict_face.npz, or the folder FaceXModel of ICT-FaceKit'
_NEUTRAL = 'generic_neutral_mesh.obj'
_INDICES = 'vertex_indices.json'
_SPEAKS = 0.1  # what moves less, of the longest way of jaw and mouth, is no part of the mouth


def read(path: str | os.PathLike[str], *, split: bool = False, identities: int | None = None) -> FaceModel:
    """Reads the model, with a mask for each of `PARTS` and one of the `mouth`.

    Args:
        path: an .npz with `vertices` [v 3], `faces` [f 3], `expression_names` [e], `expression_deltas` [e v 3],
            `identity_deltas` [i v 3], `landmarks68` [68], `uvs` [t 2], `uv_faces` [f 3]; or a folder with
            `generic_neutral_mesh.obj`, `vertex_indices.json` and an .obj for every expression that the latter lists
            and for `identity000`, `identity001`, ...
        split: whether vertices on seams of the texture come once for every UV; there are no UVs otherwise.
        identities: how many modes of identity, the first ones; all if not given.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """
    path = Path(path)
    arrays = _read_folder(path, identities) if path.is_dir() else statedict.read(path, what='face model')
    return _model(arrays, path, split, identities)


def read_coefficients(path: str | os.PathLike[str], model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of identity [i] and expressions [e] of ICT-FaceKit's JSON; those of identity that it lacks are 0.

    Raises:
        InputError: the file is missing or damaged, or has not the model's expressions.
    """
    content = _json(Path(path), 'coefficients')
    try:
        identity, expressions = (
            np.array(content[f'{name}_coefficients'], np.float32) for name in ('identity', 'expression')
        )
    except (KeyError, TypeError, ValueError) as error:
        raise checks.InputError(f'coefficients {path}: lacks numbers in {error}') from error
    checks.shape(f'expression_coefficients of {path}', expressions, f'{len(model.names)}')
    count = len(model.identity)
    if identity.ndim != 1 or identity[count:].any():
        raise checks.InputError(f'identity_coefficients of {path}: got {identity.shape}, expected up to {count}')
    return np.pad(identity[:count], (0, max(0, count - len(identity)))), expressions


def _model(arrays: Mapping[str, np.ndarray], path: Path, split: bool, identities: int | None) -> FaceModel:
    def get(name: str) -> np.ndarray:
        if name not in arrays:
            raise checks.InputError(f'face model {path}: lacks {name}. {_FOLDER}')
        return np.asarray(arrays[name])

    template = get('vertices').astype(np.float32)
    kept = len(get('identity_deltas')) if identities is None else identities
    if kept > len(get('identity_deltas')):
        raise checks.InputError(f'identities: got {kept}, {path} has {len(get("identity_deltas"))}')
    model = FaceModel(
        template=template,
        identity=get('identity_deltas')[:kept].astype(np.float32),
        expressions=get('expression_deltas').astype(np.float32),
        faces=get('faces'),
        landmarks=get('landmarks68'),
        names=tuple(str(name) for name in get('expression_names')),
    )
    model = blendshapes.check(model, f'face model {path}')
    model = dataclasses.replace(
        model,
        faces=np.asarray(model.faces, np.int32),
        landmarks=np.asarray(model.landmarks, np.int32),
        masks=_masks(model),
    )
    return blendshapes.split_seams(model, get('uvs'), get('uv_faces')) if split else model


def _masks(model: FaceModel) -> dict[str, np.ndarray]:
    index = np.arange(len(model.template))
    masks = {name: ((index >= begin) & (index < end)).astype(np.float32) for name, (begin, end) in PARTS.items()}
    spoken = [name for name in model.names if name.startswith(('jaw', 'mouth'))]
    masks['mouth'] = masks['face'] * (blendshapes.reach(model, spoken) > _SPEAKS)
    return masks


def _read_folder(folder: Path, identities: int | None) -> dict[str, np.ndarray]:
    content = _json(folder / _INDICES, 'vertex indices')
    names, marks = content.get('expressions'), content.get('idx_to_landmark_verts')
    if not isinstance(names, list) or not isinstance(marks, list):
        raise checks.InputError(f'{folder / _INDICES}: lacks expressions or idx_to_landmark_verts. {_FOLDER}')
    neutral = obj.read(checks.file(folder / _NEUTRAL, 'face model', _FOLDER), plain=True)
    if neutral.uvs is None:
        raise checks.InputError(f'face model {folder / _NEUTRAL}: has no UVs')
    people = sorted(path.stem for path in folder.glob('identity*.obj'))[:identities]
    count = len(neutral.vertices)
    deltas = {
        key: np.stack([_target(folder, str(stem), count) - neutral.vertices for stem in stems])
        if len(stems)
        else np.zeros((0, count, 3), np.float32)
        for key, stems in (('expression_deltas', names), ('identity_deltas', people))
    }
    arrays = {'vertices': neutral.vertices, 'faces': neutral.faces, 'uvs': neutral.uvs, 'uv_faces': neutral.uv_faces}
    return arrays | deltas | {'expression_names': np.array(names), 'landmarks68': np.array(marks)}


def _target(folder: Path, stem: str, count: int) -> np.ndarray:
    """Vertices [v 3] of one shape: its faces are those of the neutral one."""
    path = checks.file(checks.inside(folder, f'{stem}.obj'), 'face model', _FOLDER)
    lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
    try:
        found = np.array([line.split()[1:4] for line in lines if line.startswith('v ')], np.float32)
    except ValueError as error:
        raise checks.InputError(f'face model {path}: a vertex is no three numbers ({error})') from error
    checks.shape(f'vertices of {path}', found, f'{count} 3', f'They must be those of {_NEUTRAL}, moved')
    return found


def _json(path: Path, what: str) -> dict:
    try:
        content = json.loads(checks.file(path, what, _FOLDER).read_text(encoding='utf-8'))
    except ValueError as error:
        raise checks.InputError(f'{what} {path}: is no JSON ({error})') from error
    if not isinstance(content, dict):
        raise checks.InputError(f'{what} {path}: got a {type(content).__name__}, expected names and values')
    return content
