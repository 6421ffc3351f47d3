import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.nn import encodings


def test_fourier_by_hand():
    x = jnp.array([0.3, -1.1])
    s, c = np.sin, np.cos
    np.testing.assert_allclose(
        encodings.fourier(x, degrees=2),
        [0.3, -1.1, s(0.3), s(-1.1), c(0.3), c(-1.1), s(0.6), s(-2.2), c(0.6), c(-2.2)],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        encodings.fourier(x, degrees=2, order='by_function', identity=False),
        [s(0.3), s(-1.1), s(0.6), s(-2.2), c(0.3), c(-1.1), c(0.6), c(-2.2)],
        rtol=1e-6,
    )


def test_fourier_sizes_of_nerf():
    points = jnp.zeros((2, 5, 3))
    assert encodings.fourier(points, degrees=10).shape == (2, 5, 63)
    assert encodings.fourier(points, degrees=4).shape == (2, 5, 27)
    assert encodings.fourier(points, degrees=0).shape == (2, 5, 3)
    with pytest.raises(checks.InputError, match="order: got 'sideways'"):
        encodings.fourier(points, degrees=1, order='sideways')


def test_integrated_is_the_mean_over_the_gaussian():
    mean, variance = jnp.array([0.4, -0.7, 1.3]), jnp.array([0.02, 0.3, 0.0])
    rng = np.random.default_rng(0)
    samples = np.asarray(mean) + np.sqrt(np.asarray(variance)) * rng.normal(size=(200_000, 3))
    waves = encodings.fourier(jnp.float32(samples), degrees=4, identity=False, order='by_function')
    np.testing.assert_allclose(encodings.integrated(mean, variance, degrees=4), waves.mean(0), atol=6e-3)


def test_integrated_without_variance_is_fourier():
    x = jnp.linspace(-2, 2, 12).reshape(4, 3)
    got = encodings.integrated(x, jnp.zeros_like(x), degrees=16)
    assert got.shape == (4, 96)
    np.testing.assert_allclose(got, encodings.fourier(x, degrees=16, identity=False, order='by_function'), atol=1e-6)


def test_spherical_harmonics_are_orthonormal():
    # Gauss-Legendre in z and equal steps in longitude integrate products up to degree 8 exactly.
    z, weight = np.polynomial.legendre.leggauss(12)
    longitude = 2 * np.pi * np.arange(24) / 24
    radius = np.sqrt(1 - z**2)[:, None]
    directions = np.stack(
        [radius * np.cos(longitude), radius * np.sin(longitude), np.broadcast_to(z[:, None], (12, 24))], axis=-1
    )
    measure = np.broadcast_to(weight[:, None] * 2 * np.pi / 24, (12, 24))
    with jax.enable_x64(True):
        basis = np.asarray(encodings.spherical_harmonics(jnp.array(directions), degree=4))
    assert basis.shape == (12, 24, 25)
    np.testing.assert_allclose(np.einsum('abi,abj,ab->ij', basis, basis, measure), np.eye(25), atol=1e-12)


def test_spherical_harmonics_of_each_degree_add_up():
    # Unsoeld: the squares of a degree sum to (2 l + 1) / 4 pi in every direction, which fixes which entry is whose.
    directions = jnp.array([[0.48, 0.6, 0.64], [-1.0, 0.0, 0.0]])
    basis = encodings.spherical_harmonics(directions, degree=4)
    for l in range(5):
        squares = jnp.square(basis[:, l**2 : (l + 1) ** 2]).sum(-1)
        np.testing.assert_allclose(squares, (2 * l + 1) / (4 * np.pi), rtol=1e-5)
    np.testing.assert_allclose(encodings.spherical_harmonics(directions, degree=1), basis[:, :4])
