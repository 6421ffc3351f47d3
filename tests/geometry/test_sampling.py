import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import sampling
from tests.oracles import histogram as oracle

EDGES = np.array([0.0, 0.1, 0.15, 0.4, 0.45, 0.8, 1.0])
WEIGHTS = np.array([0.1, 0.4, 0.0, 0.3, 0.15, 0.05])


def _jit(function, *static):
    return jax.jit(function, static_argnames=static)


stratified = _jit(sampling.stratified, 'num', 'spacing', 'single_jitter')
inverse_cdf = _jit(sampling.inverse_cdf, 'num', 'draw', 'padding')


@pytest.mark.parametrize('spacing', ['linear', 'disparity'])
def test_spacing_is_even_and_inverts(spacing):
    near, far = jnp.asarray([2.0, 0.5]), jnp.asarray([6.0, 50.0])
    s = jnp.linspace(0, 1, 5)
    t = sampling.t_from_s(s, near, far, spacing=spacing)
    even = 1 / t if spacing == 'disparity' else t
    np.testing.assert_allclose(np.diff(even, n=2), 0, atol=1e-5)
    np.testing.assert_allclose(t[:, [0, -1]], jnp.stack([near, far], -1), rtol=1e-6)
    np.testing.assert_allclose(sampling.s_from_t(t, near, far, spacing=spacing), [s, s], atol=1e-6)
    assert sampling.t_from_s(s, 1.0, jnp.inf, spacing='disparity')[-1] == jnp.inf


def test_stratified_keeps_to_its_strata_and_is_uniform_in_them():
    even = np.linspace(2, 6, 9)
    np.testing.assert_allclose(stratified(None, 2.0, 6.0, num=9), even, rtol=1e-6)
    t = stratified(jax.random.key(0), jnp.full(4000, 2.0), jnp.full(4000, 6.0), num=9)
    middle = (even[1:] + even[:-1]) / 2
    lower, upper = np.r_[2, middle], np.r_[middle, 6]
    assert (t >= lower[None] - 1e-6).all() and (t <= upper[None] + 1e-6).all()
    deviation = (upper - lower) / 12**0.5
    np.testing.assert_allclose(t.mean(0), (lower + upper) / 2, atol=5 * deviation.max() / 4000**0.5)
    np.testing.assert_allclose(t.std(0), deviation, rtol=0.05)
    one = stratified(jax.random.key(0), jnp.zeros(3), jnp.ones(3), num=9, single_jitter=True)
    np.testing.assert_allclose(np.diff(one[:, 1:-1]), 1 / 8, rtol=1e-4)


def test_quantiles_agree_with_the_oracle():
    got = inverse_cdf(None, jnp.asarray(EDGES), jnp.asarray(WEIGHTS), num=41, padding=0.0)
    truth = [oracle.quantile(EDGES, WEIGHTS, level) for level in np.linspace(0, 1, 41)]
    # Level 0.5 is where the cdf is flat: every position in the empty interval is a quantile.
    flat = np.isclose(np.linspace(0, 1, 41), 0.5)
    np.testing.assert_allclose(got[~flat], np.array(truth)[~flat], atol=1e-5)
    assert 0.15 - 1e-6 <= got[flat][0] <= 0.4 + 1e-6


@pytest.mark.parametrize('draw', ['independent', 'stratified', 'single'])
def test_draws_follow_the_histogram(draw):
    rays = 2000
    t = inverse_cdf(
        jax.random.key(1), jnp.asarray(EDGES), jnp.broadcast_to(jnp.asarray(WEIGHTS), (rays, 6)), num=16, draw=draw
    )
    if draw != 'independent':
        assert (jnp.diff(t) >= 0).all()
    counts, _ = np.histogram(t, EDGES)
    np.testing.assert_allclose(counts / t.size, WEIGHTS, atol=4 * (0.25 / rays) ** 0.5 if draw == 'single' else 0.012)


def test_no_weight_at_all_is_uniform_and_no_gradient_flows():
    edges = jnp.linspace(0, 1, 5)
    np.testing.assert_allclose(
        inverse_cdf(None, edges, jnp.zeros(4), num=9, padding=0.0), np.linspace(0, 1, 9), atol=1e-6
    )
    gradient = jax.grad(lambda w: sampling.inverse_cdf(None, edges, w, 9).sum())(jnp.asarray([0.0, 1, 2, 0]))
    np.testing.assert_array_equal(gradient, 0)


