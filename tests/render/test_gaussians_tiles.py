"""Lists of tiles: the order of keys, and which tiles an ellipse touches."""

import jax.numpy as jnp
import numpy as np
import pytest

from neurend.render import gaussians_tiles


@pytest.mark.parametrize(('count', 'bits'), [(1, 3), (1000, 5), (1000, 22), (1000, 31)])
def test_keys_are_sorted_and_equal_ones_stay(count, bits):
    keys = np.random.default_rng(bits).integers(0, 2**bits, count).astype(np.uint32)
    keys[count // 2 :: 7] = keys[0]
    got = gaussians_tiles.stable_order(jnp.asarray(keys), bits)
    np.testing.assert_array_equal(got, np.argsort(keys, kind='stable'))


def test_tiles_are_touched_where_some_point_between_their_pixels_is_within_reach():
    rng = np.random.default_rng(0)
    count, fine = 400, np.linspace(0.5, 7.5, 141)
    axes = rng.normal(size=(count, 2, 2)) * 10 ** rng.uniform(-2, 0.3, (count, 2, 1))
    forms = axes.transpose(0, 2, 1) @ axes
    middle, tile = rng.uniform(-10, 34, (count, 2)), rng.integers(0, 3, (count, 2))
    reach = rng.uniform(0.1, 5, count)
    x, y = np.meshgrid(fine, fine)
    least = np.empty(count)
    for k in range(count):
        dx, dy = x + 8 * tile[k, 0] - middle[k, 0], y + 8 * tile[k, 1] - middle[k, 1]
        a, b, c = forms[k][[0, 0, 1], [0, 1, 1]]
        least[k] = (0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy).min()
    rows = np.column_stack([middle, forms[:, 0, 0], forms[:, 0, 1], forms[:, 1, 1], reach]).astype(np.float32)
    got = np.asarray(gaussians_tiles.touches(jnp.asarray(rows), jnp.asarray(tile[:, 0]), jnp.asarray(tile[:, 1])))
    assert got[least <= reach].all()
    # The sampled least is a little more than the true one.
    assert not got[least > 1.1 * reach + 0.1].any()
    assert 0.2 < got.mean() < 0.8


@pytest.mark.parametrize('count', [3000, 1 << 24])
def test_ranks_are_put_in_the_order_of_their_tiles_packed_or_not(count):
    rng = np.random.default_rng(1)
    rank, tile = np.sort(rng.integers(0, count, 2000)), rng.integers(0, 1000, 2000)
    got = gaussians_tiles._by_tile(jnp.asarray(tile, jnp.uint32), 10, jnp.asarray(rank, jnp.int32), count)
    np.testing.assert_array_equal(got, rank[np.argsort(tile, kind='stable')])
