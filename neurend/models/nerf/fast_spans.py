"""Where along its ray each training pixel can see anything: cached, so that training steps march nothing else.

A span is the interval of distances between the first and the last place that matter. It is found for rays through the
nodes of a grid on each image and shrunk as surfaces form; a pixel reads the union of the four nodes around it.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import cameras as cameras_lib
from neurend.geometry import intersect
from neurend.geometry.cameras import Camera
from neurend.models.nerf import fast_field
from neurend.scenes import voxels as voxels_lib
from neurend.scenes.voxels import Voxels
from neurend.typing import Array

_CHUNK = 4096
# Optical depth beyond which nothing can be seen any more.
_HIDDEN = 6.0


def shape(sizes: np.ndarray, pixels: int) -> tuple[int, int]:
    """Rows and columns of nodes about `pixels` apart on images of `sizes` [n 2] (width, height)."""
    width, height = (int(-(-side // pixels)) for side in sizes.max(0))
    return height + 1, width + 1


def first_spans(voxels: Voxels, cameras: Camera, grid: tuple[int, int], *, near: float, far: float) -> Array:
    """Spans [n rows columns 2] from first to last occupied cell along the ray through each node.

    Rays that meet none have start +inf and stop -inf.

    Args:
        voxels: the grid; its cells must be larger than the nodes are apart.
        cameras: leading dim n.
        grid: rows, columns.
        near, far: bounds of the rays' t.
    """

    def one(camera: Camera) -> Array:
        rays = cameras_lib.rays(camera, _nodes(camera, grid, jnp.arange(grid[0] * grid[1])))
        low = jnp.asarray(voxels.low)
        high = low + jnp.asarray(voxels.cells.shape, jnp.float32) * voxels.edge
        enter, leave = intersect.ray_box(rays.origins, rays.viewdirs, low, high)
        length = jnp.linalg.norm(rays.directions, axis=-1)
        enter, leave = jnp.maximum(enter, near * length), jnp.minimum(leave, far * length)
        steps = jnp.ceil(jnp.max(leave - enter) / (0.5 * voxels.edge)).astype(jnp.int32)

        def body(k: Array, span: tuple[Array, Array]) -> tuple[Array, Array]:
            t = enter + (k + 0.5) * 0.5 * voxels.edge
            points = rays.origins.T + t[None] * rays.viewdirs.T
            hit = (voxels_lib.locate(voxels, points).cell > 0) & (t < leave)
            return jnp.where(hit, jnp.minimum(span[0], t), span[0]), jnp.where(hit, jnp.maximum(span[1], t), span[1])

        empty = jnp.full_like(enter, jnp.inf), jnp.full_like(enter, -jnp.inf)
        start, stop = jax.lax.fori_loop(0, steps, body, empty)
        margin = 0.5 * voxels.edge
        return jnp.stack([jnp.maximum(start - margin, enter), jnp.minimum(stop + margin, leave)], axis=-1)

    cameras = jax.tree.map(jnp.asarray, cameras)
    return jax.jit(lambda cameras: jax.lax.map(one, cameras))(cameras).reshape(*cameras.focal.shape[:1], *grid, 2)


def widened(voxels: Voxels) -> Voxels:
    """With every occupied cell's 26 neighbours: rays through nodes as far apart as two cells miss none of these."""
    cells = jax.lax.reduce_window(voxels.cells, 0, jax.lax.max, (3,) * 3, (1,) * 3, 'SAME')
    return dataclasses.replace(voxels, cells=cells)


def between(spans: Array) -> Array:
    """The unions [n rows-1 columns-1 2] of the four nodes around each of the places between them."""
    corners = [spans[:, :-1, :-1], spans[:, :-1, 1:], spans[:, 1:, :-1], spans[:, 1:, 1:]]
    start = functools.reduce(jnp.minimum, [corner[..., 0] for corner in corners])
    stop = functools.reduce(jnp.maximum, [corner[..., 1] for corner in corners])
    return jnp.stack([start, stop], axis=-1)


def at_pixels(places: Array, index: Array, pixels: Array, sizes: Array) -> Array:
    """Values [r c] of places [n rows columns c] at pixels [r 2] of the images `index` [r], whose sizes are [n 2]."""
    count, rows, columns, channels = places.shape
    place = (pixels / sizes[index] * jnp.array([[columns, rows]])).astype(jnp.int32)
    flat = (index * rows + jnp.clip(place[:, 1], 0, rows - 1)) * columns + jnp.clip(place[:, 0], 0, columns - 1)
    return places.reshape(count * rows * columns, channels)[flat]


