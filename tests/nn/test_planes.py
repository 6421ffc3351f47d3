import jax
import jax.numpy as jnp
import numpy as np

from neurend.nn import planes

POINTS = jax.random.uniform(jax.random.key(0), (5, 2, 3), minval=-1, maxval=1)


def _nodes(resolution):
    return jnp.linspace(-1, 1, resolution)


def test_dense_grid_reproduces_a_multilinear_function():
    x, y, z = jnp.meshgrid(*[_nodes(4)] * 3, indexing='ij')
    values = jnp.stack([x * y * z, 1 + x - 2 * z], axis=-1)
    got = planes.DenseGrid(4, 2).apply({'params': {'values': values}}, POINTS)
    # Linear functions are exact; the product only at nodes.
    np.testing.assert_allclose(got[..., 1], 1 + POINTS[..., 0] - 2 * POINTS[..., 2], atol=1e-6)
    corner = jnp.array([[-1.0, 1.0, 1.0], [1 / 3, -1 / 3, 1.0], [-1.0, -3.0, 1.0]])
    got = planes.DenseGrid(4, 2).apply({'params': {'values': values}}, corner)
    np.testing.assert_allclose(got[:, 0], [-1, -1 / 9, 1], atol=1e-6)


def test_triplane_sums_functions_of_two_coordinates():
    a, b = jnp.meshgrid(_nodes(5), _nodes(5), indexing='ij')
    values = jnp.stack([2 * a + b, a - b, 0.5 * a * jnp.ones_like(b)])[..., None]
    got = planes.TriPlane(5, 1).apply({'params': {'planes': values}}, POINTS)[..., 0]
    x, y, z = jnp.moveaxis(POINTS, -1, 0)
    np.testing.assert_allclose(got, (2 * x + y) + (x - z) + 0.5 * y, atol=1e-6)


def test_vector_matrix_multiplies_planes_and_lines():
    a, b = jnp.meshgrid(_nodes(3), _nodes(3), indexing='ij')
    params = {
        'planes': jnp.stack([a + b, a - b, 2 * b])[..., None],
        'lines': jnp.stack([_nodes(3), 1 + _nodes(3), 3 - _nodes(3)])[..., None],
    }
    got = planes.VectorMatrix(3, 1).apply({'params': params}, POINTS)
    x, y, z = jnp.moveaxis(POINTS, -1, 0)
    np.testing.assert_allclose(
        got, jnp.stack([(x + y) * z, (x - z) * (1 + y), 2 * z * (3 - x)], axis=-1), atol=1e-6
    )


def test_sizes():
    for module, size in ((planes.DenseGrid(4, 2), 128), (planes.TriPlane(4, 2), 96), (planes.VectorMatrix(4, 2), 120)):
        params = module.init(jax.random.key(0), POINTS)
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == size
        assert module.apply(params, POINTS).shape == (5, 2, 6 if isinstance(module, planes.VectorMatrix) else 2)
