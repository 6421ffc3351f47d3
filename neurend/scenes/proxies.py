"""Stand-ins for true geometry, which textures of any kind are laid on: meshes with UVs that do not overlap.

Balls, boxes, hulls, closed clouds of points, and meshes made worse on purpose. All face outwards. What is unwrapped,
decimated or made the convex hull of needs the extra `mesh`. `resolution` is that of the texture that is meant, in
texels, and `padding` how many of them are between pieces of the layout, so that they do not bleed into each other.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import ArrayLike

from neurend import checks
from neurend.geometry.cameras import Camera
from neurend.scenes import cells as cells_lib
from neurend.scenes import closing, hull, remesh
from neurend.scenes.cube import cube
from neurend.scenes.mesh_extra import library
from neurend.scenes.meshes import Mesh
from neurend.typing import Key

# Points all but in one plane, in parts of how far they spread.
_FLAT = 1e-5


def sphere_about(low: ArrayLike, high: ArrayLike, *, cells: int = 16, resolution: int = 1024, padding: int = 2) -> Mesh:
    """A ball around a box, as small as may be for its faces to let the box's corners stay inside.

    A cube's sides, divided by equal angles and blown up, each a rectangle of the texture; none is mirrored.

    Args:
        low, high: [3] corners of the box.
        cells: along an edge of the cube: 12 cells^2 faces.
        resolution, padding: of the layout.

    Raises:
        InputError: a corner is no [3], the box has no volume, or an option is out of range.
    """
    center, half = _box(low, high)
    unit = cube(cells, resolution=resolution, padding=padding)
    directions = np.tan(np.pi / 4 * unit.vertices)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    # Faces cut into the ball through the vertices; the nearest touches that through the box's corners.
    a, b, c = np.moveaxis(directions[unit.faces], 1, 0)
    normals = np.cross(b - a, c - a)
    inner = ((a * normals).sum(-1) / np.linalg.norm(normals, axis=-1)).min()
    vertices = center + np.linalg.norm(half) / inner * directions
    return dataclasses.replace(unit, vertices=vertices.astype(np.float32))


def box_about(low: ArrayLike, high: ArrayLike, *, cells: int = 1, resolution: int = 1024, padding: int = 2) -> Mesh:
    """A box along the axes, each side a rectangle of the texture of the same size; none is mirrored.

    Args:
        low, high: [3] corners.
        cells: along every edge: 12 cells^2 faces.
        resolution, padding: of the layout.

    Raises:
        InputError: a corner is no [3], the box has no volume, or an option is out of range.

    >>> mesh = box_about((0, 0, 0), (1, 2, 3))
    >>> mesh.vertices.shape, mesh.faces.shape, mesh.uvs.shape
    ((8, 3), (12, 3), (24, 2))
    """
    center, half = _box(low, high)
    unit = cube(cells, resolution=resolution, padding=padding)
    return dataclasses.replace(unit, vertices=(center + half * unit.vertices).astype(np.float32))


def roughened(key: Key, mesh: Mesh, *, faces: int, noise: float, resolution: int = 1024, padding: int = 2) -> Mesh:
    """A coarse and wrong version of a mesh: decimated, its vertices moved at random, then unwrapped.

    Args:
        key: random key.
        mesh: any; it loses materials and UVs.
        faces: how many at most, see `remesh.decimate`.
        noise: standard deviation of the vertices' offset along each axis, in diagonals of the mesh's box.
        resolution, padding: of the layout.

    Raises:
        InputError: the mesh is not sound or has no faces, the noise is negative, or an option is out of range.
    """
    if not 0 <= noise < np.inf:
        raise checks.InputError(f'noise: got {noise}, expected 0 or more')
    coarse = remesh.decimate(mesh, faces)
    vertices = np.asarray(coarse.vertices)
    faces_of = np.asarray(mesh.faces)
    used = np.asarray(mesh.vertices)[np.unique(faces_of[(faces_of >= 0).all(1)])]
    size = float(np.linalg.norm(used.max(0) - used.min(0)))
    moved = vertices + np.float32(noise * size) * np.asarray(jax.random.normal(key, vertices.shape))
    # Normals of the mesh that it was made of would say what this one looks like.
    coarse = dataclasses.replace(coarse, vertices=moved, normals=None)
    return remesh.unwrap(coarse, resolution=resolution, padding=padding)


def hull_of_points(points: ArrayLike, *, resolution: int = 1024, padding: int = 2) -> Mesh:
    """The convex hull of points [n 3], unwrapped. Single points far away change it most: leave them out first.

    Raises:
        InputError: the points are no [n 3], not finite, or lie in one plane; or the extra `mesh` is not installed.
    """
    points = _spread(points)
    found = library('trimesh').convex.convex_hull(points)
    mesh = Mesh(np.asarray(found.vertices, np.float32), np.asarray(found.faces, np.int32))
    return remesh.unwrap(mesh, resolution=resolution, padding=padding)


def surface_of_points(
    points: ArrayLike,
    *,
    cells: int = 64,
    reach: int = 8,
    smoothing: int = 3,
    faces: int = 5000,
    resolution: int = 1024,
    padding: int = 2,
) -> Mesh:
    """The surface of cells that hold points, gaps closed and insides filled, smoothed, decimated and unwrapped.

    It does not go through the points: this is a morphological closing, which noise and uneven density do not harm, and
    half a cell to a cell too large. Gaps of up to twice the reach close, and what is enclosed is filled; a cloud that
    stays open becomes a crust, and points far from others islands. Dents in thin places are as deep as the reach.

    Args:
        points: [n 3].
        cells: along the longest side of their box.
        reach: in cells: by as much all cells around points grow, and shrink again when the inside is filled. The more,
            the fewer points are needed, and the shallower hollows become: 8 of 64 suits a thousand, 3 ten thousand.
        smoothing: see `cells.surface`.
        faces: how many at most, see `remesh.decimate`.
        resolution, padding: of the layout.

    Raises:
        InputError: the points are no [n 3], not finite, or lie in one plane; an option is out of range; or the extra
            `mesh` is not installed.
    """
    points = _spread(points)
    if cells < 1:
        raise checks.InputError(f'cells: got {cells}, expected at least 1')
    low, high = points.min(0), points.max(0)
    edge = float((high - low).max()) / cells
    index = np.minimum(((points - low) / edge).astype(int), cells - 1)
    occupied = np.zeros(index.max(0) + 1, bool)
    occupied[tuple(index.T)] = True
    mesh = cells_lib.surface(closing.closed(occupied, reach), low=low, edge=edge, smoothing=smoothing)
    return remesh.unwrap(remesh.decimate(mesh, faces), resolution=resolution, padding=padding)


def hull_surface(
    cameras: Camera,
    foreground: Sequence[np.ndarray],
    *,
    radius: float,
    nearest: float,
    cells: int = 96,
    smoothing: int = 3,
) -> Mesh:
    """The visual hull of silhouettes as it is carved, without UVs: see `hull.carve` and `cells.surface`.

    It is carved twice: coarsely, which tells how large the box of the second must be.

    Args:
        cameras: leading dim n.
        foreground: bool [H W] per image: False where the image shows that nothing is.
        radius: half the side of a box around the origin that holds everything.
        nearest: depth of the nearest content.
        cells: along a side of the box that is left, at least 3.
        smoothing: how often vertices go to the mean of their neighbours.

    Raises:
        InputError: nothing is left, or an option is out of range.
    """
    if cells < 3:
        raise checks.InputError(f'cells: got {cells}, expected at least 3')
    for count in (cells // 3, cells):
        found = hull.carve(cameras, foreground, radius=radius, cells=count, nearest=nearest)
        occupied, low, edge = np.asarray(found.cells), np.asarray(found.low), float(found.edge)
        middles = (np.argwhere(occupied) + 0.5) * edge + low
        radius = float(np.abs(middles).max() + edge)
    return cells_lib.surface(occupied, low=low, edge=edge, smoothing=smoothing)


def visual_hull(
    cameras: Camera,
    foreground: Sequence[np.ndarray],
    *,
    radius: float,
    nearest: float,
    cells: int = 96,
    smoothing: int = 3,
    faces: int = 5000,
    resolution: int = 1024,
    padding: int = 2,
) -> Mesh:
    """The visual hull of silhouettes, decimated to `faces` at most and unwrapped; the rest as for `hull_surface`.

    Raises:
        InputError: nothing is left, an option is out of range, or the extra `mesh` is not installed.
    """
    mesh = hull_surface(cameras, foreground, radius=radius, nearest=nearest, cells=cells, smoothing=smoothing)
    return remesh.unwrap(remesh.decimate(mesh, faces), resolution=resolution, padding=padding)


def _box(low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Centre [3] and half the sides [3]."""
    for name, corner in (('low', low), ('high', high)):
        checks.shape(name, corner, '3')
        checks.finite(name, corner)
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if not (low < high).all():
        raise checks.InputError(f'low, high: got {low.tolist()} and {high.tolist()}, expected low below high')
    return (low + high) / 2, (high - low) / 2


def _spread(points: ArrayLike) -> np.ndarray:
    """Points [n 3], float64, which are not in one plane."""
    checks.shape('points', points, 'n 3')
    checks.finite('points', points, 'Leave these points out')
    points = np.asarray(points, np.float64)
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False) if len(points) > 3 else np.zeros(3)
    if not spread[2] > _FLAT * spread[0]:
        raise checks.InputError(f'points: got {len(points)} in one plane, expected some that enclose a volume')
    return points
