import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.nn import spectral
from neurend.nn.patchgan import PatchGAN


def _converged(kernel, steps=200):
    u = jnp.ones(kernel.shape[-1]) / np.sqrt(kernel.shape[-1])
    step = jax.jit(spectral.normalize_kernel)
    for _ in range(steps):
        normalized, u = step(kernel, u)
    return normalized, u


def test_largest_singular_value_becomes_one():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 4, 5))
    matrix = np.asarray(kernel, np.float64).reshape(-1, 5)
    normalized, u = _converged(kernel)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(normalized.reshape(-1, 5), matrix / values[0], rtol=1e-4, atol=1e-6)
    assert abs(float(u @ right[0])) > 1 - 1e-5
    # Miyato et al., equation 12: what points along the first singular vectors is taken out of the gradient.
    weights = np.asarray(jax.random.normal(jax.random.key(1), kernel.shape))
    gradient = jax.grad(lambda k: jnp.sum(spectral.normalize_kernel(k, u)[0] * weights))(kernel)
    along = np.sum(weights.reshape(-1, 5) * matrix) / values[0]
    expected = (weights.reshape(-1, 5) - along * np.outer(left[:, 0], right[0])) / values[0]
    np.testing.assert_allclose(gradient.reshape(-1, 5), expected, atol=2e-4)


def test_one_step_is_a_power_iteration():
    kernel = jax.random.normal(jax.random.key(0), (2, 2, 3, 4))
    u = np.array([0.6, 0.0, 0.8, 0.0])
    matrix = np.asarray(kernel, np.float64).reshape(-1, 4)
    v = matrix @ u / np.linalg.norm(matrix @ u)
    following = v @ matrix / np.linalg.norm(v @ matrix)
    normalized, found = spectral.normalize_kernel(kernel, jnp.asarray(u))
    np.testing.assert_allclose(found, following, atol=1e-6)
    np.testing.assert_allclose(normalized.reshape(-1, 4), matrix / (v @ matrix @ following), rtol=1e-5)


def test_kernels_of_a_network_alone_are_normalized():
    network = PatchGAN(width=2, layers=1)
    x = jnp.ones((1, 16, 16, 3))
    params = jax.tree.map(lambda p: p + 0.5, network.init(jax.random.key(0), x)['params'])
    vectors = spectral.init(jax.random.key(1), params)
    assert len(vectors) == 3
    step = jax.jit(spectral.normalize)
    for _ in range(30):
        normalized, vectors = step(params, vectors)
    for name, layer in normalized.items():
        value = np.linalg.svd(np.asarray(layer['kernel']).reshape(-1, layer['kernel'].shape[-1]))[1][0]
        np.testing.assert_allclose(value, 1, rtol=1e-3)
        np.testing.assert_array_equal(layer['bias'], params[name]['bias'])
    # Scale is lost: the same network comes of parameters twice as large.
    twice = {name: {**layer, 'kernel': 2 * layer['kernel']} for name, layer in params.items()}
    np.testing.assert_allclose(step(twice, vectors)[0]['last']['kernel'], normalized['last']['kernel'], rtol=1e-5)


def test_zero_kernels_stay_and_foreign_vectors_are_named():
    normalized, _ = spectral.normalize_kernel(jnp.zeros((1, 1, 2, 3)), jnp.array([1.0, 0, 0]))
    np.testing.assert_array_equal(normalized, np.zeros((1, 1, 2, 3)))
    with pytest.raises(InputError, match='away'):
        spectral.normalize({'here': {'kernel': jnp.ones((2, 2))}}, {"['away']['kernel']": jnp.ones(2)})
