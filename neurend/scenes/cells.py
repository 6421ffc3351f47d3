"""Surfaces of cells that are occupied or not, as meshes (NumPy): proxies of objects of which only a hull is known."""

import numpy as np

from neurend import checks
from neurend.scenes.meshes import Mesh


def surface(cells: np.ndarray, *, low: np.ndarray, edge: float, smoothing: int = 0) -> Mesh:
    """The faces between occupied cells and others, two triangles each, counter-clockwise seen from outside.

    Corners that cells share are one vertex each, also where cells touch along an edge or at a corner alone.

    Args:
        cells: bool [X Y Z]; outside of the grid nothing is occupied.
        low: [3] corner of the first cell.
        edge: of a cell.
        smoothing: how often every vertex goes to the mean of its neighbours. Stairs turn into slopes, and the whole
            shrinks a little.

    Raises:
        InputError: no cell is occupied.

    >>> mesh = surface(np.ones((1, 1, 1), bool), low=np.zeros(3), edge=2.0)
    >>> len(mesh.vertices), len(mesh.faces), mesh.vertices.max(axis=0).tolist()
    (8, 12, [2.0, 2.0, 2.0])
    """
    checks.shape('cells', cells, 'X Y Z')
    if not cells.any():
        raise checks.InputError('cells: got none that is occupied, expected at least one')
    padded = np.pad(cells, 1)
    quads = []
    for axis in range(3):
        across = [(axis + 1) % 3, (axis + 2) % 3]
        for side in (0, 1):
            neighbour = np.roll(padded, 1 - 2 * side, axis)[1:-1, 1:-1, 1:-1]
            first = np.argwhere(cells & ~neighbour)
            first[:, axis] += side
            # Counter-clockwise about the axis; the other way round on the side that it points into.
            steps = np.zeros((4, 3), np.int64)
            steps[:, across] = [(0, 0), (1, 0), (1, 1), (0, 1)]
            quads.append(first[:, None] + steps[None, :: 1 if side else -1])
    corners = np.concatenate(quads)
    places, index = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    index = index.reshape(-1, 4)
    vertices = places * float(edge) + np.asarray(low, np.float64)
    for _ in range(smoothing):
        vertices = _relaxed(vertices, index)
    faces = np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def _relaxed(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    sums, counts = np.zeros_like(vertices), np.zeros(len(vertices))
    # Each edge belongs to as many quads on either side, so that neighbours count alike.
    for k in range(4):
        np.add.at(sums, quads[:, k], vertices[quads[:, (k + 1) % 4]])
        np.add.at(counts, quads[:, k], 1)
    return sums / counts[:, None]