def active_pixels(spans: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Numbers of the pixels whose spans of `between` are not empty, counted through all images row by row."""
    live = spans[..., 1] > spans[..., 0]
    rows, offset = [], 0
    for mask, (width, height) in zip(live, sizes.astype(np.int64)):
        x = ((np.arange(width) + 0.5) / width * mask.shape[1]).astype(np.int64)
        y = ((np.arange(height) + 0.5) / height * mask.shape[0]).astype(np.int64)
        rows.append(offset + np.flatnonzero(mask[y[:, None], x]))
        offset += width * height
    return np.concatenate(rows)


@functools.partial(jax.jit, static_argnames=('room', 'longest', 'shift', 'step'))
def refresh(
    voxels: Voxels,
    density: Array,
    cameras: Camera,
    spans: Array,
    *,
    room: float,
    longest: int,
    shift: float,
    step: float,
) -> tuple[Array, Array, Array]:
    """Renders every node of every image, and shrinks the spans to what is seen.

    Args:
        voxels: the grid.
        density: [r] its table.
        cameras: leading dim n.
        spans: [n rows columns 2].
        room: segments in the buffer for each of the 4096 rays of a round, on average: rays that find no room come next.
        longest, shift, step: see `fast_field.march`.

    Returns:
        New spans from the first occupied cell to where the ray is all but stopped, a cell wider on both sides (those of
        rays that need more than `longest` segments stay), and the greatest weight [m] of a sample in each cell, and the
        opacity [n rows columns] of each node.
    """
    budget = int(_CHUNK * room)
    _, rows, columns, _ = spans.shape
    flat = spans.reshape(-1, 2)
    live = flat[:, 1] > flat[:, 0]
    order = jnp.nonzero(live, size=flat.shape[0] + _CHUNK, fill_value=flat.shape[0])[0]
    total = jnp.sum(live)

    def body(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        done, result, greatest, opacity = carry
        nodes = jax.lax.dynamic_slice_in_dim(order, done, _CHUNK)
        used = nodes < flat.shape[0]
        safe = jnp.where(used, nodes, 0)
        index = safe // (rows * columns)
        camera = jax.tree.map(lambda leaf: leaf[index], cameras)
        rays = cameras_lib.rays(camera, _nodes(camera, (rows, columns), safe % (rows * columns)))
        start, stop = jnp.where(used, flat[safe, 0], jnp.inf), flat[safe, 1]
        offset = jnp.full(_CHUNK, 0.5)
        samples = fast_field.march(
            voxels, density, rays, start, stop, offset, budget=budget, longest=longest, shift=shift, step=step
        )
        ray = samples.segments.ray.repeat(fast_field.SEGMENT, total_repeat_length=samples.t.shape[0])
        seen = (samples.place.cell > 0) & (samples.before < _HIDDEN)
        target = jnp.where(seen, ray, _CHUNK)
        nearest = jnp.full(_CHUNK, jnp.inf).at[target].min(samples.t, mode='drop')
        farthest = jnp.full(_CHUNK, -jnp.inf).at[target].max(samples.t, mode='drop')
        margin = 1.5 * voxels.edge
        found = jnp.stack([jnp.maximum(nearest - margin, start), jnp.minimum(farthest + margin, stop)], axis=-1)
        complete = samples.segments.complete
        # So many always find room, also if none of them is short enough to be complete.
        sure = min(max(budget // (longest + 1), 1), _CHUNK)
        fitted = jnp.maximum(jnp.max(jnp.where(complete, jnp.arange(1, _CHUNK + 1), 0)), sure)
        used &= jnp.arange(_CHUNK) < fitted
        found = jnp.where(complete[:, None], found, flat[safe])
        target = jnp.where(used, safe, flat.shape[0])
        result = result.at[target].set(found, mode='drop')
        opacity = opacity.at[target].set(jnp.zeros(_CHUNK).at[ray].add(samples.weight), mode='drop')
        greatest = greatest.at[samples.place.cell].max(samples.weight, mode='promise_in_bounds')
        return done + fitted, result, greatest, opacity

    carry = jnp.zeros((), jnp.int32), flat, jnp.zeros(voxels.num_cells), jnp.zeros(flat.shape[0])
    _, flat, greatest, opacity = jax.lax.while_loop(lambda carry: carry[0] < total, body, carry)
    return flat.reshape(spans.shape), greatest, opacity.reshape(spans.shape[:3])


def _nodes(camera: Camera, grid: tuple[int, int], number: Array) -> Array:
    """Pixels [k 2] of nodes [k]."""
    rows, columns = grid
    share = jnp.stack([number % columns, number // columns], axis=-1) / jnp.array([[columns - 1, rows - 1]])
    return share * camera.size.astype(jnp.float32).reshape(-1, 2)
