"""Sparse voxels against dense grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.scenes import voxels
from tests.oracles import voxels as oracle

LOW, EDGE = np.array([-1.0, 0.5, 2.0], np.float32), 0.25


def make(rng, sizes=(6, 4, 8), share=0.4, channels=3):
    """A random grid, its tables, and dense node values at both pitches that the tables were filled from."""
    occupied = rng.random(sizes) < share
    grid, rows = voxels.build(occupied, low=LOW, edge=EDGE)
    dense = rng.normal(size=(*(np.array(sizes) + 1), channels)).astype(np.float32)
    dense_coarse = rng.normal(size=(*(np.array(sizes) // 2 + 1), channels)).astype(np.float32)
    tables = fill(grid, rows, dense, dense_coarse)
    return grid, occupied, tables, dense, dense_coarse


def fill(grid, rows, dense, dense_coarse):
    fine, coarse = (np.zeros((count, dense.shape[-1]), np.float32) for count in rows)
    offsets = list(np.ndindex(2, 2, 2))
    for cell in np.argwhere(grid.cells):
        number = grid.cells[tuple(cell)]
        for k, offset in enumerate(offsets):
            fine[grid.fine[number, k]] = dense[tuple(cell + offset)]
            coarse[grid.coarse[number, k]] = dense_coarse[tuple(cell // 2 + offset)]
    return fine, coarse


def look_up(grid, table, points, *, pitch='fine'):
    place = voxels.locate(grid, points.T)
    rows = jnp.asarray(grid.fine if pitch == 'fine' else grid.coarse)[place.cell]
    fraction = place.fraction if pitch == 'fine' else place.coarse_fraction
    return place.cell, voxels.interpolate(jnp.asarray(table), rows, voxels.corner_weights(fraction))


def points_around(rng, sizes, count=400):
    return (LOW + EDGE * rng.uniform(-0.5, np.array(sizes) + 0.5, size=(count, 3))).astype(np.float32)


def test_look_up_agrees_with_a_dense_grid_at_both_pitches():
    rng = np.random.default_rng(0)
    grid, occupied, (fine, coarse), dense, dense_coarse = make(rng)
    grid = jax.tree.map(jnp.asarray, grid)
    points = points_around(rng, occupied.shape)
    cell, got = look_up(grid, fine, points)
    _, got_coarse = look_up(grid, coarse, points, pitch='coarse')
    everywhere = np.ones(dense_coarse.shape[:3], bool)[1:, 1:, 1:]
    hits = 0
    for k, point in enumerate(points):
        expected = oracle.trilinear(dense, occupied, LOW, EDGE, point)
        assert (expected is None) == (cell[k] == 0)
        if expected is not None:
            hits += 1
            np.testing.assert_allclose(got[k], expected, atol=2e-5)
            above = oracle.trilinear(dense_coarse, everywhere, LOW, 2 * EDGE, point)
            np.testing.assert_allclose(got_coarse[k], above, atol=2e-5)
    assert 50 < hits < len(points) - 50


def test_gradients_of_interpolation_are_those_of_plain_indexing():
    rng = np.random.default_rng(1)
    table = jnp.asarray(rng.normal(size=(20, 5)), jnp.float32)
    rows = jnp.asarray(rng.integers(0, 20, (30, 8)), jnp.int32)
    weights = jnp.asarray(rng.random((8, 30)), jnp.float32)
    target = jnp.asarray(rng.normal(size=(30, 5)), jnp.float32)

    def plain(table, rows, weights):
        return jnp.einsum('kn,nkc->nc', weights, table[rows])

    def loss(function, table, weights):
        return jnp.sum(jnp.sin(function(table, rows, weights)) * target)

    got = jax.grad(lambda t, w: loss(voxels.interpolate, t, w), argnums=(0, 1))(table, weights)
    expected = jax.grad(lambda t, w: loss(plain, t, w), argnums=(0, 1))(table, weights)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_subdividing_changes_no_value_and_drops_what_is_not_kept():
    rng = np.random.default_rng(2)
    grid, occupied, tables, _, _ = make(rng)
    keep = rng.random(np.array(occupied.shape) * 2) < 0.7
    child, (finer,), (finer_coarse, single) = voxels.subdivide(grid, keep, tables[:1], [tables[1], tables[1][:, 0]])
    np.testing.assert_allclose(single, finer_coarse[:, 0], atol=1e-6)
    points = points_around(rng, occupied.shape)
    old, new = (jax.tree.map(jnp.asarray, g) for g in (grid, child))
    for table, finer_table, pitch in zip(tables, (finer, finer_coarse), ('fine', 'coarse')):
        old_cell, before = look_up(old, table, points, pitch=pitch)
        cell, after = look_up(new, finer_table, points, pitch=pitch)
        live = np.asarray(cell) > 0
        assert live.any() and (np.asarray(old_cell)[live] > 0).all()
        np.testing.assert_allclose(after[live], before[live], atol=2e-5)
    assert (np.asarray(child.cells) > 0).sum() == (keep & occupied.repeat(2, 0).repeat(2, 1).repeat(2, 2)).sum()


def test_pruning_keeps_shapes_and_numbers():
    rng = np.random.default_rng(3)
    grid, *_ = make(rng)
    keep = np.zeros(grid.num_cells, bool)
    keep[1:9] = True
    pruned = voxels.prune(jax.tree.map(jnp.asarray, grid), keep)
    expected = np.where((grid.cells > 0) & (grid.cells < 9), grid.cells, 0)
    np.testing.assert_array_equal(pruned.cells, expected)


def test_dilation_reaches_the_26_neighbours_that_are_occupied():
    rng = np.random.default_rng(4)
    grid, *_ = make(rng, sizes=(8, 8, 8))
    keep = rng.random(grid.num_cells) < 0.05
    keep[0] = True  # no cell has this number
    got = np.asarray(voxels.dilate(jax.tree.map(jnp.asarray, grid), keep))
    seeds = keep[grid.cells] & (grid.cells > 0)
    for cell in np.argwhere(grid.cells):
        near = tuple(slice(max(c - 1, 0), c + 2) for c in cell)
        assert got[grid.cells[tuple(cell)]] == seeds[near].any()
    assert not got[0]


def test_centers_are_found_again():
    rng = np.random.default_rng(5)
    grid, *_ = make(rng)
    count = int((grid.cells > 0).sum())
    place = voxels.locate(jax.tree.map(jnp.asarray, grid), voxels.centers(grid)[1 : count + 1].T)
    np.testing.assert_array_equal(place.cell, np.arange(1, count + 1))
    np.testing.assert_allclose(place.fraction, 0.5, atol=1e-5)


@pytest.mark.parametrize('occupied', [np.ones((3, 4, 4), bool), np.zeros((4, 4, 4), bool)])
def test_grids_that_cannot_be(occupied):
    with pytest.raises(checks.InputError, match='occupied'):
        voxels.build(occupied, low=LOW, edge=EDGE)
