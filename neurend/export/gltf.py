"""Faces that speak, for other programs: glTF 2.0 with a morph target for every expression, and weights over time."""

import json
import os
import struct
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.faces import blendshapes
from neurend.faces.blendshapes import FaceModel
from neurend.geometry import rotations, triangles
from neurend.images import color, io

_FLOAT, _UINT32 = 5126, 5125
_ARRAY, _ELEMENTS = 34962, 34963  # what a buffer is for: attributes, indices
_TYPES = {1: 'SCALAR', 2: 'VEC2', 3: 'VEC3', 4: 'VEC4'}


def write(
    path: str | os.PathLike[str],
    model: FaceModel,
    expressions: np.ndarray,
    *,
    fps: float,
    world_from_head: np.ndarray | None = None,
    metres: float = 0.01,
) -> None:
    """Writes one person's face and its performance as a .glb file, which appears whole or not at all.

    Expressions are morph targets of their names (`extras.targetNames`, which viewers show), weights and poses are
    keyed at every frame. UVs and colours are written where the model has them.

    Args:
        path: where to; its folder must exist.
        model: of one person, as from `blendshapes.person`: the template is what is written.
        expressions: [t e], at least one frame.
        fps: frames per second.
        world_from_head: [t 4 4] rigid; at rest if not given.
        metres: that a unit of the model is, which glTF is in; 0.01 suits the ICT and the procedural face.

    Raises:
        InputError: the suffix is not .glb, arrays do not fit or are not finite, or the place cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != '.glb':
        raise checks.InputError(f'animation {path}: got suffix {path.suffix!r}, expected .glb')
    if not fps > 0 or not metres > 0:
        raise checks.InputError(f'fps, metres: got {fps} and {metres}, expected more than 0')
    model = blendshapes.check(model)
    expressions = np.asarray(expressions, np.float32)
    checks.shape('expressions', expressions, f't {len(model.names)}', 'They belong to another model')
    checks.finite('expressions', expressions)
    if not len(expressions):
        raise checks.InputError('expressions: got no frame, expected at least one')
    io.replace(path, _encode(model, expressions, fps, world_from_head, metres))


class _Buffer:
    """The binary part of a file, and what its parts are."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: np.ndarray, *, target: int | None = None, bounds: bool = False) -> int:
        """Adds numbers [n] or vectors [n c], and returns the number of their accessor."""
        kind = _UINT32 if array.dtype.kind in 'iu' else _FLOAT
        array = np.ascontiguousarray(array, '<u4' if kind == _UINT32 else '<f4')
        view = {'buffer': 0, 'byteOffset': len(self.data), 'byteLength': array.nbytes}
        self.views.append(view if target is None else view | {'target': target})
        width = array.shape[1] if array.ndim == 2 else 1
        entry = {'bufferView': len(self.views) - 1, 'componentType': kind, 'count': len(array), 'type': _TYPES[width]}
        if bounds:
            flat = array.reshape(len(array), width)
            entry |= {'min': flat.min(0).tolist(), 'max': flat.max(0).tolist()}
        self.accessors.append(entry)
        self.data += array.tobytes()
        return len(self.accessors) - 1


def _encode(
    model: FaceModel, expressions: np.ndarray, fps: float, world_from_head: np.ndarray | None, metres: float
) -> bytes:
    buffer = _Buffer()
    normals = np.asarray(triangles.vertex_normals(jnp.asarray(model.template), jnp.asarray(model.faces)))
    lonely = ~(np.linalg.norm(normals, axis=-1, keepdims=True) > 0.5)  # no face has them, and all must be unit
    attributes = {
        'POSITION': buffer.add(metres * np.asarray(model.template), target=_ARRAY, bounds=True),
        'NORMAL': buffer.add(np.where(lonely, np.array([[0, 0, 1]]), normals), target=_ARRAY),
    }
    if model.uvs is not None:  # glTF counts v from the top
        attributes['TEXCOORD_0'] = buffer.add(np.array([[0, 1]]) + np.array([[1, -1]]) * model.uvs, target=_ARRAY)
    if model.colors is not None:
        linear = np.asarray(color.linear_from_srgb(jnp.clip(jnp.asarray(model.colors), 0, 1)))
        attributes['COLOR_0'] = buffer.add(linear, target=_ARRAY)
    primitive = {
        'attributes': attributes,
        'indices': buffer.add(np.asarray(model.faces).ravel(), target=_ELEMENTS),
        'material': 0,
        'targets': [
            {'POSITION': buffer.add(metres * np.asarray(delta), target=_ARRAY, bounds=True)}
            for delta in model.expressions
        ],
    }
    # Weights without targets are not allowed.
    tracks = {'weights': expressions.ravel()} if model.names else {}
    if world_from_head is not None:
        tracks |= _pose(world_from_head, len(expressions), metres)
    times = buffer.add(np.arange(len(expressions)) / fps, bounds=True)
    mesh: dict[str, Any] = {'primitives': [primitive], 'name': 'face'}
    if model.names:
        mesh |= {'weights': [0.0] * len(model.names), 'extras': {'targetNames': list(model.names)}}
    else:
        del primitive['targets']
    header: dict[str, Any] = {
        'asset': {'version': '2.0', 'generator': 'neurend'},
        'scene': 0,
        'scenes': [{'nodes': [0]}],
        'nodes': [{'mesh': 0, 'name': 'face'}],
        'meshes': [mesh],
        'materials': [{'doubleSided': True, 'pbrMetallicRoughness': {'metallicFactor': 0.0, 'roughnessFactor': 0.7}}],
    }
    if tracks:
        header['animations'] = [
            {
                'name': 'performance',
                'samplers': [{'input': times, 'output': buffer.add(track)} for track in tracks.values()],
                'channels': [{'sampler': k, 'target': {'node': 0, 'path': name}} for k, name in enumerate(tracks)],
            }
        ]
    header |= {
        'accessors': buffer.accessors,
        'bufferViews': buffer.views,
        'buffers': [{'byteLength': len(buffer.data)}],
    }
    return _binary(header, bytes(buffer.data))


def _pose(world_from_head: np.ndarray, frames: int, metres: float) -> dict[str, np.ndarray]:
    """Tracks of rotation (x, y, z, w) and translation."""
    poses = np.asarray(world_from_head, np.float32)
    checks.shape('world_from_head', poses, f'{frames} 4 4', 'Give one pose for every frame')
    checks.finite('world_from_head', poses)
    wxyz = np.asarray(rotations.quaternion_from_matrix(jnp.asarray(poses[:, :3, :3])))
    # Both signs are the same rotation; from frame to frame the nearer one, so that none goes the long way round.
    flips = np.where(np.sum(wxyz[1:] * wxyz[:-1], -1) < 0, -1.0, 1.0)
    signs = np.cumprod(np.concatenate([np.ones(1), flips]))[:, None]
    return {'rotation': (signs * wxyz)[:, [1, 2, 3, 0]], 'translation': metres * poses[:, :3, 3]}


def _binary(header: dict[str, Any], data: bytes) -> bytes:
    """A .glb file: a header, then the JSON and the buffer, each filled up to four bytes."""
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 4)
    chunks = struct.pack('<I4s', len(text), b'JSON') + text + struct.pack('<I4s', len(data), b'BIN\0') + data
    return struct.pack('<4sII', b'glTF', 2, 12 + len(chunks)) + chunks
