"""Gaussians that move, are cloned, split and pruned: what a picture shows hardly changes, and places stay as many."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.models.gaussians import density
from neurend.scenes import gaussians

relocate = jax.jit(functools.partial(density.relocate, faintest=0.005))
densify = jax.jit(functools.partial(density.densify, least=1.0, large=0.1, faintest=0.005))


def _some(opacities, live=None, scales=0.1):
    count = len(opacities)
    means = np.random.default_rng(0).normal(size=(count, 3))
    return gaussians.make(means, scales, opacities=np.asarray(opacities), colors=0.3, live=live)


@pytest.mark.parametrize('opacity', [0.02, 0.5, 0.97])
def test_shared_gaussians_hide_as_much_along_a_line_as_the_one_they_replace(opacity):
    for together in (1, 2, 7, 40):
        new, factor = jax.jit(density.shared)(jnp.array([opacity]), jnp.array([float(together)]))
        np.testing.assert_allclose(1 - (1 - np.float64(new[0])) ** together, opacity, rtol=1e-3)
        x = np.linspace(-9, 9, 4001)
        one = opacity * np.exp(-0.5 * x**2)
        many = 1 - (1 - float(new[0]) * np.exp(-0.5 * (x / float(factor[0])) ** 2)) ** together
        np.testing.assert_allclose(many.sum(), one.sum(), rtol=1e-3)
        # The published series, where it does not cancel.
        if together == 2:
            o = float(new[0])
            np.testing.assert_allclose(factor[0], opacity / (2 * o - o * o / np.sqrt(2)), rtol=1e-3)


def test_faint_and_dead_gaussians_move_to_opaque_ones():
    opacities = np.array([0.9, 0.001, 0.5, 0.5, 0.002, 0.8])
    given = _some(opacities, live=[True, True, True, False, True, True])
    found, fresh = relocate(jax.random.key(1), given)
    assert found.live.all() and fresh[jnp.array([1, 3, 4])].all()
    means, places = np.asarray(found.means), np.asarray(given.means)
    for k in (1, 3, 4):
        assert any(np.array_equal(means[k], places[j]) for j in (0, 2, 5))
    np.testing.assert_array_equal(means[[0, 2, 5]], places[[0, 2, 5]])
    # Those in one place hide together what one hid, and are equal.
    for j in (0, 2, 5):
        here = (means == places[j]).all(-1)
        np.testing.assert_allclose(1 - np.prod(1 - np.asarray(found.opacities)[here]), opacities[j], rtol=1e-3)
        assert np.ptp(np.asarray(found.log_scales)[here]) == 0
    # Nothing to go to: nothing happens.
    alone = _some([0.001, 0.002])
    same, moved = relocate(jax.random.key(0), alone)
    assert not moved.any()
    np.testing.assert_array_equal(same.means, alone.means)


def test_opaque_ones_are_joined_more_often():
    given = _some([0.8, 0.2] + [0.001] * 4000)
    found, _ = relocate(jax.random.key(3), given)
    first = (np.asarray(found.means) == np.asarray(given.means[0])).all(-1).mean()
    assert first == pytest.approx(0.8, abs=0.03)


def test_wandering_has_the_covariance_of_the_gaussian_squared_and_spares_opaque_ones():
    count = 20000
    turned = np.tile([0.9, 0.1, 0.4, -0.2], (2 * count, 1))
    opacities = np.repeat([0.001, 0.9], count)
    given = gaussians.make(
        np.zeros((2 * count, 3)), [[0.3, 0.1, 0.5]] * (2 * count), rotations=turned, opacities=opacities
    )
    wander = jax.jit(functools.partial(density.wander, faintest=0.005))
    moved = np.asarray(wander(jax.random.key(0), given, rate=2.0), np.float64)
    covariance = np.asarray(given.covariances[0], np.float64)
    loose = 1 / (1 + np.exp(-100 * 0.004))
    expected = (2 * loose) ** 2 * covariance @ covariance
    np.testing.assert_allclose(np.cov(moved[:count].T), expected, atol=0.03 * np.trace(expected))
    assert np.abs(moved[count:]).max() < 1e-20


def test_those_that_are_pulled_are_cloned_or_split_in_free_places():
    live = np.array([True, True, True, True, False, False, False])
    scales = np.full((7, 3), 0.05)
    scales[1] = [0.4, 0.01, 0.01]
    given = _some([0.5, 0.5, 0.5, 0.001, 0.5, 0.5, 0.5], live=live, scales=scales)
    pull = jnp.array([3.0, 2.0, 0.1, 9.0, 9.0, 9.0, 9.0])
    found, fresh = densify(jax.random.key(0), given, pull)
    # The faint one goes, the first two double: in the places of the faint one and of the first that was free.
    np.testing.assert_array_equal(found.live, [True, True, True, True, True, False, False])
    np.testing.assert_array_equal(found.means[3], given.means[0])
    np.testing.assert_array_equal(found.means[0], given.means[0])
    offsets = np.asarray(found.means)[[1, 4]] - np.asarray(given.means[1])
    assert (np.abs(offsets[:, 0]) > 0).all() and (np.abs(offsets) < [1.6, 0.04, 0.04]).all()
    np.testing.assert_allclose(np.exp(found.log_scales)[[1, 4]], scales[[1, 1]] / 1.6, rtol=1e-5)
    np.testing.assert_array_equal(fresh, [False, True, False, True, True, False, False])
    # With a single place the one that is pulled most comes first.
    full = given.replace(live=jnp.array([True, True, True, True, True, True, True]))
    pull = jnp.array([3.0, 2.0, 0.1, 0.0, 0.0, 0.0, 0.0])
    found, _ = densify(jax.random.key(0), full, pull)
    np.testing.assert_array_equal(found.means[3], given.means[0])
    np.testing.assert_array_equal(found.means[1], given.means[1])
    assert found.live.all()


def test_faded_gaussians_are_faint():
    found = density.faded(_some([0.9, 0.005]))
    np.testing.assert_allclose(found.opacities, [0.01, 0.005], rtol=1e-4)
