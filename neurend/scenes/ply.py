"""The vertices of PLY files (Turk, 1994) as tables: single numbers by name, in text or binary of either order."""

import os
import re

import numpy as np

from neurend import checks
from neurend.images import io

_TYPES = {
    **dict.fromkeys(('float', 'float32'), 'f4'),
    **dict.fromkeys(('double', 'float64'), 'f8'),
    **dict.fromkeys(('char', 'int8'), 'i1'),
    **dict.fromkeys(('uchar', 'uint8'), 'u1'),
    **dict.fromkeys(('short', 'int16'), 'i2'),
    **dict.fromkeys(('ushort', 'uint16'), 'u2'),
    **dict.fromkeys(('int', 'int32'), 'i4'),
    **dict.fromkeys(('uint', 'uint32'), 'u4'),
}
_NAMES = {'f4': 'float', 'u1': 'uchar'}
_ORDERS = {'binary_little_endian': '<', 'binary_big_endian': '>', 'ascii': '='}
_LONGEST_HEADER = 1 << 16


def write(path: str | os.PathLike[str], columns: dict[str, np.ndarray]) -> None:
    """Writes a binary file of vertices; it appears whole or not at all.

    Args:
        path: where to; its folder must exist.
        columns: by name [n], of at least one; uint8 stays what it is, all else becomes float32.

    Raises:
        InputError: the place cannot be written.
    """
    kinds = [(name, '<u1' if values.dtype == np.uint8 else '<f4') for name, values in columns.items()]
    table = np.empty(len(next(iter(columns.values()))), np.dtype(kinds))
    for name, values in columns.items():
        table[name] = values
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(table)}']
    header += [f'property {_NAMES[code[1:]]} {name}' for name, code in kinds] + ['end_header', '']
    io.replace(path, '\n'.join(header).encode() + table.tobytes())


def read(path: str | os.PathLike[str], what: str) -> np.ndarray:
    """Reads the first element of a file, which must be its vertices: a structured array [n].

    Args:
        path: of the file.
        what: it holds, for messages.

    Raises:
        InputError: the file is missing, damaged, ends early or is no PLY, its vertices hold lists or a field twice, or
            there are none.
    """
    path = checks.file(path, what)
    data, where = path.read_bytes(), f'{what} {path}'
    found = re.match(rb'ply\r?\n(.*?)\nend_header\r?\n', data[:_LONGEST_HEADER], re.DOTALL)
    if found is None:
        raise checks.InputError(f'{where}: no PLY file, or its header is damaged')
    order, fields, count, elements = None, [], 0, 0
    for line in found[1].decode('ascii', 'replace').splitlines():
        words = line.split()
        if words[:1] == ['format']:
            order = _ORDERS.get(words[1] if len(words) > 1 else '')
        elif words[:1] == ['element']:
            elements += 1
            if elements == 1:
                if len(words) != 3 or words[1] != 'vertex' or not words[2].isdigit():
                    raise checks.InputError(f'{where}: its first element is {line!r}, expected vertices')
                count = int(words[2])
        elif words[:1] == ['property'] and elements == 1:
            if len(words) != 3 or words[1] not in _TYPES:
                raise checks.InputError(f'{where}: has {line!r}, expected single numbers at vertices')
            fields.append((words[2], _TYPES[words[1]]))
    if order is None:
        raise checks.InputError(
            f'{where}: expected format {", ".join(_ORDERS)}, got none of them. Export it as binary PLY'
        )
    names = [name for name, _ in fields]
    if len(set(names)) != len(names):
        raise checks.InputError(f'{where}: a field of its vertices is there twice, expected each once')
    kind = np.dtype([(name, order + code) for name, code in fields])
    if order == '=':
        return _table(data[found.end() :], kind, count, where)
    if count < 1 or len(data) - found.end() < count * kind.itemsize:
        raise checks.InputError(
            f'{where}: ends early, or holds none: {len(data) - found.end()} bytes for {count} vertices of '
            f'{kind.itemsize}, expected at least one, and all. Copy or export it again'
        )
    return np.frombuffer(data, kind, count, found.end())


def block(vertices: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Fields of a table side by side: float32 [n c]."""
    return np.stack([vertices[name].astype(np.float32) for name in names], axis=-1)


def missing(vertices: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Which of the names no field has."""
    return [name for name in names if name not in (vertices.dtype.names or ())]


def _table(body: bytes, kind: np.dtype, count: int, where: str) -> np.ndarray:
    """Vertices of a text."""
    width = len(kind.names or ())
    rows = [row.split() for row in body.splitlines() if row.strip()][:count]
    if count < 1 or len(rows) < count or any(len(row) != width for row in rows):
        raise checks.InputError(
            f'{where}: ends early, or holds none: {len(rows)} lines for {count} vertices of {width} numbers, expected '
            'at least one, and all. Export it as binary PLY, or again'
        )
    try:
        values = np.array(rows, np.float64).reshape(count, width)
    except ValueError as error:
        raise checks.InputError(f'{where}: its vertices are no numbers ({error}). Export it as binary PLY') from error
    table = np.empty(count, kind)
    with np.errstate(invalid='ignore'):
        for k, name in enumerate(kind.names or ()):
            table[name] = values[:, k]
    return table
