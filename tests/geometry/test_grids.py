import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import grids
from tests.oracles.derivatives import check_jacobian

bilinear = jax.jit(grids.bilinear, static_argnames=('align', 'beyond'))
trilinear = jax.jit(grids.trilinear, static_argnames=('align', 'beyond'))


@pytest.mark.parametrize('align', ['centers', 'corners'])
def test_a_multilinear_function_is_reproduced_exactly(align):
    offset = 0.5 if align == 'centers' else 0.0

    def function(x, y, z):
        return np.stack([1 + 2 * x - y + 3 * z, x * y * z - x * z], axis=-1)

    axes = [np.arange(n) + offset for n in (4, 5, 6)]
    grid = jnp.asarray(function(*np.meshgrid(*axes, indexing='ij')), jnp.float32)
    points = np.random.default_rng(0).uniform(offset, 3 + offset, (2, 9, 3))
    np.testing.assert_allclose(
        trilinear(grid, jnp.asarray(points), align=align), function(*np.moveaxis(points, -1, 0)), atol=1e-4
    )
    image = grid[:, :, 0]
    xy = points[..., [1, 0]]
    np.testing.assert_allclose(
        bilinear(image, jnp.asarray(xy), align=align), function(xy[..., 1], xy[..., 0], offset), atol=1e-4
    )


def test_what_lies_beyond():
    image = jnp.asarray([[[1.0], [2.0]], [[3.0], [4.0]]])
    xy = jnp.asarray([[-5.0, 0.5], [0.0, 0.5], [0.0, 0.0], [9.0, 9.0]])
    np.testing.assert_allclose(bilinear(image, xy)[:, 0], [1, 1, 1, 4])
    np.testing.assert_allclose(bilinear(image, xy, beyond='zero')[:, 0], [0, 0.5, 0.25, 0])


def test_gradients_to_values_and_coordinates():
    with jax.enable_x64(True):
        random = np.random.default_rng(1)
        grid, points = jnp.asarray(random.normal(size=(3, 2, 4, 2))), jnp.asarray(random.uniform(0.6, 1.4, (5, 3)))
        check_jacobian(trilinear, grid, points)
        outside = jax.grad(lambda p: grids.trilinear(grid, p).sum())(jnp.asarray([-3.0, 0.9, 9.0]))
        assert outside[0] == 0 and outside[2] == 0 and outside[1] != 0


def test_boxes_map_to_cells():
    corners = jnp.asarray([[-1.0, 0.0, 2.0], [1.0, 3.0, 4.0]])
    cells = grids.cells_from_box(corners, corners[0], corners[1], (4, 5, 6))
    np.testing.assert_allclose(cells, [[0, 0, 0], [4, 5, 6]], atol=1e-6)
    cells = grids.cells_from_box(corners, corners[0], corners[1], (4, 5, 6), align='corners')
    np.testing.assert_allclose(cells, [[0, 0, 0], [3, 4, 5]], atol=1e-6)


def test_says_what_is_wrong():
    with pytest.raises(InputError, match=r'image: got shape \(2, 2\)'):
        grids.bilinear(jnp.zeros((2, 2)), jnp.zeros(2))
    with pytest.raises(InputError, match=r'coordinates: got shape \(5, 2\)'):
        grids.trilinear(jnp.zeros((2, 2, 2, 1)), jnp.zeros((5, 2)))
