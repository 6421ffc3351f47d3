"""Meshes divided finer, decimated, and laid out flat for textures (NumPy; the last two need the extra `mesh`)."""

import dataclasses

import numpy as np

from neurend import checks
from neurend.scenes import meshes
from neurend.scenes.mesh_extra import library
from neurend.scenes.meshes import Mesh

_MOST_FACES = 2**25


def subdivide(mesh: Mesh, levels: int = 1) -> Mesh:
    """Every triangle as four, with new vertices in the middles of edges, `levels` times over.

    UVs, colours, normals and materials are carried over, and seams stay. Child k of face f is face k F + f,
    that of padding padding.

    Raises:
        InputError: the mesh is not sound, or `levels` is negative or would make more than 2^25 faces.
    """
    if levels < 0 or len(meshes.check(mesh).faces) * 4**levels > _MOST_FACES:
        raise checks.InputError(f'levels: got {levels}, expected 0 or more, with 4^levels F up to {_MOST_FACES} faces')
    for _ in range(levels):
        mesh = _split(mesh, np.ones((len(mesh.faces), 3), bool))
    return mesh


def subdivide_to(mesh: Mesh, longest_edge: float) -> Mesh:
    """Divides edges in the middle until none is longer than `longest_edge`; closed meshes stay closed.

    Faces are divided along those of their edges that are too long, so that neighbours agree and nothing cracks. The
    order of faces changes. UVs, colours, normals and materials are carried over.

    Raises:
        InputError: the mesh is not sound, the length is not positive, or it would make more than 2^25 faces.
    """
    if not longest_edge > 0:
        raise checks.InputError(f'longest_edge: got {longest_edge}, expected a positive length')
    meshes.check(mesh)
    while True:
        faces = np.asarray(mesh.faces)
        a = np.asarray(mesh.vertices, np.float64)[faces]
        long = (np.linalg.norm(a - np.roll(a, -1, axis=1), axis=-1) > longest_edge) & (faces >= 0)
        if not long.any():
            return mesh
        if len(faces) + long.sum() > _MOST_FACES:
            raise checks.InputError(f'longest_edge: got {longest_edge}, for which {_MOST_FACES} faces are too few')
        mesh = _split(mesh, long)


def decimate(mesh: Mesh, faces: int) -> Mesh:
    """Fewer faces, by collapsing the edges that change the surface least (Garland and Heckbert, 1997).

    Places and colours only: lay UVs out anew with `unwrap`. Closed meshes stay closed. Edges at the borders of an open
    one stay, so that it may keep more faces than wanted; of a mesh in several pieces, small ones may vanish.

    Args:
        mesh: faces of -1 are left out.
        faces: how many at most, from 1; a mesh that has no more comes back without UVs and materials.

    Raises:
        InputError: the mesh is not sound, has no faces, none are wanted, or the extra `mesh` is not installed.
    """
    if faces < 1:
        raise checks.InputError(f'faces: got {faces}, expected at least 1')
    vertices, triangles = np.asarray(meshes.check(mesh).vertices, np.float64), _real(mesh)
    if len(triangles) <= faces:
        return Mesh(mesh.vertices, triangles, normals=mesh.normals, colors=mesh.colors)
    simplification = library('fast_simplification')
    _, _, collapses = simplification.simplify(
        vertices, triangles, target_count=faces, return_collapses=True, preserve_border=True
    )
    places, triangles, index = simplification.replay_simplification(vertices, triangles, collapses)
    colors = None
    if mesh.colors is not None:  # the mean of those of the vertices that became one
        rows = np.concatenate([np.asarray(mesh.colors, np.float64), np.ones((len(vertices), 1))], axis=1)
        kept = index >= 0
        total = np.zeros((len(places), 4))
        np.add.at(total, index[kept], rows[kept])
        colors = (total[:, :3] / np.maximum(total[:, 3:], 1)).astype(np.float32)
    return Mesh(places.astype(np.float32), triangles.astype(np.int32), colors=colors)


def unwrap(mesh: Mesh, *, resolution: int = 1024, padding: int = 2) -> Mesh:
    """Lays the surface out in the unit square without overlaps (the library xatlas), in place of the UVs it has.

    Vertices, faces and their order stay; UVs get indices of their own. Some pieces are mirrored. It takes seconds for
    ten thousand faces.

    Args:
        mesh: any triangles.
        resolution: of the texture that is meant, in texels, which the next option is counted in.
        padding: texels between pieces, so that they do not bleed into each other.

    Raises:
        InputError: the mesh is not sound or has no faces, an option is negative, or the extra `mesh` is not installed.
    """
    if resolution < 1 or padding < 0:
        raise checks.InputError(f'resolution, padding: got {resolution} and {padding}, expected at least 1 and 0')
    triangles = _real(meshes.check(mesh))
    xatlas = library('xatlas')
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = resolution, padding
    atlas = xatlas.Atlas()
    atlas.add_mesh(np.asarray(mesh.vertices, np.float32), triangles.astype(np.uint32))
    atlas.generate(xatlas.ChartOptions(), packing)
    _, corners, uvs = atlas.get_mesh(0)
    uv_faces = np.full((len(mesh.faces), 3), -1, np.int32)
    uv_faces[(np.asarray(mesh.faces) >= 0).all(1)] = corners
    return dataclasses.replace(mesh, uvs=uvs, uv_faces=uv_faces)


