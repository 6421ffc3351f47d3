import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import paths, poses, transforms


def _assert_looks_at(path: np.ndarray, target, atol: float = 1e-4) -> None:
    poses.check_poses('path', np.asarray(path))
    local = np.asarray(transforms.apply_inverse(jnp.asarray(path), jnp.asarray(target)))
    np.testing.assert_allclose(local[:, :2], 0, atol=atol)
    assert (local[:, 2] > 0).all()


def test_orbit_is_a_circle_that_looks_at_its_centre():
    path = np.asarray(paths.orbit(8, radius=4.0, center=(1.0, 2.0, 3.0)))
    _assert_looks_at(path, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(path[:, 2, 3], 3 + 4 * np.sin(np.pi / 6), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path[:, :3, 3] - [1, 2, 3], axis=-1), 4, rtol=1e-6)
    np.testing.assert_allclose(path[0, :3, 3], [1 + 4 * np.cos(np.pi / 6), 2, 5], rtol=1e-5)
    steps = np.linalg.norm(np.diff(path[[*range(8), 0], :3, 3], axis=0), axis=-1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)
    _assert_looks_at(np.asarray(paths.orbit(3, radius=2.0, up=(1.0, 0.0, 0.0))), [0.0, 0, 0])


def test_spiral_by_the_steps_of_llff():
    random = np.random.default_rng(0)
    eyes = jnp.asarray(random.normal(size=(20, 3)) * [0.3, 0.2, 0.05], jnp.float32)
    capture = transforms.look_at(eyes, jnp.asarray([0.0, 0.0, 9.0]), jnp.asarray([0.0, -1.0, 0.0]))
    capture = transforms.compose(
        transforms.inverse(poses.average(capture)), capture
    )  # recentred, as LLFF's loader does
    focus = paths.focus_depth(2.0, 50.0)
    np.testing.assert_allclose(focus, 1 / (0.25 / 2 + 0.75 / 50))
    path = np.asarray(paths.spiral(capture, focus=focus, num=12))
    _assert_looks_at(path, [0.0, 0.0, focus])
    radii = np.percentile(np.abs(capture[:, :3, 3]), 90, axis=0)
    for pose, theta in zip(path, np.linspace(0, 4 * np.pi, 13)):
        opengl = np.array([np.cos(theta), -np.sin(theta), -np.sin(theta * 0.5)]) * radii
        np.testing.assert_allclose(pose[:3, 3], opengl * [1, -1, -1], atol=1e-5)


def test_ellipse_goes_round_an_inward_capture_at_constant_speed():
    angle = np.arange(40) * 2 * np.pi / 40
    eyes = np.stack([3 * np.cos(angle), 1.5 * np.sin(angle), np.full(40, 2.0)], axis=-1) + [5, 0, 0]
    target = jnp.asarray([5.0, 0.0, 0.5])
    capture = transforms.look_at(jnp.asarray(eyes, jnp.float32), target, jnp.asarray([0.0, 0, 1]))
    path = np.asarray(paths.ellipse(capture, num=60))
    _assert_looks_at(path, target, atol=1e-3)
    centers = path[:, :3, 3] - [5, 0, 0]
    np.testing.assert_allclose(centers[:, 2], 2, atol=1e-3)
    # 90th percentiles of 3 |cos| and 1.5 |sin| over a turn.
    squeezed = np.percentile(np.abs(np.cos(angle)), 90)
    np.testing.assert_allclose((centers[:, 0] / 3) ** 2 + (centers[:, 1] / 1.5) ** 2, squeezed**2, rtol=0.02)
    steps = np.linalg.norm(np.diff(path[[*range(60), 0], :3, 3], axis=0), axis=-1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.02)
    bobbing = np.asarray(paths.ellipse(capture, num=20, height_variation=0.5))
    _assert_looks_at(bobbing, target, atol=1e-3)


@pytest.mark.parametrize('closed', [False, True])
def test_spline_passes_its_keys_and_stays_rigid(closed):
    keys = np.asarray(paths.orbit(6, radius=3.0))
    path = np.asarray(paths.spline(keys, 12 if closed else 11, closed=closed))
    poses.check_poses('path', path)
    np.testing.assert_allclose(path[::2], keys, atol=1e-5)
    still = np.asarray(paths.spline(np.stack([np.eye(4), np.eye(4)]), 3))
    np.testing.assert_allclose(still, np.broadcast_to(np.eye(4), (3, 4, 4)), atol=1e-6)


