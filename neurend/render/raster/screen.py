"""Vertices on the grid of a viewport: snapped to a fraction of a pixel, so that coverage is decided in integers."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.leading import floating
from neurend.render.segments import prefix_sum
from neurend.typing import Array

# Coordinates are whole multiples of 1/256 pixel.
SUBPIXELS = 256
HALF = SUBPIXELS // 2
# Vertices this many pixels or more from the viewport's corner are clipped off first. With it edge functions change by
# less than 2^29 within a block of 32 pixels, so that 32 bits hold them there.
GUARD = 1 << 14
LARGEST_SIDE = 1 << 13
# Whole numbers that float32 holds count them.
MOST_FACES = 1 << 24
# Places of pixels are stored in 14 bits, from -2 on.
_FIELD = 14
ABSENT = np.uint32(0xFFFFFFFF)


class Screen(NamedTuple):
    """The vertices [V] of a mesh in one viewport.

    Attributes:
        x, y: int32, 1/256 pixels from the viewport's corner; meaningless where the vertex is not `direct`.
        z: float32, z/w.
        code: uint32, `Codes` in one word, so that triangles gather one number per vertex to see whether they show.
    """

    x: Array
    y: Array
    z: Array
    code: Array


class Codes(NamedTuple):
    """What a triangle's pixels are bounded by.

    Attributes:
        left, right, top, bottom: int32, first and last pixels whose centre is not beyond the vertex, -2 or less and
            the viewport's size or more outside of it.
        direct: bool, neither before the near plane nor beyond the guard band.
        behind: bool, before the near plane.
        absent: bool, not a finite vertex: its triangles are left out.
    """

    left: Array
    right: Array
    top: Array
    bottom: Array
    direct: Array
    behind: Array
    absent: Array


def checked(
    vertices: Array, faces: Array, *, width: int, height: int, near: float, leading: bool = False
) -> tuple[Array, Array]:
    """Homogeneous pixels [V 4] and faces int32 [F 3] of a mesh, or with leading dims, and a viewport that fit.

    Raises:
        InputError: they do not.
    """
    vertices, faces = floating(vertices), jnp.asarray(faces)
    front, more = ('... ', '') if leading else ('', '; use jax.vmap for more meshes')
    checks.shape('vertices', vertices, f'{front}V 4', f'Give homogeneous pixels, see neurend.geometry.clip{more}')
    checks.shape('faces', faces, f'{front}F 3', f'Give three indices of vertices for every triangle{more}')
    if not jnp.issubdtype(faces.dtype, jnp.integer):
        raise checks.InputError(f'faces: got {faces.dtype}, expected integers')
    if faces.shape[-2] > MOST_FACES:
        raise checks.InputError(f'faces: got {faces.shape[-2]}, expected at most {MOST_FACES}; draw the mesh in parts')
    for name, size in (('width', width), ('height', height)):
        if not 1 <= size <= LARGEST_SIDE:
            remedy = '; draw larger pictures with rasterize.in_tiles' if size > 0 else ''
            raise checks.InputError(f'{name}: got {size}, expected 1 to {LARGEST_SIDE}{remedy}')
    if not near > 0:
        raise checks.InputError(f'near: got {near}, expected a positive w')
    return vertices, faces.astype(jnp.int32)


def snap(vertices: Array, corner: Array, width: int, height: int, near: float) -> Screen:
    """Snaps homogeneous pixels.

    Args:
        vertices: [V 4] (x w, y w, z, w) with x and y in pixels.
        corner: [2] int32, the pixel (x, y) that is the viewport's first.
        width, height: of the viewport.
        near: smallest w that is shown.
    """
    x, y, z, w = (vertices[:, axis] for axis in range(4))
    finite = jnp.isfinite(x) & jnp.isfinite(y) & jnp.isfinite(z) & jnp.isfinite(w)
    ahead = finite & (w >= near)
    safe = jnp.where(ahead, w, 1)
    offset = corner * SUBPIXELS

    def place(values: Array, shift: Array) -> tuple[Array, Array]:
        snapped = jnp.round(values / safe * SUBPIXELS) - shift.astype(values.dtype)
        inside = jnp.abs(snapped) < GUARD * SUBPIXELS
        return jnp.where(ahead & inside, snapped, 0).astype(jnp.int32), inside

    (column, inside_x), (row, inside_y) = place(x, offset[0]), place(y, offset[1])
    direct = ahead & inside_x & inside_y

    def field(snapped: Array, values: Array, first: Array, count: int) -> tuple[Array, Array]:
        low = jnp.clip((snapped - HALF) >> 8, -2, count + 1)
        low_outside = values < (first + 0.5) * w
        high_outside = values > (first + count - 0.5) * w
        coarse = jnp.where(low_outside, -2, jnp.where(high_outside, count + 1, 0))
        exact = direct & (((snapped - HALF) & (SUBPIXELS - 1)) == 0)
        return jnp.where(direct, low, coarse).astype(jnp.uint32) + 2, exact.astype(jnp.uint32)

    across, exact_x = field(column, x, corner[0], width)
    down, exact_y = field(row, y, corner[1], height)
    code = across | (down << _FIELD) | (exact_x << 28) | (exact_y << 29)
    code = code | (direct.astype(jnp.uint32) << 30) | ((finite & ~ahead).astype(jnp.uint32) << 31)
    depth = (jnp.where(ahead, z, 0) / safe).astype(jnp.float32)
    usable = finite & jnp.isfinite(depth)
    return Screen(column, row, depth + 0.0, jnp.where(usable, code, ABSENT))


def some(flags: Array) -> Array:
    """Whether any of many [n] is True, by matrix products: XLA on a CPU takes ten times as long to reduce them."""
    return prefix_sum(flags)[-1] > 0


def absent(count: int) -> Screen:
    """Vertices of which none shows."""
    zeros = jnp.zeros(count, jnp.int32)
    return Screen(zeros, zeros, jnp.zeros(count, jnp.float32), jnp.full(count, ABSENT))


def codes(code: Array, shown: Array) -> Codes:
    """Unpacks codes; those of vertices that are not `shown` are absent."""
    mask = (1 << _FIELD) - 1
    across = (code & mask).astype(jnp.int32) - 2
    down = ((code >> _FIELD) & mask).astype(jnp.int32) - 2
    exact_x, exact_y = (code >> 28 & 1).astype(jnp.int32), (code >> 29 & 1).astype(jnp.int32)
    return Codes(
        left=across + 1 - exact_x,
        right=across,
        top=down + 1 - exact_y,
        bottom=down,
        direct=(code >> 30 & 1) == 1,
        behind=(code >> 31) == 1,
        absent=(code == ABSENT) | ~shown,
    )
