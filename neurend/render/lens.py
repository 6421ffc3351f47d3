"""Rasterization through lenses that bend straight lines: distortion, fisheyes and panoramas.

Triangles are divided and each part is drawn with straight edges; where on the undivided triangle a pixel lies is then
found from the pixel's ray. So division decides outlines alone, and attributes are exact however coarse it is. Halving
the edges once more makes outlines about four times as accurate (`error` measures how accurate they are).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.geometry.cameras import Camera
from neurend.geometry.leading import floating
from neurend.geometry.triangles import Topology
from neurend.numerics import safe_divide, safe_norm
from neurend.render import antialias as edges_lib
from neurend.render import rasterize as straight
from neurend.render.raster import curved, division
from neurend.render.raster.curved import Picture
from neurend.render.rasterize import Fragments
from neurend.typing import Array

STRAIGHT = ('pinhole', 'orthographic')
_MOST_DIVISIONS, _MOST_TRIANGLES = 8, 2**25
# Into which the parts of edges are divided where their error is measured.
_PLACES = 8


def rasterize(
    camera: Camera,
    points: Array,
    faces: Array,
    *,
    width: int,
    height: int,
    divisions: int = 3,
    corner: Array | tuple[int, int] = (0, 0),
    near: float = 1e-3,
    cull: str = 'none',
) -> Fragments:
    """Finds the nearest triangle at every pixel of a camera of any model.

    Faces and barycentrics are those of the undivided triangles; barycentrics have gradients with respect to points and
    everything in the camera, as far as a pixel's ray depends on it. Pinhole and orthographic cameras bend nothing: what
    they show is that of `neurend.render.rasterize`, and nothing is divided.

    Limits. Depth is straight across a part too while it is compared: where a part spans an angle a, surfaces may be
    taken for each other that are nearer than a^2 / 8 of their distance. A distorted lens shows nothing beyond the angle
    where its image folds over, and what reaches across it ends there to within a part of that size. A fisheye leaves
    out parts around the direction straight behind it. A panorama is at most one turn wide; within the size of a part
    of its poles a neighbour's face may show, and of the parts that hold a pole the nearest 32 show.

    Args:
        camera: one; `jax.vmap` for more.
        points: [V 3] in the world. Triangles with one that is not finite do not show.
        faces: int32 [F 3]; those with an index outside of 0..V-1 do not show: pad meshes with -1.
        width, height, corner, cull: as for `neurend.render.rasterize.rasterize`; `corner` is what draws in tiles.
        divisions: how many times edges are halved, 0 to 8: every triangle is drawn as 4^divisions. `enough_divisions`
            finds how many an accuracy needs: a part of L pixels whose image bends with a radius of R pixels is off by
            L^2 / (8 R), so that fine meshes need none. Memory grows by about 120 bytes for each of these
            F 4^divisions triangles, 190 for panoramas (XLA on a CPU), beside that of the picture.
        near: smallest depth (as below, t) that is shown.

    Returns:
        Fragments. The depth is -1/t, t the parameter of the pixel's ray (`neurend.geometry.cameras.rays`): the depth
        along the axis for opencv cameras, the distance for fisheye and equirectangular ones.

    Raises:
        InputError: a shape, a size or an option does not fit.
    """
    camera, points, faces = _checked(camera, points, faces, divisions)
    size = {'width': width, 'height': height}
    if camera.model in STRAIGHT:
        vertices = clip.from_camera(camera, points)
        return straight.rasterize(vertices, faces, **size, corner=corner, near=near, cull=cull)
    return _rasterize(camera, points, faces, jnp.asarray(corner, jnp.int32), divisions, near, cull, **size)


@functools.partial(jax.jit, static_argnames=('width', 'height', 'divisions', 'near', 'cull'))
def _rasterize(camera, points, faces, corner, divisions, near, cull, width, height) -> Fragments:
    picture = Picture(corner, (width, height))
    mine, here = jax.lax.stop_gradient((camera, points))
    corners, usable = _corners(mine, here, faces)
    sheet = _sheet(mine, corners, divisions, picture)
    rows = division.faces(len(faces), usable, divisions).reshape(-1, 3)
    vertices, parts = curved.homogeneous(camera, sheet), curved.drawn(camera, sheet, rows, 3)
    parents = jnp.arange(len(parts), dtype=jnp.int32) % max(len(rows), 1)
    if camera.model == 'equirectangular' and len(rows):
        at_poles, more, of = curved.caps(camera, sheet, rows)
        parts = jnp.concatenate([parts, jnp.where(more >= 0, more + len(vertices), -1)])
        vertices, parents = jnp.concatenate([vertices, at_poles]), jnp.concatenate([parents, of])
    found = straight.rasterize(vertices, parts, width=width, height=height, corner=corner, near=near, cull=cull)
    if not len(rows):
        return found
    face = jnp.where(found.face >= 0, parents[jnp.maximum(found.face, 0)] // 4**divisions, -1)
    return _on_rays(camera, points, faces, corner, face, found.depth)


def _corners(camera: Camera, points: Array, faces: Array) -> tuple[Array, Array]:
    """Corners [F 3 3] in the world relative to the camera, zeros for faces that do not show; and which do, [F]."""
    usable = ((faces >= 0) & (faces < len(points))).all(-1)
    usable = usable & jnp.isfinite(jax.lax.stop_gradient(triangles.corners(points, faces))).all((-1, -2))
    corners = triangles.corners(points - camera.world_from_camera[None, :3, 3], faces)
    return jnp.where(usable[:, None, None], corners, 0), usable


def _sheet(camera: Camera, corners: Array, divisions: int, picture: Picture) -> curved.Sheet:
    local = transforms.rotate_back(camera.world_from_camera, corners)
    return curved.sheet(camera, division.points(local, divisions).reshape(-1, 3), picture)


def _on_rays(camera: Camera, points: Array, faces: Array, corner: Array, face: Array, depth: Array) -> Fragments:
    """Where the rays of pixels meet the planes of the faces [H W] that they show; `depth` where they do not."""
    dtype = jnp.result_type(points, camera.focal)
    pixels = cameras.pixel_centers(face.shape[1], face.shape[0]).astype(dtype) + corner.astype(dtype)[None, None]

    def cast(pixels: Array) -> Array:
        return cameras.rays(camera, pixels).directions

    directions = cast(pixels)
    steps = [jnp.broadcast_to(jnp.array(step, dtype), pixels.shape) for step in ((1, 0), (0, 1))]
    changes = [jax.jvp(cast, (pixels,), (step,))[1] for step in steps]
    if camera.model != 'equirectangular':
        face = jnp.where(curved.shown(*jax.lax.stop_gradient((camera, pixels, directions))), face, -1)
    corners, _ = _corners(camera, points, faces)
    a, b, c = (corners[:, k][jnp.maximum(face, 0)] for k in range(3))
    there = face >= 0
    b, c = b - a, c - a
    # a + u b + v c = t d, solved for u and v: quotients of numbers that are linear in the direction d.
    forms = [jnp.cross(c, a), jnp.cross(a, b), jnp.cross(b, c)]
    u, v, total = (_dot(form, directions) for form in forms)
    inverse = jnp.where(there, safe_divide(jnp.ones_like(total), total), 0)
    u, v = u * inverse, v * inverse
    weights = jnp.where(there[..., None], jnp.stack([1 - u - v, u, v], axis=-1), 0)
    derivatives = []
    for change in changes:
        du, dv, slope = (_dot(form, change) for form in forms)
        du, dv = (du - u * slope) * inverse, (dv - v * slope) * inverse
        derivatives.append(jnp.stack([-du - dv, du, dv], axis=-1))
    # Outlines are those of the parts, which may reach beyond the triangle.
    kept = jnp.maximum(weights, 0)
    weights = safe_divide(kept, jnp.sum(kept, axis=-1, keepdims=True))
    met = a + weights[..., 1:2] * b + weights[..., 2:] * c
    t = safe_divide(_dot(met, directions), _dot(directions, directions))
    depth = jnp.where(t > 0, -safe_divide(jnp.ones_like(t), t), depth)
    depth = jnp.where(there, depth, jnp.inf).astype(jnp.float32)
    return Fragments(face, weights, jnp.stack(derivatives, axis=-1), jax.lax.stop_gradient(depth))


def topology(faces: Any, *, divisions: int) -> Topology:
    """Neighbours among the divided triangles, on the host, for `antialias`.

    Args:
        faces: int32 [F 3]; those of -1 have none.
        divisions: as for `rasterize`.
    """
    faces = np.asarray(faces)
    checks.shape('faces', faces, 'F 3')
    _check_divisions(len(faces), divisions)
    return division.topology(faces, divisions)


def antialias(
    colors: Array,
    fragments: Fragments,
    camera: Camera,
    points: Array,
    faces: Array,
    topology: Topology,
    *,
    divisions: int = 3,
    corner: Array | tuple[int, int] = (0, 0),
) -> Array:
    """Blends colours over silhouettes, as `neurend.render.antialias` does, with edges bent by the lens.

    Differentiable with respect to colours, points and the camera, in both modes. Within the size of a part of a
    panorama's poles nothing useful is blended.

    Args:
        colors: [H W c] what each pixel shows, the background's colour where there is nothing.
        fragments: of `rasterize` for one picture, [H W].
        camera, points, faces, divisions, corner: as given to `rasterize`.
        topology: of `topology` for the same faces and divisions.

    Returns:
        [H W c].

    Raises:
        InputError: a shape does not fit.
    """
    camera, points, faces = _checked(camera, points, faces, divisions)
    sizes = checks.shape('fragments.face', fragments.face, 'H W', 'One picture; use jax.vmap for more')
    checks.shape('colors', colors, 'H W c', sizes=sizes)
    place = jnp.asarray(corner, jnp.int32)
    if camera.model in STRAIGHT:
        spread = division.points(triangles.corners(points, faces), divisions).reshape(-1, 3)
        vertices = clip.from_camera(camera, spread)
        return edges_lib.antialias(colors, fragments, vertices, topology, corner=place)
    picture = Picture(place, (sizes['W'], sizes['H']))
    sheet = _sheet(camera, _corners(camera, points, faces)[0], divisions, picture)
    rows = jnp.concatenate([jnp.asarray(topology.edges), jnp.asarray(topology.opposite)], axis=1)
    rows = curved.drawn(camera, sheet, rows, 2)
    outline = topology._replace(edges=rows[:, :2], opposite=rows[:, 2:])
    return edges_lib.antialias(colors, fragments, curved.homogeneous(camera, sheet), outline, corner=place)


def error(
    camera: Camera,
    points: Array,
    faces: Array,
    *,
    width: int,
    height: int,
    divisions: int,
    corner: Array | tuple[int, int] = (0, 0),
) -> Array:
    """How far in pixels, at most, the outlines that `rasterize` draws lie beside the true ones: [].

    Measured at seven places of every part of every edge, where they are in the picture, whether something hides them or
    not; within 10 degrees of a panorama's poles nothing is. Arguments and errors are those of `rasterize`.
    """
    camera, points, faces = _checked(camera, points, faces, divisions)
    if camera.model in STRAIGHT or not len(faces):
        return jnp.zeros((), points.dtype)
    place = jnp.asarray(corner, jnp.int32)
    corners, usable = _corners(camera, points, faces)
    local = transforms.rotate_back(camera.world_from_camera, corners)
    count = _PLACES * 2**divisions
    share = (jnp.arange(count + 1) / count).astype(local.dtype)[:, None, None, None]
    along = local[None] + share * (jnp.roll(local, -1, axis=1) - local)[None]
    sheet = curved.sheet(camera, along.reshape(-1, 3), Picture(place, (width, height)))
    pixels = sheet.pixels.reshape(along.shape[:-1] + (2,))
    begin = pixels[:-1:_PLACES]
    chord = _nearest(camera, pixels[_PLACES::_PLACES] - begin, sheet.period)
    low = place.astype(local.dtype)[None, None, None]
    high = low + jnp.array([[[[width, height]]]], local.dtype)
    if camera.model == 'equirectangular':
        middle, limit = camera.center[1], jnp.deg2rad(80.0) * camera.focal[1]
        low = low.at[..., 1].max(middle - limit)
        high = high.at[..., 1].min(middle + limit)
    worst = jnp.zeros((), local.dtype)
    for k in range(1, _PLACES):
        aside = _nearest(camera, pixels[k::_PLACES] - begin, sheet.period)
        inside = [((begin + step >= low) & (begin + step <= high)).all(-1) for step in (aside, k / _PLACES * chord)]
        area = chord[..., 0] * aside[..., 1] - chord[..., 1] * aside[..., 0]
        beside = safe_divide(jnp.abs(area), safe_norm(chord))
        worst = jnp.maximum(worst, jnp.max(jnp.where((inside[0] | inside[1]) & usable[None, :, None], beside, 0)))
    return worst


def _nearest(camera: Camera, step: Array, period: Array) -> Array:
    """Steps [... 2] in the picture, around a panorama the short way."""
    if camera.model != 'equirectangular':
        return step
    return step.at[..., 0].add(-jnp.round(step[..., 0] / period) * period)


def enough_divisions(
    camera: Camera, points: Array, faces: Array, *, width: int, height: int, accuracy: float = 0.25
) -> int:
    """The fewest divisions with which outlines are accurate to so many pixels by `error`, found on the host.

    Raises:
        InputError: 8 divisions, or those that make no more than 2^25 triangles, do not reach it.
    """
    if not accuracy > 0:
        raise checks.InputError(f'accuracy: got {accuracy}, expected a positive number of pixels')
    reached = float('inf')
    for divisions in range(_MOST_DIVISIONS + 1):
        if len(faces) * 4**divisions > _MOST_TRIANGLES:
            break
        reached = float(error(camera, points, faces, width=width, height=height, divisions=divisions))
        if reached <= accuracy:
            return divisions
    raise checks.InputError(
        f'accuracy: got {accuracy} pixels, but as many divisions as there can be reach {reached:.3g}; divide large '
        'triangles near the camera beforehand, or ask for less'
    )


def _checked(camera: Camera, points: Array, faces: Array, divisions: int) -> tuple[Camera, Array, Array]:
    points, faces = floating(points), jnp.asarray(faces)
    if camera.shape:
        raise checks.InputError(f'camera: got leading dims {camera.shape}, expected one camera; use jax.vmap for more')
    checks.shape('points', points, 'V 3', 'Give points in the world; use jax.vmap for several meshes')
    checks.shape('faces', faces, 'F 3', 'Give three indices of points for every triangle')
    if not jnp.issubdtype(faces.dtype, jnp.integer):
        raise checks.InputError(f'faces: got {faces.dtype}, expected integers')
    _check_divisions(len(faces), divisions)
    return camera, points, faces.astype(jnp.int32)


def _check_divisions(count: int, divisions: int) -> None:
    if not 0 <= divisions <= _MOST_DIVISIONS or count * 4**divisions > _MOST_TRIANGLES:
        raise checks.InputError(
            f'divisions: got {divisions} for {count} faces, expected 0 to {_MOST_DIVISIONS}, with F 4^divisions up to '
            f'{_MOST_TRIANGLES}'
        )


def _dot(a: Array, b: Array) -> Array:
    return jnp.sum(a * b, axis=-1)
