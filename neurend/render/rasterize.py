"""Rasterization: which triangle every pixel shows and where on it, differentiable and exact.

Coverage is decided in integers on a grid of 1/256 pixel, with the top-left rule: a pixel centre on an edge belongs to
one of the two triangles that share it, so that closed meshes have neither gaps nor double hits. Which triangle is
nearest has no gradient (see `neurend.render.antialias` for edges that move); where on it the pixel lies has one, with
respect to vertices and whatever they come from. Memory grows with the image and linearly with the mesh, never with the
size of triangles on screen; shapes depend on sizes alone.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.leading import floating
from neurend.numerics import materialize, safe_divide
from neurend.render.raster import pixels, screen, visible
from neurend.render.raster.pixels import Place
from neurend.typing import Array

CULLED = {'none': 0, 'back': 1, 'front': -1}


@flax.struct.dataclass
class Fragments:
    """What pixels show, over any leading dims `...`.

    Attributes:
        face: int32 [... H W], the triangle; -1 where there is none.
        barycentrics: [... H W 3] its corners' weights at the pixel's centre, perspective-correct, in [0, 1] with sum 1;
            zeros where there is none. They carry the gradient with respect to vertices.
        derivatives: [... H W 3 2] change of the barycentrics per pixel to the right and downwards.
        depth: [... H W] z/w; infinite where there is none. Without gradient: interpolate a depth to have one.
    """

    face: Array
    barycentrics: Array
    derivatives: Array
    depth: Array


def rasterize(
    vertices: Array,
    faces: Array,
    *,
    width: int,
    height: int,
    corner: Array | tuple[int, int] = (0, 0),
    near: float = 1e-3,
    cull: str = 'none',
) -> Fragments:
    """Finds the nearest triangle at every pixel.

    Args:
        vertices: [... V 4] homogeneous pixels (`neurend.geometry.clip` makes them). Triangles with a vertex that is not
            finite do not show.
        faces: int32 [... F 3], one for all or with the leading dims of the vertices. Faces with an index outside of
            0..V-1 do not show: pad meshes with -1.
        width, height: of the picture, in pixels, up to 8192; larger ones go in tiles (`in_tiles`).
        corner: int32 [2], which pixel (x, y) of the camera's image is the picture's first.
        near: smallest w that is shown; triangles that cross it are cut.
        cull: 'back' leaves out triangles that run clockwise in the picture, 'front' the others, 'none' nothing.

    Returns:
        Fragments. Of triangles at the same depth the one with the lowest index shows.

    Raises:
        InputError: a shape, a size or an option does not fit.

    >>> square = jnp.array([[0.0, 0, 1, 1], [4, 0, 1, 1], [4, 4, 1, 1], [0, 4, 1, 1]])
    >>> rasterize(square, jnp.array([[0, 1, 2], [0, 2, 3]]), width=4, height=4).face.tolist()
    [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    """
    layers = _layers(vertices, faces, width, height, corner, near, cull, 1)
    return jax.tree.map(lambda leaf: leaf[0], layers)


def peel(
    vertices: Array,
    faces: Array,
    *,
    layers: int,
    width: int,
    height: int,
    corner: Array | tuple[int, int] = (0, 0),
    near: float = 1e-3,
    cull: str = 'none',
) -> Fragments:
    """The nearest `layers` triangles at every pixel, front to back (depth peeling: Everitt, 2001).

    Arguments and errors are those of `rasterize`, and `layers` is at least 1; arrays of the result have the layer as
    their first axis. A face with the depth of another follows it in the order of their indices.
    """
    if layers < 1:
        raise checks.InputError(f'layers: got {layers}, expected at least 1')
    return _layers(vertices, faces, width, height, corner, near, cull, layers)


def in_tiles(draw: Callable[[Array], Any], width: int, height: int, *, side: int = 1024) -> Any:
    """Draws a picture larger than memory, tile by tile.

    Args:
        draw: `draw(corner)` gives a pytree of arrays [side side ...]; `corner` is for `rasterize`, whose width and
            height are `side`. It is compiled once.
        width, height: of the picture.
        side: of the tiles, in pixels.

    Returns:
        The pytree, of NumPy arrays [height width ...].
    """
    for name, size in (('width', width), ('height', height), ('side', side)):
        if size < 1:
            raise checks.InputError(f'{name}: got {size}, expected at least 1')
    compiled = jax.jit(draw)
    rows = []
    for top in range(0, height, side):
        tiles = [jax.device_get(compiled(jnp.array([left, top], jnp.int32))) for left in range(0, width, side)]
        rows.append(jax.tree.map(lambda *parts: np.concatenate(parts, axis=1)[:, :width], *tiles))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:height], *rows)


def _layers(vertices, faces, width, height, corner, near, cull, layers) -> Fragments:
    vertices, faces = screen.checked(vertices, faces, width=width, height=height, near=near, leading=True)
    checks.one_of('cull', cull, CULLED)
    leading = vertices.shape[:-2]
    if faces.ndim > 2 and faces.shape[:-2] != leading:
        raise checks.InputError(
            f'faces: got leading dims {faces.shape[:-2]}, expected none or those of the vertices, {leading}'
        )
    view = visible.View(width, height, near, CULLED[cull], layers)
    return _fragments(vertices, faces, jnp.asarray(corner, jnp.int32), view)


@functools.partial(jax.jit, static_argnames='view')
def _fragments(vertices: Array, faces: Array, corner: Array, view: visible.View) -> Fragments:
    def one(vertices: Array, faces: Array) -> Fragments:
        if faces.shape[0] == 0 or vertices.shape[0] == 0:
            shape = (view.layers, view.height, view.width)
            face, depth = jnp.full(shape, -1, jnp.int32), jnp.full(shape, jnp.inf, jnp.float32)
            faces, vertices = jnp.zeros((1, 3), jnp.int32), jnp.ones((3, 4), vertices.dtype)
        else:
            depth, face = visible.layers(vertices, faces, corner, view)
        weights, derivatives = barycentrics(vertices, faces, face, corner)
        return Fragments(face, weights, derivatives, depth)

    run = one
    for _ in vertices.shape[:-2]:
        run = jax.vmap(run, in_axes=(0, 0 if faces.ndim > 2 else None), out_axes=1)
    return run(vertices, faces)


def barycentrics(vertices: Array, faces: Array, face: Array, corner: Array) -> tuple[Array, Array]:
    """Where on known triangles pixel centres lie, in homogeneous coordinates (Olano and Greer, 1997).

    Args:
        vertices: [V 4] homogeneous pixels.
        faces: int32 [F 3].
        face: int32 [... H W], -1 for none.
        corner: int32 [2], the first pixel.

    Returns:
        Barycentrics [... H W 3] and their derivatives per pixel [... H W 3 2], as in `Fragments`.
    """
    vertices, faces, corner = floating(vertices), jnp.asarray(faces), jnp.asarray(corner)
    *leading, height, width = face.shape
    layers = math.prod(leading)
    shown = pixels.Shown(face.reshape(layers * height, width), faces, corner)
    table, nothing = vertices[:, jnp.array([0, 1, 3])], jnp.zeros((*shown.face.shape, 0), vertices.dtype)
    weights, derivatives = (
        pixels.evaluate(function, layers, table, nothing, shown) for function in (_weights, _derivatives)
    )
    return weights.reshape(*face.shape, 3), derivatives.reshape(*face.shape, 3, 2)


def _weights(corners: list[list[Array]], _: list[Array], place: Place) -> list[Array]:
    areas = _areas(corners, place)[0]
    total = areas[0] + areas[1] + areas[2]
    inverse = safe_divide(jnp.ones_like(total), total)
    # Coverage is that of snapped corners, which reach beyond the triangle by a fraction of 1/256 pixel.
    kept = [jnp.maximum(area * inverse, 0) for area in areas]
    sum_kept = kept[0] + kept[1] + kept[2]
    flat = sum_kept == 0  # no area but for the snapping: any place will do
    scale = safe_divide(jnp.ones_like(total), sum_kept)
    return [jnp.where(flat, 1 / 3, weight * scale) for weight in kept]


def _derivatives(corners: list[list[Array]], _: list[Array], place: Place) -> list[Array]:
    areas, changes = _areas(corners, place)
    total = areas[0] + areas[1] + areas[2]
    inverse = safe_divide(jnp.ones_like(total), total)
    found = []
    for k, area in enumerate(areas):
        for of in changes:
            found.append((of[k] - area * inverse * (of[0] + of[1] + of[2])) * inverse)
    return found


def _areas(corners: list[list[Array]], place: Place) -> tuple[list[Array], list[list[Array]]]:
    """Barycentrics before normalisation, three, and their changes per pixel to the right, and down.

    Coordinates are relative to the pixel, so that small triangles lose no digits.
    """
    x, y, w = corners
    u = [p - place.x * q for p, q in zip(x, w)]
    v = [p - place.y * q for p, q in zip(y, w)]
    values = materialize([*u, *v, *w])
    u, v, w = values[:3], values[3:6], values[6:]
    pairs = ((1, 2), (2, 0), (0, 1))
    areas = materialize([u[a] * v[b] - v[a] * u[b] for a, b in pairs])
    right = [v[a] * w[b] - w[a] * v[b] for a, b in pairs]
    return areas, [right, [w[a] * u[b] - u[a] * w[b] for a, b in pairs]]
