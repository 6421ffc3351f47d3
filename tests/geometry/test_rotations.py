import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.geometry import rotations
from tests.oracles.derivatives import check_jacobian

matrix_from_quaternion = jax.jit(rotations.matrix_from_quaternion)
quaternion_from_matrix = jax.jit(rotations.quaternion_from_matrix)
quaternion_from_vector = jax.jit(rotations.quaternion_from_vector)
vector_from_quaternion = jax.jit(rotations.vector_from_quaternion)
matrix_from_6d = jax.jit(rotations.matrix_from_6d)


def _vectors(angles) -> np.ndarray:
    axes = np.random.default_rng(0).normal(size=(len(angles), 3))
    return axes / np.linalg.norm(axes, axis=-1, keepdims=True) * np.asarray(angles)[:, None]


def _power_series(vector: np.ndarray) -> np.ndarray:
    """exp of the cross-product matrix by its defining series, halved until it converges fast."""
    x, y, z = vector / 2**8
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result = np.eye(3) + k + k @ k / 2 + k @ k @ k / 6 + k @ k @ k @ k / 24
    for _ in range(8):
        result = result @ result
    return result


def test_exp_is_the_matrix_exponential():
    vectors = _vectors([0, 1e-6, 1e-3, 0.3, 0.999, 1.001, 2.0, np.pi, 4.0])
    with jax.enable_x64(True):
        got = rotations.exp(jnp.asarray(vectors))
    np.testing.assert_allclose(got, [_power_series(v) for v in vectors], atol=1e-11)


@pytest.mark.parametrize('x64', [False, True])
def test_log_inverts_exp_from_the_identity_to_half_a_turn(x64):
    angles = [0, 1e-12, 1e-7, 1e-4, 0.01, 0.0201, 0.5, 1.0, 2.5, 3.1, np.pi - 1e-3]
    with jax.enable_x64(x64):
        vectors = jnp.asarray(_vectors(angles))
        tolerance = 1e-12 if x64 else 1e-6
        np.testing.assert_allclose(rotations.log(rotations.exp(vectors)), vectors, atol=tolerance)
        again = vector_from_quaternion(quaternion_from_vector(vectors))
        np.testing.assert_allclose(again, vectors, atol=tolerance)


def test_half_turns_keep_their_axis_up_to_sign():
    axes = jnp.concatenate([jnp.eye(3), jnp.asarray(_vectors([1.0] * 5), jnp.float32)])
    matrices = rotations.exp(np.pi * axes)
    vectors = rotations.log(matrices)
    np.testing.assert_allclose(jnp.abs(jnp.sum(vectors * axes, axis=-1)), np.pi, rtol=1e-6)
    np.testing.assert_allclose(rotations.exp(vectors), matrices, atol=1e-6)


def test_every_branch_of_the_quaternion_of_a_matrix():
    with jax.enable_x64(True):
        random = np.random.default_rng(1).normal(size=(8, 4))
        for largest in range(4):
            quaternion = random.copy()
            quaternion[:, largest] = 5
            quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
            quaternion *= np.where(quaternion[:, :1] < 0, -1, 1)
            matrix = matrix_from_quaternion(3 * jnp.asarray(quaternion))
            np.testing.assert_allclose(matrix @ matrix.mT, np.broadcast_to(np.eye(3), (8, 3, 3)), atol=1e-14)
            np.testing.assert_allclose(quaternion_from_matrix(matrix), quaternion, atol=1e-14)


def test_gradients_near_the_identity_in_between_and_near_half_a_turn():
    with jax.enable_x64(True):
        vectors = jnp.asarray(_vectors([1e-9, 0.5, 1.5, 3.1]))
        check_jacobian(lambda v: (rotations.exp(v), quaternion_from_vector(v)), vectors)
        check_jacobian(lambda v: rotations.log(rotations.exp(v)), vectors)
        check_jacobian(jax.grad(lambda v: jnp.sum(jnp.sin(rotations.exp(v)))), vectors, rtol=1e-5)


@pytest.mark.parametrize('angle', [0.0, np.pi])
def test_gradients_are_finite_at_the_identity_and_at_half_a_turn(angle):
    vector = jnp.asarray([0.0, angle, 0.0])
    for derivative in (jax.jacfwd, jax.jacrev):
        assert jnp.isfinite(jax.jit(derivative(rotations.exp))(vector)).all()
        assert jnp.isfinite(jax.jit(derivative(rotations.log))(rotations.exp(vector))).all()


def test_quaternions_multiply_as_their_matrices():
    a, b = jnp.asarray(np.random.default_rng(2).normal(size=(2, 5, 4)), jnp.float32)
    matrix = matrix_from_quaternion
    np.testing.assert_allclose(matrix(rotations.multiply(a, b)), matrix(a) @ matrix(b), atol=1e-6)
    np.testing.assert_allclose(matrix(rotations.conjugate(a)), matrix(a).mT, atol=1e-6)


def test_axis_angle_turns_by_the_right_hand():
    turned = rotations.matrix_from_axis_angle(jnp.asarray([0.0, 0.0, 4.0]), np.pi / 2) @ jnp.asarray([1.0, 0.0, 0.0])
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(
        rotations.skew(jnp.asarray([1.0, 2, 3])) @ jnp.asarray([3.0, 1, 2]), np.cross([1, 2, 3], [3, 1, 2])
    )


def test_six_numbers_make_a_rotation_and_give_it_back():
    numbers = jnp.asarray(np.random.default_rng(3).normal(size=(5, 6)), jnp.float32)
    matrix = matrix_from_6d(numbers)
    np.testing.assert_allclose(matrix @ matrix.mT, np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.det(matrix), 1, rtol=1e-5)
    np.testing.assert_allclose(matrix_from_6d(rotations.sixd_from_matrix(matrix)), matrix, atol=1e-6)
    with jax.enable_x64(True):
        check_jacobian(matrix_from_6d, jnp.asarray(np.asarray(numbers), jnp.float64), rtol=1e-5)
