"""Sparse voxels: a dense table of cells points at rows of values, kept only at the corners of occupied cells.

Two resolutions share one structure. Every occupied cell knows the rows of its own 8 corners and those of the 8 corners
of the cell of doubled edge that it lies in, so that detail (density, colour) and what varies slowly (view dependence)
are stored at different pitches and found by one look-up. Values are interpolated trilinearly and continuous wherever
neighbouring cells are occupied.

Corner `k` of a cell lies at offset `(k >> 2 & 1, k >> 1 & 1, k & 1)` along x, y, z. Points and fractions have x, y, z
on their first axis and corners likewise, since XLA vectorises along the last.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.typing import Array

# Tables are rounded up to whole multiples, so that grids of nearly equal size share compiled programs.
_ROUND = 4096
_OFFSETS = np.array([(k >> 2 & 1, k >> 1 & 1, k & 1) for k in range(8)])


@flax.struct.dataclass
class Voxels:
    """Occupied cells of a regular grid. Row 0 of `fine` and `coarse` belongs to no cell and is read where none is.

    Attributes:
        low: [3] least corner of the grid, world.
        edge: [] edge of a cell, world units.
        cells: [X Y Z] int32, number of the cell (its row in `fine` and `coarse`), 0 where empty. X, Y, Z are even.
        fine: [m 8] int32, rows of the cell's corners in tables at the grid's pitch.
        coarse: [m 8] int32, rows of the corners of the enclosing cell in tables at twice the pitch.
    """

    low: Array
    edge: Array
    cells: Array
    fine: Array
    coarse: Array

    @property
    def num_cells(self) -> int:
        """Rows of `fine` and `coarse`, unused ones included: the length of per-cell arrays."""
        return self.fine.shape[0]


@flax.struct.dataclass
class Place:
    """Where points lie in the voxels: leading dims `...` of the points, after the axis of x, y, z.

    Attributes:
        cell: [...] int32 number of the cell, 0 where there is none.
        fraction: [3 ...] position in the cell, in [0, 1].
        coarse_fraction: [3 ...] position in the enclosing cell of doubled edge, in [0, 1].
    """

    cell: Array
    fraction: Array
    coarse_fraction: Array


def build(occupied: np.ndarray, *, low: np.ndarray, edge: float) -> tuple[Voxels, tuple[int, int]]:
    """Numbers the occupied cells and their corners (on the host).

    Args:
        occupied: bool [X Y Z], even numbers.
        low: [3] least corner, world.
        edge: of a cell.

    Returns:
        The voxels, as NumPy arrays, and the rows (rounded up) of tables at the grid's pitch and at twice the pitch.

    Raises:
        InputError: odd sizes, or no cell is occupied.
    """
    if occupied.ndim != 3 or any(size % 2 for size in occupied.shape):
        raise checks.InputError(f'occupied: got shape {occupied.shape}, expected three even numbers of cells')
    where = np.argwhere(occupied)
    if not len(where):
        raise checks.InputError(
            'occupied: got only empty cells, expected some; check the cameras, the masks, the bounds and the size of '
            'the images'
        )
    sizes = np.array(occupied.shape)
    fine, fine_rows = _number_corners(where, sizes)
    parents = np.zeros(tuple(sizes // 2), np.int32)
    parents[tuple((where // 2).T)] = 1
    parent_where = np.argwhere(parents)
    parents[tuple(parent_where.T)] = np.arange(len(parent_where))
    coarse, coarse_rows = _number_corners(parent_where, sizes // 2)
    cells = np.zeros(occupied.shape, np.int32)
    cells[tuple(where.T)] = np.arange(1, len(where) + 1)
    corners = np.zeros((2, _rounded(len(where) + 1), 8), np.int32)
    corners[0, 1 : len(where) + 1] = fine
    corners[1, 1 : len(where) + 1] = coarse[parents[tuple((where // 2).T)]]
    host: tuple[Any, ...] = np.asarray(low, np.float32), np.asarray(edge, np.float32), cells, corners[0], corners[1]
    return Voxels(*host), (_rounded(fine_rows), _rounded(coarse_rows))


def locate(voxels: Voxels, points: Array) -> Place:
    """Finds the cells of points [3 ...] in the world."""
    sizes = voxels.cells.shape
    scaled = [(points[axis] - voxels.low[axis]) / voxels.edge for axis in range(3)]
    inside = functools.reduce(jnp.logical_and, [(u >= 0) & (u < size) for u, size in zip(scaled, sizes)])
    index = [jnp.clip(u.astype(jnp.int32), 0, size - 1) for u, size in zip(scaled, sizes)]
    flat = (index[0] * sizes[1] + index[1]) * sizes[2] + index[2]
    cell = jnp.where(inside, _take(voxels.cells.reshape(-1), flat), 0)
    fraction = jnp.stack([u - i for u, i in zip(scaled, index)])
    coarse = jnp.stack([0.5 * ((i & 1) + f) for i, f in zip(index, fraction)])
    return Place(cell, fraction, coarse)


def corner_weights(fraction: Array) -> Array:
    """Trilinear weights [8 ...] of the corners, for fractions [3 ...]; they sum to 1."""
    sides = [(1 - f, f) for f in fraction]
    return jnp.stack([sides[0][x] * sides[1][y] * sides[2][z] for x, y, z in _OFFSETS])


@jax.custom_vjp
def interpolate(table: Array, rows: Array, weights: Array) -> Array:
    """Weighted sums of rows of a table. Reverse mode only: its gradient adds into one table, corner after corner.

    Args:
        table: [r c], or [r].
        rows: [n 8] int32, all within the table.
        weights: [8 n].

    Returns:
        [n c], or [n].
    """
    return sum((_scaled(weights[k], _take(table, rows[:, k])) for k in range(8)), start=jnp.float32(0))


def _interpolate_forward(table, rows, weights):
    return interpolate(table, rows, weights), (table, rows, weights)


def _interpolate_backward(residuals, gradient):
    table, rows, weights = residuals
    total = jnp.zeros_like(table)
    for k in range(8):
        total = total.at[rows[:, k]].add(_scaled(weights[k], gradient), mode='promise_in_bounds')
    products = [_take(table, rows[:, k]) * gradient for k in range(8)]
    by_weight = jnp.stack([jnp.sum(product.reshape(len(product), -1), axis=-1) for product in products])
    return total, np.zeros(rows.shape, jax.dtypes.float0), by_weight


interpolate.defvjp(_interpolate_forward, _interpolate_backward)


def prune(voxels: Voxels, keep: Array) -> Voxels:
    """Without the cells where `keep` [m] is False. Rows stay where they are, so that no shape changes."""
    return dataclasses.replace(voxels, cells=jnp.where(jnp.asarray(keep)[voxels.cells], voxels.cells, 0))


def dilate(voxels: Voxels, keep: Array) -> Array:
    """`keep` [m], and the occupied neighbours (26) of the cells in it."""
    live = (jnp.asarray(keep)[voxels.cells] & (voxels.cells > 0)).astype(jnp.int32)
    for axis in range(3):
        window = tuple(3 if a == axis else 1 for a in range(3))
        live = jax.lax.reduce_window(live, 0, jax.lax.max, window, (1, 1, 1), 'SAME')
    return jnp.zeros(voxels.num_cells, bool).at[voxels.cells].max(live > 0).at[0].set(False)


def centers(voxels: Voxels) -> np.ndarray:
    """World centres [m 3] of the occupied cells by number; rows without a cell hold `low` (on the host)."""
    cells = np.asarray(voxels.cells)
    where = np.argwhere(cells)
    result = np.zeros((voxels.num_cells, 3), np.float32)
    result[cells[tuple(where.T)]] = (where + 0.5) * np.float32(voxels.edge)
    return result + np.asarray(voxels.low)


def subdivide(
    voxels: Voxels, keep: np.ndarray, fine: Sequence[np.ndarray], coarse: Sequence[np.ndarray]
) -> tuple[Voxels, list[np.ndarray], list[np.ndarray]]:
    """Halves the edge of the cells, on the host. The interpolated values stay the same everywhere in what is kept.

    Args:
        voxels: the grid.
        keep: [2X 2Y 2Z] bool, children to keep; those of empty cells are dropped.
        fine: tables [r c] or [r] at the grid's pitch.
        coarse: tables [s d] or [s] at twice the pitch.

    Returns:
        The new voxels, and the tables at their two pitches.
    """
    cells = np.asarray(voxels.cells)
    parent = cells.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    child, rows = build(keep & (parent > 0), low=np.asarray(voxels.low), edge=float(voxels.edge) / 2)
    where = np.argwhere(child.cells)
    own, parent_cell = child.cells[tuple(where.T)], parent[tuple(where.T)]
    parent_where = where // 2
    source = np.asarray(voxels.fine)[parent_cell]
    new_fine = [_transfer(table, rows[0], source, np.asarray(child.fine)[own], where % 2) for table in fine]
    # Corners of a parent recur in up to 8 children: once is enough.
    _, first = np.unique(parent_cell, return_index=True)
    source, target = np.asarray(voxels.coarse)[parent_cell[first]], np.asarray(child.coarse)[own[first]]
    new_coarse = [_transfer(table, rows[1], source, target, parent_where[first] % 2) for table in coarse]
    return child, new_fine, new_coarse


def _transfer(table: np.ndarray, count: int, source: np.ndarray, target: np.ndarray, parity: np.ndarray) -> np.ndarray:
    """The corners of children from those of their parents.

    Args:
        table: the old table.
        count: rows of the new one.
        source: [n 8] rows of the corners of parents.
        target: [n 8] rows of the corners of children.
        parity: [n 3] which child of its parent each is.
    """
    # A corner is shared by up to 8 children, which agree about it: any one of them will do.
    owner = np.full(count, -1, np.int32)
    owner[target.reshape(-1)] = np.arange(target.size, dtype=np.int32)
    rows = np.flatnonzero(owner >= 0)
    child, corner = np.divmod(owner[rows], 8)
    fraction = (parity[child] + _OFFSETS[corner]).T.astype(np.float32) / 2
    result = np.zeros((count, *table.shape[1:]), np.float32)
    for offset, from_corner in zip(_OFFSETS, source[child].T):
        weight = np.prod(np.where(offset[:, None] == 1, fraction, 1 - fraction), axis=0)
        result[rows] += weight.reshape(-1, *(1,) * (table.ndim - 1)) * table[from_corner]
    return result


def _number_corners(cells: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, int]:
    """Rows [m 8] of the corners of cells [m 3], numbered from 1 in the order of the grid, and the number of rows."""
    nodes = sizes + 1
    place = np.ravel_multi_index(tuple((cells[:, None] + _OFFSETS).transpose(2, 0, 1)), tuple(nodes))
    number = np.zeros(int(np.prod(nodes)), np.int32)
    number[place] = 1
    used = np.flatnonzero(number)
    number[used] = np.arange(1, len(used) + 1)
    return number[place], len(used) + 1


def _rounded(count: int) -> int:
    return -(-count // _ROUND) * _ROUND


def _scaled(weight: Array, rows: Array) -> Array:
    return weight.reshape(-1, *(1,) * (rows.ndim - 1)) * rows


def _take(table: Array, index: Array) -> Array:
    return table.at[index].get(mode='promise_in_bounds')
