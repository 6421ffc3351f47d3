"""Surfaces of meshes as points and as Gaussians, one for every face (NumPy, on the host).

Divide meshes until their faces are as small as detail is to be: `neurend.scenes.remesh.subdivide_to`. Points that are
spread at random, of which neighbours may be far apart, are those of `neurend.scenes.points.on_mesh`.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import rotations
from neurend.scenes import gaussians as gaussians_lib
from neurend.scenes import points as points_lib
from neurend.scenes.gaussians import Gaussians
from neurend.scenes.meshes import Mesh
from neurend.scenes.points import Points


def points(mesh: Mesh, features: Any, *, inset: float = 0.0) -> Points:
    """A point for every face, in its middle, with the radius that covers the face: discs of these leave no holes.

    Args:
        mesh: faces of -1, and those without area, get none.
        features: [V c] at the mesh's vertices, of which a point has the mean of its face.
        inset: how far points lie beneath the surface, in their radii. With 1, discs that face a camera end where a
            rounded surface's outline is; with 0 they stick out by up to their radius.

    Raises:
        InputError: a shape does not fit, numbers are not finite, or no face has an area.
    """
    corners, normals, shown = _faces(mesh, features)
    middles = corners.mean(axis=1)
    radii = np.linalg.norm(corners - middles[:, None], axis=-1).max(axis=1)
    return points_lib.make(middles - inset * radii[:, None] * normals, shown, radii=radii)


def gaussians(
    mesh: Mesh, colors: Any, *, spread: float = 2.5, thickness: float = 0.05, opacity: float = 0.98, degree: int = 0
) -> Gaussians:
    """A flat Gaussian on every face, with the face's own second moments (as Waczynska et al., "GaMeS", 2024, have them
    on faces).

    Args:
        mesh: faces of -1, and those without area, get none.
        colors: [V 3] at the mesh's vertices, in [0, 1].
        spread: standard deviations, in those of the face, 0.2 of an edge of a regular triangle. Of less than 2.5
            corners let light through, which then shows what is behind; a mesh's border fades out over as much.
        thickness: standard deviation across the face, in the lesser one along it.
        opacity: of all, between 0 and 1.
        degree: of the harmonics.

    Raises:
        InputError: a shape does not fit, numbers are out of range or not finite, or no face has an area.
    """
    checks.shape('colors', colors, 'V 3')
    if not (spread > 0 and thickness > 0):
        raise checks.InputError(f'spread, thickness: got {spread} and {thickness}, expected above 0')
    corners, normals, shown = _faces(mesh, colors)
    middles = corners.mean(axis=1)
    away = corners - middles[:, None]
    # Of a triangle's area about its middle: a twelfth of the sum over corners.
    values, axes = np.linalg.eigh(np.einsum('fki,fkj->fij', away, away) / 12)
    scales = spread * np.sqrt(np.maximum(values[:, 1:], 1e-8 * values[:, 2:]))
    scales = np.concatenate([thickness * scales[:, :1], scales], axis=-1)
    # Two of the axes span the face; a third, that is its normal, makes of them a rotation.
    frame = np.stack([normals, axes[:, :, 1], np.cross(normals, axes[:, :, 1])], axis=-1)
    turned = rotations.quaternion_from_matrix(jnp.asarray(frame, jnp.float32))
    return gaussians_lib.make(middles, scales, rotations=turned, opacities=opacity, colors=shown, degree=degree)


def _faces(mesh: Mesh, features: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners [F 3 3], unit normals [F 3] and mean features [F c] of the faces that have an area."""
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces)
    sizes = checks.shape('mesh.vertices', vertices, 'V 3')
    checks.shape('features', features, 'V c', 'Give one for every vertex of the mesh', sizes=sizes)
    checks.finite('mesh.vertices', vertices)
    faces = faces[(faces >= 0).all(-1)]
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=-1)
    real = areas > 0
    if not real.any():
        raise checks.InputError(f'mesh: got {len(faces)} faces without area, expected some with')
    mean = np.asarray(features, np.float32)[faces[real]].mean(axis=1)
    return corners[real], normals[real] / areas[real, None], mean
