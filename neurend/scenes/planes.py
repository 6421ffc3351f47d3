"""Multi-plane images: pictures with opacity on planes that face a camera (Zhou et al., 2018)."""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.numerics import safe_divide, safe_norm
from neurend.typing import Array


@flax.struct.dataclass
class Planes:
    """A multi-plane image, over any leading dims `...` shared by all leaves.

    Attributes:
        rgba: [... D H W c+1], nearest plane first: `c` features (colours in [0, 1]), not multiplied by opacity, and
            last the opacity in [0, 1].
        depths: [... D] of the planes along the camera's z axis, ascending, above 0.
        camera: pinhole, whose pixels are those of every plane; it may see more than the photograph it was made for.
    """

    rgba: Array
    depths: Array
    camera: Camera


def depths(near: float, far: float, count: int) -> np.ndarray:
    """Depths [count] from `near` to `far`, uniform in disparity, so that from plane to plane all shifts are the same.

    Raises:
        InputError: planes at or behind the camera, none, or not in order.

    >>> depths(1.0, 4.0, 4).tolist()
    [1.0, 1.3333333730697632, 2.0, 4.0]
    """
    if count < 1 or not 0 < near <= far < np.inf or (count > 1 and near == far):
        raise checks.InputError(
            f'near, far, count: got {near}, {far} and {count}, expected 0 < near < far and at least a plane; planes '
            'lie in front of their camera'
        )
    return (1 / np.linspace(1 / near, 1 / far, count)).astype(np.float32)


def enlarged(camera: Camera, border: int) -> Camera:
    """The camera with `border` more pixels on every side, for planes that other cameras see beyond its own picture."""
    return dataclasses.replace(camera, center=camera.center + border, size=camera.size + 2 * border)


def from_depth(rgb: Array, depth: Array, depths: Array, camera: Camera, *, alpha: Array | None = None) -> Planes:
    """A picture whose depth is known as planes: every pixel is opaque on the plane that is nearest in disparity.

    Args:
        rgb: [H W c].
        depth: [H W] along z, above 0; where nothing is hit give `alpha` 0.
        depths: [D] of the planes.
        camera: of the picture.
        alpha: [H W] in [0, 1]; opaque if not given.
    """
    sizes = checks.shape('rgb', rgb, 'h w c')
    checks.shape('depth', depth, 'h w', sizes=sizes)
    depth = jnp.where(depth > 0, depth, depths[-1])
    nearest = jnp.argmin(jnp.abs(1 / depth[None] - 1 / depths[:, None, None]), axis=0)
    on = (nearest[None] == jnp.arange(len(depths))[:, None, None]).astype(rgb.dtype)
    on = on if alpha is None else on * alpha[None]
    colors = jnp.broadcast_to(rgb[None], (len(depths), *rgb.shape))
    return Planes(jnp.concatenate([colors, on[..., None]], axis=-1), depths, camera)


def from_field(
    field_fn: Callable[[Array, Array], tuple[Array, Array]],
    depths: Array,
    camera: Camera,
    size: tuple[int, int],
    *,
    samples: int = 1,
) -> Planes:
    """A radiance field as planes: each shows what lies between the middles of the gaps before and behind it.

    Args:
        field_fn: see `neurend.scenes.fields`.
        depths: [D] of the planes, ascending, at least two.
        camera: pinhole, of pictures of this size.
        size: (width, height).
        samples: of the field between two planes along each pixel's ray, at equal distances; surfaces thinner than
            those lie apart get holes.
    """
    checks.shape('depths', depths, 'd')
    if len(depths) < 2 or samples < 1:
        raise checks.InputError(f'depths, samples: got {len(depths)} and {samples}, expected at least 2 and 1')
    ends = 0.5 * (depths[1:] + depths[:-1])
    ends = jnp.concatenate([2 * depths[:1] - ends[:1], ends, 2 * depths[-1:] - ends[-1:]])
    rays = cameras.rays(camera, cameras.pixel_centers(*size))
    speed = safe_norm(rays.directions)

    def plane(begin: Array, end: Array) -> Array:
        thickness = (end - begin) / samples * speed
        optical, color = jnp.zeros_like(speed), jnp.zeros(())
        for k in range(samples):
            points = rays.origins + (begin + (k + 0.5) / samples * (end - begin)) * rays.directions
            density, features = field_fn(points, rays.viewdirs)
            optical, color = optical + density, color + density[..., None] * features
        color = safe_divide(color, optical[..., None])
        return jnp.concatenate([color, -jnp.expm1(-optical * thickness)[..., None]], axis=-1)

    return Planes(jax.lax.map(lambda pair: plane(*pair), (ends[:-1], ends[1:])), depths, camera)


def sees(planes_camera: Camera, near: float, far: float, camera: Camera, *, grid: int = 16) -> float:
    """Which part of a camera's picture can see the planes, of a `grid` x `grid` of its pixels (on the host).

    Args:
        planes_camera: of the planes, its size included.
        near, far: depths of the nearest and the farthest plane.
        camera: pinhole; one.
        grid: points along each side.
    """
    width, height = np.asarray(camera.size)
    pixels = cameras.pixel_centers(grid, grid) * jnp.asarray([width / grid, height / grid])[None, None]
    cast = cameras.rays(camera, pixels)
    pose = np.asarray(planes_camera.world_from_camera, np.float64)
    origin = (np.asarray(cast.origins) - pose[:3, 3]) @ pose[:3, :3]
    direction = np.asarray(cast.directions) @ pose[:3, :3]
    found = np.zeros((grid, grid), bool)
    for depth in (near, far):
        with np.errstate(divide='ignore', invalid='ignore'):
            t = (depth - origin[..., 2]) / direction[..., 2]
            point = origin + t[..., None] * direction
            xy = point[..., :2] / depth * np.asarray(planes_camera.focal) + np.asarray(planes_camera.center)
            found |= (t > 0) & np.all((xy >= 0) & (xy <= np.asarray(planes_camera.size)), axis=-1)
    return float(found.mean())
