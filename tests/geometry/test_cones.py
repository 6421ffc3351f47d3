import jax.numpy as jnp
import numpy as np

from neurend.geometry import cones
from neurend.geometry.rays import Rays


def _ray(radius):
    direction = jnp.array([0.3, -0.8, 1.1])
    return Rays(
        origins=jnp.array([1.0, 2.0, 3.0]),
        directions=direction,
        viewdirs=direction / jnp.linalg.norm(direction),
        radii=jnp.array([radius]),
        index=jnp.array(0),
    )


def _points_in_cone(rng, ray, start, stop, *, cylinder):
    """Uniform in the solid: density along t grows with the cross-section; across, uniform in the disc."""
    n = 400_000
    u = rng.uniform(size=n)
    t = start + u * (stop - start) if cylinder else (start**3 + u * (stop**3 - start**3)) ** (1 / 3)
    angle, radius = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.uniform(size=n)) * float(ray.radii[0])
    radius = radius if cylinder else radius * t
    axis = np.asarray(ray.viewdirs)
    side = np.cross(axis, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    across = (radius * np.cos(angle))[:, None] * side + (radius * np.sin(angle))[:, None] * up
    return np.asarray(ray.origins) + t[:, None] * np.asarray(ray.directions) + across


def test_moments_of_the_solid():
    for cylinder in (False, True):
        ray = _ray(0.3)
        edges = np.array([0.5, 1.0, 2.5])
        mean, variance = cones.frustum_gaussians(ray, jnp.float32(edges), cylinder=cylinder)
        for i in range(2):
            points = _points_in_cone(np.random.default_rng(i), ray, edges[i], edges[i + 1], cylinder=cylinder)
            np.testing.assert_allclose(mean[i], points.mean(0), atol=2e-3)
            np.testing.assert_allclose(variance[i], points.var(0), rtol=1e-2)


def test_thin_cones_are_points_on_the_ray():
    ray = _ray(0.0)
    edges = jnp.array([2.0, 2.0 + 1e-3])
    mean, variance = cones.frustum_gaussians(ray, edges)
    np.testing.assert_allclose(mean[0], ray.origins + 2.0005 * ray.directions, rtol=1e-6)
    np.testing.assert_allclose(variance[0], 1e-6 / 12 * ray.directions**2, rtol=1e-3)
