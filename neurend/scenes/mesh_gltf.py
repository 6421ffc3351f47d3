"""glTF 2.0, read and written through trimesh, which says nothing of what it leaves out: its input is checked first."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neurend import checks
from neurend.images.io import to_uint8
from neurend.scenes.mesh_extra import library
from neurend.scenes.mesh_parts import Part, joined
from neurend.scenes.mesh_scene import load
from neurend.scenes.meshes import Material, Mesh

_FLOAT = 5126  # the component type of an accessor
_TRIANGLES, _FAN = 4, 6  # modes of primitives
_READ_MODES = (0, 1, _TRIANGLES, 5)  # points, lines, triangles and strips make geometries in trimesh
# Extensions that a reader of triangles may pass over even where a file requires them.
_HARMLESS = ('KHR_lights_punctual', 'EXT_texture_webp')


def read(path: Path) -> Mesh:
    """Reads .gltf or .glb; see `mesh_files.read`. Errors of damaged files are of any kind."""
    data = path.read_bytes()
    header = _header(data)
    problem = _unsupported(header)
    if problem:
        raise checks.InputError(f'mesh {path}: holds {problem}, which is not supported. Export it without')
    scene = load(path, data, 'glb' if data[:4] == b'glTF' else 'gltf')
    primitives = [
        (index, primitive)
        for index, mesh in enumerate(header.get('meshes', ()))
        for primitive in mesh['primitives']
        if primitive.get('mode', _TRIANGLES) in _READ_MODES
    ]
    if len(primitives) != len(scene.geometry):
        raise ValueError(f'{len(primitives)} primitives, of which {len(scene.geometry)} can be read')
    order = {name: k for k, name in enumerate(scene.geometry)}
    materials: dict[int, Material] = {}
    parts = []
    for node in sorted(scene.graph.nodes_geometry, key=lambda node: order[scene.graph[node][1]]):
        transform, name = scene.graph[node]
        index, primitive = primitives[order[name]]
        geometry = scene.geometry[name]
        if primitive.get('mode', _TRIANGLES) < _TRIANGLES or not len(geometry.faces):
            continue
        number = primitive.get('material', -1) if header.get('materials') else None
        if number is not None and number not in materials:
            entry = header['materials'][number] if number >= 0 else {}
            materials[number] = _material(entry, getattr(geometry.visual, 'material', None))
        faces, turn = np.asarray(geometry.faces), transform[:3, :3]
        parts.append(
            Part(
                vertices=geometry.vertices @ turn.T + transform[:3, 3],
                faces=faces[:, ::-1] if np.linalg.det(turn) < 0 else faces,
                uvs=getattr(geometry.visual, 'uv', None),
                colors=_colors(geometry),
                material=None if number is None else materials[number],
                body=(index, transform.tobytes()),  # the primitives of one mesh in one node
            )
        )
    if not parts:
        raise checks.InputError(f'mesh {path}: holds no triangles, expected some')
    return joined(parts, merge=True)


def encode(mesh: Mesh) -> bytes:
    """The mesh, which is sound and has no padding, as a .glb file; see `mesh_files.write`."""
    trimesh = library('trimesh')
    materials = mesh.materials or (Material(np.ones(3), 0.0, 1.0),)
    number = np.zeros(len(mesh.faces), int) if mesh.material is None else np.asarray(mesh.material)
    with_uvs = np.zeros(len(mesh.faces), bool) if mesh.uv_faces is None else (np.asarray(mesh.uv_faces) >= 0).all(1)
    pbr = [_pbr(trimesh, material, str(k)) for k, material in enumerate(materials)]
    scene = trimesh.Scene()
    for k in range(len(materials)):
        for textured in (False, True):
            chosen = (number == k) & (with_uvs == textured)
            if not chosen.any():
                continue
            pairs = np.asarray(mesh.faces)[chosen].reshape(-1, 1)
            if textured:
                pairs = np.concatenate([pairs, np.asarray(mesh.uv_faces)[chosen].reshape(-1, 1)], axis=1)
            pairs, faces = np.unique(pairs, axis=0, return_inverse=True)
            visual = trimesh.visual.TextureVisuals(
                uv=np.asarray(mesh.uvs)[pairs[:, 1]] if textured else None, material=pbr[k]
            )
            if mesh.colors is not None:
                shades = to_uint8(np.asarray(mesh.colors)[pairs[:, 0]])
                visual.vertex_attributes['color'] = np.pad(shades, ((0, 0), (0, 1)), constant_values=255)
            vertices = np.asarray(mesh.vertices)[pairs[:, 0]]
            scene.add_geometry(trimesh.Trimesh(vertices, faces.reshape(-1, 3), visual=visual, process=False))

    def finish(header: dict) -> None:
        # trimesh rounds colours to 8 bits, and takes materials that are then equal for one unless names differ.
        for entry in header['materials']:
            material = materials[int(entry['name'])]
            entry['name'] = material.name
            entry['pbrMetallicRoughness']['baseColorFactor'] = [*np.asarray(material.color, float).tolist(), 1.0]
        # It makes a mesh for every material, which hides that they are one body.
        header['meshes'] = [{'primitives': [part for entry in header['meshes'] for part in entry['primitives']]}]
        header['nodes'], header['scenes'] = [{'mesh': 0}], [{'nodes': [0]}]

    return scene.export(file_type='glb', tree_postprocessor=finish)


def _header(data: bytes) -> dict[str, Any]:
    if data[:4] == b'glTF':
        data = data[20 : 20 + struct.unpack_from('<I', data, 12)[0]]
    return json.loads(data)


def _unsupported(header: dict[str, Any]) -> str | None:
    """What trimesh would read wrongly without a word, if anything."""
    for extension in header.get('extensionsRequired', ()):
        refines = extension.startswith('KHR_materials_') and extension != 'KHR_materials_pbrSpecularGlossiness'
        if extension not in _HARMLESS and not refines:
            return f'the extension {extension}'
    for material in header.get('materials', ()):
        texture = material.get('pbrMetallicRoughness', {}).get('baseColorTexture', {})
        if texture.get('texCoord', 0):
            return 'a texture with a second set of UVs'
        if 'KHR_texture_transform' in texture.get('extensions', {}):
            return 'a texture with the extension KHR_texture_transform'
    for mesh in header.get('meshes', ()):
        for primitive in mesh['primitives']:
            if primitive.get('mode', _TRIANGLES) == _FAN:
                return 'fans of triangles'
            attributes = primitive['attributes']
            for name in ('POSITION', 'TEXCOORD_0', 'COLOR_0', 'indices'):
                accessor = (primitive if name == 'indices' else attributes).get(name)
                entry = {} if accessor is None else header['accessors'][accessor]
                if 'sparse' in entry:
                    return f'a sparse accessor ({name})'
                if name in ('POSITION', 'TEXCOORD_0') and entry.get('componentType', _FLOAT) != _FLOAT:
                    return f'integers for {name}'
    return None


def _material(entry: dict[str, Any], found: Any) -> Material:
    """Of an entry of the header, and of what trimesh made of it, which has its pictures."""
    name = entry.get('name', '')
    pbr = entry.get('pbrMetallicRoughness', {})
    metallic, roughness = (pbr.get(f'{key}Factor', 1.0) for key in ('metallic', 'roughness'))
    texture = None
    if 'baseColorTexture' in pbr:
        texture = _picture(found.baseColorTexture, name)
    if 'metallicRoughnessTexture' in pbr:
        mean = _picture(found.metallicRoughnessTexture, name).mean((0, 1))
        metallic, roughness = metallic * mean[2], roughness * mean[1]
    color = np.array(pbr.get('baseColorFactor', (1, 1, 1, 1))[:3], np.float32)
    return Material(color, np.float32(metallic), np.float32(roughness), texture, name)


def _picture(image: Any, name: str) -> np.ndarray:
    """Float [h w 3] in [0, 1] of a Pillow image."""
    try:
        return np.asarray(image.convert('RGB'), np.float32) / np.float32(255)
    except Exception as error:  # None, where the file could not be opened, or what decoders raise at damage
        raise checks.InputError(f'material {name!r}: a texture is missing or damaged ({error})') from error


def _colors(geometry: Any) -> np.ndarray | None:
    """Colours [V 3] of vertices, linear as glTF has them."""
    values = getattr(geometry.visual, 'vertex_attributes', {}).get('color')
    if values is None and geometry.visual.kind == 'vertex':
        values = geometry.visual.vertex_colors
    if values is None:
        return None
    values = np.asarray(values)[:, :3]
    return values / np.iinfo(values.dtype).max if values.dtype.kind == 'u' else values


def _pbr(trimesh: Any, material: Material, name: str) -> Any:
    image = None if material.texture is None else Image.fromarray(to_uint8(material.texture))
    return trimesh.visual.material.PBRMaterial(
        name=name,
        baseColorFactor=np.ones(4),
        metallicFactor=float(material.metallic),
        roughnessFactor=float(material.roughness),
        baseColorTexture=image,
        alphaMode='BLEND' if image is not None and image.mode == 'RGBA' else None,
    )
