"""Edits of meshes: removing, copying, moving and merging parts, which keep their UVs and with them their texture.

Faces are chosen by a selection, bool [F], see `neurend.scenes.selection`. Vertices and UVs stay where they are in the
arrays, so that displacements and shapes of the whole mesh still fit; only `compact` drops those that no face uses.
Normals, colours and materials go along. NumPy, but for `displace`.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from neurend import checks
from neurend.geometry import triangles
from neurend.scenes import meshes
from neurend.scenes.meshes import Material, Mesh
from neurend.typing import Array


def remove(mesh: Mesh, selection: ArrayLike) -> Mesh:
    """The mesh without the selected faces [F].

    Raises:
        InputError: the mesh is not sound, or the selection no bool [F].
    """
    return _with_faces(mesh, np.flatnonzero(~_checked(mesh, selection)))


def extract(mesh: Mesh, selection: ArrayLike) -> Mesh:
    """The selected faces [F] of a mesh alone.

    Raises:
        InputError: the mesh is not sound, or the selection no bool [F].
    """
    return _with_faces(mesh, np.flatnonzero(_checked(mesh, selection)))


def duplicate(mesh: Mesh, selection: ArrayLike, world_from_world: ArrayLike) -> Mesh:
    """The mesh and a moved copy of the selected faces, which looks up the same texels.

    The copy's vertices and faces come behind those there are, in the same order. It hangs together with nothing, so
    that `remove(duplicate(mesh, selection, transform), selection)`, the selection lengthened, tears a part off.

    Args:
        mesh: any.
        selection: bool [F].
        world_from_world: [4 4] similarity: a rotation, a positive scale and a translation.

    Raises:
        InputError: the mesh is not sound, the selection no bool [F], or the transform no similarity.
    """
    chosen = np.flatnonzero(_checked(mesh, selection) & (np.asarray(mesh.faces) >= 0).all(1))
    linear, shift, rotation = _similarity('world_from_world', world_from_world)
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    used, corners = np.unique(faces[chosen], return_inverse=True)
    moved = np.asarray(vertices[used] @ linear.T + shift, vertices.dtype)
    copies = (corners.reshape(-1, 3) + len(vertices)).astype(faces.dtype)
    copied = _with_faces(mesh, np.concatenate([np.arange(len(faces)), chosen]))
    changes = {'vertices': np.concatenate([vertices, moved]), 'faces': np.concatenate([faces, copies])}
    if mesh.colors is not None:
        colors = np.asarray(mesh.colors)
        changes['colors'] = np.concatenate([colors, colors[used]])
    if mesh.normals is not None:
        normals = np.asarray(mesh.normals)
        changes['normals'] = np.concatenate([normals, np.asarray(normals[used] @ rotation.T, normals.dtype)])
    return dataclasses.replace(copied, **changes)


def move(mesh: Mesh, selection: ArrayLike, world_from_world: ArrayLike) -> Mesh:
    """The mesh with the selected part moved; faces beside it that share its vertices stretch.

    To tear a part off rather than stretch what is beside it, see `duplicate`.

    Args:
        mesh: any.
        selection: bool [F].
        world_from_world: [4 4] similarity: a rotation, a positive scale and a translation.

    Raises:
        InputError: the mesh is not sound, the selection no bool [F], or the transform no similarity.
    """
    chosen = _checked(mesh, selection) & (np.asarray(mesh.faces) >= 0).all(1)
    linear, shift, rotation = _similarity('world_from_world', world_from_world)
    used = np.unique(np.asarray(mesh.faces)[chosen])
    vertices = np.array(mesh.vertices)
    vertices[used] = vertices[used] @ linear.T + shift
    if mesh.normals is None:
        return dataclasses.replace(mesh, vertices=vertices)
    normals = np.array(mesh.normals)
    normals[used] = normals[used] @ rotation.T
    return dataclasses.replace(mesh, vertices=vertices, normals=normals)


def displace(mesh: Mesh, offsets: Array | np.ndarray) -> Mesh:
    """The mesh with its vertices moved by offsets [V 3]; works on traced arrays, with gradients.

    Normals of its own it loses: they follow from the faces, as `geometry.triangles.vertex_normals` makes them.

    Raises:
        InputError: the offsets are no [V 3].
    """
    checks.shape('offsets', offsets, 'V 3', 'Give one for every vertex', sizes={'V': len(mesh.vertices)})
    return dataclasses.replace(mesh, vertices=jnp.asarray(mesh.vertices) + jnp.asarray(offsets), normals=None)


def merge(parts: Sequence[Mesh]) -> Mesh:
    """One mesh of several, with everything that they have; `meshes.join` is for traced arrays, positions and faces.

    Vertices, faces, UVs and materials of the k-th begin where those of the ones before end; a material in several
    meshes (the same object) comes once. Where only some have UVs the others' faces have none; colours they lack are
    white, normals those of their faces, materials a white, rough one. UVs stay as they are: meshes with textures of
    their own are told apart by their faces.

    Raises:
        InputError: there are none, or one is not sound.
    """
    if not parts:
        raise checks.InputError('parts: got none, expected at least one mesh')
    for part in parts:
        meshes.check(part)
    begins = np.cumsum([0, *(len(part.vertices) for part in parts)])
    uv_begins = np.cumsum([0, *(0 if part.uvs is None else len(part.uvs) for part in parts)])
    found = {
        'vertices': np.concatenate([np.asarray(part.vertices) for part in parts]),
        'faces': np.concatenate([_shifted(part.faces, begin) for part, begin in zip(parts, begins)]),
    }
    if any(part.uvs is not None for part in parts):
        found['uvs'] = np.concatenate([np.asarray(part.uvs) for part in parts if part.uvs is not None])
        corners = (np.full_like(part.faces, -1) if part.uvs is None else part.uv_faces for part in parts)
        found['uv_faces'] = np.concatenate([_shifted(each, begin) for each, begin in zip(corners, uv_begins)])
    if any(part.colors is not None for part in parts):
        white = [np.ones(np.shape(part.vertices), np.float32) for part in parts]
        found['colors'] = np.concatenate([w if part.colors is None else part.colors for part, w in zip(parts, white)])
    if any(part.normals is not None for part in parts):
        normals = (triangles.vertex_normals(p.vertices, p.faces) if p.normals is None else p.normals for p in parts)
        found['normals'] = np.concatenate([np.asarray(each) for each in normals])
    return Mesh(**found, **_merged_materials(parts))


def compact(mesh: Mesh) -> Mesh:
    """The mesh without padding, and without vertices and UVs that no face uses; the order of the rest stays.

    Raises:
        InputError: the mesh is not sound.
    """
    mesh = _with_faces(mesh, np.flatnonzero((np.asarray(meshes.check(mesh).faces) >= 0).all(1)))
    used, corners = np.unique(mesh.faces, return_inverse=True)
    changes = {'faces': corners.reshape(-1, 3).astype(np.int32)}
    for name in ('vertices', 'normals', 'colors'):
        if getattr(mesh, name) is not None:
            changes[name] = np.asarray(getattr(mesh, name))[used]
    if mesh.uvs is not None:
        # -1, where faces have none, comes first and stays.
        used, corners = np.unique(np.append(mesh.uv_faces, -1), return_inverse=True)
        changes['uvs'] = np.asarray(mesh.uvs)[used[1:]]
        changes['uv_faces'] = (corners.reshape(-1)[:-1].reshape(-1, 3) - 1).astype(np.int32)
    return dataclasses.replace(mesh, **changes)


def _checked(mesh: Mesh, selection: ArrayLike) -> np.ndarray:
    selection = np.asarray(selection)
    sizes = {'F': len(meshes.check(mesh).faces)}
    checks.shape('selection', selection, 'F', 'Select faces of this very mesh', sizes=sizes)
    if selection.dtype != bool:
        raise checks.InputError(f'selection: got {selection.dtype}, expected bool, one for every face')
    return selection


def _with_faces(mesh: Mesh, index: np.ndarray) -> Mesh:
    """Chosen faces, in the order of their numbers [n]."""
    found = {name: getattr(mesh, name) for name in ('faces', 'uv_faces', 'material')}
    return dataclasses.replace(mesh, **{k: np.asarray(v)[index] for k, v in found.items() if v is not None})


def _shifted(faces: ArrayLike, begin: int) -> np.ndarray:
    faces = np.asarray(faces)
    return np.where(faces < 0, -1, faces + begin).astype(np.int32)


def _similarity(name: str, transform: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear part [3 3], translation [3] and rotation [3 3] of a similarity."""
    checks.shape(name, transform, '4 4')
    checks.finite(name, transform)
    matrix = np.asarray(transform, np.float64)
    linear = matrix[:3, :3]
    determinant = np.linalg.det(linear)
    rotation = linear / np.cbrt(determinant) if determinant > 0 else np.zeros((3, 3))
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or (matrix[3] != [0, 0, 0, 1]).any():
        raise checks.InputError(
            f'{name}: got {matrix.tolist()}, expected a similarity: a rotation times a positive scale, a translation, '
            'and 0, 0, 0, 1 below. Use displace for other changes'
        )
    return linear, matrix[:3, 3], rotation


def _merged_materials(parts: Sequence[Mesh]) -> dict:
    if not any(part.materials for part in parts):
        return {}
    plain = Material(np.ones(3, np.float32), np.float32(0), np.float32(1))
    own = [part.materials or (plain,) for part in parts]
    materials = tuple({id(material): material for each in own for material in each}.values())
    order = {id(material): k for k, material in enumerate(materials)}
    if len(materials) == 1:
        return {'materials': materials}
    numbers = []
    for part, each in zip(parts, own):
        # One more, for faces of -1, which have none.
        place = np.array([*(order[id(material)] for material in each), -1], np.int32)
        number = np.zeros(len(part.faces), int) if part.material is None else np.asarray(part.material)
        numbers.append(place[number])
    return {'material': np.concatenate(numbers), 'materials': materials}
