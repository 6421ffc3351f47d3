import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import cameras, ndc, rays, transforms


def _reference() -> cameras.Camera:
    pose = transforms.se3_exp(jnp.asarray([0.5, -1.0, 2.0, 0.2, -0.1, 0.3]))
    return cameras.make(pose, (60.0, 50.0), size=(64, 48))


def _cast(reference: cameras.Camera) -> rays.Rays:
    moved = transforms.compose(
        reference.world_from_camera, transforms.se3_exp(jnp.asarray([0.3, 0.1, -0.4, 0.1, 0.05, 0]))
    )
    return cameras.rays(cameras.make(moved, 60.0, size=(64, 48)), cameras.pixel_centers(64, 48)[4::13, 3::19])


def test_formulas_of_the_paper_in_opengl_axes():
    """The original, with the camera looking along -z: x' = a x/z, z' = 1 + 2n/z with a = -1/(W/(2f))."""
    reference = cameras.make(jnp.eye(4), 60.0, size=(64, 48))
    cast = _cast(reference)
    warped = jax.jit(ndc.warp)(cast, reference)
    flip = np.array([1, -1, -1])
    o, d = np.asarray(cast.origins) * flip, np.asarray(cast.directions) * flip
    o = o + (-(1 + o[..., 2]) / d[..., 2])[..., None] * d
    a, b = -1 / (64 / 120), -1 / (48 / 120)
    origins = np.stack([a * o[..., 0] / o[..., 2], b * o[..., 1] / o[..., 2], 1 + 2 / o[..., 2]], axis=-1)
    directions = np.stack(
        [
            a * (d[..., 0] / d[..., 2] - o[..., 0] / o[..., 2]),
            b * (d[..., 1] / d[..., 2] - o[..., 1] / o[..., 2]),
            -2 / o[..., 2],
        ],
        axis=-1,
    )
    # Our y points down also in NDC.
    np.testing.assert_allclose(warped.origins, origins * [1, -1, 1], atol=1e-5)
    np.testing.assert_allclose(warped.directions, directions * [1, -1, 1], atol=1e-5)
    np.testing.assert_array_equal(warped.viewdirs, cast.viewdirs)


def test_warped_rays_hold_the_warped_points_and_points_come_back():
    reference = _reference()
    cast = _cast(reference)
    t = jnp.broadcast_to(jnp.asarray([2.0, 5.0, 80.0]), (*cast.shape, 3))
    points = rays.at(cast, t)
    warped = ndc.from_world(points, reference, near=0.7)
    np.testing.assert_allclose(ndc.to_world(warped, reference, near=0.7), points, rtol=2e-4, atol=1e-4)
    z = transforms.apply_inverse(reference.world_from_camera, points)[..., 2]
    along = ndc.warp(cast, reference, near=0.7)
    np.testing.assert_allclose(rays.at(along, 1 - 0.7 / z), warped, atol=1e-5)


def test_the_frustum_fills_the_cube_and_radii_are_pixels():
    reference = cameras.make(jnp.eye(4), 60.0, size=(64, 48))
    warped = ndc.warp(cameras.rays(reference, jnp.asarray([[0.0, 0.0], [64.0, 48.0]])), reference)
    np.testing.assert_allclose(warped.origins, [[-1, -1, -1], [1, 1, -1]], atol=1e-6)
    np.testing.assert_allclose(warped.directions, [[0, 0, 2]] * 2, atol=1e-6)
    np.testing.assert_allclose(warped.radii, (2 / 64 + 2 / 48) / 2 * 2 / 12**0.5, rtol=1e-5)
