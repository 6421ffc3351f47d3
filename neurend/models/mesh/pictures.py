"""Pictures of a mesh: its silhouette, and a plain view of its shape."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import clip, transforms, triangles
from neurend.geometry.cameras import Camera
from neurend.geometry.triangles import Topology
from neurend.images import color
from neurend.numerics import safe_divide
from neurend.render import antialias, rasterize, texture
from neurend.render.rendering import Rendering
from neurend.render.shade import classic, lights
from neurend.typing import Array, PyTree

# Towards a lamp over the left shoulder and a weaker one to the right, in the camera's frame, and their irradiances.
_LAMPS = (((-0.45, -0.65, -0.61), 2.6), ((0.75, 0.1, -0.65), 0.6))
_ALBEDO, _AMBIENT = 0.7, 0.04


def coverage(vertices: Array, faces: Array, topology: Topology, camera: Camera, size: tuple[int, int]) -> Array:
    """How much of each pixel a mesh covers, with a gradient at its outline.

    Args:
        vertices: [V 3] in the world.
        faces: int32 [F 3].
        topology: of the faces.
        camera: one, without leading dims.
        size: (width, height) of the picture, in pixels.

    Returns:
        [H W] in [0, 1].
    """
    width, height = size
    projected = clip.from_camera(camera, vertices)
    found = rasterize.rasterize(projected, faces, width=width, height=height)
    shown = (found.face >= 0).astype(projected.dtype)[..., None]
    return antialias.antialias(shown, found, projected, topology)[..., 0]


def shaded(vertices: Array, faces: Array, topology: Topology, camera: Camera, size: tuple[int, int]) -> Rendering:
    """A matte grey surface on white, lit from where the camera stands; arguments as for `coverage`.

    Returns:
        Rendering of [H W ...], with normals.
    """
    width, height = size
    projected = clip.from_camera(camera, vertices)
    found = rasterize.rasterize(projected, faces, width=width, height=height)
    smooth = texture.interpolate(triangles.vertex_normals(vertices, faces), faces, found)
    normals = safe_divide(smooth, jnp.sqrt(jnp.sum(jnp.square(smooth), axis=-1, keepdims=True)))
    directions, strengths = (jnp.asarray(part, normals.dtype) for part in zip(*_LAMPS))
    directions = transforms.rotate(camera.world_from_camera, directions)
    lamps = lights.Directional(directions, jnp.repeat(strengths[:, None], 3, axis=1))
    brdf = functools.partial(classic.lambert, albedo=jnp.full((1, 1, 3), _ALBEDO))
    radiance = lights.shade(brdf, normals, normals, lamps) + _AMBIENT
    seen = found.face >= 0
    rgb = jnp.where(seen[..., None], color.srgb_from_linear(jnp.clip(radiance, 0, 1)), 1)
    planes = jnp.concatenate([rgb, seen.astype(rgb.dtype)[..., None]], axis=-1)
    blended = antialias.antialias(planes, found, projected, topology)
    depth = texture.interpolate(projected[:, 3:], faces, found)[..., 0]
    return Rendering(rgb=blended[..., :3], alpha=blended[..., 3], depth=depth, normal=normals)


def unrolled(batch: PyTree) -> list[Any]:
    """The elements of a batch [n ...], for a loop in Python, a tenth faster on a CPU than one of XLA."""
    count = len(jax.tree.leaves(batch)[0])
    return [jax.tree.map(lambda leaf, k=k: leaf[k], batch) for k in range(count)]


def difference(cover: Any, target: Any) -> np.ndarray:
    """White where two silhouettes [H W] agree, red where the first has too much, blue where it has too little."""
    change = np.asarray(cover) - np.asarray(target)
    much, little = np.maximum(change, 0), np.maximum(-change, 0)
    return np.clip(np.stack([1 - little, 1 - much - little, 1 - much], axis=-1), 0, 1).astype(np.float32)
