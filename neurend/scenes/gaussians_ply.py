"""PLY files of Gaussians as Kerbl et al. (2023) write them and public viewers read them.

Each vertex has x, y, z; f_dc_0 to 2, the constant harmonics; f_rest_*, the others, those of red first; opacity, before
its sigmoid; scale_0 to 2, logarithms; and rot_0 to 3, a quaternion (w, x, y, z).
"""

import os
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.images import io
from neurend.scenes import gaussians as scenes
from neurend.scenes.gaussians import Gaussians

_MEANS, _NORMALS = ('x', 'y', 'z'), ('nx', 'ny', 'nz')
_FIRST, _OPACITY = ('f_dc_0', 'f_dc_1', 'f_dc_2'), ('opacity',)
_SCALES, _TURNED = ('scale_0', 'scale_1', 'scale_2'), ('rot_0', 'rot_1', 'rot_2', 'rot_3')
_NEEDED = (*_MEANS, *_FIRST, *_OPACITY, *_SCALES, *_TURNED)
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
_ORDERS = {'binary_little_endian': '<', 'binary_big_endian': '>'}
_LONGEST_HEADER = 1 << 16


def write(path: str | os.PathLike[str], gaussians: Gaussians) -> None:
    """Writes the live Gaussians (no leading dims); the file appears whole or not at all.

    Raises:
        InputError: none is live, some are not sound, or the place cannot be written.
    """
    found = jax.tree.map(np.asarray, scenes.check(gaussians))
    live = found.live
    if not live.any():
        raise checks.InputError(f'gaussians {path}: none is live, expected at least one')
    # Red's harmonics first, then green's and blue's.
    rest = found.harmonics[live, 1:].transpose(0, 2, 1).reshape(int(live.sum()), -1)
    columns = [
        (_MEANS, found.means[live]),
        (_NORMALS, np.zeros((int(live.sum()), 3))),
        (_FIRST, found.harmonics[live, 0]),
        (tuple(f'f_rest_{k}' for k in range(rest.shape[1])), rest),
        (_OPACITY, found.logits[live, None]),
        (_SCALES, found.log_scales[live]),
        (_TURNED, found.rotations[live]),
    ]
    names = [name for group, _ in columns for name in group]
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {int(live.sum())}']
    header += [f'property float {name}' for name in names] + ['end_header', '']
    values = np.concatenate([block for _, block in columns], axis=1).astype('<f4')
    io.replace(path, '\n'.join(header).encode() + values.tobytes())


def read(path: str | os.PathLike[str]) -> Gaussians:
    """Reads Gaussians, all live; the order and the types of the file's fields may be any.

    Raises:
        InputError: the file is missing, damaged or no binary PLY, lacks fields, which are named, or holds numbers that
            are not finite.
    """
    path = checks.file(path, 'gaussians')
    vertices = _vertices(path)
    names = vertices.dtype.names or ()
    missing = [name for name in _NEEDED if name not in names]
    rest = sorted((name for name in names if re.fullmatch(r'f_rest_\d+', name)), key=lambda name: int(name[7:]))
    counts = [3 * ((degree + 1) ** 2 - 1) for degree in range(scenes.DEGREES)]
    expected = next((count for count in counts if count >= len(rest)), counts[-1])
    missing += [f'f_rest_{k}' for k in range(expected) if f'f_rest_{k}' not in rest]
    if missing:
        raise checks.InputError(
            f'gaussians {path}: lacks the fields {", ".join(missing)}, expected a PLY of Gaussians with '
            f'{", ".join(_NEEDED)} and {", ".join(map(str, counts))} of f_rest_*. Is it a mesh or a point cloud?'
        )

    def block(group: tuple[str, ...]) -> np.ndarray:
        return np.stack([vertices[name].astype(np.float32) for name in group], axis=-1)

    harmonics = block(_FIRST)[:, None]
    if expected:
        others = block(tuple(f'f_rest_{k}' for k in range(expected))).reshape(len(vertices), 3, -1)
        harmonics = np.concatenate([harmonics, others.transpose(0, 2, 1)], axis=1)
    made = Gaussians(
        means=jnp.asarray(block(_MEANS)),
        log_scales=jnp.asarray(block(_SCALES)),
        rotations=jnp.asarray(block(_TURNED)),
        logits=jnp.asarray(block(_OPACITY)[:, 0]),
        harmonics=jnp.asarray(harmonics),
        live=jnp.ones(len(vertices), bool),
    )
    try:
        return scenes.check(made)
    except checks.InputError as error:
        raise checks.InputError(f'gaussians {path}: {error}') from error


def _vertices(path: Path) -> np.ndarray:
    """The first element of the file, which must be its vertices."""
    data = path.read_bytes()
    found = re.match(rb'ply\r?\n(.*?)\nend_header\r?\n', data[:_LONGEST_HEADER], re.DOTALL)
    if found is None:
        raise checks.InputError(f'gaussians {path}: no PLY file, or its header is damaged')
    order, fields, count, elements = None, [], 0, 0
    for line in found[1].decode('ascii', 'replace').splitlines():
        words = line.split()
        if words[:1] == ['format']:
            order = _ORDERS.get(words[1] if len(words) > 1 else '')
        elif words[:1] == ['element']:
            elements += 1
            if elements == 1:
                if len(words) != 3 or words[1] != 'vertex' or not words[2].isdigit():
                    raise checks.InputError(f'gaussians {path}: its first element is {line!r}, expected vertices')
                count = int(words[2])
        elif words[:1] == ['property'] and elements == 1:
            if len(words) != 3 or words[1] not in _TYPES:
                raise checks.InputError(f'gaussians {path}: has {line!r}, expected single numbers at vertices')
            fields.append((words[2], _TYPES[words[1]]))
    if order is None:
        raise checks.InputError(
            f'gaussians {path}: expected format binary_little_endian or binary_big_endian. Export it as binary PLY'
        )
    names = [name for name, _ in fields]
    if len(set(names)) != len(names):
        raise checks.InputError(f'gaussians {path}: a field of its vertices is there twice, expected each once')
    kind = np.dtype([(name, order + code) for name, code in fields])
    if count < 1 or len(data) - found.end() < count * kind.itemsize:
        raise checks.InputError(
            f'gaussians {path}: ends early, or holds none: {len(data) - found.end()} bytes for {count} vertices of '
            f'{kind.itemsize}, expected at least one, and all. Copy or export it again'
        )
    return np.frombuffer(data, kind, count, found.end())
