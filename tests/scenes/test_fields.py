"""Fields made of arrays and of one another, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import transforms
from neurend.geometry.rays import Rays
from neurend.render import volume
from neurend.scenes import distances, fields

RNG = np.random.default_rng(0)
POINTS = jnp.asarray(RNG.uniform(-1, 1, size=(50, 3)), jnp.float32)
DIRECTIONS = jnp.asarray(RNG.normal(size=(50, 3)), jnp.float32)


def glow(points, directions):
    """Denser outwards, and of the colour of the direction."""
    return jnp.sum(points**2, axis=-1), directions


def test_dense_voxels_hold_what_is_linear_exactly():
    low, high = np.float32([-1, -0.5, -0.25]), np.float32([1, 0.5, 0.75])
    axes = [np.linspace(a, b, n) for a, b, n in zip(low, high, (3, 4, 5))]
    corners = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1)
    slopes = np.array([[2.0, 0.5, -1], [0.3, 0.2, 0.1]])
    values = jnp.asarray(corners @ slopes.T + [0.5, 0.2], jnp.float32)
    field = fields.grid(values, low, high)
    density, features = field(POINTS, DIRECTIONS)
    expected = np.asarray(POINTS) @ slopes.T + [0.5, 0.2]
    inside = ((np.asarray(POINTS) >= low) & (np.asarray(POINTS) <= high)).all(-1)
    assert 0 < inside.sum() < 50
    np.testing.assert_allclose(density, np.where(inside, np.maximum(expected[:, 0], 0), 0), atol=1e-5)
    np.testing.assert_allclose(features[inside, 0], expected[inside, 1], atol=1e-5)
    steep, _ = fields.grid(values, low, high, density=lambda x: 3 * x**2)(POINTS, DIRECTIONS)
    np.testing.assert_allclose(steep, np.where(inside, 3 * expected[:, 0] ** 2, 0), atol=1e-4)
    by_values = jax.grad(lambda v: fields.grid(v, low, high)(POINTS, DIRECTIONS)[0].sum())(values)
    assert float(by_values[..., 0].sum()) == pytest.approx(((expected[:, 0] > 0) & inside).sum(), rel=1e-5)


def test_a_solid_is_opaque_where_the_distance_is_negative():
    with jax.enable_x64(True):
        width = 0.05
        x = jnp.linspace(-1, 1, 20001)
        density = fields.of_distance(x, width)
        # The cumulative distribution of a Laplace density, over its width.
        laplace = np.exp(-np.abs(x) / width) / (2 * width)
        summed = np.cumsum(laplace[::-1])[::-1] * 1e-4
        np.testing.assert_allclose(density, summed / width, atol=0.02)
    ball = fields.solid(distances.sphere(0.5), lambda points: points, 0.001)
    along = jnp.array([0.0, 0.0, 1.0])
    ray = Rays(jnp.array([0.0, 0.0, -2.0]), along, along, jnp.zeros(1), jnp.zeros((), int))
    found = volume.integrate(ball, ray, jnp.linspace(1.0, 3.0, 401))
    assert float(found.alpha) == pytest.approx(1) and float(found.depth) == pytest.approx(1.5, abs=0.01)
    np.testing.assert_allclose(found.rgb, [0, 0, -0.5], atol=0.01)


def test_two_fields_in_one_place_add_up():
    def other(points, directions):
        return (2 * jnp.ones(points.shape[:-1]), jnp.zeros_like(points))

    density, features = fields.union(glow, other)(POINTS, DIRECTIONS)
    alone, _ = glow(POINTS, DIRECTIONS)
    np.testing.assert_allclose(density, alone + 2, rtol=1e-6)
    np.testing.assert_allclose(features, DIRECTIONS * (alone / (alone + 2))[:, None], rtol=1e-5)

    def empty(points, directions):
        return (jnp.zeros(points.shape[:-1]), points)

    nothing = fields.union(empty, empty)
    assert np.all(np.isfinite(jax.grad(lambda p: sum(x.sum() for x in nothing(p, DIRECTIONS)))(POINTS)))
    with pytest.raises(InputError, match='at least one field'):
        fields.union()


def test_what_is_moved_and_scaled_looks_the_same_from_there():
    pose = transforms.se3_exp(jnp.array([0.3, -0.2, 0.1, 0.2, -0.3, 0.1]))
    density, features = fields.moved(glow, pose)(transforms.apply(pose, POINTS), transforms.rotate(pose, DIRECTIONS))
    np.testing.assert_allclose(density, glow(POINTS, DIRECTIONS)[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(features, DIRECTIONS, atol=1e-5)
    # Three times as large, and as opaque.
    edges, along = jnp.linspace(0.0, 1.0, 9), jnp.array([0.3, -0.5, 0.8])
    start = jnp.array([0.1, 0.2, 0.3])
    rays = [Rays(k * start, along, along, jnp.zeros(1), jnp.zeros((), int)) for k in (1, 3)]
    small = volume.integrate(glow, rays[0], edges)
    large = volume.integrate(fields.scaled(glow, 3.0), rays[1], 3 * edges)
    np.testing.assert_allclose(large.alpha, small.alpha, rtol=1e-5)
    np.testing.assert_allclose(large.rgb, small.rgb, rtol=1e-5)


def test_a_mask_leaves_what_it_covers():
    density, features = fields.masked(glow, lambda points: points[..., 0] > 0)(POINTS, DIRECTIONS)
    alone = glow(POINTS, DIRECTIONS)
    np.testing.assert_allclose(density, np.where(POINTS[:, 0] > 0, alone[0], 0))
    np.testing.assert_array_equal(features, alone[1])


def test_bad_input():
    with pytest.raises(InputError, match='values: got shape'):
        fields.grid(jnp.zeros((3, 3, 3)), (0.0, 0, 0), (1.0, 1, 1))
    with pytest.raises(InputError, match='at least two'):
        fields.grid(jnp.zeros((3, 1, 3, 4)), (0.0, 0, 0), (1.0, 1, 1))
