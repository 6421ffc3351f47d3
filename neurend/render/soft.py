"""Soft rasterization: every triangle shows a little beyond its boundary and through others, so all have gradients.

After Liu et al., "Soft Rasterizer: A Differentiable Renderer for Image-based 3D Reasoning" (2019). A triangle covers a
pixel with the probability sigmoid(signed squared distance / sigma), the distance being that of the pixel's centre from
the triangle's boundary, positive inside. Any number of triangles counts at a pixel; memory grows with the picture and
linearly with the mesh, shapes depend on sizes alone.

`sigma` is in squared pixels: that of SoftRas and PyTorch3D, whose images are 2 wide, is this one divided by
(width / 2)^2, so that their 1e-4 is 6.55 for an image of 512 pixels. Probabilities of `eps` or less are left out, those
of pixels more than sqrt(sigma log(1/eps - 1)) outside. Where sigma is small for the triangles' size, edges between them
are seen, since a pixel on an edge is covered by halves; where it is large, fine meshes swell, since many are near.

`sigma` and `gamma` may be traced and are constants to derivatives. Anneal them within one compiled step, with
`numerics.log_lerp(start, stop, step / steps)`; radius and number of pixels follow.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.leading import floating
from neurend.render.raster import aggregate, opacity, screen
from neurend.render.raster.nearby import Scene
from neurend.render.raster.opacity import Soft
from neurend.typing import Array

# Where SoftRas has the background, between the far end (0) and the near one (1).
_BACKGROUND = 1e-3
# Squares of places within this many pixels are finite.
_FARTHEST = 1e15


def silhouette(
    vertices: Array,
    faces: Array,
    *,
    sigma: Array | float,
    width: int,
    height: int,
    corner: Array | tuple[int, int] = (0, 0),
    near: float = 1e-3,
    eps: float = 1e-4,
) -> Array:
    """How much of every pixel is covered: 1 minus the product over triangles of 1 minus their probability.

    The product is a sum of logarithms. There are no second derivatives in reverse mode.

    Args:
        vertices: [V 4] homogeneous pixels, as for `rasterize.rasterize`.
        faces: int32 [F 3]. Left out, without gradients, are those with an index outside of 0..V-1 or a vertex that is
            not finite or before the near plane; those without area have no inside and count as line segments.
        sigma: squared pixels, positive.
        width, height: of the picture, in pixels, up to 8192.
        corner: int32 [2], which pixel (x, y) of the camera's image is the picture's first.
        near: smallest w that is shown.
        eps: largest probability that is left out, less than 0.5.

    Returns:
        [H W] in [0, 1]; differentiable with respect to the vertices, in both modes.

    Raises:
        InputError: a shape, a size or an option does not fit.

    >>> triangle = jnp.array([[-9.0, -9, 1, 1], [2, -9, 1, 1], [2, 99, 1, 1]])
    >>> alpha = silhouette(triangle, jnp.array([[0, 1, 2]]), sigma=0.5, width=4, height=1)
    >>> jnp.round(100 * alpha).tolist()
    [[99.0, 62.0, 38.0, 1.0]]
    """
    vertices, faces = _checked(vertices, faces, width, height, near, eps, sigma=sigma)
    if 0 in (len(vertices), len(faces)):
        return jnp.zeros((height, width), vertices.dtype)
    cutoff = float(np.log(1 / eps - 1))
    return _silhouette(vertices, faces, sigma, cutoff, jnp.asarray(corner), near, (width, height))


def blend(
    vertices: Array,
    faces: Array,
    colors: Array,
    background: Array,
    *,
    sigma: Array | float,
    gamma: Array | float,
    depth_range: tuple[Array | float, Array | float],
    width: int,
    height: int,
    corner: Array | tuple[int, int] = (0, 0),
    near: float = 1e-3,
    eps: float = 1e-4,
) -> tuple[Array, Array]:
    """Colours of all triangles at every pixel, the nearer with more weight.

    A triangle's weight is its probability times exp(nearness / gamma), the background's exp(0.001 / gamma). Nearness is
    1 at the near end of `depth_range` and 0 at its far end. Weights are relative to the greatest at the pixel, found in
    a first pass, so that no gamma overflows; in float32 nearness / gamma has seven digits.

    Beside SoftRas's code: nearness is linear in z/w, which is linear in the image, and not in the camera's z; what is
    out of the range is not dropped; colours are perspective-correct; the background's weight is as in the paper (there
    doubled in the exponent, and infinite for small gamma); alpha's gradient is that of alpha.

    Args:
        vertices, faces, sigma, width, height, corner, near, eps: as for `silhouette`.
        colors: [V c] of the vertices, any number of channels; at a pixel they are interpolated by barycentrics that are
            clipped to [0, 1] and normalised.
        background: [c] or [H W c].
        gamma: positive, how much nearness one e-folding of weight takes.
        depth_range: z/w at the near and at the far end: (-1/near, -1/far) for pinhole cameras of
            `geometry.clip.from_camera`, (near, far) for orthographic ones.

    Returns:
        [H W c], and [H W] what `silhouette` gives; differentiable with respect to vertices, colours, background and
        `depth_range`, in both modes.

    Raises:
        InputError: a shape, a size or an option does not fit.
    """
    vertices, faces = _checked(vertices, faces, width, height, near, eps, sigma=sigma, gamma=gamma)
    colors, background = floating(colors), floating(background)
    sizes = checks.shape('colors', colors, 'V c', 'Give a row for every vertex', sizes={'V': len(vertices)})
    pattern = 'c' if background.ndim == 1 else 'H W c'
    checks.shape('background', background, pattern, sizes={'H': height, 'W': width, 'c': sizes['c']})
    background = jnp.broadcast_to(background, (height, width, sizes['c']))
    if 0 in (len(vertices), len(faces)):
        return background, jnp.zeros((height, width), vertices.dtype)
    ends = tuple(jnp.asarray(end, vertices.dtype) for end in depth_range)
    cutoff = float(np.log(1 / eps - 1))
    return _blend(
        vertices, faces, colors, background, sigma, gamma, ends, cutoff, jnp.asarray(corner), near, (width, height)
    )


@functools.partial(jax.jit, static_argnames='size')
def _silhouette(vertices, faces, sigma, cutoff, corner, near, size) -> Array:
    corners, used = _places(vertices, faces, corner, near)
    soft = _soft(corners, used, sigma, cutoff, opacity.opaque(vertices.dtype))
    return _alpha(opacity.thickness(corners, soft, size))


@functools.partial(jax.jit, static_argnames='size')
def _blend(vertices, faces, colors, background, sigma, gamma, ends, cutoff, corner, near, size) -> tuple[Array, Array]:
    corners, used = _places(vertices, faces, corner, near)
    soft = _soft(corners, used, sigma, cutoff, jnp.inf)
    gamma = jax.lax.stop_gradient(jnp.asarray(gamma, vertices.dtype))
    shown = vertices[jnp.clip(faces, 0, len(vertices) - 1)]
    z, w = (jnp.where(used[:, None], shown[..., axis], 1) for axis in (2, 3))
    nearness = (ends[1] - z / w) / (ends[1] - ends[0])
    own = jnp.where(used[:, None, None], colors[jnp.clip(faces, 0, len(vertices) - 1)], 0)
    rows = aggregate.rows(corners, nearness / gamma, 1 / w, own.astype(corners.dtype))
    (thickness, weight, *sums), top = aggregate.aggregate(rows, soft, _BACKGROUND / gamma, size)
    behind = jnp.exp(_BACKGROUND / gamma - top)[..., None]
    return (jnp.stack(sums, axis=-1) + behind * background) / (weight[..., None] + behind), _alpha(thickness)


def _alpha(thickness: Array) -> Array:
    return 1 - jnp.exp(-jnp.minimum(thickness, opacity.opaque(thickness.dtype)))


def _places(vertices: Array, faces: Array, corner: Array, near: Array) -> tuple[Array, Array]:
    """Corners [F 6] in the picture, zeros where the triangle is left out, and which are not, [F]."""
    x, y, w = (vertices[:, axis] for axis in (0, 1, 3))
    limit = _FARTHEST * w
    usable = jnp.isfinite(vertices).all(-1) & (w >= near) & (jnp.abs(x) < limit) & (jnp.abs(y) < limit)
    x, y, w = (jnp.where(usable, values, 1) for values in (x, y, w))
    index = jnp.clip(faces, 0, len(vertices) - 1)
    used = ((faces == index) & usable[index]).all(-1)
    places = [place / w - first.astype(w.dtype) for place, first in zip((x, y), corner)]
    corners = jnp.stack([place[index[:, k]] for k in range(3) for place in places], axis=-1)
    return jnp.where(used[:, None], corners, 0), used


def _soft(corners: Array, used: Array, sigma: Any, cutoff: Any, limit: float) -> Soft:
    """`limit` is the thickness from which on blocks are left out."""
    sigma, cutoff = (jax.lax.stop_gradient(jnp.asarray(value, corners.dtype)) for value in (sigma, cutoff))
    scene = Scene(jax.lax.stop_gradient(corners), used, jnp.sqrt(cutoff * sigma), jnp.sqrt(limit * sigma))
    return Soft(scene, sigma, cutoff)


def _checked(vertices, faces, width, height, near, eps, **sharpness) -> tuple[Array, Array]:
    vertices, faces = screen.checked(vertices, faces, width=width, height=height, near=near)
    if not 0 < eps < 0.5:
        raise checks.InputError(f'eps: got {eps}, expected a probability between 0 and 0.5')
    for name, value in sharpness.items():
        if isinstance(value, (int, float)) and not value > 0:
            raise checks.InputError(f'{name}: got {value}, expected a positive number')
    return vertices, faces
