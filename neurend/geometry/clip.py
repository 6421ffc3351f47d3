"""Homogeneous pixels: what the rasterizer takes, from cameras and from clip space.

A vertex is (x w, y w, z, w): x and y in pixels, z/w a depth that is linear in the image, nearer where it is less, and w
positive in front of the camera. Vertices behind it keep their meaning, so that triangles through its plane are whole.
"""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry import cameras, transforms
from neurend.geometry.cameras import Camera
from neurend.geometry.leading import align, floating
from neurend.typing import Array


def from_camera(camera: Camera, points: Array) -> Array:
    """Homogeneous pixels of world points; everything in the camera has a gradient.

    w is the depth that `cameras.project` gives and z is -1 (depths z/w = -1/w have their precision where it matters),
    but for orthographic cameras, where w is 1 and z the depth. Vertices are where opencv cameras with distortion see
    them, but edges are straight, which is good enough for triangles of few pixels; `neurend.render.lens` bends them.

    Args:
        camera: pinhole, opencv or orthographic; leading dims broadcast with those of the points: `cameras[:, None]`
            gives every point in every camera.
        points: [... 3] in the world.

    Returns:
        [... 4].

    Raises:
        InputError: a camera whose picture straight edges have no meaning in, or a shape that does not fit.
    """
    if camera.model in ('fisheye', 'equirectangular'):
        raise checks.InputError(
            f'camera: got model {camera.model!r}, expected one in which straight edges are nearly straight; draw '
            'meshes through it with neurend.render.lens'
        )
    points = floating(points)
    checks.shape('points', points, '... 3', 'Give points in the world')
    if camera.model != 'pinhole':
        pixels, depth = cameras.project(camera, points)
        depth = depth[..., None]
        if camera.model == 'orthographic':
            return jnp.concatenate([pixels, depth, jnp.ones_like(depth)], axis=-1)
        return jnp.concatenate([pixels * depth, -jnp.ones_like(depth), depth], axis=-1)
    local = transforms.apply_inverse(camera.world_from_camera, points)
    focal, center, local = align((camera.focal, 1), (camera.center, 1), (local, 1))
    w = local[..., 2:]
    # Without the division, which has no meaning in the camera's plane.
    return jnp.concatenate([local[..., :2] * focal + center * w, -jnp.ones_like(w), w], axis=-1)


def from_clip_space(vertices: Array, width: int, height: int) -> Array:
    """Homogeneous pixels of OpenGL's clip space, in which x/w and y/w run from -1 to 1 and y points up.

    Args:
        vertices: [... 4] (x, y, z, w).
        width, height: of the image, in pixels.
    """
    vertices = floating(vertices)
    checks.shape('vertices', vertices, '... 4', 'Give (x, y, z, w) of every vertex')
    x, y, z, w = (vertices[..., axis] for axis in range(4))
    return jnp.stack([(x + w) * (width / 2), (w - y) * (height / 2), z, w], axis=-1)
