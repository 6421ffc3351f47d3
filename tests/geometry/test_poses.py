import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import poses, transforms


def _poses(count: int = 4) -> np.ndarray:
    return np.asarray(transforms.se3_exp(jnp.asarray(np.random.default_rng(0).normal(size=(count, 6)))), np.float64)


def test_rigid_poses_pass_and_rounding_is_repaired():
    clean = _poses()
    noisy = clean + np.random.default_rng(1).normal(size=clean.shape) * np.array([[[1e-5]] * 3 + [[0]]])
    got = poses.check_poses('poses', noisy[:, :3])
    rotation = got[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-14
    )
    np.testing.assert_allclose(got, clean, atol=1e-4)
    np.testing.assert_array_equal(poses.check_poses('poses', noisy, orthonormalize=False), noisy)
    assert poses.check_poses('poses', np.zeros((0, 4, 4))).shape == (0, 4, 4)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda p: p.__setitem__((0, 3), np.nan), 'holds NaN or infinity'),
        (lambda p: p.__setitem__(np.s_[:3, 2], 0), 'is singular'),
        (lambda p: p.__setitem__(np.s_[:3, 2], -p[:3, 2]), 'mirrors'),
        (lambda p: p.__setitem__(np.s_[:3, :3], 2 * p[:3, :3]), 'scales by 2'),
        (lambda p: p.__setitem__(np.s_[:3, 0], p[:3, 0] + p[:3, 1]), 'is not rigid'),
        (lambda p: p.__setitem__(3, [0, 0, 1, 0]), 'has the last row'),
    ],
)
def test_says_which_pose_is_bad_and_why(change, message):
    bad = _poses()
    change(bad[2])
    with pytest.raises(InputError, match=rf'transforms.json: pose 2 \(frame_c\) {message}'):
        poses.check_poses('transforms.json', bad, labels=['frame_a', 'frame_b', 'frame_c', 'frame_d'])


def test_says_that_these_are_no_poses():
    with pytest.raises(InputError, match=r'file: got shape \(2, 3, 3\)'):
        poses.check_poses('file', np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match='file: not a list of 4x4 matrices'):
        poses.check_poses('file', [[1, 2], [3]])


def test_average_and_focus_of_cameras_around_a_point():
    target = jnp.asarray([1.0, -2.0, 0.5])
    angle = np.arange(8) * np.pi / 4
    eyes = target[None] + jnp.asarray(np.stack([np.cos(angle), np.sin(angle), np.full(8, -4.0)], axis=-1), jnp.float32)
    around = transforms.look_at(eyes, target, jnp.asarray([0.0, -1.0, 0.0]))
    np.testing.assert_allclose(poses.focus_point(around), target, atol=1e-5)
    middle = poses.average(around)
    np.testing.assert_allclose(middle[:3, 3], eyes.mean(0), atol=1e-5)
    np.testing.assert_allclose(middle[:3, :3], np.eye(3), atol=1e-5)
