"""Parts of meshes, selected by their faces (NumPy): bool [F] arrays, which `&`, `|` and `~` combine.

Faces of -1, which pad, are in no selection; `~` selects them, and `neurend.scenes.editing` leaves them alone.
"""

import numpy as np
from numpy.typing import ArrayLike

from neurend import checks
from neurend.scenes import meshes
from neurend.scenes.meshes import Mesh


def components(mesh: Mesh) -> np.ndarray:
    """Connected components by shared vertices: int32 [F], numbered by their first faces, -1 for padding.

    Vertices that are apart in the arrays are apart, in whatever place they are. Labels go along edges and jump to the
    labels of labels (Shiloach and Vishkin, 1982), so that long components take few rounds.

    Raises:
        InputError: the mesh is not sound.

    >>> pair = Mesh(np.zeros((6, 3)), np.array([[0, 1, 2], [3, 4, 5], [-1, -1, -1], [5, 3, 4]]))
    >>> components(pair).tolist()
    [0, 1, -1, 1]
    """
    faces = np.asarray(meshes.check(mesh).faces)
    real = (faces >= 0).all(1)
    triangles = faces[real]
    label = np.arange(len(mesh.vertices))
    start, end = triangles[:, [0, 1]].reshape(-1), triangles[:, [1, 2]].reshape(-1)
    while True:
        low, high = np.minimum(label[start], label[end]), np.maximum(label[start], label[end])
        differ = low < high
        if not differ.any():
            break
        start, end = start[differ], end[differ]
        # Labels are vertices that are labelled with themselves, and only fall.
        np.minimum.at(label, high[differ], low[differ])
        while (label[label] != label).any():
            label = label[label]
    _, first, inverse = np.unique(label[triangles[:, 0]], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first))
    found = np.full(len(faces), -1, np.int32)
    found[real] = rank[inverse.reshape(-1)]
    return found


def in_box(mesh: Mesh, low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Faces whose corners all lie in a box along the axes, its borders included: bool [F].

    Args:
        mesh: any.
        low, high: [3] corners of the box.

    Raises:
        InputError: the mesh is not sound, or a corner no [3].
    """
    meshes.check(mesh)
    for name, corner in (('low', low), ('high', high)):
        checks.shape(name, corner, '3')
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    within = ((vertices >= np.asarray(low)) & (vertices <= np.asarray(high))).all(1)
    # One more, for padding.
    return np.all(np.append(within, False)[faces], axis=1)


def by_material(mesh: Mesh, name: str) -> np.ndarray:
    """Faces of the material of that name, or of all that have it: bool [F].

    Raises:
        InputError: the mesh is not sound, or has no material of that name.
    """
    meshes.check(mesh)
    checks.one_of('name', name, [material.name for material in mesh.materials])
    faces = np.asarray(mesh.faces)
    number = np.zeros(len(faces), int) if mesh.material is None else np.asarray(mesh.material)
    wanted = [k for k, material in enumerate(mesh.materials) if material.name == name]
    return np.isin(number, wanted) & (faces >= 0).all(1)


def by_component(mesh: Mesh, point: ArrayLike) -> np.ndarray:
    """Faces of the component whose surface is nearest to a point [3], that of the lowest number among equals: bool [F].

    Raises:
        InputError: the mesh is not sound or has no faces, or the point is no [3].
    """
    found = components(mesh)
    checks.shape('point', point, '3')
    real = found >= 0
    if not real.any():
        raise checks.InputError('mesh.faces: got no faces, expected at least one')
    corners = np.asarray(mesh.vertices, np.float64)[np.asarray(mesh.faces)[real]]
    distance = _squared_distances(np.asarray(point, np.float64), corners)
    return np.equal(found, found[real][distance == distance.min()].min())


def _squared_distances(point: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """From a point [3] to triangles [n 3 3]: to the plane where the point is above the inside, else to a side."""
    along = np.roll(corners, -1, axis=1) - corners
    toward = point - corners
    length = (along**2).sum(-1)
    t = np.clip((toward * along).sum(-1) / np.where(length > 0, length, 1), 0, 1)
    sides = ((toward - t[..., None] * along) ** 2).sum(-1).min(1)
    normal = np.cross(along[:, 0], along[:, 1])
    squared = (normal**2).sum(-1)
    above = (np.cross(along, toward) * normal[:, None]).sum(-1)
    inside = (above > 0).all(1)
    height = (toward[:, 0] * normal).sum(-1) ** 2 / np.where(squared > 0, squared, 1)
    return np.where(inside, height, sides)
