"""Triangles of a mesh: normals, areas, and which are neighbours."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.leading import floating
from neurend.numerics import normalize, safe_norm
from neurend.typing import Array


def corners(values: Array, faces: Array) -> Array:
    """Values [V c] at the corners of faces int32 [F 3]: [F 3 c], zeros for faces of -1."""
    values, faces = floating(values), jnp.asarray(faces)
    found = values.at[jnp.maximum(faces, 0)].get(mode='clip')
    return jnp.where((faces >= 0)[..., None], found, 0)


def cross_products(vertices: Array, faces: Array) -> Array:
    """[F 3]: along the normals of faces, as long as twice their areas."""
    a, b, c = jnp.moveaxis(corners(vertices, faces), 1, 0)
    return jnp.cross(b - a, c - a)


def areas(vertices: Array, faces: Array) -> Array:
    """[F], 0 for padding."""
    return 0.5 * safe_norm(cross_products(vertices, faces))


def face_normals(vertices: Array, faces: Array) -> Array:
    """[F 3] unit, counter-clockwise faces towards the viewer; zero for faces without area."""
    return normalize(cross_products(vertices, faces))


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """[V 3] unit: of the sum over a vertex's faces, weighted by area; zero for vertices without."""
    weighted = cross_products(vertices, faces)
    total = jnp.zeros((jnp.shape(vertices)[0] + 1, 3), weighted.dtype)
    faces = jnp.where(jnp.asarray(faces) >= 0, faces, jnp.shape(vertices)[0])
    for k in range(3):
        total = total.at[faces[:, k]].add(weighted)
    return normalize(total[:-1])


class Topology(NamedTuple):
    """Which faces of a mesh are neighbours (NumPy); it changes with the faces, not with the vertices.

    Attributes:
        edges: int32 [E 2], pairs of vertices, each once, the lower first.
        edge_faces: int32 [E 2], one and another face at each edge, -1 where there is none; a third is left out.
        opposite: int32 [E 2], the third vertices of these faces, -1 where there is none.
    """

    edges: np.ndarray
    edge_faces: np.ndarray
    opposite: np.ndarray


def topology(faces: Any) -> Topology:
    """Finds the neighbours, by sorting edges.

    Args:
        faces: int32 [F 3]; those of -1 have none.

    >>> topology(np.array([[0, 1, 2], [2, 1, 3]])).opposite.tolist()
    [[2, -1], [1, -1], [0, 3], [2, -1], [1, -1]]
    """
    faces = np.asarray(faces)
    checks.shape('faces', faces, 'F 3')
    count = len(faces)
    begin, end = (np.concatenate([faces[:, (k + step) % 3] for k in range(3)]) for step in (1, 2))
    pairs = np.stack([np.minimum(begin, end), np.maximum(begin, end)], axis=1)
    sides = np.arange(3 * count)  # side k * F + f lies opposite corner k of face f
    kept = pairs[:, 0] >= 0
    pairs, sides = pairs[kept], sides[kept]
    order = np.lexsort((sides % max(count, 1), pairs[:, 1], pairs[:, 0]))
    pairs, sides = pairs[order], sides[order]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(1)
    first = np.flatnonzero(new)
    size = np.diff(np.append(first, len(pairs)))
    one, other = sides[first], np.where(size > 1, sides[np.minimum(first + 1, max(len(sides) - 1, 0))], -1)
    edge_faces = np.stack([one % max(count, 1), np.where(other >= 0, other % max(count, 1), -1)], axis=1)
    apex = np.append(faces.T.reshape(-1), -1)
    opposite = np.stack([apex[one], apex[other]], axis=1)
    return Topology(pairs[first].astype(np.int32), edge_faces.astype(np.int32), opposite.astype(np.int32))
