import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import alignment, rotations, transforms


def random_poses(seed, count):
    return transforms.se3_exp(jax.random.normal(jax.random.key(seed), (count, 6)))


def random_similarity(seed):
    keys = jax.random.split(jax.random.key(seed))
    return alignment.Similarity(
        jnp.asarray(1.7), rotations.exp(jax.random.normal(keys[0], (3,))), jax.random.normal(keys[1], (3,))
    )


def test_undoes_a_similarity_exactly():
    with jax.enable_x64(True):
        poses = jnp.asarray(random_poses(0, 12), jnp.float64)
        poses = poses.at[:, :3, :3].set(rotations.exp(rotations.log(poses[:, :3, :3])))
        similarity = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), random_similarity(1))
        similarity = similarity._replace(rotation=rotations.exp(rotations.log(similarity.rotation)))
        moved = alignment.apply_to_poses(similarity, poses)
        assert np.abs(moved - poses).max() > 0.5
        np.testing.assert_allclose(alignment.align_poses(moved, poses), poses, atol=1e-12)
        found = alignment.fit_similarity(poses[:, :3, 3], moved[:, :3, 3])
        for actual, expected in zip(found, similarity):
            np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_does_not_mirror():
    points = jax.random.normal(jax.random.key(0), (10, 3))
    found = alignment.fit_similarity(points, points * jnp.array([[1.0, 1.0, -1.0]]))
    np.testing.assert_allclose(jnp.linalg.det(found.rotation), 1, atol=1e-5)


def test_similarity_is_the_least_squares_optimum():
    source = jax.random.normal(jax.random.key(0), (20, 3))
    target = 0.6 * source[:, ::-1] + 0.3 * jax.random.normal(jax.random.key(1), (20, 3))

    def residual(found):
        moved = found.scale * transforms.rotate(found.rotation, source) + found.translation[None]
        return float(jnp.square(moved - target).sum())

    best = alignment.fit_similarity(source, target)
    for index in range(7):
        for sign in (-1, 1):
            step = sign * 0.03 * jnp.eye(7)[index]
            near = alignment.Similarity(
                best.scale * (1 + step[6]), best.rotation @ rotations.exp(step[:3]), best.translation + step[3:6]
            )
            assert residual(near) > residual(best)


def test_errors_are_the_angles_and_distances_applied():
    poses = random_poses(2, 8)
    axis = jnp.array([0.6, 0.0, 0.8])
    turned = transforms.compose(poses, transforms.from_rt(rotations.exp(jnp.deg2rad(2.0) * axis), jnp.zeros(3)))
    turned = turned.at[:, 1, 3].add(0.25)
    errors = alignment.pose_errors(turned, poses)
    np.testing.assert_allclose(errors.rotation, 2.0, atol=2e-3)
    np.testing.assert_allclose(errors.translation, 0.25, atol=1e-6)
