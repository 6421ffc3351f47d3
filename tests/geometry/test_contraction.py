import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import contraction


def _points() -> np.ndarray:
    random = np.random.default_rng(0)
    directions = random.normal(size=(12, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return directions * np.array([0, 1e-6, 0.3, 0.99, 1.01, 1.5, 2, 3, 10, 100, 1e3, 1e4])[:, None]


def test_contracts_as_published_and_back():
    with jax.enable_x64(True):
        points = jnp.asarray(_points())
        norm = np.linalg.norm(points, axis=-1)
        contracted = jax.jit(contraction.contract)(points)
        expected = np.where(norm <= 1, norm, 2 - 1 / np.maximum(norm, 1))
        np.testing.assert_allclose(jnp.linalg.norm(contracted, axis=-1), expected, rtol=1e-12)
        np.testing.assert_allclose(jnp.cross(contracted, points) / np.maximum(norm, 1)[:, None], 0, atol=1e-14)
        np.testing.assert_allclose(jax.jit(contraction.uncontract)(contracted), points, rtol=1e-9)


def test_gaussians_move_by_the_jacobian():
    with jax.enable_x64(True):
        points = jnp.asarray(_points())
        factor = jnp.asarray(np.random.default_rng(1).normal(size=(12, 3, 3)))
        covariance = factor @ factor.mT
        step = 1e-6
        moves = step * jnp.eye(3)
        differences = [
            (contraction.contract(points + m[None]) - contraction.contract(points - m[None])) / (2 * step)
            for m in moves
        ]
        jacobian = jnp.stack(differences, axis=-1)
        mean, moved = jax.jit(contraction.contract_gaussian)(points, covariance)
        np.testing.assert_allclose(mean, contraction.contract(points), rtol=1e-12)
        np.testing.assert_allclose(moved, jacobian @ covariance @ jacobian.mT, rtol=1e-5, atol=1e-8)


def test_gradients_are_finite_everywhere():
    for function in (contraction.contract, contraction.uncontract):
        points = jnp.asarray([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 1e8]])
        assert jnp.isfinite(jax.jit(jax.jacrev(function))(points)).all()
        assert jnp.isfinite(jax.jit(jax.jacfwd(function))(points)).all()
