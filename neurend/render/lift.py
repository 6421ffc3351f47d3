"""Between pictures and volumes of features: lifting, its adjoint, camera volumes, and visibility along rays.

A volume of n cells a side fills a cube of the world and is indexed by x first. As DeepVoxels (Sitzmann et al., 2019) do
it: features of a picture go to the cells whose centres project onto them, whatever hides a cell; a camera sees the
volume resampled to planes of its own depth; and a softmax along each ray says where it stops. Maps between the two are
computed where they are used and all of it is differentiable, also in cameras.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.render import texels
from neurend.typing import Array

_NEAREST = 0.01  # depth of the first plane of a camera inside the cube, in its sides


class Cube(NamedTuple):
    """Where a volume lies, its faces along the axes of the world.

    Attributes:
        center: [3] in the world.
        side: [] in world units.
    """

    center: Array
    side: Array


def cell_centers(cube: Cube, cells: int, *, offset: float = 0.5) -> Array:
    """Where the values of a volume lie in the world, [n n n 3]; `offset` is where in a cell, 0.5 for its middle."""
    along = ((jnp.arange(cells) + offset) / cells - 0.5) * cube.side
    x, y, z = jnp.meshgrid(along, along, along, indexing='ij')
    return jnp.stack([x, y, z], axis=-1) + cube.center[None, None, None]


def lift(features: Array, camera: Camera, points: Array) -> tuple[Array, Array]:
    """What a picture shows where points project onto it, bilinear; nothing knows what is hidden.

    Args:
        features: [H W C].
        camera: one, of a picture of this size.
        points: [... 3] in the world.

    Returns:
        Features [... C], zeros where a point is behind the camera or beside the picture, and whether it is neither,
        bool [...].
    """
    height, width, channels = features.shape
    flat = points.reshape(-1, 3)
    places, weights, seen = _onto_picture(camera, flat, (width, height))
    found = texels.weighted(features.reshape(-1, channels), places, weights)
    return found.reshape(*points.shape[:-1], channels), seen.reshape(points.shape[:-1])


def splat(values: Array, camera: Camera, points: Array, size: tuple[int, int]) -> Array:
    """The adjoint of `lift`: adds what points hold to the four pixels around where they project.

    Args:
        values: [... C].
        camera: one, of a picture of this size.
        points: [... 3] in the world.
        size: (width, height) of the picture.

    Returns:
        [H W C], `sum(splat(v) * f) = sum(v * lift(f))` for all v and f.
    """
    width, height = size
    flat = points.reshape(-1, 3)
    places, weights, _ = _onto_picture(camera, flat, size)
    return _spread(values.reshape(len(flat), -1), places, weights, width * height).reshape(height, width, -1)


def plane_depths(camera: Camera, cube: Cube, planes: int, *, span: float = 3**0.5) -> Array:
    """Depths [D] in world units of planes, evenly spaced before and behind the middle of the cube.

    Args:
        camera: one.
        cube: that is looked at.
        planes: D.
        span: from the nearest to the farthest, and half a spacing more at both ends, in sides of the cube; its diagonal
            sees all of the cube from everywhere. Planes behind a camera that is inside move in front of it.
    """
    offset = cube.center - camera.world_from_camera[:3, 3]
    middle = jnp.sum(camera.world_from_camera[:3, 2] * offset)
    near = jnp.maximum(middle - span / 2 * cube.side, _NEAREST * cube.side)
    far = jnp.maximum(middle + span / 2 * cube.side, near + _NEAREST * cube.side)
    return near + (jnp.arange(planes) + 0.5) / planes * (far - near)


def resample(
    volume: Array, cube: Cube, camera: Camera, depths: Array, size: tuple[int, int], *, offset: float = 0.5
) -> Array:
    """A volume as a camera sees it, trilinear: values on its rays, zeros outside the cube.

    Args:
        volume: [n n n C], x first.
        cube: where it lies.
        camera: one, of a picture of this size.
        depths: [D] of planes.
        size: (width, height).
        offset: see `cell_centers`.

    Returns:
        [H W D C].
    """
    channels = checks.shape('volume', volume, 'n n n C', 'One volume, x first, channels last')['C']
    width, height = size
    pixels = cameras.pixel_centers(width, height)[:, :, None]
    points = cameras.unproject(camera, pixels, depths[None, None]).reshape(-1, 3)
    places, weights = _into_volume(points, cube, volume.shape[0], offset)
    found = texels.weighted(volume.reshape(-1, channels), places, weights)
    return found.reshape(height, width, len(depths), channels)


def visibility(logits: Array, depths: Array) -> tuple[Array, Array]:
    """Where rays stop: a softmax along each.

    Args:
        logits: [... D].
        depths: [D].

    Returns:
        Weights [... D], which sum to one, and the soft depth [...], their mean of the depths.
    """
    weights = jax.nn.softmax(logits, axis=-1)
    return weights, weights @ depths


def collapse(weights: Array, volume: Array) -> Array:
    """Sums [... C] along rays of a camera volume [... D C] under weights [... D]."""
    return jnp.einsum('...d,...dc->...c', weights, volume)


def mean(lifted: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """What several views lifted, averaged where they see: the same in any order of the views.

    Args:
        lifted: features [... C] and bool [...] of each view, as `lift` gives them.

    Returns:
        Means [... C], zeros where no view sees, and whether one does.
    """
    counts = sum((seen.astype(jnp.float32) for _, seen in lifted), jnp.zeros(()))
    total = sum((features for features, _ in lifted), jnp.zeros(()))
    return total / jnp.maximum(counts, 1)[..., None], counts > 0


Taps = tuple[tuple[Array, ...], tuple[Array, ...]]


def _onto_picture(camera: Camera, points: Array, size: tuple[int, int]) -> tuple[*Taps, Array]:
    """Rows of a picture's pixels and their weights, for points [n 3]; weights are zero where `seen` is False."""
    pixels, depth = cameras.project(camera, points)
    edges = jnp.asarray(size, pixels.dtype)[None]
    seen = (depth > 0) & jnp.all((pixels >= 0) & (pixels <= edges), axis=-1)
    # Those that are not seen may project to anywhere, and have no gradients.
    places, weights = _taps(jnp.where(seen[:, None], pixels, 0.5)[:, ::-1] - 0.5, size[::-1])
    return places, tuple(jnp.where(seen, weight, 0) for weight in weights), seen


