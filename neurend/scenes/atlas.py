"""Where the surface lies in its texture: texels that are used, seams, tiles, and layouts that are unsound.

A chart is a piece of the surface laid out in one piece. Coordinates outside of [0, 1] repeat the texture.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from neurend import checks
from neurend.numerics import safe_divide
from neurend.scenes import meshes, selection
from neurend.scenes.meshes import Mesh
from neurend.typing import Array

# What rounding may put a corner beyond its tile, in tiles.
_ROUNDING = 1e-5
# Tiles of a row, by the numbers that programs give them: 1001 + u + 10 v.
_TILES = 10
_MOST_ROWS = 2**26


def charts(uvs: ArrayLike, uv_faces: ArrayLike, side: int) -> np.ndarray:
    """Texels whose centres lie within a chart: bool [side side], row 0 at the top (NumPy).

    Args:
        uvs: [T 2].
        uv_faces: [F 3] into the UVs; faces with -1 are left out.
        side: of the texture, in texels.

    Raises:
        InputError: shapes that do not fit, UVs that are not finite or reach over too many texels, a side below 1.
    """
    return _counts(uvs, uv_faces, side) > 0


def check(mesh: Mesh, *, side: int = 1024) -> float:
    """Checks that every face has a place in the texture.

    Args:
        mesh: any.
        side: of the texture that is meant, in texels.

    Returns:
        The share of used texels, in [0, 1], that several faces use, so that places of the surface look alike there: 0
        for a layout without overlaps, 1 where everything is mirrored.

    Raises:
        InputError: the mesh is not sound, or it or some of its faces have no UVs.
    """
    counts = _counts(*_layout(mesh), side)
    return float((counts > 1).sum() / max((counts > 0).sum(), 1))


def packed(mesh: Mesh) -> Mesh:
    """Lays the tiles of a mesh's texture side by side in the unit square, so that one texture holds all of them.

    The integer part of UVs says which tile is meant (UDIM) where every chart lies within one tile, to the right of and
    above the first. Where charts run over borders of tiles, or to the left or below, the texture is repeated: such a
    mesh comes back as it is, for look-ups that repeat. So does one that lies in the first tile.

    Args:
        mesh: with UVs. Textures of its materials are dropped if UVs change, since they are laid out by tiles.

    Returns:
        The mesh, its n tiles in the order of their numbers, from the bottom left, in ceil(sqrt(n)) rows and columns.

    Raises:
        InputError: the mesh is not sound or lacks UVs, or it cannot be told what is meant: some charts repeat and
            others lie in other tiles, or one that goes over several tiles is cut at their borders.
    """
    uvs, uv_faces = _layout(mesh)
    real = (uv_faces >= 0).all(1)
    corners = uvs[uv_faces[real]]
    tile = np.floor(corners.mean(1)).astype(np.int64)
    crossing = (np.maximum(corners - tile[:, None] - 1, tile[:, None] - corners) > _ROUNDING).any((1, 2))
    if not len(tile) or not (crossing.any() or tile.any()):
        return mesh

    chart = selection.components(Mesh(np.pad(uvs, ((0, 0), (0, 1))), uv_faces))[real]
    count = chart.max() + 1
    repeats, several = np.zeros((2, count), bool)
    repeats[chart[crossing | (tile < 0).any(1) | (tile[:, 0] >= _TILES)]] = True
    first = np.zeros((count, 2), np.int64)
    first[chart] = tile
    several[chart[(tile != first[chart]).any(1)]] = True
    several &= ~repeats
    elsewhere = ~repeats & (several | first.any(1))
    if repeats.any() and not elsewhere.any():
        return mesh
    if repeats.any() or several.any():
        raise checks.InputError(
            f'mesh.uvs: got {repeats.sum()} charts that run over borders of tiles or lie left of or below the first, '
            f'{several.sum()} cut at such borders and {(elsewhere & ~several).sum()} within other tiles, expected '
            'repeats or tiles alone. Move the UVs that are meant to repeat into [0, 1], or lay the mesh out anew with '
            'scenes.remesh.unwrap'
        )
    used, slot = np.unique(tile[:, ::-1], axis=0, return_inverse=True)
    columns = int(np.ceil(np.sqrt(len(used))))
    slot = slot.reshape(-1)
    moved = np.zeros_like(uvs)
    shift = np.stack([slot % columns, slot // columns], axis=-1) - tile
    moved[uv_faces[real]] = (corners + shift[:, None]) / columns
    materials = tuple(dataclasses.replace(material, texture=None) for material in mesh.materials)
    return dataclasses.replace(mesh, uvs=moved.astype(np.float32), materials=materials)


def dilate(texture: Array, covered: Array, steps: int) -> Array:
    """Continues a texture beyond its charts, so that look-ups at seams find nothing foreign.

    In each step unknown texels beside known ones, corners included, take their mean. One step serves bilinear look-ups
    but for sharp corners; level k of a pyramid reads 1.5 * 2^k texels beyond a chart, and needs as many steps, and
    twice as many texels between charts. Nothing goes across the texture's borders: look it up with `wrap='clamp'`.

    Args:
        texture: [h w c]. The result is linear in it, and does not depend on what it has outside of charts, but for
            texels that no step reaches, which stay.
        covered: bool [h w], see `charts`.
        steps: 0 or more.

    Returns:
        [h w c].
    """
    texture, covered = jnp.asarray(texture), jnp.asarray(covered, bool)
    checks.shape('covered', covered, 'h w', sizes=checks.shape('texture', texture, 'h w _'))
    if steps < 0:
        raise checks.InputError(f'steps: got {steps}, expected 0 or more')

    def step(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        values, known = state
        count = _around(known.astype(values.dtype))
        mean = safe_divide(_around(jnp.where(known, values, 0)), count)
        return jnp.where(known | (count == 0), values, mean), count > 0

    return jax.lax.fori_loop(0, steps, step, (texture, covered[..., None]))[0]


def _around(image: Array) -> Array:
    """Sums of 3 x 3 texels of [h w c], zeros beyond."""
    for axis in (0, 1):
        size = image.shape[axis]
        wide = jnp.pad(image, [(1, 1) if k == axis else (0, 0) for k in range(3)])
        before, after = (jax.lax.slice_in_dim(wide, k, k + size, axis=axis) for k in (0, 2))
        image = before + image + after
    return image


def _layout(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """UVs float64 [T 2] and faces int [F 3] into them, of a sound mesh."""
    meshes.check(mesh)
    remedy = "Lay the mesh out with scenes.remesh.unwrap, which needs the extra: pip install 'neurend[mesh]'"
    if mesh.uvs is None:
        raise checks.InputError(f'mesh.uvs: got none, expected a place in the texture for every face. {remedy}')
    uv_faces = np.asarray(mesh.uv_faces)
    without = ((uv_faces < 0).any(1) & (np.asarray(mesh.faces) >= 0).all(1)).sum()
    if without:
        raise checks.InputError(
            f'mesh.uv_faces: got {without} of {len(uv_faces)} faces without UVs, expected none. {remedy}'
        )
    return np.asarray(mesh.uvs, np.float64), uv_faces


def _counts(uvs: ArrayLike, uv_faces: ArrayLike, side: int) -> np.ndarray:
    """How many faces the centres of texels lie in: int [side side].

    Row by row a triangle is a span between two of its edges. Spans contain their left end and not the right one, and
    edges their lower end and not the upper one, so that faces that share an edge have no texel in common.
    """
    checks.shape('uvs', uvs, 'T 2')
    checks.shape('uv_faces', uv_faces, 'F 3')
    checks.finite('uvs', uvs)
    if side < 1:
        raise checks.InputError(f'side: got {side}, expected at least 1')
    faces = np.asarray(uv_faces)
    corners = np.asarray(uvs, np.float64)[faces[(faces >= 0).all(1)]]
    x, y = corners[..., 0] * side, (1 - corners[..., 1]) * side
    begin, end = (np.ceil(bound - 0.5) for bound in (y.min(1), y.max(1)))
    if (end - begin).sum() > _MOST_ROWS:
        raise checks.InputError(
            f'uvs, side: got faces that cover {(end - begin).sum():.3g} rows of a texture of {side}, expected at most '
            f'{_MOST_ROWS}. Check the range of the UVs'
        )
    rows = (end - begin).astype(np.int64)
    face = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(face)) - np.repeat(np.cumsum(rows) - rows, rows) + np.repeat(begin.astype(np.int64), rows)
    left, right = np.full(len(face), np.inf), np.full(len(face), -np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        # From top to bottom, so that neighbours compute the same.
        falling = y[:, i] <= y[:, j]
        (xa, ya), (xb, yb) = (
            tuple(np.where(falling, of[:, a], of[:, b])[face] for of in (x, y)) for a, b in ((i, j), (j, i))
        )
        met = (ya <= row + 0.5) & (row + 0.5 < yb)
        across = xa + (row + 0.5 - ya) / np.where(met, yb - ya, 1) * (xb - xa)
        left, right = (np.where(met, pick(of, across), of) for pick, of in ((np.minimum, left), (np.maximum, right)))
    begin, end = (np.ceil(bound - 0.5).astype(np.int64) for bound in (left, right))

    row, length = row % side, end - begin
    begin = begin % side
    beyond = np.maximum(begin + length % side - side, 0)
    changes = np.zeros(side * (side + 1), np.int64)
    for column, change in (
        (0, length // side),  # all around
        (begin, 1),
        (begin + length % side - beyond, -1),
        (0, np.minimum(beyond, 1)),  # what goes on from the left border
        (beyond, -np.minimum(beyond, 1)),
    ):
        np.add.at(changes, row * (side + 1) + column, change)
    return np.cumsum(changes.reshape(side, side + 1), axis=1)[:, :side]
