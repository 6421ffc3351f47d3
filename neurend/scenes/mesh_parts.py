"""Parts of mesh files, with everything at their vertices, joined to a mesh whose UVs have indices of their own."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np

from neurend.scenes.meshes import Material, Mesh


@dataclasses.dataclass(frozen=True)
class Part:
    """Triangles of one material, as files that repeat vertices at seams hold them (NumPy).

    Attributes:
        vertices: float [V 3].
        faces: int [F 3], one at least.
        uvs: float [V 2], (0, 0) at the bottom left; None for none.
        colors: float [V 3] linear, in [0, 1]; None for none.
        material: None for none, in all parts or in no part.
        body: vertices of parts with the same body may be one.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray | None = None
    colors: np.ndarray | None = None
    material: Material | None = None
    body: Hashable = None


def joined(parts: Sequence[Part], *, merge: bool) -> Mesh:
    """One mesh of parts, in their order; parts without colours are white if others have some.

    Args:
        parts: one at least; materials are told apart by identity.
        merge: whether vertices of one body that have the same place and colour become one. The first of them stays,
            so that the order does not change.

    Raises:
        ValueError: a face refers to a vertex that is not in its part.
    """
    for part in parts:
        if part.faces.min() < 0 or part.faces.max() >= len(part.vertices):
            raise ValueError(f'a face refers to none of {len(part.vertices)} vertices')
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts]).astype(np.float32)
    faces = np.concatenate([part.faces + begin for part, begin in zip(parts, offsets)])
    colors = uvs = uv_faces = None
    if any(part.colors is not None for part in parts):
        white = [np.ones((len(part.vertices), 3)) if part.colors is None else part.colors for part in parts]
        colors = np.concatenate(white).astype(np.float32)
    if any(part.uvs is not None for part in parts):
        uvs, index = _distinct(np.concatenate([part.uvs for part in parts if part.uvs is not None]))
        begin, corners = 0, []
        for part in parts:
            corners.append(np.full_like(part.faces, -1) if part.uvs is None else index[part.faces + begin])
            begin += 0 if part.uvs is None else len(part.uvs)
        uv_faces = np.concatenate(corners).astype(np.int32)
    if merge:
        bodies = list(dict.fromkeys(part.body for part in parts))
        body = np.concatenate([np.full((len(part.vertices), 1), bodies.index(part.body)) for part in parts])
        rows, index = _distinct(np.concatenate([vertices, body] if colors is None else [vertices, body, colors], 1))
        vertices, colors, faces = rows[:, :3], None if colors is None else rows[:, 4:], index[faces]
    materials = tuple({id(part.material): part.material for part in parts if part.material}.values())
    order = {id(material): k for k, material in enumerate(materials)}
    material = None
    if len(materials) > 1:
        material = np.concatenate([np.full(len(part.faces), order[id(part.material)], np.int32) for part in parts])
    return Mesh(
        vertices=vertices,
        faces=faces.astype(np.int32),
        uvs=uvs,
        uv_faces=uv_faces,
        colors=colors,
        material=material,
        materials=materials,
    )


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows float32 [n c], each once, in the order of their first appearance, and where each row of old is [n]."""
    rows = rows.astype(np.float32) + np.float32(0)  # -0 and 0 are one
    order = np.lexsort(rows.T[::-1])
    ascending = rows[order]
    new = np.ones(len(rows), bool)
    new[1:] = (ascending[1:] != ascending[:-1]).any(1)
    # Of equal rows the sort, which is stable, has the first in front.
    first = order[new]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    index = np.empty(len(rows), np.int64)
    index[order] = rank[np.cumsum(new) - 1]
    return rows[np.sort(first)], index
