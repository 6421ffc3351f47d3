"""What a view is drawn from: photographs near it and the depth of a proxy, and batches of such views."""

import functools
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.numerics import safe_divide
from neurend.render import lumigraph, warps
from neurend.render.warps import ProxyFn, Sources
from neurend.typing import Array, Key, PyTree, Source


@flax.struct.dataclass
class View:
    """A view to draw, or the window of one.

    Attributes:
        camera: of the picture.
        depth: [H W] of the proxy there, 0 where there is no surface.
        sources: photographs to draw it from.
    """

    camera: Camera
    depth: Array
    sources: Sources


@flax.struct.dataclass
class Batch:
    """Views [n ...] and what they show.

    Attributes:
        view: to draw.
        rgb: [n H W 3] multiplied by alpha.
        alpha: [n H W].
    """

    view: View
    rgb: Array
    alpha: Array


class Bank(NamedTuple):
    """All photographs of a scene.

    Attributes:
        pictures: uint8 [n H W 4], colours multiplied by alpha.
        cameras: [n].
        depths: [n H W] of the proxy.
        wider: [n H W], these depths continued past outlines.
        middle: [3] of what they show.
    """

    pictures: Array
    cameras: Camera
    depths: Array
    wider: Array
    middle: Array


def bank(images: tuple[np.ndarray, ...], cameras: Camera, proxy: ProxyFn, *, beyond: int = 0) -> Bank:
    """Photographs with the proxy's depth in each.

    Args:
        images: uint8 [H W 3], or [H W 4] with straight alpha, of one size.
        cameras: [n].
        proxy: where surfaces are; called for each photograph.
        beyond: pixels by which surfaces go on past outlines where a photograph is drawn, see `continued`.

    Raises:
        InputError: photographs of several sizes, or such as do not see the proxy.
    """
    if len({image.shape[:2] for image in images}) != 1:
        raise checks.InputError('images: got several sizes, expected photographs of one; resize or crop them')
    cameras = jax.tree.map(jnp.asarray, cameras)
    depths = [np.asarray(proxy(cameras[k]).depth) for k in range(len(images))]
    blind = [k for k, depth in enumerate(depths) if not (depth > 0).any()]
    if blind:
        raise checks.InputError(
            f'photographs {blind}: see nothing of the proxy, expected one that all see; leave them out, or check poses'
        )
    points = [_middle(cameras[k], depth) for k, depth in enumerate(depths)]
    pictures = np.stack([_premultiplied(image) for image in images])
    wider = jnp.stack([continued(jnp.asarray(depth), beyond) for depth in depths])
    middle = jnp.asarray(np.mean(points, axis=0))
    return Bank(jnp.asarray(pictures), cameras, jnp.asarray(np.stack(depths)), wider, middle)


@functools.partial(jax.jit, static_argnums=1)
def continued(depth: Array, pixels: int) -> Array:
    """A surface that goes on past its outline, at the depth that it has there.

    What photographs show there, opaque or not, then decides where the outline of what they show is, although a proxy
    is too small.

    Args:
        depth: [H W], 0 where there is no surface.
        pixels: by how many it grows, along rows, columns and diagonals.

    Raises:
        InputError: a number of pixels below 0.
    """
    height, width = checks.shape('depth', depth, 'h w').values()
    if pixels < 0:
        raise checks.InputError(f'pixels: got {pixels}, expected 0 or more')
    for _ in range(pixels):
        around = jnp.pad(depth, 1)
        near = [around[y : y + height, x : x + width] for y in range(3) for x in range(3)]
        there = sum(((each > 0).astype(depth.dtype) for each in near), jnp.zeros_like(depth))
        depth = jnp.where(depth > 0, depth, safe_divide(sum(near, jnp.zeros_like(depth)), there))
    return depth


def _middle(camera: Camera, depth: np.ndarray) -> np.ndarray:
    """The mean point of a surface."""
    height, width = depth.shape
    points = np.asarray(cameras_lib.unproject(camera, cameras_lib.pixel_centers(width, height), jnp.asarray(depth)))
    return points[depth > 0].mean(axis=0)


