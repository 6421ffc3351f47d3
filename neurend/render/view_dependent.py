"""View-dependent texture mapping: a mesh whose texture is the photographs, chosen by where it is looked at from.

After Debevec, Taylor and Malik, "Modeling and rendering architecture from photographs" (1996), and Debevec, Yu and
Borshukov (1998): how much photographs count is decided at vertices and blended across triangles, so that a picture
costs as much as a few textures; `lumigraph.render` decides at every pixel. What each sees is decided at pixels.
"""

import jax.numpy as jnp

from neurend.geometry import clip
from neurend.geometry.cameras import Camera
from neurend.numerics import safe_divide
from neurend.render import lumigraph, rasterize, texture, warps
from neurend.render.rendering import Rendering
from neurend.render.warps import Sources
from neurend.typing import Array


def render(
    vertices: Array,
    faces: Array,
    sources: Sources,
    camera: Camera,
    *,
    size: tuple[int, int],
    keep: int | None = None,
    angle: float = 1.0,
    resolution: float = 0.1,
) -> Rendering:
    """Draws a mesh in the colours of photographs; differentiable in vertices, cameras and pictures, in both modes.

    Args:
        vertices: [V 3] in the world.
        faces: int32 [F 3].
        sources: photographs, with depths of the same mesh (`surface`).
        camera: of the view, one.
        size: (width, height).
        keep, angle, resolution: as for `lumigraph.render`, at each vertex.

    Returns:
        Colours multiplied by alpha, alpha (0 where no photograph sees the mesh), depth, and as `weights` [H W k] how
        much of each photograph is in every pixel.
    """
    found = surface(vertices, faces, camera, size=size)
    penalties = lumigraph.penalties(vertices, camera, sources.cameras, angle=angle, resolution=resolution)
    chosen = lumigraph.weights(penalties, jnp.ones_like(penalties), keep=keep)
    seen, _ = warps.warp(sources, camera, found.depth)
    weights = jnp.moveaxis(texture.interpolate(chosen.T, faces, found.extras['fragments']), -1, 0) * seen.share
    weights = safe_divide(weights, jnp.sum(weights, axis=0, keepdims=True))
    rgb, alpha = lumigraph.blend(seen, weights)
    return Rendering(rgb, alpha, jnp.where(alpha > 0, found.depth, 0), weights=jnp.moveaxis(weights, 0, -1))


def surface(vertices: Array, faces: Array, camera: Camera, *, size: tuple[int, int]) -> Rendering:
    """Where a mesh is seen: a proxy for `warps.ProxyFn`, with the rasterizer's `fragments` among the extras.

    Args:
        vertices: [V 3] in the world.
        faces: int32 [F 3].
        camera: one.
        size: (width, height).

    Returns:
        Depth, and alpha, 1 where the mesh is and 0 elsewhere; no colours.
    """
    projected = clip.from_camera(camera, vertices)
    found = rasterize.rasterize(projected, faces, width=size[0], height=size[1])
    depth = texture.interpolate(projected[:, 3:], faces, found)[..., 0]
    alpha = (found.face >= 0).astype(depth.dtype)
    return Rendering(jnp.zeros((*depth.shape, 0), depth.dtype), alpha, depth, extras={'fragments': found})
