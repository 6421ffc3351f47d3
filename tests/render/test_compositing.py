import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend import checks
from neurend.render import compositing
from tests.oracles import compositing as oracle


def _ray(seed, n=9):
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.uniform(1, 5, n + 1))
    return rng.exponential(1.0, n), rng.uniform(size=(n, 3)), edges, rng.normal(size=3)


@pytest.mark.parametrize('n', [1, 7, 64])
def test_constant_density_absorbs_exponentially(n):
    edges = jnp.linspace(1.0, 3.0, n + 1) ** 2 / 3
    directions = jnp.array([0.6, 0.0, 1.2])
    weights = compositing.weights(jnp.full(n, 0.4), compositing.interval_lengths(edges, directions))
    length = float(edges[-1] - edges[0]) * float(jnp.linalg.norm(directions))
    np.testing.assert_allclose(weights.sum(), 1 - np.exp(-0.4 * length), rtol=1e-6)


def test_agrees_with_marching_in_float64():
    for seed in range(5):
        density, colors, edges, direction = _ray(seed)
        want = oracle.march(density, colors, edges, np.linalg.norm(direction))
        lengths = compositing.interval_lengths(jnp.float32(edges), jnp.float32(direction))
        weights = compositing.weights(jnp.float32(density), lengths)
        middles = jnp.float32(0.5 * (edges[1:] + edges[:-1]))
        got = (
            weights,
            compositing.accumulate(weights, jnp.float32(colors)),
            weights.sum(),
            compositing.expected_depth(weights, middles),
            compositing.median_depth(weights, jnp.float32(edges)),
        )
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_leading_dims_are_independent_rays():
    rays = [_ray(seed) for seed in range(4)]
    density, _, edges, directions = (jnp.array(np.stack(part)).reshape(2, 2, -1) for part in zip(*rays))

    def weights(density, edges, directions):
        return compositing.weights(density, compositing.interval_lengths(edges, directions))

    together = jax.jit(weights)(density, edges, directions)
    each = jax.jit(jax.vmap(jax.vmap(weights)))(density, edges, directions)
    np.testing.assert_allclose(together, each, rtol=1e-6)


def test_median_is_where_light_halves():
    # In a half space of density s the median of an opaque ray lies log(2) / s behind its face.
    edges = jnp.linspace(0.0, 20.0, 2001)
    density = jnp.where(edges[:-1] >= 4.0, 0.7, 0.0)
    weights = compositing.weights(density, jnp.diff(edges))
    np.testing.assert_allclose(compositing.median_depth(weights, edges), 4 + np.log(2) / 0.7, rtol=1e-4)
    np.testing.assert_allclose(
        compositing.expected_depth(weights, 0.5 * (edges[1:] + edges[:-1])), 4 + 1 / 0.7, rtol=1e-3
    )


def test_last_interval():
    density = jnp.array([0.0, 0.0, 1e-3])
    edges = jnp.array([0.0, 1.0, 2.0, 3.0])
    directions = jnp.array([0.0, 0.0, 2.0])
    open_ended = compositing.interval_lengths(edges, directions, last=1e10)
    np.testing.assert_allclose(open_ended, [2, 2, 2e10])
    np.testing.assert_allclose(compositing.weights(density, open_ended), [0, 0, 1])
    finite = compositing.interval_lengths(edges, directions)
    np.testing.assert_allclose(compositing.weights(0 * density, finite, opaque=True), [0, 0, 1])
    np.testing.assert_allclose(compositing.weights(0 * density, open_ended), 0)


def test_nothing_on_the_ray_has_finite_values_and_gradients():
    edges = jnp.linspace(0.0, 1.0, 5)

    def depths(density):
        weights = compositing.weights(density, jnp.diff(edges))
        return compositing.expected_depth(weights, edges[1:]) + compositing.median_depth(weights, edges)

    @jax.jit
    def all_of(density):
        return *jax.value_and_grad(depths)(density), jax.jvp(depths, (density,), (jnp.ones(4),))[1]

    for density in (jnp.zeros(4), jnp.full(4, 1e30)):
        assert all(np.isfinite(part).all() for part in all_of(density))


def test_over_agrees_with_weights_of_the_same_alphas():
    density, colors, edges, _ = _ray(0)
    lengths = jnp.diff(jnp.float32(edges))
    weights = compositing.weights(jnp.float32(density), lengths)
    alphas = -jnp.expm1(-jnp.float32(density) * lengths)
    background = jnp.array([0.2, 0.9, 0.4])
    color, alpha, layers = compositing.over(jnp.float32(colors), alphas, background=background)
    np.testing.assert_allclose(layers, weights, rtol=1e-5)
    np.testing.assert_allclose(alpha, weights.sum(), rtol=1e-6)
    plain = compositing.accumulate(weights, jnp.float32(colors))
    np.testing.assert_allclose(color, compositing.on_background(plain, alpha, background), rtol=1e-5)


def test_over_hides_what_is_behind_an_opaque_layer():
    colors = jnp.eye(3)
    color, alpha, _ = compositing.over(colors, jnp.array([0.25, 1.0, 0.5]), background=jnp.ones(3))
    np.testing.assert_allclose(color, [0.25, 0.75, 0.0])
    assert alpha == 1.0
    # The gradient with respect to an opaque layer's alpha needs the layers behind it.
    alphas = jnp.array([0.25, 1.0, 0.5])
    gradient = jax.jit(jax.grad(lambda a: compositing.over(colors, a, background=jnp.ones(3))[0][2]))(alphas)
    np.testing.assert_allclose(gradient, [0, -0.75, 0], atol=1e-6)


def test_gradients_in_both_modes():
    with jax.enable_x64(True):
        density, colors, edges, direction = (jnp.array(part) for part in _ray(3, n=5))

        def render(density, colors, edges, direction):
            weights = compositing.weights(density, compositing.interval_lengths(edges, direction))
            middles = 0.5 * (edges[1:] + edges[:-1])
            depths = compositing.expected_depth(weights, middles) + compositing.median_depth(weights, edges)
            return compositing.accumulate(weights, colors).sum() + depths

        inputs = (density, colors, edges, direction)
        check_grads(jax.jit(render), inputs, order=1, modes=('fwd', 'rev'), rtol=1e-5, atol=1e-6)


def test_errors_say_what_was_expected():
    with pytest.raises(checks.InputError, match=r'density: got shape \(4,\), expected that of deltas, \(5,\)'):
        compositing.weights(jnp.ones(4), jnp.ones(5))
    with pytest.raises(checks.InputError, match=r'alphas: got shape \(3,\), expected \(4,\)'):
        compositing.over(jnp.ones((4, 3)), jnp.ones(3))
