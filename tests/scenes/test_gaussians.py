"""Scenes of Gaussians: what their parameters mean, where they begin, and what is said of bad ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.nn.encodings import spherical_harmonics
from neurend.scenes import gaussians
from neurend.scenes.hull import Hull


def test_quantities_come_back_as_they_were_given():
    rng = np.random.default_rng(0)
    means, scales, opacities = rng.normal(size=(5, 3)), rng.uniform(0.1, 2, (5, 3)), rng.uniform(0.1, 0.9, 5)
    turned, colors = rng.normal(size=(5, 4)), rng.uniform(size=(5, 3))
    made = gaussians.make(means, scales, rotations=turned, opacities=opacities, colors=colors, degree=2)
    assert made.degree == 2 and made.harmonics.shape == (5, 9, 3)
    np.testing.assert_allclose(made.opacities, opacities, rtol=1e-5)
    np.testing.assert_allclose(gaussians.colors(made.means, made.harmonics, jnp.ones(3)), colors, atol=1e-6)
    # Axes of the covariance are as long as the scales, and where the quaternion turns them.
    w, v = turned[:, :1], turned[:, 1:]
    length = np.linalg.norm(turned, axis=-1, keepdims=True)
    w, v = w / length, v / length
    for k in range(3):
        unit = np.broadcast_to(np.eye(3)[k], v.shape)
        axis = unit + 2 * np.cross(v, np.cross(v, unit) + w * unit)
        image = np.einsum('nij,nj->ni', np.asarray(made.covariances), axis)
        np.testing.assert_allclose(image, scales[:, k : k + 1] ** 2 * axis, atol=1e-4)


def test_colours_depend_on_the_direction_of_view_as_harmonics_do():
    rng = np.random.default_rng(1)
    means, harmonics = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(6, 16, 3)).astype(np.float32)
    eye = np.float32([0.5, -3, 1])
    away = (means - eye) / np.linalg.norm(means - eye, axis=-1, keepdims=True)
    for degree in (0, 1, 3):
        basis = np.asarray(spherical_harmonics(jnp.asarray(away), degree=degree))
        expected = np.maximum(0.5 + np.einsum('nk,nkc->nc', basis, harmonics[:, : basis.shape[1]]), 0)
        got = gaussians.colors(jnp.asarray(means), jnp.asarray(harmonics), jnp.asarray(eye), degree=degree)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_normals_are_shortest_axes_towards_the_eye():
    made = gaussians.make(np.zeros((2, 3)), [[1, 0.1, 1], [1, 1, 0.2]], rotations=[[1, 0, 0, 0], [1, 1, 0, 0]])
    eye = jnp.array([1.0, -4, 2])
    # A quarter turn about x brings z to -y.
    np.testing.assert_allclose(gaussians.normals(made, eye), [[0, -1, 0], [0, -1, 0]], atol=1e-6)


def test_balls_at_points_are_as_large_as_points_are_apart():
    grid = np.stack(np.meshgrid(*3 * [np.arange(4.0)]), axis=-1).reshape(-1, 3)
    made = gaussians.from_points(0.5 * grid, colors=0.2, count=70, degree=1)
    assert made.live.sum() == 64 and made.live.shape == (70,)
    np.testing.assert_allclose(np.exp(made.log_scales[:64]), 0.5, rtol=1e-5)
    assert gaussians.from_points(grid, count=10).live.sum() == 10
    # All in one place, and one alone.
    assert np.isfinite(gaussians.from_points(np.zeros((9, 3))).log_scales).all()
    assert np.isfinite(gaussians.from_points([[1.0, 2, 3]]).log_scales).all()


def test_gaussians_begin_within_the_hull():
    cells = np.zeros((4, 4, 4), bool)
    cells[1, 2, 3] = cells[0, 0, 0] = True
    hull = Hull(jnp.array([-1.0, -1, -1]), jnp.float32(0.5), jnp.asarray(cells))
    made = gaussians.in_hull(jax.random.key(0), hull, count=50)
    assert hull.contains(made.means).all() and 10 < (made.means[:, 0] > -0.5).sum() < 40
    with pytest.raises(checks.InputError, match='hull: has no cells'):
        gaussians.in_hull(jax.random.key(0), hull.replace(cells=jnp.zeros((4, 4, 4), bool)), count=5)


def test_what_is_wrong_is_said():
    means = np.zeros((3, 3))
    for arguments, message in (
        ((means[:0], 1.0), 'means: got none, expected at least one'),
        ((means, 0.0), r'scales: 9 of 9 out of range, the first 0.0 at index \(0, 0\), expected positive'),
        ((means, [1, -2, 1]), r'scales: 3 of 9 out of range, the first -2.0 at index \(1, 0\)'),
        ((means, np.nan), 'scales: 9 of 9 values not finite'),
        ((means[:, :2], 1.0), r'means: got shape \(3, 2\)'),
        ((means, np.ones((2, 3))), r'scales: got shape \(2, 3\), expected \(n=3, 3\)'),
        ((np.full((3, 3), np.inf), 1.0), 'means: 3 of 3 Gaussians not finite, the first at index 0'),
    ):
        with pytest.raises(checks.InputError, match=message):
            gaussians.make(*arguments)
    for options, message in (
        ({'opacities': 1.0}, 'opacities: 3 of 3 out of range'),
        ({'degree': 4}, 'degree: got 4'),
        ({'rotations': np.zeros((3, 4))}, 'rotations: got a quaternion of zeros at index 0'),
    ):
        with pytest.raises(checks.InputError, match=message):
            gaussians.make(means, 1.0, **options)
    # What is not live may be anything.
    made = gaussians.make(means, 1.0, live=[True, False, True])
    gaussians.check(made.replace(means=made.means.at[1].set(jnp.nan)))
    with pytest.raises(checks.InputError, match='harmonics: number of terms: got 3'):
        gaussians.check(made.replace(harmonics=jnp.zeros((3, 3, 3))))
    with pytest.raises(checks.InputError, match='points: got none'):
        gaussians.from_points(np.zeros((0, 3)))
    with pytest.raises(checks.InputError, match='count: got 2, expected at least 3'):
        gaussians.padded(made, 2)
