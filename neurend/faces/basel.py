"""The Basel face models of 2009 and 2017/2019, and the expressions that Neural Voice Puppetry lays on the former.

The models are their owners' to give; this reads their files. Coefficients have deviation 1 among people: modes are
brought to that, since files have deviations (2009) or variances (2017). Millimetres, y up, looking along z; expressions
of Neural Voice Puppetry are in metres.
"""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from neurend import checks
from neurend.checks import InputError
from neurend.faces import blendshapes
from neurend.faces.blendshapes import FaceModel
from neurend.scenes import obj

PUPPETRY_EXPRESSIONS = 76
_MICROMETRES = 1e-3  # in millimetres
_PARTS = ('shape', 'color', 'expression')


def read(path: str | os.PathLike[str], *, identities: int | None = None, expressions: int | None = None) -> FaceModel:
    """Reads a model, without landmarks, which the files do not have.

    Args:
        path: `01_MorphableModel.mat` of 2009 (Paysan et al., 2009), which has no expressions; or `model2017-1_*.h5` or
            `model2019_*.h5` (Gerig et al., 2018), for which h5py must be installed.
        identities, expressions: how many modes of either, the first ones; all if not given. There are as many modes of
            colour as of identity.

    Raises:
        InputError: the file is missing, damaged, of another kind, or its arrays do not fit; or h5py is not installed.
    """
    path = checks.file(path, 'face model')
    if path.suffix not in ('.mat', '.h5'):
        raise InputError(f'face model {path}: expected a .mat file of 2009 or an .h5 file of 2017 or 2019')
    model = (_read_2009 if path.suffix == '.mat' else _read_2017)(path, identities, expressions)
    return blendshapes.check(model, f'face model {path}')


def read_expressions(folder: str | os.PathLike[str], *, count: int = PUPPETRY_EXPRESSIONS) -> FaceModel:
    """Reads the expressions of Neural Voice Puppetry (Thies et al., 2020): no identity, and a mask of the `mouth`.

    Args:
        folder: with `average.obj`; `ExpressionBasis.matrix`, of little-endian float32, the first of which is passed
            over, the others [76 v 4], three of four used; and `mask/defaultMask_mouth.obj`, whose mouth is red.
        count: of expressions.

    Raises:
        InputError: a file is missing, or of another number of expressions or vertices.
    """
    folder = Path(folder)
    average = obj.read(checks.file(folder / 'average.obj', 'face model'), plain=True)
    painted = obj.read(checks.file(folder / 'mask' / 'defaultMask_mouth.obj', 'mask of the mouth'), plain=True)
    path = checks.file(folder / 'ExpressionBasis.matrix', 'expressions')
    vertices = len(average.vertices)
    if painted.colors is None or len(painted.vertices) != vertices:
        raise InputError(
            f'{folder}: the mask of the mouth is of {len(painted.vertices)} vertices, expected {vertices}, with colours'
        )
    found, wanted = path.stat().st_size, 4 * (1 + count * vertices * 4)
    if found != wanted:
        raise InputError(
            f'expressions {path}: has {found} bytes, expected {wanted} for {count} expressions of {vertices} vertices: '
            'the file is cut short, or of another model'
        )
    basis = np.fromfile(path, '<f4')[1:].reshape(count, vertices, 4)
    model = FaceModel(
        template=average.vertices,
        identity=np.zeros((0, vertices, 3), np.float32),
        expressions=np.ascontiguousarray(basis[..., :3], np.float32),
        faces=average.faces,
        masks={'mouth': np.all(painted.colors == np.array([[1, 0, 0]]), axis=1).astype(np.float32)},
        names=_names(count),
    )
    return blendshapes.check(model, f'face model {folder}')


