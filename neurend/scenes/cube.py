"""A cube whose sides are divided and laid out in a texture: what boxes and balls with UVs are made of (NumPy)."""

import numpy as np

from neurend import checks
from neurend.scenes.meshes import Mesh


def cube(cells: int = 1, *, resolution: int = 1024, padding: int = 2) -> Mesh:
    """The cube from -1 to 1 along each axis; sides are one surface, and rectangles of their own in the texture.

    Those that look along -x, -y and -z lie side by side, those along x, y and z above. None is mirrored.

    Args:
        cells: along every edge: 12 cells^2 faces.
        resolution: of the texture that is meant, in texels, which the next option is counted in.
        padding: texels between sides.

    Returns:
        A mesh with float64 vertices.

    Raises:
        InputError: an option is out of range.
    """
    if cells < 1 or resolution < 1 or not 0 <= padding <= resolution / 8:
        raise checks.InputError(
            f'cells, resolution, padding: got {cells}, {resolution} and {padding}, expected at least 1, 1 and 0, and '
            'at most an eighth of the resolution as padding'
        )
    steps = np.linspace(0, 1, cells + 1)
    v, u = (each.reshape(-1) for each in np.meshgrid(steps, steps, indexing='ij'))
    places, uvs = [], []
    margin = padding / resolution / 2
    for axis in range(3):
        for side in (-1, 1):
            # u, v and the outward normal are right-handed.
            first, second = ((axis + 1) % 3, (axis + 2) % 3) if side > 0 else ((axis + 2) % 3, (axis + 1) % 3)
            place = np.empty((len(u), 3))
            place[:, axis], place[:, first], place[:, second] = side, 2 * u - 1, 2 * v - 1
            places.append(place)
            low = np.array([axis / 3, (side > 0) / 2]) + margin
            uvs.append(low + np.stack([u, v], axis=-1) * (np.array([1 / 3, 1 / 2]) - 2 * margin))
    index = np.arange(len(u)).reshape(cells + 1, cells + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    pairs = np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)], axis=-2).reshape(-1, 3)
    uv_faces = np.concatenate([pairs + k * len(u) for k in range(6)]).astype(np.int32)
    # One vertex where sides meet: they have exactly the same coordinates there.
    vertices, vertex = np.unique(np.concatenate(places), axis=0, return_inverse=True)
    faces = vertex.reshape(-1)[uv_faces].astype(np.int32)
    return Mesh(vertices, faces, np.concatenate(uvs).astype(np.float32), uv_faces)
