import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import distortion
from tests.oracles import lens
from tests.oracles.derivatives import check_jacobian

distort = jax.jit(distortion.distort)
undistort = jax.jit(distortion.undistort)
fisheye_from_direction = jax.jit(distortion.fisheye_from_direction)
direction_from_fisheye = jax.jit(distortion.direction_from_fisheye)

# A phone's wide camera, a strong barrel and a pincushion, all monotone over the coordinates used here.
COEFFICIENTS = np.array(
    [
        [0.05, -0.12, 0.08, -0.01, 0.002, -0.003],
        [-0.28, 0.09, -0.012, 0.0004, -0.004, 0.001],
        [0.3, 0.05, 0.0, 0.0, 0.0, 0.005],
    ]
)
FISHEYE = np.array([[0.02, -0.01, 0.003, -0.0005, 0, 0], [-0.08, 0.01, -0.001, 0.0, 0, 0], [0.0] * 6])


def _grid(extent: float) -> np.ndarray:
    line = np.linspace(-extent, extent, 7)
    return np.stack(np.meshgrid(line, 0.8 * line), axis=-1).reshape(-1, 2)


def test_matches_the_published_formula_and_its_inverse():
    points = _grid(0.8)
    truth = np.array([[lens.opencv(x, y, k) for x, y in points] for k in COEFFICIENTS])
    with jax.enable_x64(True):
        k = jnp.asarray(COEFFICIENTS)[:, None]
        distorted = distort(jnp.asarray(points), k)
        np.testing.assert_allclose(distorted, truth, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(undistort(distorted, k), np.stack([points] * 3), atol=1e-12)
    single = undistort(jnp.asarray(truth, jnp.float32), jnp.asarray(COEFFICIENTS, jnp.float32)[:, None])
    np.testing.assert_allclose(single, np.stack([points] * 3), atol=2e-6)


def test_fisheye_matches_the_published_formula_and_its_inverse_beyond_a_right_angle():
    theta = np.linspace(0, 2.2, 12)
    directions = np.stack([np.sin(theta) * np.cos(2.0), np.sin(theta) * np.sin(2.0), np.cos(theta)], axis=-1)
    truth = np.array([[lens.kannala_brandt(d, k) for d in directions] for k in FISHEYE])
    with jax.enable_x64(True):
        k = jnp.asarray(FISHEYE)[:, None]
        np.testing.assert_allclose(fisheye_from_direction(3 * jnp.asarray(directions), k), truth, atol=1e-12)
        back = direction_from_fisheye(jnp.asarray(truth), k)
        np.testing.assert_allclose(back, np.stack([directions] * 3), atol=1e-12)


def test_inverse_derivatives_agree_with_differences_in_both_modes_and_twice():
    with jax.enable_x64(True):
        xy, k = jnp.asarray([[0.3, -0.2], [-0.4, 0.4]]), jnp.asarray(COEFFICIENTS[1])
        check_jacobian(undistort, xy, k, rtol=1e-5)
        check_jacobian(jax.grad(lambda xy, k: jnp.sum(undistort(xy, k) ** 2), argnums=(0, 1)), xy, k, rtol=1e-5)
        check_jacobian(direction_from_fisheye, 3 * xy, jnp.asarray(FISHEYE[0]), rtol=1e-5)


def test_no_distortion_is_the_identity_exactly():
    xy = jnp.asarray(_grid(0.9), jnp.float32)
    np.testing.assert_array_equal(undistort(xy, jnp.zeros(6)), xy)
    np.testing.assert_array_equal(distort(xy, jnp.zeros(6)), xy)


def test_fisheye_derivative_on_the_axis_is_that_of_a_pinhole():
    k = jnp.asarray(FISHEYE[0], jnp.float32)
    jacobian = jax.jit(jax.jacrev(distortion.fisheye_from_direction))(jnp.asarray([0.0, 0.0, 2.0]), k)
    np.testing.assert_allclose(jacobian, [[0.5, 0, 0], [0, 0.5, 0]], atol=1e-7)
    jacobian = jax.jit(jax.jacfwd(distortion.direction_from_fisheye))(jnp.zeros(2), k)
    np.testing.assert_allclose(jacobian, [[1, 0], [0, 1], [0, 0]], atol=1e-7)


def test_stays_finite_where_there_is_no_inverse():
    k = jnp.asarray([-0.5, 0, 0, 0, 0, 0])  # r (1 - r^2 / 2) never exceeds 0.55
    value, gradient = jax.jit(jax.value_and_grad(lambda xy: undistort(xy, k).sum()))(jnp.asarray([3.0, 2.0]))
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


def test_last_angle_is_where_the_image_folds_over_or_leaves_a_radius():
    step = np.pi / 1024
    # r - 0.3 r^3 turns back at r = 1/sqrt(0.9); for a fisheye that is the angle itself. A pincushion never does.
    folding, growing = jnp.array([-0.3, 0, 0, 0, 0, 0]), jnp.array([0.3, 0.05, 0, 0, 0, 0])
    found = distortion.last_angle(jnp.stack([folding, growing]), fisheye=False)
    np.testing.assert_allclose(found, [np.arctan(1 / np.sqrt(0.9)), np.pi / 2], atol=step)
    np.testing.assert_allclose(distortion.last_angle(folding, fisheye=True), 1 / np.sqrt(0.9), atol=step)
    assert distortion.last_angle(growing, fisheye=True) > np.pi - 1.1 * step
    radius = jnp.array([0.2, 0.5])
    found = distortion.last_angle(folding, fisheye=True, radius=radius)
    np.testing.assert_allclose(found - 0.3 * found**3, radius, atol=step)
