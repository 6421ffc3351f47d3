import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.render import splat
from neurend.scenes import points


def test_spacing_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(40, 3))
    away = np.sort(np.linalg.norm(positions[:, None] - positions[None], axis=-1), axis=1)
    np.testing.assert_allclose(points.spacing(positions), away[:, 1:4].mean(1), rtol=1e-5)
    assert (points.spacing(np.zeros((5, 3))) > 0).all()
    assert points.spacing(np.zeros((1, 3))).shape == (1,)


def test_pixels_of_known_depth_draw_their_picture():
    rng = np.random.default_rng(0)
    rgb, depth = rng.uniform(size=(6, 8, 3)).astype(np.float32), rng.uniform(1, 3, size=(6, 8)).astype(np.float32)
    depth[0, 0] = 0
    camera = cameras.make(transforms.se3_exp(jnp.array([0.3, -0.2, 0.1, 0.2, -0.3, 0.1])), 9.0, size=(8, 6))
    cloud = points.from_depth(rgb, depth, camera)
    assert cloud.positions.shape == (47, 3)
    found = splat.splat(cloud.positions, cloud.features, 0.5 * cloud.radii, camera, (8, 6), blend='nearest', reach=2)
    there = depth > 0
    np.testing.assert_array_equal(found.alpha, there)
    np.testing.assert_allclose(found.rgb, rgb * there[..., None], atol=1e-6)
    np.testing.assert_allclose(found.depth, depth, atol=1e-5)
    both = points.concatenate([cloud, cloud])
    assert both.radii.shape == (94,)


def test_bad_input():
    for positions, radii, match in (
        (np.zeros((0, 3)), None, 'at least one point'),
        (np.full((2, 3), np.nan), None, 'positions: 6 of 6'),
        (np.zeros((2, 3)), -1.0, 'radii: got -1'),
    ):
        with pytest.raises(InputError, match=match):
            points.make(positions, np.ones((len(positions), 3)), radii=radii)
