"""Triangles as 4^n, by halving edges n times: which points that makes of three corners, and which triangles."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from neurend.geometry import triangles
from neurend.geometry.triangles import Topology
from neurend.typing import Array


class Grid(NamedTuple):
    """A triangle divided (NumPy).

    Attributes:
        halved: for each time, int32 [E 2], pairs of points whose middles are the next points.
        weights: int32 [G 3] of the corners at each of the points, in units of 1/2^n.
        triangles: int32 [4^n 3] into the points, which run round like the corners.
    """

    halved: tuple[np.ndarray, ...]
    weights: np.ndarray
    triangles: np.ndarray


@functools.lru_cache
def grid(divisions: int) -> Grid:
    """The grid of a triangle that is divided so many times."""
    halved, weights, faces = [], np.eye(3, dtype=np.int32), np.array([[0, 1, 2]], np.int32)
    for _ in range(divisions):
        edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
        pairs, index = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
        middles = (len(weights) + index.reshape(-1, 3)).astype(np.int32)
        a, b, c = faces.T
        ab, bc, ca = middles.T
        children = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        faces = np.stack([np.stack(child, axis=1) for child in children], axis=1).reshape(-1, 3)
        weights = np.concatenate([2 * weights, weights[pairs].sum(1)])
        halved.append(pairs)
    return Grid(tuple(halved), weights, faces)


def points(corners: Array, divisions: int) -> Array:
    """Points of all triangles' grids; those of an edge are the same, bit for bit, in both triangles that share it.

    Args:
        corners: [F 3 c].

    Returns:
        [G F c].
    """
    found = jnp.moveaxis(corners, 1, 0)
    for pairs in grid(divisions).halved:
        # A sum of two and a half: no order of corners and no fused multiplication changes its rounding.
        found = jnp.concatenate([found, 0.5 * (found[pairs[:, 0]] + found[pairs[:, 1]])])
    return found


def faces(count: int, usable: Array, divisions: int) -> Array:
    """Triangles int32 [F 4^n 3] into the points, flat; -1 where the face is not `usable` [F]."""
    index = grid(divisions).triangles[None] * count + np.arange(count, dtype=np.int32)[:, None, None]
    return jnp.where(usable[:, None, None], index, -1)


def topology(faces: np.ndarray, divisions: int) -> Topology:
    """Neighbours among all divided triangles, as of `triangles.topology`, into the points, flat.

    Points of an edge that two faces share stand for each other.
    """
    count, parts = len(faces), grid(divisions)
    usable = np.all(faces >= 0, axis=1)
    # A point is known by the vertices it lies between and by how much.
    weights = np.broadcast_to(parts.weights[:, None], (len(parts.weights), count, 3)).reshape(-1, 3)
    vertices = np.where(weights > 0, np.tile(faces, (len(parts.weights), 1)), -1)
    order = np.argsort(vertices, axis=1, kind='stable')
    key = np.concatenate([np.take_along_axis(part, order, axis=1) for part in (vertices, weights)], axis=1)
    _, first, index = np.unique(key, axis=0, return_index=True, return_inverse=True)
    index = index.reshape(-1)
    divided = parts.triangles[None] * count + np.arange(count)[:, None, None]
    shared = np.where(usable[:, None, None], first[index][divided], -1).reshape(-1, 3)
    return triangles.topology(shared.astype(np.int32))