def _read_2009(path: Path, identities: int | None, expressions: int | None) -> FaceModel:
    try:
        table = scipy.io.loadmat(str(path))
    except Exception as error:  # a damaged file may fail in any way at all
        raise InputError(f'face model {path}: damaged or no .mat file ({type(error).__name__}: {error})') from error

    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean [v 3] and modes [k v 3]."""
        mean = _get(table, f'{name}MU', 'n 1', path)[:, 0]
        modes = _get(table, f'{name}PC', f'{len(mean)} k', path)
        deviations = _get(table, f'{name}EV', f'{modes.shape[1]} 1', path)[:, 0]
        return _scaled(mean, modes, deviations, identities, path)

    template, identity = part('shape')
    color, color_modes = part('tex')
    if expressions:
        raise InputError(f'expressions: got {expressions}, the model of 2009 has none; see read_expressions')
    return FaceModel(
        template=np.float32(_MICROMETRES) * template,
        identity=np.float32(_MICROMETRES) * identity,
        expressions=np.zeros((0, len(template), 3), np.float32),
        faces=_outwards(template, _get(table, 'tl', 'f 3', path).astype(np.int64) - 1),
        colors=color / np.float32(255),
        color_modes=color_modes / np.float32(255),
    )


def _read_2017(path: Path, identities: int | None, expressions: int | None) -> FaceModel:
    try:
        h5py = importlib.import_module('h5py')
    except ImportError as error:
        raise InputError(
            f"face model {path}: this needs h5py, which is not installed. Install it with: pip install 'neurend[faces]'"
        ) from error
    try:
        with h5py.File(path, 'r') as file:
            names = [f'{part}/model/{name}' for part in _PARTS for name in ('mean', 'pcaBasis', 'pcaVariance')]
            table = {name: file[name][()] for name in [*names, 'shape/representer/cells'] if name in file}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(f'face model {path}: damaged, cut short or no .h5 file ({error})') from error

    def part(name: str, kept: int | None) -> tuple[np.ndarray, np.ndarray]:
        mean = _get(table, f'{name}/model/mean', 'n', path)
        basis = _get(table, f'{name}/model/pcaBasis', f'{len(mean)} k', path)
        variance = _get(table, f'{name}/model/pcaVariance', f'{basis.shape[1]}', path)
        return _scaled(mean, basis, np.sqrt(np.maximum(variance, 0)), kept, path)

    template, identity = part('shape', identities)
    color, color_modes = part('color', identities)
    shift, modes = part('expression', expressions)
    if len(shift) != len(template):
        raise InputError(f'face model {path}: expressions of {len(shift)} vertices, expected {len(template)}')
    template = template + shift
    cells = _get(table, 'shape/representer/cells', '3 f', path).astype(np.int64).T
    return FaceModel(
        template=template,
        identity=identity,
        expressions=modes,
        faces=_outwards(template, cells),
        colors=color,
        color_modes=color_modes,
        names=_names(len(modes)),
    )


def _scaled(
    mean: np.ndarray, modes: np.ndarray, deviations: np.ndarray, kept: int | None, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Mean float32 [v 3] and modes float32 [k v 3] of deviation 1, the first `kept`."""
    if len(mean) % 3:
        raise InputError(f'face model {path}: a mean of {len(mean)} numbers, expected three per vertex')
    if kept is not None and not 0 <= kept <= modes.shape[1]:
        raise InputError(f'face model {path}: got {kept} modes to keep, expected at most {modes.shape[1]}')
    scaled = modes[:, :kept] * deviations[None, :kept]
    return mean.reshape(-1, 3).astype(np.float32), np.ascontiguousarray(scaled.T, np.float32).reshape(
        -1, len(mean) // 3, 3
    )


def _outwards(template: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces int32 [f 3], turned about if they look backwards: a face is open behind, so its area looks along z."""
    if not faces.size or not 0 <= faces.min() <= faces.max() < len(template):
        raise InputError(f'faces: expected indices of {len(template)} vertices')
    corners = template[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).sum(0)
    return (faces[:, ::-1] if area[2] < 0 else faces).astype(np.int32)


def _names(count: int) -> tuple[str, ...]:
    return tuple(f'expression{k:03d}' for k in range(count))


def _get(table: dict[str, Any], name: str, pattern: str, path: Path) -> np.ndarray:
    if name not in table:
        raise InputError(f'face model {path}: lacks {name}')
    array = np.asarray(table[name])
    if array.dtype.kind not in 'iuf':
        raise InputError(f'{name} of {path}: got {array.dtype}, expected numbers')
    checks.shape(f'{name} of {path}', array, pattern)
    return array
