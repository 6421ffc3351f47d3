"""Wavefront OBJ with MTL, as `neurend.scenes.obj` reads it."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from neurend.images import color, io
from neurend.scenes.meshes import Material, Mesh


def encode(path: Path, mesh: Mesh) -> dict[str, bytes]:
    """The files of a mesh by their names: textures, materials, and last the OBJ; see `mesh_files.write`.

    Args:
        path: of the OBJ, which the others are named after.
        mesh: sound, without padding.
    """
    stem = _plain(path.stem)
    files: dict[str, bytes] = {}
    lines = []
    if mesh.materials:
        names = _names(mesh.materials)
        entries = [_entry(m, name, f'{stem}_{k}.png') for k, (m, name) in enumerate(zip(mesh.materials, names))]
        for k, material in enumerate(mesh.materials):
            if material.texture is not None:
                files[f'{stem}_{k}.png'] = io.encode_png(np.asarray(material.texture))
        files[f'{stem}.mtl'] = '\n'.join(entries).encode()
        lines.append(f'mtllib {stem}.mtl')
    rows = np.asarray(mesh.vertices, np.float32)
    if mesh.colors is not None:
        rows = np.concatenate([rows, np.asarray(mesh.colors, np.float32)], axis=1)
    lines += [f'v {" ".join(f"{value:.9g}" for value in row)}' for row in rows.tolist()]
    if mesh.uvs is not None:
        lines += [f'vt {u:.9g} {v:.9g}' for u, v in np.asarray(mesh.uvs, np.float32).tolist()]
    # Indices from 1, so that none, which is -1, becomes 0.
    faces = (np.asarray(mesh.faces) + 1).tolist()
    uv_faces = np.zeros_like(faces) if mesh.uv_faces is None else np.asarray(mesh.uv_faces) + 1
    number = np.zeros(len(faces), int) if mesh.material is None else np.asarray(mesh.material)
    last = None
    for corners, uvs, k in zip(faces, uv_faces.tolist(), number.tolist()):
        if mesh.materials and k != last:
            lines.append(f'usemtl {names[k]}')
            last = k
        lines.append('f ' + ' '.join(f'{place}/{uv}' if uv else f'{place}' for place, uv in zip(corners, uvs)))
    files[path.name] = ('\n'.join(lines) + '\n').encode()
    return files


def _plain(name: str) -> str:
    """The name without what some reader takes for more than a letter."""
    return re.sub(r'(?a)[^\w.-]', '_', name)


def _names(materials: tuple[Material, ...]) -> list[str]:
    """One for each, all different."""
    names: list[str] = []
    for k, material in enumerate(materials):
        name = _plain(material.name) or f'material_{k}'
        while name in names:
            name += '_'
        names.append(name)
    return names


def _entry(material: Material, name: str, texture: str) -> str:
    red, green, blue = np.asarray(color.srgb_from_linear(jnp.asarray(material.color, jnp.float32))).tolist()
    lines = [f'newmtl {name}', f'Kd {red:.9g} {green:.9g} {blue:.9g}']
    lines += [f'Pm {float(material.metallic):.9g}', f'Pr {float(material.roughness):.9g}']
    lines += [] if material.texture is None else [f'map_Kd {texture}']
    return '\n'.join(lines) + '\n'
