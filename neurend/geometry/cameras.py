"""Cameras: from world points to pixels and from pixels to rays, for every model, batched and differentiable."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import distortion as lens
from neurend.geometry import transforms
from neurend.geometry.leading import align, floating
from neurend.geometry.rays import Rays
from neurend.numerics import normalize, safe_divide, safe_norm
from neurend.typing import Array

MODELS = ('pinhole', 'opencv', 'fisheye', 'orthographic', 'equirectangular')


@flax.struct.dataclass
class Camera:
    """Cameras with any leading dims `...` shared by all leaves; each may have its own size and intrinsics.

    The camera frame is OpenCV's: x right, y down, z forward. The centre of the first pixel is (0.5, 0.5). A gradient
    with respect to a whole camera needs `jax.grad(..., allow_int=True)`, since its size is whole numbers.

    Attributes:
        world_from_camera: [... 4 4] rigid pose.
        focal: [... 2] (fx, fy) in pixels; pixels per world unit if orthographic; pixels per radian if equirectangular.
        center: [... 2] (cx, cy) in pixels: where the optical axis meets the image.
        distortion: [... 6] (k1, k2, k3, k4, p1, p2), zeros for none.
        size: [... 2] int32 (width, height).
        model: 'pinhole' (ignores distortion), 'opencv' (radial and tangential distortion), 'fisheye' (Kannala-Brandt,
            k1 to k4), 'orthographic' or 'equirectangular' (longitude along x, latitude along y).
    """

    world_from_camera: Array
    focal: Array
    center: Array
    distortion: Array
    size: Array
    model: str = flax.struct.field(pytree_node=False, default='opencv')

    @property
    def shape(self) -> tuple[int, ...]:
        """The leading dims."""
        return jnp.shape(self.focal)[:-1]

    def __getitem__(self, index: Any) -> 'Camera':
        """Indexes the leading dims from the front, e.g. `cameras[3]` or `cameras[:, None]` (no `...`)."""
        return jax.tree.map(lambda leaf: leaf[index], self)


def make(
    world_from_camera: Array,
    focal: Array | float,
    *,
    size: Array | tuple[int, int],
    center: Array | None = None,
    distortion: Array | None = None,
    model: str = 'pinhole',
) -> Camera:
    """Makes cameras, filling defaults and giving every leaf the same leading dims.

    Args:
        world_from_camera: [... 4 4] poses.
        focal: [... 2] as in `Camera`, or one number for both axes of all cameras.
        size: [... 2] (width, height) in pixels.
        center: [... 2] in pixels; the middle of the image if not given.
        distortion: [... 6] (k1, k2, k3, k4, p1, p2); none if not given.
        model: one of `MODELS`.

    Raises:
        InputError: a shape does not fit, the model is unknown, or a model without distortion is given some.

    >>> camera = make(jnp.eye(4), 100.0, size=(64, 48))
    >>> camera.center
    Array([32., 24.], dtype=float32)
    """
    checks.one_of('model', model, MODELS)
    if distortion is not None and model not in ('opencv', 'fisheye'):
        raise checks.InputError(
            f'distortion: given for model {model!r}, which has none. Use model "opencv" or "fisheye", or leave it out'
        )
    pose, focal = floating(world_from_camera), floating(focal)
    size = jnp.asarray(size, jnp.int32)
    focal = jnp.broadcast_to(focal, (2,)) if focal.ndim == 0 else focal
    center = size.astype(pose.dtype) / 2 if center is None else floating(center)
    distortion = jnp.zeros(6, pose.dtype) if distortion is None else floating(distortion)
    checks.shape('world_from_camera', pose, '... 4 4')
    checks.shape('focal', focal, '... 2', 'Give (fx, fy), or one number for both')
    checks.shape('size', size, '... 2', 'Give (width, height)')
    checks.shape('center', center, '... 2', 'Give (cx, cy)')
    checks.shape('distortion', distortion, '... 6', 'Give (k1, k2, k3, k4, p1, p2), zeros where there is none')
    pairs = [(focal, 2), (center, 2), (distortion, 6), (size, 2)]
    try:
        leading = jnp.broadcast_shapes(pose.shape[:-2], *(leaf.shape[:-1] for leaf, _ in pairs))
    except ValueError as error:
        shapes = [pose.shape, *(leaf.shape for leaf, _ in pairs)]
        raise checks.InputError(
            'world_from_camera, focal, center, distortion, size: got shapes '
            f'{", ".join(map(str, shapes))}, expected leading dims that broadcast'
        ) from error
    focal, center, distortion, size = (jnp.broadcast_to(leaf, (*leading, width)) for leaf, width in pairs)
    pose = jnp.broadcast_to(pose, (*leading, 4, 4))
    return Camera(pose, focal, center, distortion, size, model)


@jax.jit
def project(camera: Camera, points: Array) -> tuple[Array, Array]:
    """Projects world points.

    Args:
        camera: leading dims broadcast with those of the points: `cameras[:, None]` gives every point in every camera.
        points: [... 3] in the world.

    Returns:
        pixels [... 2] and depth [...]: along the camera's z axis for pinhole, opencv and orthographic cameras (a point
        is in front if depth > 0), the distance from the centre for fisheye and equirectangular ones. It is the `t` of
        the ray through the pixel. Pixels of points in the plane of the camera centre are finite and meaningless.
    """
    camera_from_world_points = transforms.apply_inverse(camera.world_from_camera, floating(points))
    focal, center, distortion, local = align(
        (camera.focal, 1), (camera.center, 1), (camera.distortion, 1), (camera_from_world_points, 1)
    )
    z = local[..., 2]
    if camera.model in ('pinhole', 'opencv'):
        plane, depth = safe_divide(local[..., :2], z[..., None]), z
        plane = lens.distort(plane, distortion) if camera.model == 'opencv' else plane
    elif camera.model == 'fisheye':
        plane, depth = lens.fisheye_from_direction(local, distortion), safe_norm(local)
    elif camera.model == 'orthographic':
        plane, depth = local[..., :2], z
    else:
        plane, depth = _longitude_latitude(local), safe_norm(local)
    return plane * focal + center, depth


@jax.jit
def rays(camera: Camera, pixels: Array, *, index: Array | int | None = None) -> Rays:
    """Casts the rays through pixels.

    Args:
        camera: leading dims broadcast with those of the pixels.
        pixels: [... 2] (x, y); the centre of the first pixel is (0.5, 0.5).
        index: [...] int, image index to write into the rays; 0 if not given.

    Returns:
        Rays with the broadcast leading dims. Orthographic rays start in the plane z = 0 of their camera and have zero
        radii, since they form cylinders and not cones.
    """
    pose, focal, center, distortion, pixels = align(
        (camera.world_from_camera, 2),
        (camera.focal, 1),
        (camera.center, 1),
        (camera.distortion, 1),
        (floating(pixels), 1),
    )

    def direction(plane: Array) -> Array:
        return _direction(camera.model, plane, distortion)

    plane = (pixels - center) / focal
    step = jnp.concatenate([1 / focal[..., :1], jnp.zeros_like(focal[..., :1])], axis=-1)
    local, across = jax.jvp(direction, (plane,), (jnp.broadcast_to(step, plane.shape),))
    directions = transforms.rotate(pose, local)
    origins = jnp.broadcast_to(pose[..., :3, 3], directions.shape)
    if camera.model == 'orthographic':
        origins = origins + transforms.rotate(pose, jnp.concatenate([plane, jnp.zeros_like(plane[..., :1])], axis=-1))
    index = jnp.asarray(0 if index is None else index, jnp.int32)
    return Rays(
        origins=origins,
        directions=directions,
        viewdirs=normalize(directions),
        radii=safe_norm(across, keepdims=True) * (2 / 12**0.5),
        index=jnp.broadcast_to(index, directions.shape[:-1]),
    )


def unproject(camera: Camera, pixels: Array, depth: Array) -> Array:
    """World points [... 3] at `depth` [...] behind `pixels` [... 2]: the inverse of `project`, with its depth."""
    cast = rays(camera, pixels)
    origins, directions, depth = align((cast.origins, 1), (cast.directions, 1), (floating(depth), 0))
    return origins + depth[..., None] * directions


def pixel_centers(width: int, height: int) -> Array:
    """Centres [height width 2] of all pixels of an image, (x, y) from (0.5, 0.5) to (width - 0.5, height - 0.5)."""
    x, y = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
    return jnp.stack([x, y], axis=-1)


def resize(camera: Camera, scale: float | Array) -> Camera:
    """Cameras of the images resized by `scale` (0.5 halves them).

    Sizes are rounded to whole pixels; the intrinsics follow the rounded sizes, so that the field of view stays exact.
    """
    size = jnp.maximum(jnp.round(camera.size * scale), 1)
    ratio = (size / camera.size).astype(camera.focal.dtype)
    return dataclasses.replace(
        camera, focal=camera.focal * ratio, center=camera.center * ratio, size=size.astype(jnp.int32)
    )


def crop(camera: Camera, left: Array | int, top: Array | int, width: Array | int, height: Array | int) -> Camera:
    """Cameras of a window of the images, whose first pixel is pixel (left, top) of the whole."""
    corner = jnp.stack(jnp.broadcast_arrays(jnp.asarray(left), jnp.asarray(top)), axis=-1)
    size = jnp.stack(jnp.broadcast_arrays(jnp.asarray(width), jnp.asarray(height)), axis=-1)
    center, corner = align((camera.center, 1), (corner.astype(camera.center.dtype), 1))
    return dataclasses.replace(
        camera,
        center=jnp.broadcast_to(center - corner, camera.center.shape),
        size=jnp.broadcast_to(size, camera.size.shape).astype(jnp.int32),
    )


def intrinsics(camera: Camera) -> Array:
    """Matrices [... 3 3] from camera points to homogeneous pixels, without distortion (perspective models only)."""
    fx, fy = camera.focal[..., 0], camera.focal[..., 1]
    cx, cy = camera.center[..., 0], camera.center[..., 1]
    zero, one = jnp.zeros_like(fx), jnp.ones_like(fx)
    rows = [[fx, zero, cx], [zero, fy, cy], [zero, zero, one]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def ndc_from_pixels(camera: Camera, pixels: Array) -> Array:
    """Pixels [... 2] as fractions of the image: (-1, -1) its top left corner, (1, 1) its bottom right one."""
    size, pixels = align((camera.size, 1), (floating(pixels), 1))
    return 2 * pixels / size.astype(pixels.dtype) - 1


def _direction(model: str, plane: Array, distortion: Array) -> Array:
    """Directions [... 3] in the camera frame of normalised image coordinates [... 2]."""
    if model == 'fisheye':
        return lens.direction_from_fisheye(plane, distortion)
    if model == 'equirectangular':
        longitude, latitude = plane[..., 0], plane[..., 1]
        return jnp.stack(
            [
                jnp.sin(longitude) * jnp.cos(latitude),
                jnp.sin(latitude),
                jnp.cos(longitude) * jnp.cos(latitude),
            ],
            axis=-1,
        )
    if model == 'opencv':
        plane = lens.undistort(plane, distortion)
    elif model == 'orthographic':
        plane = jnp.zeros_like(plane)
    return jnp.concatenate([plane, jnp.ones_like(plane[..., :1])], axis=-1)


def _longitude_latitude(local: Array) -> Array:
    x, y, z = local[..., 0], local[..., 1], local[..., 2]
    across = safe_norm(jnp.stack([x, z], axis=-1))
    # At a pole every longitude is right: 0, with zero gradient.
    pole = across == 0
    longitude = jnp.where(pole, 0, jnp.arctan2(jnp.where(pole, 0, x), jnp.where(pole, 1, z)))
    latitude = jnp.arctan2(y, jnp.where(pole, jnp.ones_like(across), across))
    return jnp.stack([longitude, jnp.where(pole, jnp.sign(y) * jnp.pi / 2, latitude)], axis=-1)
