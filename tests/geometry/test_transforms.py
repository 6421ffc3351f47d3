import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.geometry import transforms
from tests.oracles.derivatives import check_jacobian


def _twists(seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    twists = random.normal(size=(7, 6))
    twists[:, 3:] /= np.linalg.norm(twists[:, 3:], axis=-1, keepdims=True)
    twists[:, 3:] *= np.array([0, 1e-8, 1e-3, 0.6, 1.0, 2.0, 3.1])[:, None]
    return twists


def _power_series(twist: np.ndarray) -> np.ndarray:
    v, (x, y, z) = twist[:3] / 2**8, twist[3:] / 2**8
    k = np.array([[0, -z, y, v[0]], [z, 0, -x, v[1]], [-y, x, 0, v[2]], [0, 0, 0, 0]])
    result = np.eye(4) + k + k @ k / 2 + k @ k @ k / 6 + k @ k @ k @ k / 24
    for _ in range(8):
        result = result @ result
    return result


def test_se3_exp_is_the_matrix_exponential_and_log_its_inverse():
    with jax.enable_x64(True):
        twists = jnp.asarray(_twists())
        matrices = transforms.se3_exp(twists)
        np.testing.assert_allclose(matrices, [_power_series(t) for t in _twists()], atol=1e-11)
        np.testing.assert_allclose(transforms.se3_log(matrices), twists, atol=1e-11)
    single = jnp.asarray(_twists(), jnp.float32)
    np.testing.assert_allclose(transforms.se3_log(transforms.se3_exp(single)), single, atol=3e-6)


def test_se3_gradients():
    with jax.enable_x64(True):
        twists = jnp.asarray(_twists())
        check_jacobian(transforms.se3_exp, twists[1::2])
        check_jacobian(lambda t: transforms.se3_log(transforms.se3_exp(t)), twists[1::2], rtol=1e-5)
        assert jnp.isfinite(jax.jit(jax.jacrev(transforms.se3_log))(jnp.eye(4))).all()


def test_inverse_apply_and_compose_agree_with_matrix_algebra():
    a, b = transforms.se3_exp(jnp.asarray(_twists(1)[2:4], jnp.float32))
    points = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 3)), jnp.float32)
    both = transforms.compose(a, b)
    np.testing.assert_allclose(both, np.asarray(a) @ np.asarray(b), atol=1e-6)
    np.testing.assert_allclose(transforms.inverse(a), np.linalg.inv(a), atol=1e-6)
    moved = transforms.apply(a, transforms.apply(b, points))
    np.testing.assert_allclose(transforms.apply(both, points), moved, atol=1e-5)
    np.testing.assert_allclose(transforms.apply_inverse(both, moved), points, atol=1e-5)
    homogeneous = np.concatenate([points, np.ones((4, 5, 1))], -1) @ np.asarray(both).T
    np.testing.assert_allclose(moved, homogeneous[..., :3], atol=1e-5)
    many = transforms.se3_exp(jnp.asarray(_twists(1)[:4], jnp.float32))
    each = transforms.rotate(many[:, None], points)
    np.testing.assert_allclose(each, np.einsum('nij,nkj->nki', many[:, :3, :3], points), atol=1e-5)
    np.testing.assert_allclose(transforms.rotate_back(many[:, None], each), points, atol=1e-5)


def test_look_at_sees_the_target_in_the_middle_and_up_upward():
    eye, target, up = jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([-2.0, 0.5, 1.0]), jnp.asarray([0.0, 0.0, 2.0])
    pose = transforms.look_at(eye, target, up)
    seen = transforms.apply_inverse(pose, jnp.stack([target, target + up]))
    np.testing.assert_allclose(seen[0], [0, 0, jnp.linalg.norm(target - eye)], atol=1e-6)
    assert abs(seen[1, 0]) < 1e-6 and seen[1, 1] < 0  # y points down
    np.testing.assert_allclose(jnp.linalg.det(pose), 1, rtol=1e-5)
    assert transforms.look_at(jnp.zeros((3, 2, 3)), target, up).shape == (3, 2, 4, 4)


def test_conventions_of_other_programs():
    pose = transforms.se3_exp(jnp.asarray(_twists()[3], jnp.float32))
    opengl = pose @ jnp.diag(jnp.asarray([1.0, -1, -1, 1]))
    np.testing.assert_allclose(transforms.opencv_from_opengl(opengl), pose, atol=1e-6)
    right, down, forward, center = (pose[:, i] for i in range(4))
    llff = jnp.stack([down, right, -forward, center], axis=-1)
    np.testing.assert_allclose(transforms.opencv_from_llff(llff), pose, atol=1e-6)


@pytest.mark.parametrize('height', [4.0, -4.0])
def test_a_camera_that_looks_along_up_has_a_pose_and_gradients(height):
    up, eye = jnp.array([0.0, 0.0, 1.0]), jnp.array([0.0, 0.0, height])
    pose = transforms.look_at(eye, jnp.zeros(3), up)
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(pose[:3, :3]), 1, atol=1e-6)
    np.testing.assert_allclose(pose[:3, 2], [0, 0, -np.sign(height)], atol=1e-6)
    assert np.isfinite(jax.jacobian(lambda e: transforms.look_at(e, jnp.zeros(3), up))(eye)).all()