def _real(mesh: Mesh) -> np.ndarray:
    """Faces that are no padding."""
    faces = np.asarray(mesh.faces, np.int32)
    faces = faces[(faces >= 0).all(1)]
    if not len(faces):
        raise checks.InputError('mesh.faces: got no faces, expected at least one')
    return faces


def _rotated(triangles: list[list[int]], k: int) -> list[list[int]]:
    return [[i // 3 * 3 + (i + k) % 3 for i in triangle] for triangle in triangles]


def _children() -> dict[int, list[list[int]]]:
    """Triangles that a face falls into, by which sides are divided: side k, between corners k and k + 1, counts 2^k.

    Corners are 0 to 2 and the middle of side k is 3 + k. Faces with two divided sides leave a quadrilateral, which has
    two diagonals: the second counts 8.
    """
    table = {0: [[0, 1, 2]], 7: [[0, 3, 5], [3, 1, 4], [5, 4, 2], [3, 4, 5]]}
    for k in range(3):
        one, two = 1 << k, (1 << k) + (1 << (k + 1) % 3)
        table[one] = _rotated([[0, 3, 2], [3, 1, 2]], k)
        table[two] = _rotated([[3, 1, 4], [0, 3, 4], [0, 4, 2]], k)
        table[two + 8] = _rotated([[3, 1, 4], [0, 3, 2], [3, 4, 2]], k)
    return table


_CHILDREN = _children()


def _split(mesh: Mesh, sides: np.ndarray) -> Mesh:
    """Divides faces at their sides bool [F 3], on which neighbours agree; side k joins corners k and k + 1."""
    faces, vertices = np.asarray(mesh.faces), np.asarray(mesh.vertices)
    pairs, corners = _with_middles(faces, sides, len(vertices))
    places = np.concatenate([vertices, vertices[pairs].mean(1)])
    code = sides @ np.array([1, 2, 4])
    for k in range(3):
        two = code == (1 << k) + (1 << (k + 1) % 3)
        first, second = (
            np.linalg.norm(places[corners[:, i]] - places[corners[:, j]], axis=-1)
            for i, j in ((k, 3 + (k + 1) % 3), (3 + k, (k + 2) % 3))
        )
        code = np.where(two & (second < first), code + 8, code)
    source = [(np.flatnonzero(code == key), child) for key, children in _CHILDREN.items() for child in children]
    changes = {'vertices': places, 'faces': np.concatenate([corners[index][:, child] for index, child in source])}
    if mesh.uvs is not None:
        uvs = np.asarray(mesh.uvs)
        uv_pairs, uv_corners = _with_middles(np.asarray(mesh.uv_faces), sides, len(uvs))
        changes['uvs'] = np.concatenate([uvs, uvs[uv_pairs].mean(1)])
        changes['uv_faces'] = np.concatenate([uv_corners[index][:, child] for index, child in source])
    if mesh.colors is not None:
        colors = np.asarray(mesh.colors)
        changes['colors'] = np.concatenate([colors, colors[pairs].mean(1)])
    if mesh.normals is not None:
        normals = np.asarray(mesh.normals)
        middle = normals[pairs].mean(1)
        length = np.linalg.norm(middle, axis=-1, keepdims=True)
        changes['normals'] = np.concatenate([normals, middle / np.where(length > 0, length, 1)])
    if mesh.material is not None:
        changes['material'] = np.concatenate([np.asarray(mesh.material)[index] for index, _ in source])
    return dataclasses.replace(mesh, **changes)


def _with_middles(faces: np.ndarray, sides: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """New rows after `count` old ones: pairs [n 2] between which they lie; and corners and middles of faces [F 6]."""
    used = sides & (faces >= 0).all(1, keepdims=True)
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1)[used], axis=1)
    pairs, index = np.unique(ends, axis=0, return_inverse=True)
    middles = np.full(faces.shape, -1, np.int32)
    middles[used] = count + index.reshape(-1)
    return pairs.reshape(-1, 2), np.concatenate([faces, middles], axis=1).astype(np.int32)