def _premultiplied(image: np.ndarray) -> np.ndarray:
    if image.shape[-1] == 3:
        return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    rgb = np.rint(image[..., :3].astype(np.float32) * (image[..., 3:] / np.float32(255))).astype(np.uint8)
    return np.dstack([rgb, image[..., 3]])


def nearest(bank: Bank, camera: Camera, count: int, *, but: int | None = None) -> Array:
    """Which photographs see the middle of the scene from most nearly where a camera does, int32 [count].

    Args:
        bank: all of them.
        camera: one.
        count: how many.
        but: one that is left out.

    Raises:
        InputError: more than there are.
    """
    there = len(bank.pictures) - (but is not None)
    if not 1 <= count <= there:
        raise checks.InputError(f'neighbors: got {count}, expected 1 to {there}, as many as there are others')
    away = lumigraph.penalties(bank.middle[None], camera, bank.cameras)[:, 0]
    away = away if but is None else away.at[but].set(jnp.inf)
    return jax.lax.top_k(-away, count)[1].astype(jnp.int32)


def view(bank: Bank, camera: Camera, depth: Array, chosen: Array) -> View:
    """The view of a camera, from photographs `chosen` [k]."""
    pictures = bank.pictures[chosen].astype(jnp.float32) / 255
    return View(camera, depth, Sources(pictures, bank.cameras[chosen], bank.depths[chosen]))


def source(bank: Bank, *, neighbors: int, crop: int = 0, views: int = 1) -> Source:
    """A source of windows of photographs, each with those nearest to it but itself.

    Windows lie about points of the proxy's bounding box.

    Args:
        bank: all photographs, at least `neighbors` + 1.
        neighbors: of each.
        crop: side of windows in pixels; 0 for whole photographs, and at most their shorter side.
        views: in a batch.

    Raises:
        InputError: numbers out of range.
    """
    count, height, width = bank.depths.shape
    if views < 1 or not 0 <= crop <= min(width, height):
        raise checks.InputError(
            f'views, crop: got {views} and {crop}, expected 1 or more, and 0 to {min(width, height)}, a side of '
            'the photographs'
        )
    near = jnp.stack([nearest(bank, bank.cameras[k], neighbors, but=k) for k in range(count)])
    boxes = jnp.asarray(np.stack([_box(depth) for depth in np.asarray(bank.depths)]))
    size = (crop, crop) if crop else (width, height)

    def one(key: Key, data: PyTree) -> Batch:
        own, near, boxes = data
        choice, place = jax.random.split(key)
        k = jax.random.randint(choice, (), 0, count)
        low, high = boxes[k]
        center = low + jax.random.uniform(place, (2,)) * (high - low)
        most = jnp.array([width, height]) - jnp.array(size)
        left, top = jnp.clip(jnp.round(center - jnp.array(size) / 2).astype(jnp.int32), 0, most)
        shown = jax.lax.dynamic_slice(own.pictures, (k, top, left, 0), (1, size[1], size[0], 4))[0]
        shown = shown.astype(jnp.float32) / 255
        depth = jax.lax.dynamic_slice(own.wider, (k, top, left), (1, size[1], size[0]))[0]
        window = cameras_lib.crop(own.cameras[k], left, top, *size)
        return Batch(view(own, window, depth, near[k]), shown[..., :3], shown[..., 3])

    def draw(key: Key, data: PyTree) -> Batch:
        parts = [one(each, data) for each in jax.random.split(key, views)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)

    return Source(data=(bank, near, boxes), draw=draw)


def _box(depth: np.ndarray) -> np.ndarray:
    """First and last pixel (x, y) [2 2] of a surface."""
    rows, columns = np.nonzero(depth)
    return np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32)


def check(view: View, name: str) -> None:
    """Checks on the host that some photograph sees something of a view.

    Raises:
        InputError: none does.
    """
    seen, _ = warps.warp(view.sources, view.camera, view.depth)
    warps.check(seen.share, name)
