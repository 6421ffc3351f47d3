"""A film around the face: frames with a hole where the tracked mesh is, which a network fills (Thies et al., 2020)."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from neurend.data import backdrop, tracked_head
from neurend.data.tracked_head import Part, Performance, TrackedHead
from neurend.geometry import clip
from neurend.render import rasterize
from neurend.typing import Array


def surrounded(head: TrackedHead, *, part: Part, margin: float) -> TrackedHead:
    """The head with surroundings: its own frames, but for a hole about the mesh.

    Args:
        head: filmed.
        part: of its mesh that is drawn.
        margin: of the hole, see `backdrop.hole`.
    """
    holes = [backdrop.hole(each, margin) for each in silhouettes(head, head.performance, part)]
    return dataclasses.replace(head, surroundings=backdrop.around(head.images, np.stack(holes)))


def silhouettes(head: TrackedHead, performance: Performance, part: Part) -> Iterator[np.ndarray]:
    """Where the mesh is seen in each frame of a performance: bool `[h w]`."""
    still = jax.device_put((head.camera, head.mesh, tracked_head.triangles_of(head.mesh, part)))
    height, width = head.images.shape[1:3]

    @jax.jit
    def seen(still: Any, expression: Array, pose: Array) -> Array:
        camera, mesh, faces = still
        points = clip.from_camera(camera, tracked_head.pose(mesh, expression, pose))
        return rasterize.rasterize(points, faces, width=width, height=height).face >= 0

    count = len(performance.expressions)
    for each in tqdm(zip(*performance), total=count, desc='looking for the mesh', unit='frame'):
        yield np.asarray(seen(still, *each))


def painted(head: TrackedHead, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Of the frames held out, what a network must paint: bool `[t h w]`, in the hole and beyond the mesh.

    And what stands there without one, the nearest colours around the hole, uint8 `[t h w 3]`.
    """
    assert head.surroundings is not None
    around = head.surroundings[head.train :]
    performance = Performance(*(each[head.train :] for each in head.performance))
    mesh = np.stack(list(silhouettes(head, performance, part)))
    return (around[..., 3] == 0) & ~mesh, around[..., :3]


def told(head: TrackedHead) -> str:
    """What protocols say of surroundings."""
    assert head.surroundings is not None
    share = (head.surroundings[head.train :, ..., 3] == 0).mean()
    return f'the frames themselves, but for a hole about the mesh, {share:.0%} of the pixels of frames held out'
