import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.render import planes as render
from neurend.scenes import planes


def test_depths_are_uniform_in_disparity():
    found = planes.depths(1.5, 60.0, 9)
    np.testing.assert_allclose(np.diff(1 / found), (1 / 60 - 1 / 1.5) / 8, rtol=1e-4)
    assert found[0] == pytest.approx(1.5) and found[-1] == pytest.approx(60)
    for near, far, count in ((0.0, 1.0, 4), (-2.0, 1.0, 4), (3.0, 2.0, 4), (1.0, 2.0, 0), (1.0, np.nan, 3)):
        with pytest.raises(InputError, match='in front of their camera'):
            planes.depths(near, far, count)


def test_a_larger_camera_sees_the_same_in_its_middle():
    camera = cameras.make(jnp.eye(4), jnp.array([10.0, 12.0]), size=(8, 6), center=jnp.array([3.5, 3.2]))
    larger = planes.enlarged(camera, 5)
    inner = cameras.pixel_centers(18, 16)[5:-5, 5:-5]
    one, other = cameras.rays(larger, inner), cameras.rays(camera, cameras.pixel_centers(8, 6))
    np.testing.assert_allclose(one.directions, other.directions, atol=1e-6)
    np.testing.assert_array_equal(larger.size, [18, 16])


def test_a_picture_with_depth_looks_like_itself_from_its_own_camera():
    rng = np.random.default_rng(0)
    rgb, alpha = jnp.asarray(rng.uniform(size=(6, 8, 3)), jnp.float32), jnp.asarray(rng.uniform(size=(6, 8)) > 0.3)
    depth = jnp.asarray(1 / rng.uniform(1 / 4, 1, size=(6, 8)), jnp.float32)
    camera = cameras.make(transforms.se3_exp(jnp.array([1.0, 2, 3, 0.3, 0.2, 0.1])), 9.0, size=(8, 6))
    depths = jnp.asarray(planes.depths(1.0, 4.0, 16))

    @jax.jit
    def drawn():
        made = planes.from_depth(rgb, depth, depths, camera, alpha=alpha.astype(jnp.float32))
        return render.render(made.rgba, made.depths, camera, cameras.rays(camera, cameras.pixel_centers(8, 6)))

    found = drawn()
    np.testing.assert_allclose(found.alpha, alpha, atol=1e-4)
    np.testing.assert_allclose(found.rgb, rgb * alpha[..., None], atol=1e-4)
    seen = np.asarray(alpha)
    off = np.abs(1 / np.asarray(found.depth)[seen] - 1 / np.asarray(depth)[seen])
    assert off.max() < (1 - 1 / 4) / 15 / 2 + 1e-4


def test_fog_as_planes_is_as_opaque_as_it_is_thick():
    camera = cameras.make(transforms.se3_exp(jnp.array([1.0, 2, 3, 0.3, 0.2, 0.1])), 9.0, size=(8, 6))
    depths = jnp.asarray(planes.depths(1.0, 4.0, 16))

    def fog(points, directions):
        return jnp.full(points.shape[:-1], 0.3), directions

    made = planes.from_field(fog, depths, camera, (8, 6), samples=2)
    rays = cameras.rays(camera, cameras.pixel_centers(8, 6))
    found = render.render(made.rgba, made.depths, camera, rays)
    # From half a gap before the first plane to half a gap behind the last.
    thick = 3 + 0.5 * float(depths[1] - depths[0] + depths[-1] - depths[-2])
    passed = np.exp(-0.3 * thick * np.linalg.norm(rays.directions, axis=-1))
    np.testing.assert_allclose(found.alpha, 1 - passed, atol=1e-4)
    np.testing.assert_allclose(found.rgb, rays.viewdirs * (1 - passed)[..., None], atol=1e-4)
    with pytest.raises(InputError, match='depths, samples: got 1 and 1'):
        planes.from_field(fog, depths[:1], camera, (8, 6))


def test_what_a_camera_sees_of_planes():
    camera = cameras.make(jnp.eye(4), 16.0, size=(16, 16))
    assert planes.sees(camera, 1.0, 4.0, camera) == 1
    away = cameras.make(transforms.se3_exp(jnp.array([0.0, 0, 0, 0, np.pi, 0])), 16.0, size=(16, 16))
    assert planes.sees(camera, 1.0, 4.0, away) == 0
    # Half a picture to the side at the far plane, and beyond the near one.
    beside = cameras.make(transforms.se3_exp(jnp.array([2.0, 0, 0, 0, 0, 0])), 16.0, size=(16, 16))
    assert planes.sees(camera, 1.0, 4.0, beside) == pytest.approx(0.5, abs=0.07)


def test_planes_are_a_pytree_with_leading_dims():
    camera = cameras.make(jnp.eye(4), 16.0, size=(4, 4))
    made = planes.Planes(jnp.zeros((2, 4, 4, 4)), jnp.array([1.0, 2.0]), camera)
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), made)
    assert batch.rgba.shape == (2, 2, 4, 4, 4) and batch.camera.shape == (2,)
