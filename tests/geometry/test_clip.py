import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import cameras, clip, transforms


@pytest.mark.parametrize('model', ['pinhole', 'opencv', 'orthographic'])
def test_homogeneous_pixels_are_where_the_camera_projects(model):
    rng = np.random.default_rng(0)
    pose = transforms.look_at(jnp.array([1.0, 2.0, 3.0]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    distortion = jnp.array([0.1, 0.01, 0, 0, 0, 0]) if model == 'opencv' else None
    camera = cameras.make(pose, jnp.array([50.0, 60.0]), size=(64, 48), model=model, distortion=distortion)
    points = jnp.asarray(rng.normal(size=(20, 3)) * 0.5, jnp.float32)
    pixels, depth = cameras.project(camera, points)
    found = clip.from_camera(camera, points)
    np.testing.assert_allclose(found[:, :2] / found[:, 3:], pixels, rtol=1e-4)
    order = found[:, 2] / found[:, 3]
    np.testing.assert_array_equal(np.argsort(order), np.argsort(depth))


@pytest.mark.parametrize('model', ['fisheye', 'equirectangular'])
def test_what_bends_edges_is_refused(model):
    camera = cameras.make(jnp.eye(4), 10.0, size=(20, 20), model=model)
    with pytest.raises(checks.InputError, match=r'render\.lens'):
        clip.from_camera(camera, jnp.ones((4, 3)))


def test_points_are_of_three_numbers():
    camera = cameras.make(jnp.eye(4), 10.0, size=(20, 20))
    with pytest.raises(checks.InputError, match='points: got shape'):
        clip.from_camera(camera, jnp.ones((4, 2)))


def test_points_behind_a_pinhole_camera_keep_their_place_in_projective_space():
    camera = cameras.make(jnp.eye(4), 10.0, size=(20, 20))
    ahead, behind = clip.from_camera(camera, jnp.array([[1.0, 2.0, 5.0], [1.0, 2.0, -5.0]]))
    half = clip.from_camera(camera, jnp.array([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(0.5 * (ahead + behind)[jnp.array([0, 1, 3])], half[jnp.array([0, 1, 3])], atol=1e-5)


def test_clip_space_spans_the_picture_with_y_up():
    corners = jnp.array([[-2.0, 2.0, 0.0, 2.0], [1.0, -1.0, 0.5, 1.0], [0.0, 0.0, 0.0, 3.0]])
    found = clip.from_clip_space(corners, 40, 30)
    np.testing.assert_allclose(found[:, :2] / found[:, 3:], [[0, 0], [40, 30], [20, 15]], atol=1e-5)
    np.testing.assert_allclose(found[:, 2:], corners[:, 2:])
