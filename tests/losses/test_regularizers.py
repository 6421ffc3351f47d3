import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend import checks
from neurend.losses import photometric, regularizers
from tests.oracles import compositing as oracle


def _histogram(seed, n):
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=n)
    return weights / weights.sum(), np.sort(rng.uniform(size=n + 1))


def test_distortion_is_the_double_sum():
    weights, edges = zip(*(_histogram(seed, 17) for seed in range(3)))
    want = np.mean([oracle.distortion(w, e) for w, e in zip(weights, edges)])
    got = regularizers.distortion(jnp.float32(np.stack(weights)), jnp.float32(np.stack(edges)))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_distortion_does_not_depend_on_where_the_ray_starts():
    weights, edges = _histogram(0, 33)
    near = regularizers.distortion(jnp.float32(weights), jnp.float32(edges))
    far = regularizers.distortion(jnp.float32(weights), jnp.float32(edges) + 64)
    np.testing.assert_allclose(near, far, rtol=1e-4)


def test_distortion_gradients():
    with jax.enable_x64(True):
        weights, edges = (jnp.array(part) for part in _histogram(1, 7))
        check_grads(regularizers.distortion, (weights, edges), order=1, modes=('fwd', 'rev'), rtol=1e-6)


def test_bound_sums_what_overlaps():
    _, edges = _histogram(2, 9)
    proposal, proposal_edges = _histogram(3, 13)
    bound = regularizers.histogram_bound(jnp.float32(edges), jnp.float32(proposal), jnp.float32(proposal_edges))
    np.testing.assert_allclose(bound, oracle.histogram_bound(edges, proposal, proposal_edges), atol=1e-6)


def test_bound_of_shared_edges_is_the_weights_themselves():
    weights, edges = (jnp.float32(part) for part in _histogram(4, 8))
    np.testing.assert_allclose(regularizers.histogram_bound(edges, weights, edges), weights, atol=1e-6)
    # Cutting intervals in two keeps their bound at the whole's weight.
    fine = jnp.sort(jnp.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])]))
    np.testing.assert_allclose(regularizers.histogram_bound(fine, weights, edges), jnp.repeat(weights, 2), atol=1e-6)


def test_interlevel_vanishes_under_an_envelope_and_teaches_only_the_proposal():
    weights, edges = (jnp.float32(part) for part in _histogram(5, 8))
    assert regularizers.interlevel(weights, edges, weights, edges) < 1e-10
    low = 0.5 * weights
    np.testing.assert_allclose(regularizers.interlevel(weights, edges, low, edges), 0.25, rtol=1e-4)
    to_field, to_proposal = jax.grad(regularizers.interlevel, argnums=(0, 2))(weights, edges, low, edges)
    assert (to_field == 0).all() and (to_proposal < 0).all()


def test_interlevel_takes_any_leading_dims():
    weights, edges = (jnp.float32(np.stack(part)) for part in zip(*(_histogram(seed, 6) for seed in range(4))))
    proposal, proposal_edges = (jnp.float32(np.stack(part)) for part in zip(*(_histogram(9 + s, 5) for s in range(4))))
    each = [regularizers.interlevel(*ray) for ray in zip(weights, edges, proposal, proposal_edges)]
    together = regularizers.interlevel(weights, edges, proposal, proposal_edges)
    np.testing.assert_allclose(together, np.mean(each), rtol=1e-5)


def test_opacity_entropy():
    np.testing.assert_allclose(regularizers.opacity_entropy(jnp.array([0.5, 0.5])), np.log(2), rtol=1e-6)
    assert regularizers.opacity_entropy(jnp.array([0.0, 1.0])) < 2e-5
    assert jnp.isfinite(jax.grad(regularizers.opacity_entropy)(jnp.array([0.0, 1.0]))).all()


def test_total_variation_of_a_ramp():
    x, y, z = np.meshgrid(np.arange(4.0), np.arange(5.0), np.arange(6.0), indexing='ij')
    grid = jnp.float32(x + 2 * y - 3 * z)[..., None]
    np.testing.assert_allclose(regularizers.total_variation(grid), 1 + 4 + 9, rtol=1e-6)
    np.testing.assert_allclose(regularizers.total_variation(grid[:, :, 0], dims=2), 1 + 4, rtol=1e-6)


def test_photometric_by_hand():
    a, b = jnp.array([[0.0, 1.0], [0.5, 0.5]]), jnp.array([[1.0, 1.0], [0.5, 0.0]])
    np.testing.assert_allclose(photometric.l1(a, b), 1.5 / 4)
    np.testing.assert_allclose(photometric.l1(a, b, jnp.array([1.0, 0.5])), (1 + 0.25) / 3)
    np.testing.assert_allclose(photometric.mse(a, b), 1.25 / 4)
    np.testing.assert_allclose(photometric.mse(a, b, jnp.array([False, True])), 0.25 / 2)
    np.testing.assert_allclose(photometric.mse(a, b, jnp.array([1.0, 0.5])), (1 + 0.125) / 3)
    np.testing.assert_allclose(photometric.charbonnier(a, b, epsilon=0.75), (1.25 + 0.75 + 0.75 + 0.8125**0.5) / 4)
    np.testing.assert_allclose(photometric.psnr(jnp.array(1e-3)), 30, rtol=1e-6)


def test_an_empty_mask_gives_zero_loss_and_gradient():
    a, b = jnp.ones((3, 3)), jnp.zeros((3, 3))
    loss, gradient = jax.value_and_grad(photometric.mse)(a, b, jnp.zeros(3))
    assert loss == 0 and (gradient == 0).all()
    with pytest.raises(checks.InputError, match=r'mask: got shape \(3, 3\), expected \(3,\)'):
        photometric.mse(a, b, b)
