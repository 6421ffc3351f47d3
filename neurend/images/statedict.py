"""Reads PyTorch state dicts into NumPy without PyTorch, and without executing them.

A `.pth` file holds a pickle, which may name any function to call. The reader here knows four names (ordered dict, two
ways to rebuild a tensor, parameter) and the storage types, gives each a harmless meaning of its own, and refuses
everything else. Both containers are read: the zip of PyTorch >= 1.6 and the older stream of pickles in which
torchvision's and LPIPS's published weights still come.
"""

import io
import math
import os
import pickle  # noqa: TID251 - subclassed to refuse every name but the few that a table of tensors needs
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from neurend import checks
from neurend.checks import InputError

_DTYPES = {
    'FloatStorage': np.float32,
    'DoubleStorage': np.float64,
    'HalfStorage': np.float16,
    'BFloat16Storage': ml_dtypes.bfloat16,
    'LongStorage': np.int64,
    'IntStorage': np.int32,
    'ShortStorage': np.int16,
    'CharStorage': np.int8,
    'ByteStorage': np.uint8,
    'BoolStorage': np.bool_,
}
_NESTED = ('state_dict', 'model')
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


class _Tensor(NamedTuple):
    storage: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | os.PathLike[str], *, what: str = 'weights') -> dict[str, np.ndarray]:
    """Reads named arrays from `.npz`, or from a PyTorch state dict (`.pth`, `.pt`) without executing it.

    Entries that are not tensors are left out; a state dict nested under 'state_dict' or 'model' is found.

    Args:
        path: of the file.
        what: what it is to the user, for messages.

    Raises:
        InputError: the file is missing, damaged, of another kind, or its pickle asks for anything but tensors.
    """
    file = checks.file(path, what)
    data = file.read_bytes()
    try:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            return _read_legacy(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(name.endswith('data.pkl') for name in archive.namelist()):
                return _read_zip(archive)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except InputError as error:
        raise InputError(f'{what} {file}: {error}') from error
    except Exception as error:  # a damaged pickle may fail in any way at all
        raise InputError(
            f'{what} {file}: damaged or of unknown kind ({type(error).__name__}: {error}). '
            'Expected an .npz file or a PyTorch state dict'
        ) from error


def _read_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    root = next(name for name in archive.namelist() if name.endswith('data.pkl'))[: -len('data.pkl')]
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise InputError('refused: compressed entries, which PyTorch never writes')
    order = archive.read(f'{root}byteorder').decode() if f'{root}byteorder' in archive.namelist() else 'little'
    if order != 'little':
        raise InputError(f'got byte order {order!r}, expected little')
    tree = _Unpickler(io.BytesIO(archive.read(f'{root}data.pkl'))).load()
    return _arrays(tree, lambda key: archive.read(f'{root}data/{key}'))


def _read_legacy(data: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(data)
    if _Unpickler(stream).load() != _LEGACY_MAGIC or _Unpickler(stream).load() != _LEGACY_PROTOCOL:
        raise InputError('no PyTorch file')
    system = _Unpickler(stream).load()
    if not system.get('little_endian', True):
        raise InputError('got big-endian numbers, expected little-endian')
    unpickler = _Unpickler(stream)
    tree = unpickler.load()
    storages = {}
    for key in _Unpickler(stream).load():
        (count,) = struct.unpack('<q', stream.read(8))
        if key not in unpickler.dtypes or count < 0:
            raise InputError(f'storage {key!r} is not declared')
        storages[key] = stream.read(count * unpickler.dtypes[key].itemsize)
    return _arrays(tree, storages.__getitem__)


class _Unpickler(pickle.Unpickler):
    """Gives the names in a state dict's pickle meanings that only build descriptions of tensors."""

    def __init__(self, stream: io.BytesIO):
        super().__init__(stream)
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        # Every object is made anew: a pickle can set attributes on what it is given, and these die with it.
        if (module, name) == ('collections', 'OrderedDict'):
            return type('OrderedDict', (dict,), {})
        if module == 'torch._utils' and name in ('_rebuild_tensor_v2', '_rebuild_tensor'):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage[0], storage[1], offset, tuple(shape), tuple(strides)
            )
        if module == 'torch._utils' and name == '_rebuild_parameter':
            return lambda tensor, *_: tensor
        if module == 'torch' and name in _DTYPES:
            return type(name, (), {})
        raise InputError(f'refused: its pickle asks for {module}.{name}, which is no part of a table of tensors')

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != 'storage':
            raise InputError(f'refused: its pickle refers to {pid!r}, expected a storage of numbers')
        if len(pid) > 5 and pid[5] is not None:
            raise InputError('got a view of a storage, which only PyTorch 0.x wrote. Save the file again')
        dtype = np.dtype(_DTYPES[pid[1].__name__])
        self.dtypes[str(pid[2])] = dtype
        return str(pid[2]), dtype


def _arrays(tree: Any, storage: Callable[[str], bytes]) -> dict[str, np.ndarray]:
    for nested in _NESTED:
        if isinstance(tree, Mapping) and isinstance(tree.get(nested), Mapping):
            tree = tree[nested]
    if not isinstance(tree, Mapping):
        raise InputError(f'holds a {type(tree).__name__}, expected a table of named tensors')
    buffers: dict[str, bytes] = {}
    found = {}
    for name, tensor in tree.items():
        if not isinstance(tensor, _Tensor):
            continue
        if tensor.storage not in buffers:
            buffers[tensor.storage] = storage(tensor.storage)
        found[str(name)] = _array(str(name), tensor, buffers[tensor.storage])
    return found


def _array(name: str, tensor: _Tensor, buffer: bytes) -> np.ndarray:
    count = len(buffer) // tensor.dtype.itemsize
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    numbers = (*shape, *strides, offset)
    if len(shape) != len(strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise InputError(f'tensor {name}: got shape {shape} with strides {strides} from {offset}')
    size = math.prod(shape)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides)) if size else 0
    if size > count or last >= max(count, 1):
        raise InputError(
            f'tensor {name}: of shape {shape} reaches past its {count} stored numbers. The file is cut short or damaged'
        )
    flat = np.frombuffer(buffer, tensor.dtype, count)
    step = tensor.dtype.itemsize
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, [stride * step for stride in strides]).copy()
