import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, rays, rotations, transforms
from tests.oracles import lens
from tests.oracles.derivatives import check_jacobian

FOCAL = {'pinhole': 60.0, 'opencv': 60.0, 'fisheye': 25.0, 'orthographic': 12.0, 'equirectangular': 22.0}
LENS = {'opencv': [-0.2, 0.05, -0.01, 0.001, 0.002, -0.003], 'fisheye': [-0.05, 0.01, -0.002, 0.0001, 0, 0]}


def _camera(model: str, seed: int = 0, leading: tuple[int, ...] = ()) -> cameras.Camera:
    random = np.random.default_rng(seed)
    pose = transforms.se3_exp(jnp.asarray(random.normal(size=(*leading, 6))))
    k = np.array(LENS[model]) * random.uniform(0.5, 1, (*leading, 1)) if model in LENS else None
    return cameras.make(
        pose,
        FOCAL[model] * random.uniform(0.8, 1.2, (*leading, 2)),
        size=(64, 48),
        center=np.array([32.0, 24.0]) + random.normal(size=(*leading, 2)),
        distortion=k,
        model=model,
    )


@pytest.mark.parametrize('model', cameras.MODELS)
def test_projects_by_the_published_formula_and_back(model):
    with jax.enable_x64(True):
        camera = _camera(model, leading=(3,))
        random = np.random.default_rng(1)
        pixels = random.uniform((2, 2), (62, 46), (3, 20, 2))
        depth = random.uniform(1, 5, (3, 20))
        points = cameras.unproject(camera[:, None], pixels, depth)
        got, got_depth = cameras.project(camera[:, None], points)
        np.testing.assert_allclose(got, pixels, atol=1e-9)
        np.testing.assert_allclose(got_depth, depth, atol=1e-12)
        for i in range(3):
            pose, focal, center, k = (
                np.asarray(leaf[i])
                for leaf in (camera.world_from_camera, camera.focal, camera.center, camera.distortion)
            )
            for j in (0, 7):
                pixel, z = lens.project(model, pose, focal, center, k, np.asarray(points[i, j]))
                np.testing.assert_allclose(pixel, pixels[i, j], atol=1e-9)
                np.testing.assert_allclose(z, depth[i, j], atol=1e-12)


