"""Optical flow of meshes that move: where what a pixel shows is in another picture."""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry import cameras
from neurend.geometry.leading import floating
from neurend.numerics import safe_divide
from neurend.render import rasterize, texture
from neurend.typing import Array


def flow(vertices: Array, elsewhere: Array, faces: Array, *, width: int, height: int) -> Array:
    """The way [H W 2] in pixels, x along W, from each pixel to the place of what it shows in another picture.

    Whether it can be seen there, or something hides it, is another question (`losses.temporal.visible`). Zero where the
    mesh does not show, as of a background that stands still, and where the point is not in front of the other camera.
    Differentiable with respect to both vertices.

    Args:
        vertices: [V 4] homogeneous pixels of this picture, as `geometry.clip.from_camera` gives them.
        elsewhere: [V 4] of the same vertices in the other picture, moved, deformed, or seen by another camera.
        faces: int32 [F 3].
        width, height: of this picture.
    """
    vertices, elsewhere = floating(vertices), floating(elsewhere)
    sizes = checks.shape('vertices', vertices, 'V 4')
    checks.shape('elsewhere', elsewhere, 'V 4', 'Give the same vertices', sizes=sizes)
    found = rasterize.rasterize(vertices, faces, width=width, height=height)
    # Linear on the surface, so that the division comes after.
    there = texture.interpolate(elsewhere, faces, found)
    shown = ((found.face >= 0) & (there[..., 3] > 0))[..., None]
    place = safe_divide(there[..., :2], there[..., 3:])
    return jnp.where(shown, place - cameras.pixel_centers(width, height), 0)