def test_wandering_crosses_the_capture_between_its_views():
    capture = paths.sphere(30, radius=2.5, center=(1.0, 0.0, -0.5))
    path = np.asarray(paths.wander(jax.random.key(3), capture, segments=4, steps=12, farthest=5))
    assert path.shape == (48, 4, 4)
    # Two cameras at one distance from what they look at go round it.
    _assert_looks_at(path, [1.0, 0.0, -0.5])
    np.testing.assert_allclose(np.linalg.norm(path[:, :3, 3] - [1, 0, -0.5], axis=-1), 2.5, rtol=1e-4)
    apart = np.linalg.norm(path[::12, None, :3, 3] - capture[None, :, :3, 3], axis=-1)
    visited = apart.argmin(1)
    np.testing.assert_allclose(path[::12], capture[visited], atol=1e-5)
    assert all(after in np.argsort(apart[k])[-5:] for k, after in enumerate(visited[1:]))
    turns = np.einsum('kij,kil->kjl', path[:-1, :3, :3], path[1:, :3, :3])
    angles = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1)).reshape(-1)
    for k in range(4):
        np.testing.assert_allclose(angles[12 * k : 12 * k + 11], angles[12 * k], rtol=2e-3)
    other = np.asarray(paths.wander(jax.random.key(4), capture, segments=4, steps=12, farthest=5))
    assert np.abs(other[0] - path[0]).max() > 0.01


def test_wandering_of_few_views():
    pair = paths.orbit(2, radius=1.0)
    path = np.asarray(paths.wander(jax.random.key(0), pair, segments=3, steps=2))
    start = int(np.abs(path[0] - np.asarray(pair)).sum((1, 2)).argmin())
    np.testing.assert_allclose(path[::2], pair[jnp.array([start, 1 - start, start])], atol=1e-5)
    poses.check_poses('path', path)
    with pytest.raises(InputError, match='poses: got 1'):
        paths.wander(jax.random.key(0), pair[:1])


def test_reads_a_path_from_a_file(tmp_path):
    keys = np.asarray(paths.orbit(3, radius=2.0), np.float64)
    plain, studio = tmp_path / 'plain.json', tmp_path / 'studio.json'
    plain.write_text(json.dumps(keys.tolist()))
    opengl = keys * [1, -1, -1, 1]
    studio.write_text(json.dumps({'camera_path': [{'camera_to_world': p.ravel().tolist(), 'fov': 50} for p in opengl]}))
    np.testing.assert_allclose(paths.from_file(plain), keys, atol=1e-6)
    np.testing.assert_allclose(paths.from_file(studio), keys, atol=1e-6)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"camera_path": [', 'not JSON'),
        ('[]', 'no poses'),
        ('{"camera_path": []}', 'no poses'),
        ('{"frames": []}', 'camera_path'),
        ('{"camera_path": [{"camera_to_world": [1, 2]}]}', 'camera_path'),
        ('[[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]]', 'pose 0 is singular'),
        ('[[[NaN, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]]', 'pose 0 holds NaN'),
        ('3', 'no poses'),
    ],
)
def test_says_what_is_wrong_with_a_path_file(tmp_path, text, message):
    file = tmp_path / 'path.json'
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        paths.from_file(file)


def test_says_that_a_path_needs_two_keys():
    with pytest.raises(InputError, match='expected at least 2'):
        paths.spline(jnp.eye(4)[None], 3)


def test_sphere_is_seen_alike_from_all_around():
    path = np.asarray(paths.sphere(200, radius=3.0, center=(1.0, -2.0, 0.5), up=(0.0, 1.0, 0.0)))
    _assert_looks_at(path, [1.0, -2.0, 0.5])
    outward = (path[:, :3, 3] - [1.0, -2.0, 0.5]) / 3
    np.testing.assert_allclose(np.linalg.norm(outward, axis=-1), 1, rtol=1e-5)
    # Spread evenly: no preferred direction, of the first or of the second order, and no two near each other.
    np.testing.assert_allclose(outward.mean(0), 0, atol=5e-3)
    np.testing.assert_allclose(outward.T @ outward / 200, np.eye(3) / 3, atol=5e-3)
    cosine = outward @ outward.T - 2 * np.eye(200)
    assert np.degrees(np.arccos(cosine.max())) > 0.75 * np.degrees(np.sqrt(4 * np.pi / 200))
    assert (path[:, 1, 1] < 0).all()
