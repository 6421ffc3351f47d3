"""Wavefront OBJ with MTL, read with its own indices for UVs, which general mesh libraries give up."""

import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.images import color, io
from neurend.scenes.meshes import Material, Mesh


def read(path: str | os.PathLike[str], *, plain: bool = False) -> Mesh:
    """Reads vertices (with colours where they have some), UVs, faces of any number of corners, and materials.

    Normals of the file are left out: they may differ from corner to corner, and `geometry.triangles` makes them.
    Polygons are divided into fans.

    Args:
        path: of the file.
        plain: whether materials are passed over; their files need not be there then.

    Raises:
        InputError: the file, its material file or a texture is missing, cannot be read or leaves its folder; an index
            is out of range; or a number is none.
    """
    path = checks.file(path, 'mesh')
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    corners: list[list[int]] = []
    uv_corners: list[list[int]] = []
    material: list[int] = []
    materials: dict[str, Material] = {}
    current = 0

    for number, line in enumerate(path.read_text(encoding='utf-8', errors='replace').splitlines(), 1):
        words = line.split('#')[0].split()
        if not words:
            continue
        kind, values = words[0], words[1:]
        try:
            if kind == 'v':
                vertices.append([float(value) for value in values])
            elif kind == 'vt':
                uvs.append([float(value) for value in values[:2]])
            elif kind == 'f':
                polygon = [_corner(value, len(vertices), len(uvs)) for value in values]
                for k in range(1, len(polygon) - 1):
                    fan = (polygon[0], polygon[k], polygon[k + 1])
                    corners.append([corner[0] for corner in fan])
                    uv_corners.append([corner[1] for corner in fan])
                    material.append(current)
            elif plain and kind in ('mtllib', 'usemtl'):
                continue
            elif kind == 'mtllib':
                materials |= _materials(path, ' '.join(values))
            elif kind == 'usemtl':
                name = ' '.join(values)
                if name not in materials:
                    materials[name] = _material(name, {}, path.parent)
                current = list(materials).index(name)
        except ValueError as error:
            if isinstance(error, checks.InputError):
                raise
            raise checks.InputError(f'mesh {path}, line {number}: got {line.strip()[:60]!r} ({error})') from error
    if any(len(vertex) not in (3, 4, 6, 7) for vertex in vertices):
        raise checks.InputError(f'mesh {path}: got vertices without three coordinates')
    places = np.array([vertex[:3] for vertex in vertices], np.float32).reshape(-1, 3)
    colored = bool(vertices) and all(len(vertex) >= 6 for vertex in vertices)
    faces = np.array(corners, np.int32).reshape(-1, 3)
    uv_faces = np.array(uv_corners, np.int32).reshape(-1, 3)
    textured = bool(len(uv_faces)) and bool((uv_faces >= 0).any())
    checks.finite(f'mesh {path}: vertices', places)
    return Mesh(
        vertices=places,
        faces=faces,
        uvs=np.array([uv + [0.0] * (2 - len(uv)) for uv in uvs], np.float32) if textured else None,
        uv_faces=uv_faces if textured else None,
        colors=np.array([vertex[3:6] for vertex in vertices], np.float32) if colored else None,
        material=np.array(material, np.int32) if len(materials) > 1 else None,
        materials=tuple(materials.values()),
    )


def _corner(text: str, vertices: int, uvs: int) -> tuple[int, int]:
    """Indices from 0 of `7`, `7/3`, `7/3/1` or `7//1`; negative ones count from the last, -1 stands for no UV."""
    parts = [int(part) if part else 0 for part in text.split('/')] + [0]
    place = parts[0] - 1 if parts[0] > 0 else vertices + parts[0]
    uv = parts[1] - 1 if parts[1] >= 0 else uvs + parts[1]
    if not 0 <= place < vertices or not -1 <= uv < uvs:
        raise ValueError(f'indices of {vertices} vertices and {uvs} UVs that come before')
    return place, uv


def _materials(mesh: Path, name: str) -> dict[str, Material]:
    path = checks.file(checks.inside(mesh.parent, name), 'material file', f'{mesh.name} asks for it')
    found: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        words = line.split('#')[0].split()
        if words and words[0] == 'newmtl':
            current = found.setdefault(' '.join(words[1:]), {})
        elif words:
            current[words[0]] = words[1:]
    return {key: _material(key, entries, path.parent) for key, entries in found.items()}


def _material(name: str, entries: dict[str, list[str]], folder: Path) -> Material:
    try:
        base = [float(value) for value in entries.get('Kd', ['1', '1', '1'])[:3]]
        shininess = float(entries.get('Ns', ['0'])[0])
        metallic, roughness = (float(entries.get(key, [default])[0]) for key, default in (('Pm', '0'), ('Pr', '-1')))
    except ValueError as error:
        raise checks.InputError(f'material {name!r} in {folder}: a number is none ({error})') from error
    if roughness < 0:  # Phong's exponent as a roughness (Walter et al., 2007)
        roughness = (2 / (shininess + 2)) ** 0.25
    texture = None
    if 'map_Kd' in entries:
        file = checks.inside(folder, ' '.join(entries['map_Kd']))
        pixels = io.read(checks.file(file, 'texture', f'material {name!r} asks for it'))[..., :3]
        texture = np.broadcast_to(pixels, (*pixels.shape[:2], 3)) / np.float32(255)  # of gray ones too
    linear = color.linear_from_srgb(jnp.array(base, jnp.float32))
    return Material(np.asarray(linear), np.float32(metallic), np.float32(roughness), texture, name)
