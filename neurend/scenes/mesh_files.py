"""Mesh files of any common format to meshes and back: OBJ by its own reader, others through trimesh (extra `mesh`)."""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neurend import checks
from neurend.images import color, io
from neurend.scenes import mesh_gltf, meshes, obj, obj_writer
from neurend.scenes.mesh_extra import library
from neurend.scenes.mesh_parts import Part, joined
from neurend.scenes.mesh_scene import load
from neurend.scenes.meshes import Material, Mesh


def read(path: str | os.PathLike[str]) -> Mesh:
    """Reads a mesh (NumPy). Normals of the file are left out: `geometry.triangles` makes them.

    * .obj: see `neurend.scenes.obj.read`.
    * .gltf, .glb: the nodes of the first scene where their transforms put them, with colours, and materials by their
      factors and the texture of the base colour; a map of metalness and roughness counts by its mean. Vertices of one
      node that have the same place and colour become one, as files hold them twice at seams.
    * .ply: with colours, which are taken for sRGB, and a texture if it names one; where there are UVs, vertices are
      merged as above.
    * .stl: vertices in the same place become one.
    * .off: places and faces.

    Files that a mesh refers to must be in its folder; nothing is fetched from the network.

    Raises:
        InputError: the file, or a buffer or texture that it asks for, is missing, damaged or outside of its folder; its
            suffix is unknown; it holds no triangles, or something that is not supported; or the extra `mesh` is not
            installed.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise checks.InputError(f'mesh {path}: got suffix {path.suffix!r}, expected one of {", ".join(_READERS)}')
    try:
        mesh = reader(checks.file(path, 'mesh'))
    except checks.InputError:
        raise
    except Exception as error:  # trimesh does not say what damaged files raise
        reason = f'{type(error).__name__}: {error}'
        raise checks.InputError(
            f'mesh {path}: damaged, or no {path.suffix} file ({reason}). Copy or export it again'
        ) from error
    if not len(mesh.faces):
        raise checks.InputError(f'mesh {path}: holds no triangles, expected some')
    checks.finite(f'mesh {path}: vertices', mesh.vertices)
    return mesh


def write(path: str | os.PathLike[str], mesh: Mesh) -> None:
    """Writes a mesh. Each file appears whole or not at all, those that the mesh's file refers to before it.

    * .obj: all but normals, with a .mtl beside it and a PNG for every texture, named after the mesh.
    * .glb: all but normals and materials that no face has. Faces come in the order of their materials; colours of
      vertices are 8-bit, and linear.
    * .ply: places, faces and colours, which are 8-bit sRGB.

    Padding is left out. The formats but .obj need the extra `mesh`.

    Args:
        path: where to; its folder must exist.
        mesh: without leading dims.

    Raises:
        InputError: an unknown suffix, a mesh that is not sound or has no faces, or a place that cannot be written.
    """
    path = Path(path)
    encode = _WRITERS.get(path.suffix.lower())
    if encode is None:
        raise checks.InputError(f'mesh {path}: got suffix {path.suffix!r}, expected one of {", ".join(_WRITERS)}')
    for name, data in encode(path, _without_padding(meshes.check(mesh))).items():
        io.replace(path.with_name(name), data)


def _without_padding(mesh: Mesh) -> Mesh:
    real = (np.asarray(mesh.faces) >= 0).all(1)
    if not real.any():
        raise checks.InputError('mesh.faces: got no faces, expected at least one')
    found = {name: getattr(mesh, name) for name in ('faces', 'uv_faces', 'material')}
    return dataclasses.replace(mesh, **{k: np.asarray(v)[real] for k, v in found.items() if v is not None})


def _plain(path: Path) -> Mesh:
    """Reads .ply, .off and .stl."""
    data, kind = path.read_bytes(), path.suffix.lower()[1:]
    _check_whole(data, kind)
    parts = []
    for geometry in load(path, data, kind).geometry.values():
        faces = np.asarray(getattr(geometry, 'faces', ()), np.int64)
        if not len(faces):
            continue
        uvs, material, colors = getattr(geometry.visual, 'uv', None), None, None
        image = None if uvs is None else geometry.visual.material.image
        if image is not None:
            texture = np.asarray(image.convert('RGB'), np.float32) / np.float32(255)
            material = Material(np.ones(3, np.float32), np.float32(0), np.float32(1), texture)
        elif uvs is not None and re.search(rb'(?i)\ncomment\s+texturefile', data.partition(b'end_header')[0]):
            raise ValueError('its texture is no picture')
        if geometry.visual.kind == 'vertex':
            colors = np.asarray(color.linear_from_srgb(geometry.visual.vertex_colors[:, :3] / np.float32(255)))
        parts.append(Part(np.asarray(geometry.vertices), faces, uvs, colors, material))
    if not parts:
        raise checks.InputError(f'mesh {path}: holds no triangles, expected some')
    return joined(parts, merge=kind == 'stl' or any(part.uvs is not None for part in parts))


def _check_whole(data: bytes, kind: str) -> None:
    """Looks whether a file goes on to its end, which trimesh does not where it is a text."""
    if kind == 'stl':
        binary = len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], 'little')
        whole = binary or re.search(rb'\n\s*endsolid', data) is not None
    elif kind == 'off':
        rows = re.sub(rb'#.*', b'', data.partition(b'OFF')[2]).strip().splitlines()
        whole = _has_rows(rows, 1 + sum(int(count) for count in rows[0].split()[:2]), True)
    elif re.match(rb'ply\s+format\s+ascii', data):
        header, _, body = data.partition(b'end_header')
        counts = re.findall(rb'\nelement\s+\S+\s+(\d+)', header)
        of_lists = re.match(rb'.*\s+property\s+list', header.rpartition(b'\nelement')[2]) is not None
        whole = _has_rows(body.splitlines(), sum(int(count) for count in counts), of_lists)
    else:
        whole = True
    if not whole:
        raise ValueError('it ends too early')


def _has_rows(rows: list[bytes], expected: int, of_lists: bool) -> bool:
    """Whether there are so many rows, the last of which begins with its length if they are lists."""
    rows = [row for row in rows if row.strip()][:expected]
    return len(rows) == expected and not (of_lists and rows and len(rows[-1].split()) <= int(rows[-1].split()[0]))


def _ply(path: Path, mesh: Mesh) -> dict[str, bytes]:
    colors = None if mesh.colors is None else io.to_uint8(np.asarray(color.srgb_from_linear(mesh.colors)))
    geometry = library('trimesh').Trimesh(mesh.vertices, mesh.faces, vertex_colors=colors, process=False)
    return {path.name: geometry.export(file_type='ply', vertex_normal=False)}


_READERS: dict[str, Callable[[Path], Mesh]] = {
    '.obj': obj.read,
    '.ply': _plain,
    '.glb': mesh_gltf.read,
    '.gltf': mesh_gltf.read,
    '.off': _plain,
    '.stl': _plain,
}
_WRITERS: dict[str, Callable[[Path, Mesh], dict[str, bytes]]] = {
    '.obj': obj_writer.encode,
    '.ply': _ply,
    '.glb': lambda path, mesh: {path.name: mesh_gltf.encode(mesh)},
}
