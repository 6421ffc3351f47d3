"""Splatted points against an oracle, closed forms and finite differences."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.render import splat
from tests.oracles import splat as oracle
from tests.oracles.derivatives import check_jacobian

SIZE = (12, 9)
POSE = transforms.se3_exp(jnp.array([0.3, -0.2, 0.1, 0.2, -0.3, 0.1]))
CAMERA = cameras.make(POSE, jnp.array([11.0, 11.0]), size=SIZE, center=jnp.array([5.7, 4.6]))
RNG = np.random.default_rng(0)
COUNT = 60
LOCAL = np.concatenate([RNG.uniform(-1, 1, size=(COUNT, 2)), RNG.uniform(-0.5, 3, size=(COUNT, 1))], axis=-1)
POSITIONS = transforms.apply(POSE, jnp.asarray(LOCAL, jnp.float32))
FEATURES = jnp.asarray(RNG.uniform(size=(COUNT, 3)), jnp.float32)
RADII = jnp.asarray(RNG.uniform(0.05, 0.15, size=COUNT), jnp.float32)
OPACITIES = jnp.asarray(RNG.uniform(0.2, 1, size=COUNT), jnp.float32)

_nearest = jax.jit(splat.nearest, static_argnums=2, static_argnames=('levels', 'thickness'))
_splat = jax.jit(splat.splat, static_argnums=4, static_argnames=('blend', 'layers', 'reach'))


@pytest.mark.parametrize(('blend', 'layers'), [('alpha', 8), ('alpha', 2), ('normalized', 4), ('nearest', 8)])
def test_drawing_is_that_of_a_loop(blend, layers):
    opacities = OPACITIES if blend == 'alpha' else None
    found = _splat(POSITIONS, FEATURES, RADII, CAMERA, SIZE, opacities=opacities, blend=blend, layers=layers, reach=12)
    pixels, depth = (np.asarray(x, np.float64) for x in cameras.project(CAMERA, POSITIONS))
    radii = 11.0 * np.asarray(RADII, np.float64) / np.where(depth > 0, depth, np.inf)
    layers = 1 if blend == 'nearest' else layers
    rgb, alpha, mean = oracle.splat(
        pixels, depth, radii, np.asarray(FEATURES, np.float64), SIZE, layers=layers, blend=blend, opacities=opacities
    )
    assert (depth < 0).any() and (alpha > 0).mean() > 0.2
    np.testing.assert_allclose(found.alpha, alpha, atol=2e-5)
    np.testing.assert_allclose(found.rgb, rgb, atol=2e-5)
    np.testing.assert_allclose(found.depth, mean, atol=2e-4)
    assert int(found.extras['clipped']) == 0


def test_pictures_stay_when_the_world_moves_and_points_are_shuffled():
    draw = functools.partial(_splat, layers=8, reach=12, blend='alpha')
    still = draw(POSITIONS, FEATURES, RADII, CAMERA, SIZE, opacities=OPACITIES)
    motion, order = transforms.se3_exp(jnp.array([0.5, -1.0, 0.3, 0.4, 0.7, -0.2])), RNG.permutation(COUNT)
    camera = dataclasses.replace(CAMERA, world_from_camera=transforms.compose(motion, POSE))
    positions = transforms.apply(motion, POSITIONS)[order]
    moved = draw(positions, FEATURES[order], RADII[order], camera, SIZE, opacities=OPACITIES[order])
    # Discs of twice the size twice as far away look alike.
    far = dataclasses.replace(CAMERA, world_from_camera=POSE.at[:3, 3].multiply(2))
    scaled = draw(2 * POSITIONS, FEATURES, 2 * RADII, far, SIZE, opacities=OPACITIES)
    for found, factor in ((moved, 1), (scaled, 2)):
        np.testing.assert_allclose(found.rgb, still.rgb, atol=1e-4)
        np.testing.assert_allclose(found.alpha, still.alpha, atol=1e-4)
        seen = np.asarray(still.alpha) > 0.05
        np.testing.assert_allclose(np.asarray(found.depth)[seen], factor * np.asarray(still.depth)[seen], rtol=1e-3)


def front(x=0.0, y=0.0, z=2.0):
    return jnp.array([[x, y, z]])


CENTERED = cameras.make(jnp.eye(4), 10.0, size=(9, 9))


def test_one_disc_has_its_weight_in_closed_form():
    found = _splat(front(), jnp.ones((1, 1)), jnp.array([0.5]), CENTERED, (9, 9))
    y, x = np.mgrid[:9, :9] + 0.5
    expected = np.maximum(1 - ((x - 4.5) ** 2 + (y - 4.5) ** 2) / 2.5**2, 0)
    np.testing.assert_allclose(found.alpha, expected, atol=1e-6)
    np.testing.assert_allclose(found.rgb[..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(found.depth)[expected > 0], 2)


def test_the_nearer_point_hides_the_other_in_any_order():
    positions, colors = jnp.array([[0.0, 0, 3], [0, 0, 2]]), jnp.eye(2)
    for order in ([0, 1], [1, 0]):
        chosen = jnp.array(order)
        found = _splat(positions[chosen], colors[chosen], jnp.full(2, 0.5), CENTERED, (9, 9), blend='nearest')
        np.testing.assert_allclose(found.rgb[4, 4], [0, 1])
        np.testing.assert_allclose(found.depth[4, 4], 2)


def test_what_cannot_be_seen_is_nothing_with_zero_gradients():
    positions = jnp.array([[0.0, 0, -2], [50, 0, 1], [0, 0, 0], [1e9, 0, 1], [jnp.nan, 0, 1], [0, jnp.inf, 1]])

    def value(positions, radii, camera):
        found = splat.splat(positions, jnp.ones((6, 1)), radii, camera, (9, 9))
        return jnp.sum(found.rgb) + jnp.sum(found.depth), found

    camera = dataclasses.replace(CENTERED, size=jnp.zeros(2))
    gradients, found = jax.jit(jax.grad(value, argnums=(0, 1, 2), has_aux=True))(positions, jnp.full(6, 0.1), camera)
    for x in (found.rgb, found.alpha, found.depth, *jax.tree.leaves(gradients)):
        assert (np.asarray(x) == 0).all()


def test_discs_larger_than_their_reach_are_counted():
    positions = jnp.concatenate([front(), front(0.2), front(0, 0, -1)])
    found = _splat(positions, jnp.ones((3, 1)), jnp.array([2.0, 0.1, 5.0]), CENTERED, (9, 9), reach=2)
    assert int(found.extras['clipped']) == 1


@pytest.mark.parametrize('blend', ['alpha', 'normalized'])
def test_derivatives_to_points_and_camera_in_both_modes(blend):
    with jax.enable_x64(True):
        rng = np.random.default_rng(5)
        positions = jnp.asarray(np.concatenate([rng.uniform(-0.3, 0.3, size=(4, 2)), rng.uniform(1, 2, (4, 1))], -1))
        features, radii = jnp.asarray(rng.uniform(size=(4, 2))), jnp.asarray(rng.uniform(0.4, 0.6, size=4))
        opacities = jnp.asarray(rng.uniform(0.3, 0.9, size=4))

        def picture(positions, features, radii, opacities, twist, optics):
            camera = cameras.make(transforms.se3_exp(twist), optics[0], size=(3, 2), center=optics[1])
            found = splat.splat(
                positions, features, radii, camera, (3, 2), opacities=opacities, blend=blend, layers=3, reach=4
            )
            return found.rgb, found.alpha, found.depth

        optics = jnp.array([[3.1, 2.9], [1.55, 1.04]])
        check_jacobian(picture, positions, features, radii, opacities, jnp.full(6, 0.02), optics, rtol=1e-5, atol=1e-6)


def test_batches_are_those_of_a_loop():
    poses = jnp.stack([POSE, jnp.eye(4)])
    batch = jax.vmap(lambda pose: cameras.make(pose, jnp.array([11.0, 11.0]), size=SIZE))(poses)
    draw = functools.partial(_splat, POSITIONS, FEATURES, RADII)
    together = jax.vmap(lambda camera: draw(camera, SIZE).rgb)(batch)
    for k in range(2):
        np.testing.assert_allclose(together[k], draw(batch[k], SIZE).rgb, atol=1e-6)


@pytest.mark.parametrize('thickness', [np.inf, 0.4])
def test_the_nearest_points_of_a_pyramid_are_those_of_a_loop(thickness):
    rng = np.random.default_rng(2)
    pixels = np.concatenate([rng.uniform(-2, 18, (300, 2)), rng.uniform(0, 16, (8, 2)), [[np.nan, 3], [16.0, 2]]])
    depth = np.concatenate([rng.choice(np.linspace(-0.5, 3, 15), 300), np.full(8, 0.2), [0.1, 0.1]])
    size = (16, 12)
    found = _nearest(*(jnp.asarray(x, jnp.float32) for x in (pixels, depth)), size, levels=3, thickness=thickness)
    expected, depths = oracle.nearest(pixels, np.float32(depth), size, levels=3, thickness=thickness)
    assert len(found) == 3
    for (index, near), truth, truth_depth in zip(found, expected, depths):
        np.testing.assert_array_equal(index, truth)
        np.testing.assert_allclose(near, truth_depth)
    assert (np.asarray(found[0][0]) < 0).any() and (np.asarray(found[2][0]) >= 0).all()
    # At the finest size it is the z-buffer of discs that take one pixel, in any case.
    whole = splat.covering(
        jnp.asarray(pixels, jnp.float32), jnp.asarray(depth, jnp.float32), jnp.ones(310), size, layers=1, reach=0
    )
    there = np.asarray(found[0][0]) >= 0
    np.testing.assert_array_equal(np.asarray(whole[0])[there], np.asarray(found[0][0])[there])
    assert there.sum() < (np.asarray(whole[0]) >= 0).sum() or thickness == np.inf


def test_bad_input():
    with pytest.raises(InputError, match='levels, size: got 3 and 9 x 9'):
        splat.nearest(jnp.ones((1, 2)), jnp.ones(1), (9, 9), levels=3)
    with pytest.raises(InputError, match='radii'):
        splat.splat(front(), jnp.ones((1, 1)), jnp.ones(2), CENTERED, (9, 9))
    with pytest.raises(InputError, match='blend'):
        splat.splat(front(), jnp.ones((1, 1)), jnp.ones(1), CENTERED, (9, 9), blend='none')  # pyright: ignore
    with pytest.raises(InputError, match='layers, reach'):
        splat.splat(front(), jnp.ones((1, 1)), jnp.ones(1), CENTERED, (9, 9), layers=0)
