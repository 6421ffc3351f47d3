"""How tracked heads move, by their meshes: flicker of films, the region of the mouth, and how far it is open."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from neurend.data import tracked_head
from neurend.data.tracked_head import FaceMesh, Performance, TrackedHead
from neurend.geometry import cameras, clip
from neurend.losses import temporal
from neurend.render import motion
from neurend.typing import Array

# Of the 68 landmarks.
_LIPS = slice(48, 68)
_INNER_UPPER, _INNER_LOWER = 62, 66
_MARGIN = 1 / 3  # of the mouth's width


def flicker(head: TrackedHead, performance: Performance, frames: Sequence[np.ndarray]) -> list[float]:
    """What changes from each frame to the next but by the motion of the mesh: `losses.temporal.warp_error` of each.

    Args:
        head: whose mesh and camera; what is behind it stands still.
        performance: of the frames.
        frames: t of [h w 3] in [0, 1].

    Returns:
        t - 1 numbers.
    """
    height, width = head.background.shape[:2]
    camera, faces = jax.tree.map(jnp.asarray, head.camera), jnp.asarray(head.mesh.faces)

    @jax.jit
    def error(now: tuple[Array, ...], before: tuple[Array, ...], frame: Array, previous: Array) -> Array:
        here, there = (clip.from_camera(camera, tracked_head.pose(head.mesh, *each)) for each in (now, before))
        ways = [motion.flow(*pair, faces, width=width, height=height) for pair in ((here, there), (there, here))]
        return temporal.warp_error(frame, previous, ways[0], temporal.visible(*ways))

    moments = [tuple(map(jnp.asarray, each)) for each in zip(*performance)]
    pictures = [jnp.asarray(frame) for frame in frames]
    return [float(error(*pair)) for pair in zip(moments[1:], moments, pictures[1:], pictures)]


def mouth_masks(head: TrackedHead, performance: Performance) -> np.ndarray:
    """The box of the lips' landmarks, a third of its width larger on every side: uint8 [t h w], 255 inside."""
    height, width = head.background.shape[:2]
    x, y = np.moveaxis(np.asarray(cameras.pixel_centers(width, height)), -1, 0)
    camera = jax.tree.map(jnp.asarray, head.camera)
    lips = head.mesh.landmarks[_LIPS]

    @jax.jit
    def marks_of(expression: Array, world_from_head: Array) -> Array:
        points = tracked_head.pose(head.mesh, expression, world_from_head)
        return cameras.project(camera, points[lips])[0]

    masks = []
    for frame in zip(*performance):
        marks = np.asarray(marks_of(*frame))
        margin = _MARGIN * np.ptp(marks[:, 0])
        (left, top), (right, bottom) = marks.min(0) - margin, marks.max(0) + margin
        masks.append((x > left) & (x < right) & (y > top) & (y < bottom))
    return np.where(masks, np.uint8(255), np.uint8(0))


def gap(mesh: FaceMesh, performance: Performance) -> np.ndarray:
    """Distance between the middles of upper and lower lip, at their inner borders, in units of the mesh: [t]."""
    upper, lower = (mesh.landmarks[k] for k in (_INNER_UPPER, _INNER_LOWER))
    apart = mesh.vertices[upper] - mesh.vertices[lower]
    moves = mesh.deltas[:, upper] - mesh.deltas[:, lower]
    return np.linalg.norm(apart[None] + performance.expressions @ moves, axis=-1)
