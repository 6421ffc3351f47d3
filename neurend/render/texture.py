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
from neurend.render import texels
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
    return _looked_up(texture.reshape(-1, channels), [_taps(uv.reshape(-1, 2), width, height, wrap)], uv.shape[:-1])


def _taps(uv: Array, width: int | Array, height: int | Array, wrap: str) -> tuple[list[Array], list[Array]]:
    """Rows of a flat texture, and their weights, four each of [n], for places [n 2] in a texture or in several [n]."""
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    left, top = jnp.floor(x), jnp.floor(y)
    columns = [_wrapped(left.astype(jnp.int32) + k, width, wrap) for k in (0, 1)]
    rows = [_wrapped(top.astype(jnp.int32) + k, height, wrap) for k in (0, 1)]
    fx, fy = x - left, y - top
    weights = [(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx]
    return [row * width + column for row in rows for column in columns], weights


def _looked_up(table: Array, taps: list[tuple[list[Array], list[Array]]], leading: tuple[int, ...]) -> Array:
    places, weights = (tuple(part for tap in taps for part in tap[k]) for k in (0, 1))
    return texels.weighted(table, places, weights).reshape(*leading, table.shape[-1])


def _wrapped(index: Array, size: int | Array, wrap: str) -> Array:
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


def trilinear(
    levels: list[Array], uv: Array, derivatives: Array, *, wrap: Wrap = 'repeat', bias: float = 0.0, samples: int = 1
) -> Array:
    """Looks up a pyramid between the two levels whose texels are about as large as a pixel.

    A pixel covers an ellipse of the texture, and with one sample the level is that of its longer axis: surfaces seen at
    a slant blur. Several samples lie along this axis, and the level is that of the shorter one, or that at which
    samples are a texel apart, whichever is coarser (anisotropic filtering: McCormack et al., "Feline", 1999).

    Args:
        levels: of `pyramid`.
        uv: [... 2].
        derivatives: [... 2 2] change of (u, v) per pixel to the right and downwards, see `interpolate_derivatives`; no
            gradient passes through the choice of the level and of the axis.
        wrap: as for `bilinear`.
        bias: added to the level: positive is blurrier.
        samples: along the longer axis, 1 or more. Each costs eight texels.

    Returns:
        [... c].

    Raises:
        InputError: no levels, no samples, or shapes that do not fit.
    """
    if not levels or samples < 1:
        raise checks.InputError(f'levels, samples: got {len(levels)} and {samples}, expected at least 1 of each')
    uv, levels = floating(uv), [floating(level) for level in levels]
    checks.shape('uv', uv, '... 2')
    checks.shape('derivatives', derivatives, '... 2 2', 'Give the change of (u, v) per pixel in both directions')
    checks.one_of('wrap', wrap, WRAPS)
    for k, level in enumerate(levels):
        checks.shape(f'levels[{k}]', level, f'h w {levels[0].shape[-1]}', 'The first has so many channels')
    leading = uv.shape[:-1]
    axis, level = _footprint(jax.lax.stop_gradient(derivatives).reshape(-1, 2, 2), levels[0].shape[:2], samples)
    level = jnp.clip(level + bias, 0, len(levels) - 1)
    uv = uv.reshape(-1, 2)

    # All levels as one table, of which every place reads two.
    sizes = np.array([texture.shape[:2] for texture in levels], np.int32)
    firsts = np.cumsum([0, *sizes.prod(-1)[:-1]], dtype=np.int32)
    finer = jnp.floor(level).astype(jnp.int32)
    shares = (finer, finer + 1 - level), (jnp.minimum(finer + 1, len(levels) - 1), level - finer)
    known = [(*(jnp.asarray(of)[k] for of in (sizes[:, 1], sizes[:, 0], firsts)), share) for k, share in shares]
    table = jnp.concatenate([texture.reshape(-1, texture.shape[-1]) for texture in levels])

    def look(uv: Array) -> Array:
        taps = []
        for width, height, first, share in known:
            places, weights = _taps(uv, width, height, wrap)
            taps.append(([first + place for place in places], [share * weight for weight in weights]))
        return _looked_up(table, taps, leading)

    if samples == 1:
        return look(uv)
    # One after the other, so that memory is that of one.
    steps = (jnp.arange(samples, dtype=uv.dtype) + 0.5) / samples - 0.5
    nothing = jnp.zeros((*leading, table.shape[-1]), jnp.result_type(table, uv))
    total, _ = jax.lax.scan(lambda total, step: (total + look(uv + step * axis), None), nothing, steps)
    return total / samples


def _footprint(derivatives: Array, size: tuple[int, ...], samples: int) -> tuple[Array, Array]:
    """The longer axis [n 2], in UV, of ellipses that pixels cover, and the level [n] at which samples fill it."""
    extent = jnp.array([size[1], size[0]], derivatives.dtype)
    scaled = derivatives * extent[None, :, None]
    (a, b), (c, d) = ((scaled[:, k, 0], scaled[:, k, 1]) for k in (0, 1))
    uu, vv, cross = a * a + b * b, c * c + d * d, a * c + b * d
    longest = jnp.sqrt(jnp.maximum(0.5 * (uu + vv) + jnp.sqrt(0.25 * (uu - vv) ** 2 + cross**2), 1e-20))
    shortest = jnp.abs(a * d - b * c) / longest
    angle = 0.5 * jnp.arctan2(2 * cross, uu - vv)
    axis = longest[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1) / extent[None]
    return axis, jnp.log2(jnp.maximum(shortest, longest / samples))


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
    taps = [base.reshape(-1) + offset for offset in (0, 1, side + 2, side + 3)], [w.reshape(-1) for w in weights]
    return _looked_up(bordered.reshape(-1, texture.shape[-1]), [taps], base.shape)


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
