"""Layers in a medium against an oracle, closed forms and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry.rays import Rays
from neurend.render import layers, volume
from neurend.render.layers import Layers
from neurend.render.rendering import Rendering
from tests.oracles import layers as oracle
from tests.oracles.derivatives import check_jacobian

RNG = np.random.default_rng(0)
RAYS, COUNT, INTERVALS = 6, 4, 5
ALPHA = RNG.uniform(size=(COUNT, RAYS))
RGB = RNG.uniform(size=(COUNT, RAYS, 3)) * ALPHA[..., None]
# Some layers lie before the medium and some behind it.
T = RNG.uniform(0.5, 5.5, size=(COUNT, RAYS))
EDGES = np.sort(RNG.uniform(1, 5, size=(RAYS, INTERVALS + 1)), axis=-1)
T[1, 0], T[2, 0] = EDGES[0, 2], EDGES[0, 2]
T[0, 1], T[1, 1], T[:, 2] = 0.3, 9.0, 0.2 + 0.1 * np.arange(COUNT)
DENSITY, FEATURES = RNG.exponential(0.4, size=(RAYS, INTERVALS)), RNG.uniform(size=(RAYS, INTERVALS, 3))
DIRECTIONS = RNG.normal(size=(RAYS, 3))
BACKGROUND = np.array([0.2, 0.9, 0.4])

_within = jax.jit(layers.within)
_integrate = jax.jit(layers.integrate, static_argnums=0)


def test_they_are_those_of_a_loop_over_events():
    with jax.enable_x64(True):
        found = _within(
            Layers(*map(jnp.asarray, (RGB, ALPHA, T))),
            *map(jnp.asarray, (DENSITY, FEATURES, EDGES, DIRECTIONS)),
            background=jnp.asarray(BACKGROUND),
        )
        for k in range(RAYS):
            each = [(RGB[j, k], ALPHA[j, k], T[j, k]) for j in range(COUNT)]
            length = np.linalg.norm(DIRECTIONS[k])
            rgb, alpha, depth, weights, shares = oracle.march(
                each, DENSITY[k], FEATURES[k], EDGES[k], length, BACKGROUND
            )
            np.testing.assert_allclose(found.rgb[k], rgb, atol=1e-12)
            np.testing.assert_allclose(found.alpha[k], alpha, atol=1e-12)
            np.testing.assert_allclose(found.depth[k], depth, atol=1e-12)
            np.testing.assert_allclose(found.weights[k], weights, atol=1e-12)
            np.testing.assert_allclose(found.extras['layers'][:, k], shares, atol=1e-12)


def test_with_nothing_between_them_they_are_those_of_a_loop():
    with jax.enable_x64(True):
        # One that is infinitely far away is behind all, and has no part in the depth.
        t = T.copy()
        t[2, 3] = np.inf
        found = jax.jit(layers.composite)(
            Layers(*map(jnp.asarray, (RGB, ALPHA, t))), background=jnp.asarray(BACKGROUND)
        )
        for k in range(RAYS):
            each = [(RGB[j, k], ALPHA[j, k], T[j, k]) for j in range(COUNT)]
            if k == 3:
                each = [*each[:2], each[3], (RGB[2, k], ALPHA[2, k], 1e6)]
            rgb, alpha, depth, _, shares = oracle.march(each, [], np.zeros((0, 3)), [0.0], 1.0, BACKGROUND)
            if k == 3:
                depth = (depth * alpha - shares[3] * 1e6) / (alpha - shares[3])
            np.testing.assert_allclose(found.rgb[k], rgb, atol=1e-12)
            np.testing.assert_allclose(found.alpha[k], alpha, atol=1e-12)
            np.testing.assert_allclose(found.depth[k], depth, rtol=1e-9)


def ray(count=1):
    along = jnp.broadcast_to(jnp.array([0.0, 0.0, 2.0]), (count, 3))
    return Rays(jnp.zeros((count, 3)), along, along / 2, jnp.zeros((count, 1)), jnp.zeros(count, int))


def fog(points, directions):
    del directions
    return jnp.full(points.shape[:-1], 0.3), jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), points.shape)


def test_a_wall_in_fog_is_as_bright_as_the_fog_before_it_lets_it_be_however_fog_is_divided():
    wall = Layers(jnp.array([[[1.0, 0, 0]]]), jnp.ones((1, 1)), jnp.full((1, 1), 1.7))
    for count in (1, 3, 32):
        edges = jnp.linspace(0.5, 4.0, count + 1)[None]
        found = _integrate(fog, ray(), edges, wall)
        passed = np.exp(-0.3 * 2 * (1.7 - 0.5))
        np.testing.assert_allclose(found.rgb[0], [passed, 0, 1 - passed], atol=1e-6)
        np.testing.assert_allclose(found.alpha[0], 1, atol=1e-6)
    # As the wall comes nearer it is seen better, by exactly as much.
    by_t = jax.grad(lambda t: _integrate(fog, ray(), edges, wall.replace(t=t)).rgb[0, 0])(wall.t)
    np.testing.assert_allclose(by_t[0, 0], -0.3 * 2 * passed, rtol=1e-5)


def test_without_layers_that_show_the_medium_is_what_it_is_alone():
    edges = jnp.linspace(0.5, 4.0, 9)[None]
    nothing = Layers(jnp.zeros((2, 1, 3)), jnp.zeros((2, 1)), jnp.array([[1.2], [jnp.inf]]))
    found, alone = (
        _integrate(fog, ray(), edges, nothing),
        jax.jit(volume.integrate, static_argnums=0)(fog, ray(), edges),
    )
    for name in ('rgb', 'alpha', 'depth', 'weights'):
        np.testing.assert_allclose(getattr(found, name), getattr(alone, name), atol=1e-6)


def test_order_of_layers_does_not_matter():
    mixed = np.array([2, 0, 3, 1])
    given = [
        Layers(*(jnp.asarray(x[which], jnp.float32) for x in (RGB, ALPHA, T))) for which in (mixed[:0:-1], mixed[:1])
    ]
    medium = [jnp.asarray(x, jnp.float32) for x in (DENSITY, FEATURES, EDGES, DIRECTIONS)]
    one, other = (_within(layers.stack(parts), *medium) for parts in (given, given[::-1]))
    np.testing.assert_allclose(one.rgb[1:], other.rgb[1:], atol=1e-6)
    # On the first ray two are at one place, where the one that comes first is in front.
    shares = [found.extras['layers'][:, 1:] for found in (one, other)]
    np.testing.assert_allclose(shares[0], np.roll(shares[1], -1, axis=0), atol=1e-6)


def test_derivatives():
    with jax.enable_x64(True):
        chosen = slice(3, 5)
        medium = [jnp.asarray(x[chosen]) for x in (DENSITY, FEATURES, EDGES, DIRECTIONS)]

        def picture(rgb, alpha, t, density, features, edges, directions):
            found = layers.within(
                Layers(rgb, alpha, t), density, features, edges, directions, background=jnp.asarray(BACKGROUND)
            )
            apart = layers.composite(Layers(rgb, alpha, t))
            return found.rgb, found.alpha, found.depth, apart.rgb, apart.alpha, apart.depth

        given = [jnp.asarray(x[:, chosen]) for x in (RGB, ALPHA, T)]
        check_jacobian(picture, *given, *medium, rtol=1e-5, atol=1e-7)


def test_a_picture_as_a_layer_has_the_depth_of_its_outline():
    depth = jnp.zeros((1, 6)).at[0, 2].set(3.0)
    alpha = jnp.array([[0.0, 0.5, 1, 0.5, 0.2, 0.1]])
    made = layers.of_picture(Rendering(jnp.ones((1, 6, 3)) * alpha[..., None], alpha, depth), reach=2)
    np.testing.assert_array_equal(made.t[0, 0], [3, 3, 3, 3, 3, np.inf])
    assert made.rgb.shape == (1, 1, 6, 3)


def test_bad_input():
    with pytest.raises(InputError, match='expected layers'):
        layers.stack([])
    with pytest.raises(InputError, match=r'layers.t: got shape \(2, 5\), expected \(2, 4\)'):
        layers.composite(Layers(jnp.zeros((2, 4, 3)), jnp.zeros((2, 4)), jnp.zeros((2, 5))))
    with pytest.raises(InputError, match='density'):
        layers.within(
            Layers(jnp.zeros((2, 4, 3)), jnp.zeros((2, 4)), jnp.zeros((2, 4))),
            jnp.zeros((4, 8)),
            jnp.zeros((4, 8, 3)),
            jnp.zeros((4, 8)),
            jnp.ones((4, 3)),
        )
