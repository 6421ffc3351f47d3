"""Regularisers of meshes whose vertices are fitted, each a mean over what is no padding; zero where there is nothing.

Neighbours come from `neurend.geometry.triangles.topology`, once per set of faces. Indices of -1 are padding.
"""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry import smoothing, triangles
from neurend.geometry.leading import floating
from neurend.numerics import safe_divide, safe_norm
from neurend.typing import Array


def laplacian(vertices: Array, edges: Array) -> Array:
    """Mean squared distance of vertices from the centroids of their neighbours (Nealen et al., 2006): smooths.

    Args:
        vertices: [V 3]; those without edges are left out.
        edges: int32 [E 2].
    """
    count = smoothing.degrees(edges, len(vertices)).astype(floating(vertices).dtype)
    umbrella = safe_divide(smoothing.laplacian(vertices, edges), count[:, None])
    return safe_divide(jnp.sum(jnp.square(umbrella)), jnp.sum(count > 0))


def edge_length(vertices: Array, edges: Array, target: Array | float | None = None) -> Array:
    """Mean squared length of edges, or mean squared difference of their lengths from `target`.

    Args:
        vertices: [V 3].
        edges: int32 [E 2].
        target: length, in the units of the vertices; None for squared lengths, which pull edges to nothing.
    """
    vertices, edges = floating(vertices), jnp.asarray(edges)
    checks.shape('vertices', vertices, 'V 3', 'One mesh; use jax.vmap for more')
    checks.shape('edges', edges, 'E 2', 'Give those of neurend.geometry.triangles.topology')
    a, b = jnp.moveaxis(triangles.corners(vertices, edges), 1, 0)
    values = jnp.sum(jnp.square(a - b), axis=-1) if target is None else jnp.square(safe_norm(a - b) - target)
    used = (edges >= 0).all(-1)
    return safe_divide(jnp.sum(jnp.where(used, values, 0)), jnp.sum(used))


def normal_consistency(vertices: Array, faces: Array, edge_faces: Array) -> Array:
    """Mean of 1 - cos of the angles between the normals of neighbouring faces: 0 where flat, up to 2 where folded.

    Args:
        vertices: [V 3].
        faces: int32 [F 3].
        edge_faces: int32 [E 2]. Edges with one face are left out, as are those of faces without area.
    """
    faces, edge_faces = jnp.asarray(faces), jnp.asarray(edge_faces)
    checks.shape('faces', faces, 'F 3')
    checks.shape('edge_faces', edge_faces, 'E 2', 'Give those of neurend.geometry.triangles.topology')
    normals = triangles.face_normals(vertices, faces)
    one, other = jnp.moveaxis(triangles.corners(normals, edge_faces), 1, 0)
    used = jnp.any(one != 0, axis=-1) & jnp.any(other != 0, axis=-1)
    return safe_divide(jnp.sum(jnp.where(used, 1 - jnp.sum(one * other, axis=-1), 0)), jnp.sum(used))