def test_hierarchical_by_the_published_code():
    """The steps of the original code, one by one: midpoints, inner weights, 1e-5 on each, merged and sorted."""
    t = np.sort(np.random.default_rng(0).uniform(2, 6, 12))
    weights = np.random.default_rng(1).uniform(size=12)
    got = _jit(sampling.hierarchical, 'num')(
        None, jnp.asarray(t, jnp.float32), jnp.asarray(weights, jnp.float32), num=7
    )
    middle = (t[1:] + t[:-1]) / 2
    added = [oracle.quantile(middle, weights[1:-1] + 1e-5, level) for level in np.linspace(0, 1, 7)]
    np.testing.assert_allclose(got, np.sort(np.r_[t, added]), atol=1e-5)


def test_intervals_of_mip_nerf_360():
    draw = _jit(sampling.resample_intervals, 'num', 'single_jitter', 'domain')
    edges, weights = jnp.asarray(EDGES), jnp.asarray(WEIGHTS)
    got = draw(None, edges, weights, num=8)
    centers = np.array([oracle.quantile(EDGES, WEIGHTS, (i + 0.5) / 8) for i in range(8)])
    np.testing.assert_allclose(got[1:-1], (centers[1:] + centers[:-1]) / 2, atol=1e-5)
    mirrored = np.array([2 * centers[0] - got[1], 2 * centers[-1] - got[-2]])
    np.testing.assert_allclose(got[jnp.asarray([0, -1])], np.clip(mirrored, 0, 1), atol=1e-5)
    many = draw(jax.random.key(0), edges, jnp.broadcast_to(weights, (50, 6)), num=8)
    assert many.shape == (50, 9) and (jnp.diff(many) >= 0).all() and (many >= 0).all() and (many <= 1).all()
    even = draw(None, jnp.linspace(0, 1, 2), jnp.ones(1), num=4)
    np.testing.assert_allclose(even, np.linspace(0, 1, 5), atol=1e-6)


def test_edges_of_mip_nerf():
    edges, weights = jnp.asarray(EDGES), jnp.asarray(WEIGHTS)
    padded = np.r_[WEIGHTS[0], WEIGHTS, WEIGHTS[-1]]
    blurred = [(max(padded[i - 1 : i + 1]) + max(padded[i : i + 2])) / 2 for i in range(1, 7)]
    np.testing.assert_allclose(sampling.blur_pool(weights), blurred, rtol=1e-6)
    got = _jit(sampling.resample_edges, 'num')(None, edges, weights, num=6)
    truth = [oracle.quantile(EDGES, np.array(blurred) + 0.01, level) for level in np.linspace(0, 1, 7)]
    np.testing.assert_allclose(got, truth, atol=1e-5)


def test_annealing_starts_flat_and_ends_as_it_was():
    edges = jnp.asarray([0.0, 0.2, 0.2, 0.7, 1.0])
    weights = jnp.asarray([0.1, 0.5, 0.0, 0.4])
    np.testing.assert_allclose(sampling.anneal(edges, weights, 0.0), [1, 0, 1, 1])
    np.testing.assert_allclose(sampling.anneal(edges, weights, 1.0), [0.1, 0, 0, 0.4], rtol=1e-6)
    exponent = 10 * 0.1 / (9 * 0.1 + 1)
    np.testing.assert_allclose(sampling.anneal(edges, weights, 0.1)[3], 0.4**exponent, rtol=1e-6)


def test_dilation_takes_the_greatest_density_nearby():
    edges, weights = jax.jit(sampling.dilate)(jnp.asarray(EDGES), jnp.asarray(WEIGHTS), 0.03)
    assert edges.shape == (17,) and weights.shape == (16,)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    truth = np.array([oracle.dilated_density(EDGES, WEIGHTS, 0.03, float(m)) for m in middle]) * width
    np.testing.assert_allclose(weights, truth / truth.sum(), atol=2e-5)


def test_says_what_is_wrong():
    with pytest.raises(InputError, match=r'weights: got shape \(5,\), expected \(\.\.\., n=4\)'):
        sampling.inverse_cdf(None, jnp.zeros(5), jnp.zeros(5), 3)
    with pytest.raises(InputError, match='spacing'):
        sampling.stratified(None, 0.0, 1.0, 3, spacing='even')
