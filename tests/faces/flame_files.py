"""Small files in FLAME's layout, with arrays of NumPy, SciPy and a stand-in for chumpy, by any protocol."""

import pickle  # noqa: TID251 - what the reader has to read
import struct
import sys
import types

import numpy as np
from scipy import sparse

VERTICES, FACES = 24, 30


class Chumpy(types.ModuleType):
    """A module whose class pickles as chumpy's arrays do."""


class Ch:
    def __init__(self, x):
        self.x = x

    def __getstate__(self):
        return {'x': self.x, '_dirty_vars': set(), '_itr': None}


class Python2(pickle._Pickler):  # writes bytes as Python 2's texts
    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        self.write(b'T' + struct.pack('<i', len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def arrays(rng):
    """The true arrays, float64."""
    regressor = rng.random((5, VERTICES)) * (rng.random((5, VERTICES)) < 0.4)
    regressor[:, 0] += 0.1
    weights = rng.random((VERTICES, 5)) ** 3
    return {
        'v_template': 0.1 * rng.normal(size=(VERTICES, 3)),
        'f': rng.integers(0, VERTICES, (FACES, 3)).astype(np.uint32),
        'shapedirs': 0.01 * rng.normal(size=(VERTICES, 3, 400)),
        'posedirs': 0.01 * rng.normal(size=(VERTICES, 3, 36)),
        'J_regressor': regressor / regressor.sum(1, keepdims=True),
        'kintree_table': np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        'weights': weights / weights.sum(1, keepdims=True),
    }


def write(path, table, *, protocol=2, python2=False):
    """Writes the arrays as the published files have them."""
    package, module = Chumpy('chumpy'), Chumpy('chumpy.ch')
    kept = sys.modules.get('chumpy'), sys.modules.get('chumpy.ch')
    module.Ch, Ch.__module__, Ch.__qualname__ = Ch, 'chumpy.ch', 'Ch'
    sys.modules['chumpy'], sys.modules['chumpy.ch'] = package, module
    table = dict(table, bs_type='lrotmin', bs_style='lbs')
    for name in ('v_template', 'shapedirs', 'weights'):
        if name in table:
            table[name] = Ch(table[name])
    if 'J_regressor' in table:
        table['J_regressor'] = sparse.csc_matrix(table['J_regressor'])
    try:
        with path.open('wb') as file:
            (Python2 if python2 else pickle.Pickler)(file, protocol).dump(table)
    finally:
        for name, module in zip(('chumpy', 'chumpy.ch'), kept):
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    return path


def write_landmarks(folder, rng):
    """Static landmarks as a pickle, those of the contour as an .npy that holds a table."""

    def some(*shape):
        weights = rng.random((*shape, 3))
        return {
            'lmk_face_idx': rng.integers(0, FACES, shape),
            'lmk_b_coords': weights / weights.sum(-1, keepdims=True),
        }

    static, contour = some(51), some(79, 17)
    (folder / 'static.pkl').write_bytes(pickle.dumps(static, 2))
    np.save(folder / 'contour.npy', contour, allow_pickle=True)
    return folder / 'static.pkl', folder / 'contour.npy', static, contour
