import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import smoothing, triangles
from neurend.scenes import primitives

MESH = primitives.sphere(1)
COUNT = len(MESH.vertices)
# With padding, and a vertex that has no edge.
EDGES = np.concatenate([triangles.topology(MESH.faces).edges, np.full((5, 2), -1, np.int32)])


def _dense():
    """L by its definition: degrees on the diagonal, -1 between neighbours."""
    matrix = np.zeros((COUNT + 1, COUNT + 1))
    for a, b in EDGES[EDGES[:, 0] >= 0]:
        matrix[a, a] += 1
        matrix[b, b] += 1
        matrix[a, b] -= 1
        matrix[b, a] -= 1
    return matrix


def test_the_laplacian_is_the_matrix_of_its_definition():
    applied = np.asarray(smoothing.laplacian(jnp.eye(COUNT + 1), EDGES))
    np.testing.assert_array_equal(applied, _dense())
    np.testing.assert_array_equal(applied, applied.T)
    assert np.linalg.eigvalsh(_dense()).min() > -1e-12
    np.testing.assert_array_equal(smoothing.degrees(EDGES, COUNT + 1), np.diag(_dense()))
    assert not smoothing.laplacian(jnp.full((COUNT + 1, 2), 3.7), EDGES).any()


def test_solutions_are_those_of_the_dense_system():
    rng = np.random.default_rng(0)
    u = rng.normal(size=(COUNT + 1, 3)) + 5
    with jax.enable_x64(True):
        solve = jax.jit(lambda u, s: smoothing.vertices_from_differential(u, EDGES, s, tolerance=1e-12))
        for strength in (0.0, 1.0, 19.0, 1000.0):
            got = solve(jnp.asarray(u), strength)
            wanted = np.linalg.solve(np.eye(COUNT + 1) + strength * _dense(), u)
            np.testing.assert_allclose(got, wanted, atol=1e-9)
            np.testing.assert_allclose(smoothing.differential_from_vertices(got, EDGES, strength), u, atol=1e-8)
    # In float32 too, far from the origin.
    solve = jax.jit(lambda u: smoothing.vertices_from_differential(u, EDGES, 19.0))
    wanted = np.linalg.solve(np.eye(COUNT + 1) + 19 * _dense(), u)
    np.testing.assert_allclose(solve(jnp.asarray(u, jnp.float32)), wanted, atol=1e-5)
    np.testing.assert_allclose(solve(jnp.full((COUNT + 1, 3), 5.3)), 5.3, rtol=1e-6)
    # Gradients may be tiny, or nothing.
    np.testing.assert_allclose(solve(jnp.asarray(1e-25 * u, jnp.float32)), 1e-25 * wanted, atol=1e-30)
    assert not solve(jnp.zeros((COUNT + 1, 3))).any()


def test_both_modes_are_the_inverse_matrix():
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        u, tangent, cotangent = (jnp.asarray(rng.normal(size=(COUNT + 1, 3))) for _ in range(3))

        def solve(u, strength):
            return smoothing.vertices_from_differential(u, EDGES, strength, tolerance=1e-12)

        inverse = np.linalg.inv(np.eye(COUNT + 1) + 19 * _dense())
        _, forward = jax.jit(lambda u, t: jax.jvp(lambda u: solve(u, 19.0), (u,), (t,)))(u, tangent)
        reverse = jax.jit(lambda u, c: jax.vjp(lambda u: solve(u, 19.0), u)[1](c)[0])(u, cotangent)
        np.testing.assert_allclose(forward, inverse @ tangent, atol=1e-10)
        np.testing.assert_allclose(reverse, inverse @ cotangent, atol=1e-10)
        np.testing.assert_allclose(jnp.sum(forward * cotangent), jnp.sum(reverse * tangent), rtol=1e-10)
        jax.test_util.check_grads(jax.jit(solve), (u, 3.0), order=1, modes=('fwd', 'rev'), eps=1e-5, rtol=1e-5)
        batch = jax.jit(jax.vmap(solve))(jnp.stack([u, 2 * tangent]), jnp.array([1.0, 30.0]))
        np.testing.assert_allclose(batch[1], solve(2 * tangent, 30.0), atol=1e-10)


def test_a_step_in_differential_coordinates_moves_a_region():
    def at_one_vertex(u):
        return smoothing.vertices_from_differential(u, EDGES, 2.0)[0, 0]

    ball = np.concatenate([MESH.vertices, np.zeros((1, 3))])
    gradient = np.asarray(jax.grad(at_one_vertex)(jnp.asarray(ball, jnp.float32))[:, 0])
    # All of one sign, less the farther away; the sum is that of the plain gradient.
    assert (gradient[:-1] > 0).all() and abs(gradient[-1]) < 1e-7
    nearness = ball @ ball[0]
    assert gradient[0] > gradient[(nearness > 0.5) & (nearness < 0.99)].max()
    assert gradient[(nearness > 0.5)].min() > 2 * gradient[nearness < -0.5].max()
    np.testing.assert_allclose(gradient.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ('values', 'edges', 'message'),
    [
        (np.zeros((2, 3, 3)), EDGES, r'values: got shape \(2, 3, 3\)'),
        (np.zeros((3, 3)), np.zeros((2, 3), int), r'edges: got shape \(2, 3\)'),
    ],
)
def test_wrong_shapes_are_named(values, edges, message):
    for call in (smoothing.laplacian, lambda v, e: smoothing.vertices_from_differential(v, e, 1.0)):
        with pytest.raises(checks.InputError, match=message):
            call(values, edges)
