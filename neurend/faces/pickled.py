"""Reads tables of arrays that were pickled, as FLAME's files are, without executing them.

A pickle may name any function to call. The reader here gives a meaning of its own to the few names that NumPy's arrays,
SciPy's sparse matrices and chumpy's arrays need, each of which only keeps what it is given, and refuses all others.
Neither chumpy, which no longer imports beside a recent NumPy, nor SciPy is asked.
"""

import io
import math
import os
import pickle  # noqa: TID251 - subclassed to refuse every name but the few that a table of arrays needs
from typing import Any

import numpy as np

from neurend import checks
from neurend.checks import InputError

_NPY = b'\x93NUMPY'
_KINDS = 'biufSU'
_MOST = 1 << 28  # entries of a sparse matrix once it is whole


class _Kept:
    """What a pickle makes, and the state that it sets; of no value unless a kind below gives one."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self) -> Any:
        return None


class _Array(_Kept):
    """Of NumPy; the state is (version, shape, type, whether columns come first, bytes)."""

    def value(self) -> Any:
        _, shape, kind, columns_first, data = self.state
        if not isinstance(kind, _Dtype):
            raise InputError('refused: an array of no type')
        count = math.prod(shape)
        if kind.arguments[0] == 'O8' or kind.arguments[0] == 'O':
            if not isinstance(data, list) or len(data) != count:
                raise InputError('refused: an array of objects that are not listed')
            return _plain(data[0]) if count == 1 else [_plain(item) for item in data]
        data, dtype = _bytes(data), kind.value()
        if len(data) != count * dtype.itemsize:
            raise InputError(
                f'an array of shape {tuple(shape)} has {len(data)} bytes, expected {count * dtype.itemsize}'
            )
        return np.frombuffer(data, dtype).reshape(shape, order='F' if columns_first else 'C').copy()


class _Dtype(_Kept):
    def value(self) -> np.dtype:
        name = str(self.arguments[0])
        order = self.state[1] if self.state is not None else '='
        if not name or name[0] not in _KINDS or order not in ('<', '>', '=', '|'):
            raise InputError(f'refused: an array of type {name!r}, expected numbers')
        return np.dtype(name).newbyteorder(order)


class _Scalar(_Kept):
    def value(self) -> Any:
        kind, data = self.arguments
        return np.frombuffer(_bytes(data), kind.value())[0]


class _Sparse(_Kept):
    """Of SciPy, by columns or rows; the state has data, indices, indptr and _shape."""

    axis = 0

    def value(self) -> np.ndarray:
        data, indices, begins = (np.asarray(_plain(self.state[name])) for name in ('data', 'indices', 'indptr'))
        rows, columns = self.state['_shape' if '_shape' in self.state else 'shape']
        if not 0 <= rows * columns <= _MOST:
            raise InputError(f'refused: a sparse matrix of {rows} x {columns}')
        major, minor = (columns, rows) if self.axis else (rows, columns)
        counts = np.diff(begins)
        sound = len(begins) == major + 1 and begins[0] == 0 and (counts >= 0).all() and begins[-1] == len(data)
        if not sound or len(indices) != len(data) or (len(data) and not 0 <= indices.min() <= indices.max() < minor):
            raise InputError(f'a sparse matrix of {rows} x {columns} has indices that do not fit')
        whole = np.zeros((major, minor), data.dtype)
        np.add.at(whole, (np.repeat(np.arange(major), counts), indices), data)
        return whole.T if self.axis else whole


class _SparseColumns(_Sparse):
    axis = 1


class _Chumpy(_Kept):
    """An array that chumpy could differentiate, which the state has as x; what it would have to compute has none."""

    def value(self) -> Any:
        return _plain(self.state['x']) if isinstance(self.state, dict) and 'x' in self.state else None


class _Encoded(_Kept):
    """Bytes written as text."""

    def value(self) -> bytes:
        text, encoding = self.arguments
        if encoding != 'latin1' or not isinstance(text, str):
            raise InputError(f'refused: bytes as {encoding!r}, expected latin1')
        return text.encode('latin1')


def read(path: str | os.PathLike[str], *, what: str = 'face model') -> dict[str, Any]:
    """Reads a pickled table, or an .npy file that holds one, of Python 2 or 3.

    Args:
        path: of the file.
        what: what it is to the user, for messages.

    Returns:
        What it holds by name: arrays (sparse ones made whole), numbers, texts, lists and tables of such; None for what
        chumpy would have to compute.

    Raises:
        InputError: the file is missing, cut short, of another kind, or its pickle asks for anything else.
    """
    file = checks.file(path, what)
    stream = io.BytesIO(file.read_bytes())
    try:
        if stream.getvalue()[:6] == _NPY:
            version = np.lib.format.read_magic(stream)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            reader(stream)
        table = _plain(_Unpickler(stream, encoding='latin1').load())
    except InputError as error:
        raise InputError(f'{what} {file}: {error}') from error
    except Exception as error:  # a damaged pickle may fail in any way at all
        raise InputError(f'{what} {file}: damaged, cut short or no pickle ({type(error).__name__}: {error})') from error
    if not isinstance(table, dict):
        raise InputError(f'{what} {file}: holds a {type(table).__name__}, expected a table of named arrays')
    return table


def _plain(tree: Any) -> Any:
    if isinstance(tree, _Kept):
        return tree.value()
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_plain(value) for value in tree]
    return tree


def _bytes(data: Any) -> bytes:
    data = data.value() if isinstance(data, _Encoded) else data
    return data.encode('latin1') if isinstance(data, str) else data


_NUMPY = {'_reconstruct': _Array, 'scalar': _Scalar}
_SPARSE = {'csc_matrix': _SparseColumns, 'csr_matrix': _Sparse, 'csc_array': _SparseColumns, 'csr_array': _Sparse}


class _Unpickler(pickle.Unpickler):
    """Gives the names in a pickle meanings that only keep what they are given."""

    def find_class(self, module: str, name: str) -> Any:
        parts = module.split('.')
        kind: type[_Kept] | None = None
        if module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
            kind = _NUMPY.get(name)
        elif module == 'numpy':
            kind = {'ndarray': _Kept, 'dtype': _Dtype}.get(name)
        elif parts[:2] == ['scipy', 'sparse']:
            kind = _SPARSE.get(name)
        elif parts[0] == 'chumpy':
            kind = _Chumpy
        elif (module, name) == ('_codecs', 'encode'):
            kind = _Encoded
        elif name in ('object', 'set') and module in ('__builtin__', 'builtins'):
            kind = _Kept
        elif (module, name) == ('collections', 'OrderedDict'):
            return type('OrderedDict', (dict,), {})
        elif name == '_reconstructor' and module in ('copy_reg', 'copyreg'):
            return lambda made, *_: made()  # of protocols 0 and 1; all that can be made is of the kinds here
        if kind is None:
            raise InputError(f'refused: its pickle asks for {module}.{name}, which is no part of a table of arrays')
        # Every kind is made anew: a pickle can set attributes on what it is given, and these die with it.
        return type(kind.__name__, (kind,), {})
