"""Attributes of meshes at pixels, and textures: bilinear, mip-mapped and cube maps, with gradients to everything.

UV (0, 0) is the bottom left corner of a texture, whose row 0 is at the top; the centre of the first texel is half a
texel from its borders.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.leading import floating
from neurend.numerics import safe_divide
from neurend.render.raster import pixels
from neurend.render.rasterize import Fragments
from neurend.typing import Array

Wrap = Literal['repeat', 'clamp', 'mirror']
WRAPS: tuple[Wrap, ...] = ('repeat', 'clamp', 'mirror')


def interpolate(attributes: Array, faces: Array, fragments: Fragments) -> Array:
    """Attributes of a mesh's vertices at pixels; zeros where there is no triangle.

    Args:
        attributes: [V c]; with leading dims `...` where the fragments have them (then one for each).
        faces: int32 [F 3] into the attributes, e.g. a mesh's `faces` or `uv_faces`.
        fragments: leading dims `...`.

    Returns:
        [... H W c].
    """
    return _combine(attributes, faces, fragments.face, fragments.barycentrics)


def interpolate_derivatives(attributes: Array, faces: Array, fragments: Fragments) -> Array:
    """Change [... H W c 2] of attributes per pixel to the right and downwards; arguments as for `interpolate`."""
    parts = [_combine(attributes, faces, fragments.face, fragments.derivatives[..., axis]) for axis in range(2)]
    return jnp.stack(parts, axis=-1)


def _combine(attributes: Array, faces: Array, face: Array, weights: Array) -> Array:
    if attributes is None or faces is None:
        raise checks.InputError('attributes, faces: got None; where a mesh has no UVs, scenes.remesh.unwrap makes them')
    attributes, faces = floating(attributes), jnp.asarray(faces)
    checks.shape('attributes', attributes, '... v c', 'Give a row for every vertex, [V 1] for numbers')
    checks.shape('faces', faces, 'f 3')
    if attributes.ndim > 2:
        return jax.vmap(lambda *mine: _combine(mine[0], faces, *mine[1:]))(attributes, face, weights)
    if 0 in (len(faces), len(attributes)):
        return jnp.zeros((*face.shape, attributes.shape[-1]), attributes.dtype)
    *leading, height, width = face.shape
    layers = math.prod(leading)
    shown = pixels.Shown(face.reshape(layers * height, width), faces, jnp.zeros(2, jnp.int32))
    found = pixels.evaluate(_weighted, layers, attributes, weights.reshape(*shown.face.shape, 3), shown)
    return found.reshape(*face.shape, -1)


def _weighted(corners: list[list[Array]], weights: list[Array], _: pixels.Place) -> list[Array]:
    a, b, c = weights
    return [a * at_a + b * at_b + c * at_c for at_a, at_b, at_c in corners]


def bilinear(texture: Array, uv: Array, *, wrap: Wrap = 'repeat') -> Array:
    """Looks up a texture.

    Args:
        texture: [h w c].
        uv: [... 2].
        wrap: 'repeat', 'clamp' to the border's texels, or 'mirror' at every whole number.

    Returns:
        [... c].
    """
    texture, uv = floating(texture), floating(uv)
    checks.shape('texture', texture, 'h w c', 'Give a channel axis, of one channel at least')
    checks.shape('uv', uv, '... 2')
    checks.one_of('wrap', wrap, WRAPS)
    height, width, channels = texture.shape
    x, y = uv[..., 0] * width - 0.5, (1 - uv[..., 1]) * height - 0.5
    left, top = jnp.floor(x), jnp.floor(y)
    columns = [_wrapped(left.astype(jnp.int32) + k, width, wrap) for k in (0, 1)]
    rows = [_wrapped(top.astype(jnp.int32) + k, height, wrap) for k in (0, 1)]
    fx, fy = x - left, y - top
    weights = [(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]
    places = [row * width + column for row in rows for column in columns]
    planes = texture.reshape(-1, channels)
    looked_up = [
        sum(weight * planes[:, c].at[place].get(mode='promise_in_bounds') for weight, place in zip(weights, places))
        for c in range(channels)
    ]
    return jnp.stack(looked_up, axis=-1)


def _wrapped(index: Array, size: int, wrap: str) -> Array:
    if wrap == 'clamp':
        return jnp.clip(index, 0, size - 1)
    if wrap == 'repeat':
        return index % size
    index = index % (2 * size)
    return jnp.minimum(index, 2 * size - 1 - index)


def pyramid(texture: Array, levels: int | None = None) -> list[Array]:
    """A texture [h w c] and its halves down to one texel (Williams, 1983), each the mean of 2 x 2 texels before.

    Args:
        texture: sides that are powers of two halve exactly; an odd side loses its last row or column.
        levels: how many; None for all.
    """
    texture = floating(texture)
    checks.shape('texture', texture, 'h w c')
    stack = [texture]
    while max(stack[-1].shape[:2]) > 1 and (levels is None or len(stack) < levels):
        last = stack[-1]
        for axis in (0, 1):
            size = last.shape[axis]
            if size > 1:
                last = jax.lax.slice_in_dim(last, 0, size // 2 * 2, axis=axis)
                last = last.reshape(*last.shape[:axis], size // 2, 2, *last.shape[axis + 1 :]).mean(axis + 1)
        stack.append(last)
    return stack


def trilinear(levels: list[Array], uv: Array, derivatives: Array, *, wrap: Wrap = 'repeat', bias: float = 0.0) -> Array:
    """Looks up a pyramid between the two levels whose texels are about as large as a pixel.

    Args:
        levels: of `pyramid`.
        uv: [... 2].
        derivatives: [... 2 2] change of (u, v) per pixel to the right and downwards, see `interpolate_derivatives`; no
            gradient passes through the choice of the level.
        wrap: as for `bilinear`.
        bias: added to the level: positive is blurrier.

    Returns:
        [... c].
    """
    checks.shape('derivatives', derivatives, '... 2 2', 'Give the change of (u, v) per pixel in both directions')
    height, width = levels[0].shape[:2]
    texels = jax.lax.stop_gradient(derivatives) * jnp.array([[width], [height]], derivatives.dtype).reshape(
        (1,) * (derivatives.ndim - 2) + (2, 1)
    )
    # The longer axis of the ellipse that a pixel covers, in texels.
    a, b = jnp.sum(texels[..., 0] ** 2, axis=-1), jnp.sum(texels[..., 1] ** 2, axis=-1)
    cross = jnp.sum(texels[..., 0] * texels[..., 1], axis=-1)
    longest = 0.5 * (a + b) + jnp.sqrt(0.25 * (a - b) ** 2 + cross**2)
    level = jnp.clip(0.5 * jnp.log2(jnp.maximum(longest, 1e-20)) + bias, 0, len(levels) - 1)
    result = jnp.zeros((*jnp.shape(uv)[:-1], levels[0].shape[-1]), levels[0].dtype)
    for k, texture in enumerate(levels):
        weight = jnp.maximum(1 - jnp.abs(level - k), 0)[..., None]
        result = result + weight * bilinear(texture, uv, wrap=wrap)
    return result


# Axes (right, down, outward) of the faces +x, -x, +y, -y, +z, -z in the convention of OpenGL.
_CUBE = np.array(
    [
        [[0, 0, -1], [0, -1, 0], [1, 0, 0]],
        [[0, 0, 1], [0, -1, 0], [-1, 0, 0]],
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[1, 0, 0], [0, 0, -1], [0, -1, 0]],
        [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
        [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
    ],
    np.float32,
)


def cube_directions(side: int) -> Array:
    """Directions [6 side side 3] of the centres of a cube map's texels, not normalised."""
    steps = (jnp.arange(side) + 0.5) / side * 2 - 1
    down, right = jnp.meshgrid(steps, steps, indexing='ij')
    local = jnp.stack([right, down, jnp.ones_like(right)], axis=-1)
    return jnp.einsum('hwk,fkc->fhwc', local, _CUBE, precision='highest')


