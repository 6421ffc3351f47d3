import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import color, resample
from tests.oracles import images as oracle


@pytest.mark.parametrize('size', [(6, 4), (5, 7), (4, 12), (17, 9), (1, 1)])
def test_resize_against_the_oracle(size):
    image = np.random.default_rng(0).random((12, 10, 3))
    out = resample.resize(image, *size)
    np.testing.assert_allclose(out, oracle.resize(image, *size), atol=1e-12)
    np.testing.assert_allclose(out.mean((0, 1)), image.mean((0, 1)), atol=1e-12)
    on_device = jax.jit(lambda x: resample.resize(x, *size))(jnp.asarray(image, jnp.float32))
    np.testing.assert_allclose(on_device, out, atol=1e-6)


def test_whole_factors_are_means_of_blocks():
    image = np.random.default_rng(1).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    blocks = image.reshape(3, 4, 2, 4, 3).mean((1, 3))
    np.testing.assert_array_equal(resample.area_downscale(image, 4), np.round(blocks.astype(np.float32)))
    np.testing.assert_array_equal(resample.area_downscale(image, 1), image)
    with pytest.raises(InputError, match='8 x 12 pixels to shrink by 5'):
        resample.area_downscale(image, 5)


def test_straight_alpha_does_not_bleed_and_commutes_with_compositing():
    rgba = np.random.default_rng(2).integers(0, 256, (12, 12, 4), dtype=np.uint8)
    rgba[:, :5, 3] = 0
    rgba[:, :5, :3] = (0, 255, 0)
    rgba[:, 5:, :3] = (200, 10, 20)
    small = resample.area_downscale(rgba, 3)
    visible = small[..., 3] > 0
    np.testing.assert_array_equal(small[visible][:, :3], np.broadcast_to([200, 10, 20], (visible.sum(), 3)))
    np.testing.assert_array_equal(small[~visible], 0)

    rgba = np.random.default_rng(3).random((12, 12, 4))
    first = color.composite(resample.resize(rgba, 5, 7, straight_alpha=True), 1.0)
    last = resample.resize(color.composite(rgba, 1.0), 5, 7)
    np.testing.assert_allclose(first, last, atol=1e-12)


def test_gradient_is_the_transpose():
    image = jnp.zeros((6, 5, 1))
    gradient = jax.grad(lambda x: resample.resize(x, 2, 2).sum())(image)
    np.testing.assert_allclose(gradient, 4 / 30, rtol=1e-5)
