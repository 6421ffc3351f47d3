"""Simple closed and open meshes, for tests, demonstrations and as first guesses (NumPy)."""

import numpy as np

from neurend import checks
from neurend.scenes import remesh
from neurend.scenes.meshes import Mesh


def sphere(subdivisions: int = 3, radius: float = 1.0) -> Mesh:
    """An icosahedron whose triangles are divided in four `subdivisions` times: 20 * 4^n faces of much the same size."""
    if not 0 <= subdivisions <= 8:
        raise checks.InputError(f'subdivisions: got {subdivisions}, expected 0 to 8')
    golden = (1 + 5**0.5) / 2
    vertices = np.array([(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)], np.float64)
    vertices = np.concatenate([np.roll(vertices, k, axis=1) for k in range(3)])
    near = np.linalg.norm(vertices[:, None] - vertices[None], axis=-1) < 2.1
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    faces = np.array(faces)
    inward = np.linalg.det(vertices[faces]) < 0
    faces[inward] = faces[inward][:, ::-1]
    for _ in range(subdivisions):
        divided = remesh.subdivide(Mesh(vertices, faces))
        vertices = divided.vertices / np.linalg.norm(divided.vertices, axis=-1, keepdims=True)
        faces = divided.faces
    vertices *= radius / np.linalg.norm(vertices, axis=-1, keepdims=True)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def box(size: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Mesh:
    """A box about the origin: 8 vertices, 12 faces."""
    vertices = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5], indexing='ij'), axis=-1).reshape(-1, 3)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [(quad[0], quad[k], quad[k + 1]) for quad in quads for k in (1, 2)]
    return Mesh((vertices * np.array(size)).astype(np.float32), np.array(faces, np.int32))


def plane(cells: int = 1, size: float = 1.0) -> Mesh:
    """A square in the plane z = 0, facing +z, of `cells` x `cells` squares, with UVs over the unit square."""
    if cells < 1:
        raise checks.InputError(f'cells: got {cells}, expected at least 1')
    steps = np.linspace(0, 1, cells + 1)
    uvs = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    vertices = np.concatenate([(uvs - 0.5) * size, np.zeros((len(uvs), 1))], axis=-1)
    faces = _grid(cells + 1, cells + 1)
    return Mesh(vertices.astype(np.float32), faces, uvs.astype(np.float32), faces)


def torus(radius: float = 1.0, tube: float = 0.35, around: int = 48, across: int = 24) -> Mesh:
    """A ring about the z axis with UVs: u around, v across; seams have UVs of their own on both sides."""
    if around < 3 or across < 3:
        raise checks.InputError(f'around, across: got {around} and {across}, expected at least 3')
    u, v = np.meshgrid(np.arange(around + 1) / around, np.arange(across + 1) / across)
    uv_faces = _grid(across + 1, around + 1)
    angle, turn = 2 * np.pi * u[:-1, :-1], 2 * np.pi * v[:-1, :-1]
    distance = radius + tube * np.cos(turn)
    vertices = np.stack([distance * np.cos(angle), distance * np.sin(angle), tube * np.sin(turn)], axis=-1)
    row, column = np.divmod(uv_faces, around + 1)
    faces = (row % across) * around + column % around
    uvs = np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32)
    return Mesh(vertices.reshape(-1, 3).astype(np.float32), faces.astype(np.int32), uvs, uv_faces)


def _grid(rows: int, columns: int) -> np.ndarray:
    """Two triangles for each cell of a grid of vertices, counter-clockwise where x grows with columns, y with rows."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    pairs = np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)], axis=-2)
    return pairs.reshape(-1, 3).astype(np.int32)
