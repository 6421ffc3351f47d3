"""Conditions of a tracked head, drawn from its mesh and its landmarks, for experiments that learn to finish them."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.data import tracked_head
from neurend.data.tracked_head import PARTS, FaceMesh, Performance, TrackedHead
from neurend.geometry import cameras
from neurend.models.reenactment import face_conditions, face_texture
from neurend.models.reenactment.face_conditions import FaceMaps, Surface
from neurend.render import texture
from neurend.typing import Array

Kind = Literal['mesh', 'landmarks', 'both']
_TEXTURED = 80  # frames that the mean texture is made of, about


class Drawn(NamedTuple):
    """Conditions of a performance.

    Attributes:
        conditions: uint8 [t h w c].
        masks: uint8 [t h w], 255 where the face is.
        landmarks: float32 [t 68 2] in pixels.
    """

    conditions: np.ndarray
    masks: np.ndarray
    landmarks: np.ndarray


def surface_of(mesh: FaceMesh) -> Surface:
    """The surface that conditions are drawn of."""
    white, iris = (mesh.parts == PARTS.index(part) for part in ('sclera', 'iris'))
    return face_conditions.surface(mesh.vertices, mesh.faces, mesh.uvs, white=white, iris=iris)


def artist(head: TrackedHead, kind: Kind, *, background: bool, texels: int) -> Callable[[Performance], Drawn]:
    """Makes a function that draws the conditions of performances of a head.

    Args:
        head: whose mesh, camera and, for the mean texture, frames to learn from.
        kind: 'mesh' gives the 11 channels of `face_conditions.mesh_condition`, 'landmarks' the 3 of
            `face_conditions.landmark_condition`, 'both' those of the mesh and the lines alone, 1.
        background: whether the known background lies behind; black otherwise.
        texels: side of the mean texture, a power of two.
    """
    mesh, (height, width) = head.mesh, head.background.shape[:2]
    surface, camera = surface_of(mesh), jax.tree.map(jnp.asarray, head.camera)
    black = np.zeros_like(head.background)
    behind = head.background if background else black

    @jax.jit
    def maps_of(expression: Array, world_from_head: Array) -> tuple[FaceMaps, Array]:
        points = tracked_head.pose(mesh, expression, world_from_head)
        marks, _ = cameras.project(camera, points[mesh.landmarks])
        return face_conditions.face_maps(surface, camera, points, width=width, height=height), marks

    shade = None if kind == 'landmarks' else _shader(head, maps_of, behind, texels)

    def draw(performance: Performance) -> Drawn:
        frames = []
        for frame in zip(*performance):
            maps, marks = maps_of(*frame)
            marks = np.asarray(marks)
            parts = [] if shade is None else [np.asarray(shade(maps))]
            if kind == 'landmarks':
                parts.append(face_conditions.landmark_condition(marks, behind))
            elif kind == 'both':
                parts.append(face_conditions.landmark_condition(marks, black)[..., :1])
            mask = np.where(np.asarray(maps.mask), np.uint8(255), np.uint8(0))
            frames.append((np.concatenate(parts, axis=-1), mask, marks))
        return Drawn(*map(np.stack, zip(*frames)))

    return draw


def _shader(
    head: TrackedHead, maps_of: Callable[[Array, Array], tuple[FaceMaps, Array]], behind: np.ndarray, texels: int
) -> Callable[[FaceMaps], Array]:
    """Makes a function that renders maps with the mean texture of frames to learn from."""
    poses = list(zip(*head.performance))
    chosen = range(0, head.train, max(1, head.train // _TEXTURED))
    frames = ((maps_of(*poses[k])[0], unit(head.images[k])) for k in chosen)
    levels = texture.pyramid(face_texture.mean_texture(frames, size=texels))
    background, depths = unit(behind), _depths(head)

    @jax.jit
    def shade(maps: FaceMaps) -> Array:
        return jnp.round(255 * face_conditions.mesh_condition(maps, levels, background, depths)).astype(jnp.uint8)

    return shade


def unit(picture: Any) -> Array:
    """A picture of bytes in [0, 1]."""
    return jnp.asarray(picture, jnp.float32) / 255


def _depths(head: TrackedHead) -> tuple[float, float]:
    """A range that holds the face wherever it turns, as far from the camera as in the first frame."""
    center = head.performance.world_from_head[0, :3, 3]
    radius = float(np.linalg.norm(head.mesh.vertices, axis=-1).max())
    depth = float((center - head.camera.world_from_camera[:3, 3]) @ head.camera.world_from_camera[:3, 2])
    return max(depth - radius, 0.0), depth + radius