def cube(texture: Array, directions: Array) -> Array:
    """Looks up a cube map, bilinear within and across its faces.

    Args:
        texture: [6 n n c], faces +x, -x, +y, -y, +z, -z as in OpenGL.
        directions: [... 3], of any length but zero.

    Returns:
        [... c].
    """
    texture, directions = floating(texture), floating(directions)
    sizes = checks.shape('texture', texture, '6 n n c', 'Give six square faces')
    checks.shape('directions', directions, '... 3')
    side = sizes['n']
    bordered = _with_borders(texture)
    face, x, y = _cube_place(directions, side)
    x, y = x + 0.5, y + 0.5  # of the bordered face, with centres of texels at whole numbers
    left, top = jnp.clip(jnp.floor(x), 0, side), jnp.clip(jnp.floor(y), 0, side)
    fx, fy = x - left, y - top
    base = (face * (side + 2) + top.astype(jnp.int32)) * (side + 2) + left.astype(jnp.int32)
    weights = [(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]
    planes = bordered.reshape(-1, texture.shape[-1])
    offsets = (0, 1, side + 2, side + 3)
    looked_up = [
        sum(w * planes[:, c].at[base + o].get(mode='promise_in_bounds') for w, o in zip(weights, offsets))
        for c in range(texture.shape[-1])
    ]
    return jnp.stack(looked_up, axis=-1)


def _cube_place(directions: Array, side: int) -> tuple[Array, Array, Array]:
    """Which face directions [... 3] meet, and where on it, in texels from its top left corner."""
    axis = jnp.argmax(jnp.abs(directions), axis=-1)
    along = jnp.take_along_axis(directions, axis[..., None], axis=-1)[..., 0]
    face = 2 * axis + (along < 0)
    axes = jnp.asarray(_CUBE, directions.dtype)[face]
    right, down, outward = jnp.moveaxis(jnp.sum(axes * directions[..., None, :], axis=-1), -1, 0)
    x, y = ((safe_divide(part, outward) + 1) / 2 * side for part in (right, down))
    return face, x, y


def _with_borders(texture: Array) -> Array:
    """Faces [6 n+2 n+2 c] with the neighbours' nearest texels around; corners are the mean of the two beside them."""
    side = texture.shape[1]
    steps = (np.arange(-1, side + 1) + 0.5) / side * 2 - 1
    down, right = np.meshgrid(steps, steps, indexing='ij')
    local = np.stack([right, down, np.ones_like(right)], axis=-1)
    directions = np.einsum('hwk,fkc->fhwc', local, _CUBE)
    face, x, y = _cube_place(jnp.asarray(directions, jnp.float32), side)
    column, row = (jnp.clip(value.astype(jnp.int32), 0, side - 1) for value in (x, y))
    bordered = texture[face, row, column]
    for i, j, k in ((0, 0, 1), (0, -1, -2), (-1, 0, 1), (-1, -1, -2)):
        beside = 0.5 * (bordered[:, i, k] + bordered[:, 1 if i == 0 else -2, j])
        bordered = bordered.at[:, i, j].set(beside)
    return bordered
