"""From Gaussians in space to Gaussians in the picture: elliptical weighted averages.

After Zwicker et al., "EWA splatting" (2001), with the constants of Kerbl et al., "3D Gaussian splatting for real-time
radiance field rendering" (2023), as gsplat has them (Ye et al., 2024).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from neurend.geometry.cameras import Camera
from neurend.geometry.distortion import distort
from neurend.numerics import materialize, unstack
from neurend.typing import Array

# What is fainter at a pixel is left out there.
LEAST_ALPHA = 1 / 255
# Beyond this part of half the picture's size outside of it, the slope of the projection is that at its border.
_BORDER = 0.3
# Larger places and variances, in pixels and their squares, are taken for broken.
_WIDEST = 1e9
# Least factor of an opacity whose Gaussian is smaller than a pixel.
_FAINTEST = 0.005


class Screen(NamedTuple):
    """Gaussians [N] in the picture.

    Attributes:
        x, y: pixels.
        conic: inverse covariances, xx, xy and yy.
        opacity: in the middle.
        depth: along z.
        visible: bool: sound, between near and far, and not fainter than `LEAST_ALPHA`.
    """

    x: Array
    y: Array
    conic: tuple[Array, Array, Array]
    opacity: Array
    depth: Array
    visible: Array


def project(
    means: Array,
    covariances: Array,
    opacities: Array,
    camera: Camera,
    *,
    live: Array | None,
    blur: float,
    antialiased: bool,
    near: float,
    far: float,
) -> Screen:
    """Projects Gaussians; see `gaussians.splat` for the arguments."""
    turn = camera.world_from_camera[:3, :3]
    shape = [unstack(row) for row in unstack(covariances, axis=-2)]
    finite = jnp.isfinite(opacities)
    for part in (*unstack(means), *(entry for row in shape for entry in row)):
        finite &= jnp.isfinite(part)
    # Replaced before anything is made of them, so that nothing but numbers meets the gradients.
    offset = unstack(jnp.where(finite[:, None], means, 0) - camera.world_from_camera[None, :3, 3])
    local = [sum(turn[k, axis] * offset[k] for k in range(3)) for axis in range(3)]
    seen = finite & (local[2] > near) & (local[2] < far) & (opacities > 0)
    if live is not None:
        seen &= live
    x, y = (jnp.where(seen, part, 0) for part in local[:2])
    z = jnp.where(seen, local[2], 1)
    shape = [[jnp.where(seen, entry, float(i == j)) for j, entry in enumerate(row)] for i, row in enumerate(shape)]
    # Places and variances are computed once, and so are their cotangents, at a quarter of the time.
    x, y, z = materialize([x, y, z])
    opacity = jnp.where(seen, opacities, 0)

    offsets = [part / z for part in (x, y)]
    bent = []
    for axis, slope in enumerate(offsets):
        focal, center = camera.focal[axis], camera.center[axis]
        size = lax.stop_gradient(camera.size[axis].astype(z.dtype))
        margin = _BORDER * 0.5 * size / focal
        bent.append(jnp.clip(slope, -center / focal - margin, (size - center) / focal + margin))
    # The projection's slope times the rotation into the camera's frame.
    rows = [[(turn[k, axis] - bent[axis] * turn[k, 2]) / z for k in range(3)] for axis in range(2)]
    if camera.model == 'opencv':
        plane, slopes = _distorted(camera.distortion, bent)
        rows = [[slopes[0][axis] * a + slopes[1][axis] * b for a, b in zip(*rows)] for axis in range(2)]
        # Far outside of the picture distortion may fold back into it.
        inside = (bent[0] == offsets[0]) & (bent[1] == offsets[1])
        seen &= inside
        offsets = plane
    rows = [[camera.focal[axis] * entry for entry in rows[axis]] for axis in range(2)]
    places = [offsets[axis] * camera.focal[axis] + camera.center[axis] for axis in range(2)]

    def product(left: list[Array], right: list[Array]) -> Array:
        each = [left[i] * right[j] * (0.5 * (shape[i][j] + shape[j][i])) for i in range(3) for j in range(3)]
        return sum(each[1:], each[0])

    xx, xy, yy = materialize([product(rows[i], rows[j]) for i, j in ((0, 0), (0, 1), (1, 1))])
    sound = (xx < _WIDEST) & (yy < _WIDEST)
    xx, xy, yy = (jnp.where(sound, entry, other) for entry, other in ((xx, 1), (xy, 0), (yy, 1)))
    a, c = xx + blur, yy + blur
    det = a * c - xy * xy
    sound &= (det > 0) & (a > 0)
    det = jnp.where(sound, det, 1)
    if antialiased:
        kept = jnp.maximum((xx * yy - xy * xy) / det, _FAINTEST**2)
        opacity = opacity * jnp.sqrt(kept)
    conic = (c / det, -xy / det, a / det)
    visible = seen & sound & (jnp.abs(places[0]) < _WIDEST) & (jnp.abs(places[1]) < _WIDEST) & (opacity >= LEAST_ALPHA)
    return Screen(places[0], places[1], conic, opacity, z, visible)


def _distorted(distortion: Array, plane: list[Array]) -> tuple[list[Array], list[list[Array]]]:
    """Distorted coordinates, and how they change with the first and with the second of those before."""

    def lens(x: Array, y: Array) -> list[Array]:
        return unstack(distort(jnp.stack([x, y], axis=-1), distortion))

    one, zero = jnp.ones_like(plane[0]), jnp.zeros_like(plane[0])
    found, by_x = jax.jvp(lens, tuple(plane), (one, zero))
    return found, [by_x, jax.jvp(lens, tuple(plane), (zero, one))[1]]
