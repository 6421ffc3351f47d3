"""Flow of meshes against rays and points in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.checks import InputError
from neurend.geometry import cameras, clip, transforms
from neurend.render import motion

SIZE = 20
FACES = jnp.array([[0, 1, 2], [0, 2, 3]])


def camera(eye=(0.0, 0.0, 0.0), target=(0.0, 0.0, 1.0)):
    pose = transforms.look_at(jnp.array(eye), jnp.array(target), jnp.array([0.0, -1.0, 0.0]))
    return cameras.make(pose, 24.0, size=(SIZE, SIZE))


def tilted():
    """A square about (0, 0, 3) that leans back: y + z = 3."""
    x, y = np.array([-1, 1, 1, -1.0]), np.array([-0.8, -0.8, 0.8, 0.8])
    return jnp.asarray(np.stack([x, y, 3 - y], axis=-1), jnp.float32)


def flow(here, there, of=None, other=None):
    first = clip.from_camera(camera() if of is None else of, here)
    second = clip.from_camera(camera() if other is None else other, there)
    return np.asarray(motion.flow(first, second, FACES, width=SIZE, height=SIZE))


def test_flow_of_a_tilted_square_that_turns_and_of_a_camera_that_moves():
    turn = np.asarray(transforms.se3_exp(jnp.array([0.2, -0.1, 0.3, 0.1, -0.2, 0.15])), np.float64)
    of, other = camera(), camera(eye=(0.3, 0.1, -0.2), target=(0.1, 0.0, 2.0))
    found = flow(tilted(), transforms.apply(jnp.asarray(turn, jnp.float32), tilted()), of, other)
    # Rays meet y + z = 3 where t (d_y + d_z) = 3.
    centers = np.asarray(cameras.pixel_centers(SIZE, SIZE), np.float64)
    rays = np.concatenate([(centers - SIZE / 2) / 24, np.ones((SIZE, SIZE, 1))], axis=-1)
    points = rays * 3 / (rays[..., 1:2] + rays[..., 2:])
    seen = (np.abs(points[..., 0]) < 0.97) & (np.abs(points[..., 1]) < 0.77)
    moved = points @ turn[:3, :3].T + turn[:3, 3]
    pose = np.asarray(other.world_from_camera, np.float64)
    local = (moved - pose[:3, 3]) @ pose[:3, :3]
    expected = 24 * local[..., :2] / local[..., 2:] + SIZE / 2 - centers
    assert seen.sum() > 60
    np.testing.assert_allclose(found[seen], expected[seen], atol=2e-4)
    beyond = (np.abs(points[..., 0]) > 1.05) | (np.abs(points[..., 1]) > 0.85)
    assert beyond.sum() > 60 and not found[beyond].any()


def test_points_behind_the_other_camera_have_none():
    assert not flow(tilted(), tilted() - jnp.array([[0.0, 0.0, 6.0]])).any()


def test_gradients():
    weights = jax.random.normal(jax.random.key(0), (SIZE, SIZE, 2))

    def value(there):
        first = clip.from_camera(camera(), tilted())
        way = motion.flow(first, clip.from_camera(camera(), there), FACES, width=SIZE, height=SIZE)
        return jnp.sum(way * weights) / SIZE

    check_grads(value, (tilted() + 0.1,), order=1, modes=['fwd', 'rev'], atol=0.02, rtol=0.02, eps=1e-2)


def test_other_meshes_are_refused():
    with pytest.raises(InputError, match='elsewhere'):
        motion.flow(jnp.zeros((4, 4)), jnp.zeros((3, 4)), FACES, width=SIZE, height=SIZE)
