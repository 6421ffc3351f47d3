import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry import intersect

LOW, HIGH = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 4.0])


def test_boxes_against_marching():
    random = np.random.default_rng(0)
    origins = random.uniform(-3, 6, (60, 3))
    directions = random.normal(size=(60, 3)) + 0.7 * ((LOW + HIGH) / 2 - origins)
    enter, leave = jax.jit(intersect.ray_box)(*map(jnp.asarray, (origins, directions, LOW, HIGH)))
    t = np.linspace(0, 8, 8001)
    points = origins[:, None] + t[None, :, None] * directions[:, None]
    inside = ((points > LOW) & (points < HIGH)).all(-1)
    hit = np.asarray(leave > jnp.maximum(enter, 0))
    long = np.asarray(leave - enter) > 2e-3
    np.testing.assert_array_equal(inside.any(-1)[long | ~hit], hit[long | ~hit])
    assert 10 < hit.sum() < 60
    for i in np.flatnonzero(hit & long):
        np.testing.assert_allclose(t[inside[i]][0], max(enter[i], 0), atol=2e-3)
        np.testing.assert_allclose(t[inside[i]][-1], leave[i], atol=2e-3)


def test_boxes_and_axis_parallel_rays():
    origins = jnp.asarray([[0.0, 0.25, 0.0], [0.0, 0.7, 0.0], [0.0, 0.25, 3.0], [0.0, 0.5, 3.0]])
    directions = jnp.asarray([[0.0, 0.0, 2.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [-0.0, 0.0, -1.0]])
    enter, leave = intersect.ray_box(origins, directions, jnp.asarray(LOW), jnp.asarray(HIGH))
    np.testing.assert_array_equal(leave > jnp.maximum(enter, 0), [True, False, True, True])
    np.testing.assert_allclose(enter[jnp.asarray([0, 2, 3])], [1, -1, -1])
    np.testing.assert_allclose(leave[jnp.asarray([0, 2, 3])], [2, 1, 1])
    gradient = jax.grad(lambda d: sum(jnp.sum(x) for x in intersect.ray_box(origins[:1], d, LOW, HIGH)))(directions[:1])
    assert jnp.isfinite(gradient).all()


def test_spheres():
    center, radius = jnp.asarray([1.0, 2.0, 3.0]), 2.0
    origins = jnp.asarray(np.random.default_rng(1).normal(size=(20, 3)) * 5, jnp.float32)
    directions = jnp.asarray(np.random.default_rng(2).normal(size=(20, 3)), jnp.float32) + center[None] - origins
    enter, leave, hit = jax.jit(intersect.ray_sphere)(origins, directions, center, radius)
    assert hit.any()
    for t in (enter, leave):
        distance = jnp.linalg.norm(origins + t[:, None] * directions - center[None], axis=-1)
        np.testing.assert_allclose(distance[hit], radius, rtol=1e-4)
        assert (distance[~hit] > radius).all()
    assert (enter[hit] < leave[hit]).all()
    grazing = jax.grad(lambda o: intersect.ray_sphere(o, jnp.asarray([0.0, 0, 1]), jnp.zeros(3), 1.0)[0])(
        jnp.asarray([1.0, 0, -5])
    )
    assert jnp.isfinite(grazing).all()


def test_planes():
    origins, directions = jnp.asarray([[0.0, 0, 0], [0, 0, 0]]), jnp.asarray([[1.0, 1, 2], [1, 0, 0]])
    t = intersect.ray_plane(origins, directions, jnp.asarray([0.0, 0.0, 2.0]), 6.0)
    np.testing.assert_array_equal(t, [1.5, jnp.inf])
