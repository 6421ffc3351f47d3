"""Point clouds: places with a size and whatever they show."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from neurend import checks
from neurend.geometry import cameras, grids, surface, transforms
from neurend.geometry.cameras import Camera
from neurend.images import color
from neurend.scenes import meshes
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key

_sample = jax.jit(surface.sample, static_argnums=3)


@flax.struct.dataclass
class Points:
    """A point cloud, over any leading dims `...` shared by all leaves.

    Attributes:
        positions: [... n 3] in the world.
        features: [... n c], colours in [0, 1] or descriptors that are learned.
        radii: [... n] in the world, above 0.
    """

    positions: Array
    features: Array
    radii: Array


def make(positions: np.ndarray, features: np.ndarray, *, radii: np.ndarray | float | None = None) -> Points:
    """Points, checked on the host.

    Args:
        positions: [n 3].
        features: [n c].
        radii: [n], or one for all; half the mean distance to the three nearest others if not given.

    Raises:
        InputError: no points, numbers that are not finite, or radii that are not above 0.
    """
    count = checks.shape('positions', positions, 'n 3')['n']
    checks.shape('features', features, f'{count} c')
    if not count:
        raise checks.InputError('positions: got none, expected at least one point')
    checks.finite('positions', positions, 'Leave such points out')
    checks.finite('features', features)
    sizes = spacing(positions) / 2 if radii is None else np.broadcast_to(np.asarray(radii, np.float32), (count,))
    checks.finite('radii', sizes)
    if np.any(sizes <= 0):
        raise checks.InputError(f'radii: got {float(sizes.min())} as the smallest, expected all above 0')
    return Points(*(jnp.asarray(x, jnp.float32) for x in (positions, features, sizes)))


def spacing(positions: np.ndarray, *, neighbors: int = 3) -> np.ndarray:
    """Mean distance [n] of each point to the nearest others, float32; points that coincide count as apart by little."""
    positions = np.asarray(positions, np.float32)
    extent = float(np.ptp(positions, axis=0).max()) or 1.0
    if len(positions) < 2:
        return np.full(len(positions), extent, np.float32)
    count = min(neighbors, len(positions) - 1)
    near, _ = KDTree(positions).query(positions, k=count + 1)
    # The nearest is the point itself.
    return np.maximum(near[:, 1:].mean(axis=1), 1e-6 * extent).astype(np.float32)


def from_depth(rgb: np.ndarray, depth: np.ndarray, camera: Camera, *, where: np.ndarray | None = None) -> Points:
    """A point for each pixel of a picture whose depth is known, as large as the pixel is there.

    Args:
        rgb: [h w c].
        depth: [h w] along the rays of the camera, above 0 where something is.
        camera: one.
        where: bool [h w], which pixels; those of positive depth if not given.

    Raises:
        InputError: nothing is seen, or see `make`.
    """
    sizes = checks.shape('rgb', rgb, 'h w c')
    checks.shape('depth', depth, 'h w', sizes=sizes)
    there = np.asarray(depth) > 0 if where is None else np.asarray(where)
    if not there.any():
        wrong = 'depth: got none above 0' if where is None else 'where: got no pixel'
        raise checks.InputError(f'{wrong}, expected at least one, of something that is seen')
    pixels = cameras.pixel_centers(sizes['w'], sizes['h'])
    points = np.asarray(cameras.unproject(camera, pixels, jnp.where(there, depth, 1)))[there]
    half = np.sqrt(0.5) / float(np.sqrt(np.prod(np.asarray(camera.focal))))
    radii = half * (1 if camera.model == 'orthographic' else np.asarray(depth)[there])
    return make(points, np.asarray(rgb)[there], radii=radii)


def on_mesh(key: Key, mesh: Mesh, count: int, *, radii: np.ndarray | float | None = None) -> Points:
    """Points spread over a mesh at random, in its colours, encoded as sRGB.

    These are those of its textures where it has UVs, else those of its vertices, else grey. They get the base colour of
    their material.

    Args:
        key: random.
        mesh: without leading dims.
        count: how many.
        radii: see `make`.

    Raises:
        InputError: the mesh is not sound or has no area, or see `make`.
    """
    meshes.check(mesh)
    found = _sample(key, jnp.asarray(mesh.vertices), jnp.asarray(mesh.faces), count)
    faces, weights = np.asarray(found.face), np.asarray(found.barycentrics)
    if count and faces[0] < 0:
        raise checks.InputError('mesh.faces: got none with an area, expected some to put points on')
    linear = np.ones((count, 3), np.float32)
    if mesh.colors is not None:
        linear = (weights[..., None] * np.asarray(mesh.colors)[np.asarray(mesh.faces)[faces]]).sum(1)
    elif not mesh.materials:
        linear = 0.5 * linear
    which = np.zeros(count, int) if mesh.material is None else np.asarray(mesh.material)[faces]
    for k, material in enumerate(mesh.materials):
        here = which == k
        linear[here] *= np.asarray(material.color)
        if material.texture is not None and mesh.uvs is not None:
            corners = np.asarray(mesh.uvs)[np.asarray(mesh.uv_faces)[faces[here]]]
            uv = (weights[here][..., None] * corners).sum(1)
            texture = jnp.asarray(material.texture)[..., :3]
            height, width = texture.shape[:2]
            texels = grids.bilinear(texture, jnp.asarray(np.stack([uv[:, 0] * width, (1 - uv[:, 1]) * height], -1)))
            linear[here] *= np.asarray(color.linear_from_srgb(texels))
    return make(np.asarray(found.points), np.asarray(color.srgb_from_linear(jnp.asarray(linear))), radii=radii)


def cells(positions: np.ndarray, edge: float) -> np.ndarray:
    """The number of the cell of a grid that each point lies in, int32 [n]; cells that hold points are numbered from 0.

    Args:
        positions: [n 3].
        edge: of a cell.

    Raises:
        InputError: an edge that is not above 0.
    """
    if not edge > 0:
        raise checks.InputError(f'edge: got {edge}, expected a length above 0')
    places = np.floor(np.asarray(positions, np.float64) / edge).astype(np.int64)
    return np.unique(places, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)


def thinned(cloud: Points, edge: float) -> Points:
    """The mean of all points in each cell of a grid, on the host: one cloud of many that overlap.

    Args:
        cloud: without leading dims.
        edge: of a cell, in the world.

    Raises:
        InputError: an edge that is not above 0.
    """
    index = cells(np.asarray(cloud.positions), edge)
    counts = np.bincount(index)

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(counts), *values.shape[1:]))
        np.add.at(sums, index, values)
        return sums / counts.reshape(-1, *[1] * (values.ndim - 1))

    positions, features, radii = (mean(np.asarray(x)) for x in (cloud.positions, cloud.features, cloud.radii))
    return make(positions, features, radii=radii)


def moved(cloud: Points, transform: np.ndarray) -> Points:
    """A cloud in another world, radii with it.

    Args:
        cloud: without leading dims.
        transform: [4 4], a similarity.
    """
    scale = float(np.cbrt(abs(np.linalg.det(np.asarray(transform, np.float64)[:3, :3]))))
    positions = transforms.apply(jnp.asarray(transform, jnp.float32), jnp.asarray(cloud.positions))
    return Points(positions, cloud.features, scale * cloud.radii)


def concatenate(clouds: list[Points]) -> Points:
    """One cloud of several."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *clouds)
