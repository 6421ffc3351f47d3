"""Flat buffers of segments against loops over rays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.render import segments
from tests.oracles import voxels as oracle


def test_prefix_sums():
    rng = np.random.default_rng(0)
    for size in (1, 63, 64, 65, 5000):
        x = rng.integers(0, 5, size)
        np.testing.assert_array_equal(segments.prefix_sum(jnp.asarray(x)), np.cumsum(x))


@pytest.mark.parametrize('budget', [4, 11, 40])
def test_rays_get_their_segments_in_order_until_the_buffer_is_full(budget):
    counts = np.array([2, 0, 3, 0, 0, 1, 5, 0, 2, 0], np.int32)
    got = jax.tree.map(np.asarray, segments.expand(jnp.asarray(counts), budget))
    expected, complete = [], []
    for ray, count in enumerate(counts):
        complete.append(counts[: ray + 1].sum() <= budget)
        if complete[-1]:
            expected += [(ray, rank) for rank in range(count)]
    np.testing.assert_array_equal(got.complete, complete)
    assert list(zip(got.ray[got.live], got.rank[got.live])) == expected
    np.testing.assert_array_equal(got.count, np.where(complete, counts, 0))


def random_rays(rng, *, counts, length=4, channels=3):
    filled = segments.expand(jnp.asarray(counts, jnp.int32), int(np.sum(counts)) + 3)
    live = np.asarray(filled.live)
    depth = np.where(live[:, None], rng.exponential(0.3, (len(live), length)), 0).astype(np.float32)
    colors = rng.random((len(live) * length, channels)).astype(np.float32)
    return filled, depth, colors


def test_compositing_agrees_with_a_loop_over_the_samples():
    rng = np.random.default_rng(1)
    filled, depth, colors = random_rays(rng, counts=[3, 0, 1, 5, 2])
    before, total = segments.optical_depth_before(jnp.asarray(depth), filled, longest=6)
    owner = np.asarray(filled.ray).repeat(4)
    live = np.asarray(filled.live).repeat(4)
    rgb, alpha = segments.accumulate(
        jnp.asarray(depth.reshape(-1)), jnp.asarray(colors), before.reshape(-1), jnp.asarray(owner), 5
    )
    for ray in range(5):
        mine = (owner == ray) & live
        expected_rgb, expected_alpha, fronts = oracle.composite(depth.reshape(-1)[mine], colors[mine])
        np.testing.assert_allclose(np.asarray(before).reshape(-1)[mine], fronts, atol=2e-6)
        np.testing.assert_allclose(total[ray], depth.reshape(-1)[mine].sum(), atol=2e-6)
        np.testing.assert_allclose(rgb[ray], expected_rgb, atol=2e-6)
        np.testing.assert_allclose(alpha[ray], expected_alpha, atol=2e-6)


def test_the_gradient_written_by_hand_is_the_automatic_one():
    rng = np.random.default_rng(2)
    filled, depth, colors = random_rays(rng, counts=[2, 0, 4, 1])
    ray = jnp.repeat(filled.ray, 4)
    goal_rgb, goal_alpha = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((4, 3), (4,)))

    def loss(rgb, alpha):
        return jnp.sum(jnp.square(rgb - goal_rgb)) + jnp.sum(alpha * goal_alpha)

    def by_hand(depth, colors):
        before, _ = segments.optical_depth_before(depth.reshape(-1, 4), filled, longest=5)
        before = jax.lax.stop_gradient(before.reshape(-1))
        return loss(*segments.accumulate(depth, colors, before, ray, 4))

    def automatic(depth, colors):
        before, _ = segments.optical_depth_before(depth.reshape(-1, 4), filled, longest=5)
        weight = jnp.exp(-before.reshape(-1)) * (1 - jnp.exp(-depth))
        rgb = jnp.zeros((4, 3)).at[ray].add(weight[:, None] * colors)
        return loss(rgb, jnp.zeros(4).at[ray].add(weight))

    arguments = jnp.asarray(depth.reshape(-1)), jnp.asarray(colors)
    np.testing.assert_allclose(by_hand(*arguments), automatic(*arguments), rtol=1e-5)
    live = np.asarray(filled.live).repeat(4)
    for got, expected in zip(jax.grad(by_hand, (0, 1))(*arguments), jax.grad(automatic, (0, 1))(*arguments)):
        got, expected = np.asarray(got)[live], np.asarray(expected)[live]
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