@pytest.mark.parametrize('model', cameras.MODELS)
def test_rays_pass_through_what_they_see(model):
    camera = _camera(model, 3)
    pixels = cameras.pixel_centers(64, 48)[5:43:9, 6:58:10]
    cast = cameras.rays(camera, pixels, index=7)
    assert cast.shape == pixels.shape[:-1] and cast.index.dtype == jnp.int32 and (cast.index == 7).all()
    t = jnp.asarray([0.5, 2.0, 9.0])
    points = rays.at(cast, jnp.broadcast_to(t, (*cast.shape, 3)))
    got, depth = cameras.project(camera, points)
    np.testing.assert_allclose(got, np.broadcast_to(pixels[:, :, None], got.shape), atol=2e-3)
    np.testing.assert_allclose(depth, np.broadcast_to(t, depth.shape), rtol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(cast.viewdirs, axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    'model',
    [
        'opencv',
        'fisheye',
        'equirectangular',
        pytest.param('pinhole', marks=pytest.mark.slow),
        pytest.param('orthographic', marks=pytest.mark.slow),
    ],
)
def test_gradients_to_pose_focal_center_and_distortion(model):
    with jax.enable_x64(True):
        camera = _camera(model, 5)
        pixels = jnp.asarray([[10.0, 8.0], [33.0, 40.0], [32.1, 24.2]])
        points = cameras.unproject(camera, pixels + 0.3, jnp.asarray([2.0, 3.0, 4.0]))
        parameters = (jnp.zeros(6), camera.focal, camera.center, camera.distortion)

        def moved(twist, focal, center, distortion):
            pose = transforms.compose(camera.world_from_camera, transforms.se3_exp(twist))
            return dataclasses.replace(
                camera, world_from_camera=pose, focal=focal, center=center, distortion=distortion
            )

        def seen(*parameters):
            pixel, depth = cameras.project(moved(*parameters), points)
            return pixel / 50, depth

        def cast(*parameters):
            result = cameras.rays(moved(*parameters), pixels)
            return result.origins, result.directions, result.viewdirs, result.radii * 50

        check_jacobian(lambda *p: (seen(*p), cast(*p)), *parameters, rtol=1e-5)


def test_radii_are_the_distance_to_the_neighbours_direction():
    camera = _camera('opencv', 2)
    pixels = cameras.pixel_centers(64, 48)
    cast = cameras.rays(camera, pixels)
    apart = jnp.linalg.norm(cast.directions[:, 1:] - cast.directions[:, :-1], axis=-1) * 2 / 12**0.5
    np.testing.assert_allclose((cast.radii[:, 1:, 0] + cast.radii[:, :-1, 0]) / 2, apart, rtol=2e-3)


def test_first_pixel_centre_and_axis():
    camera = cameras.make(jnp.eye(4), 10.0, size=(4, 2))
    np.testing.assert_array_equal(cameras.pixel_centers(4, 2)[0, 0], [0.5, 0.5])
    np.testing.assert_allclose(cameras.rays(camera, jnp.asarray([2.0, 1.0])).directions, [0, 0, 1])
    np.testing.assert_allclose(cameras.rays(camera, jnp.asarray([0.5, 0.5])).directions, [-0.15, -0.05, 1], rtol=1e-6)
    np.testing.assert_allclose(
        cameras.intrinsics(camera) @ jnp.asarray([1.0, 2.0, 5.0]) / 5, [*cameras.project(camera, [1.0, 2.0, 5.0])[0], 1]
    )
    np.testing.assert_allclose(cameras.ndc_from_pixels(camera, jnp.asarray([[0, 0], [4.0, 1.0]])), [[-1, -1], [1, 0]])


def test_resizing_and_cropping_see_the_same_rays():
    camera = _camera('opencv', 4)
    pixel = jnp.asarray([[20.0, 30.0]])
    whole = cameras.rays(camera, pixel).directions
    half = cameras.resize(camera, 0.5)
    np.testing.assert_array_equal(half.size, [32, 24])
    np.testing.assert_allclose(cameras.rays(half, pixel / 2).directions, whole, rtol=1e-5)
    window = cameras.crop(camera, 15, 20, 10, 12)
    np.testing.assert_array_equal(window.size, [10, 12])
    np.testing.assert_allclose(cameras.rays(window, pixel - jnp.asarray([[15, 20]])).directions, whole, rtol=1e-5)
    odd = cameras.resize(camera, 1 / 3)  # 64/3 rounds to 21: the field of view stays, the focal follows the rounding
    np.testing.assert_allclose(odd.focal[0] / 21, camera.focal[0] / 64, rtol=1e-6)


def test_batches_with_different_sizes_and_intrinsics_equal_single_cameras_under_jit_and_vmap():
    camera = _camera('opencv', 6, leading=(2,))
    camera = dataclasses.replace(camera, size=jnp.asarray([[64, 48], [32, 80]], jnp.int32))
    pixels = jnp.asarray([[3.0, 4.0], [20.0, 40.0]])
    batched = jax.jit(cameras.rays)(camera, pixels)
    mapped = jax.vmap(cameras.rays)(camera, pixels)
    for i in range(2):
        single = cameras.rays(camera[i], pixels[i])
        for one, two, three in zip(*map(jax.tree.leaves, (single, batched, mapped))):
            np.testing.assert_allclose(two[i], one, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(three[i], one, rtol=1e-5, atol=1e-6)
    points, _ = cameras.project(camera[:, None], jnp.ones((5, 3)))
    assert points.shape == (2, 5, 2)


def test_moving_scene_and_camera_together_changes_nothing():
    camera = _camera('fisheye', 8)
    motion = transforms.from_rt(rotations.exp(jnp.asarray([0.3, -1.0, 0.5])), jnp.asarray([1.0, 2.0, -3.0]))
    points = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
    moved = dataclasses.replace(camera, world_from_camera=transforms.compose(motion, camera.world_from_camera))
    before, after = cameras.project(camera, points), cameras.project(moved, transforms.apply(motion, points))
    np.testing.assert_allclose(after[0], before[0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(after[1], before[1], rtol=1e-5)


@pytest.mark.parametrize('model', ['pinhole', 'fisheye', 'equirectangular'])
def test_gradients_are_finite_at_the_camera_centre_and_on_the_axis(model):
    camera = cameras.make(jnp.eye(4), 10.0, size=(4, 4), model=model)
    points = jnp.asarray([[0.0, 0, 0], [0, 0, 1], [0, 0, -1], [0, 1, 0]])
    gradient = jax.jacrev(lambda p: cameras.project(camera, p)[0])(points)
    assert jnp.isfinite(gradient).all()


def test_says_what_is_wrong():
    with pytest.raises(InputError, match=r'model: got .thin.'):
        cameras.make(jnp.eye(4), 1.0, size=(2, 2), model='thin')
    with pytest.raises(InputError, match=r'distortion: given for model .pinhole.'):
        cameras.make(jnp.eye(4), 1.0, size=(2, 2), distortion=jnp.zeros(6))
    with pytest.raises(InputError, match=r'distortion: got shape \(4,\)'):
        cameras.make(jnp.eye(4), 1.0, size=(2, 2), distortion=jnp.zeros(4), model='opencv')
    with pytest.raises(InputError, match='leading dims that broadcast'):
        cameras.make(jnp.zeros((3, 4, 4)), jnp.ones((2, 2)), size=(2, 2))