def _into_volume(points: Array, cube: Cube, cells: int, offset: float) -> Taps:
    position = ((points - cube.center[None]) / cube.side + 0.5) * cells
    inside = jnp.all((position >= 0) & (position <= cells), axis=-1)
    places, weights = _taps(jnp.where(inside[:, None], position, 0) - offset, (cells,) * 3)
    return places, tuple(jnp.where(inside, weight, 0) for weight in weights)


def _taps(position: Array, sizes: tuple[int, ...]) -> Taps:
    """Multilinear interpolation [n d] in an array of these sizes, value i at i; beyond, the border continues."""
    below, parts = [], []
    for axis, size in enumerate(sizes):
        at = jnp.clip(position[:, axis], 0, size - 1)
        low = jnp.clip(jnp.floor(at), 0, max(size - 2, 0))
        below.append(low.astype(jnp.int32))
        parts.append((1 - (at - low), at - low))
    places, weights = [], []
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        place, weight = jnp.zeros_like(below[0]), jnp.ones_like(parts[0][0])
        for axis, size in enumerate(sizes):
            place = place * size + jnp.minimum(below[axis] + corner[axis], size - 1)
            weight = weight * parts[axis][corner[axis]]
        places.append(place)
        weights.append(weight)
    return tuple(places), tuple(weights)


def _spread(values: Array, places: tuple[Array, ...], weights: tuple[Array, ...], rows: int) -> Array:
    table = jnp.zeros((rows, values.shape[-1]), values.dtype)
    return jax.vjp(lambda table: texels.weighted(table, places, weights), table)[1](values)[0]
