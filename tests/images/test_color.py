import jax
import jax.numpy as jnp
import numpy as np

from neurend.images import color


def test_srgb_curve_at_known_points():
    # Mid-gray 0.5 is 21.404 % light; both pieces of the curve meet at 0.04045.
    np.testing.assert_allclose(color.linear_from_srgb(jnp.array([0.0, 0.5, 1.0])), [0, 0.2140411, 1], atol=1e-6)
    np.testing.assert_allclose(color.srgb_from_linear(0.0031308 * jnp.array([1 - 1e-3, 1 + 1e-3])), 0.04045, atol=1e-4)


def test_srgb_round_trip_and_finite_gradients():
    x = jnp.linspace(-0.1, 1.2, 101)
    np.testing.assert_allclose(color.srgb_from_linear(color.linear_from_srgb(x)), x, atol=1e-6)
    for curve in (color.linear_from_srgb, color.srgb_from_linear):
        slope = jax.vmap(jax.grad(curve))(x)
        assert np.all(np.isfinite(slope)) and np.all(slope > 0)


def test_alpha_round_trip_composite_and_kinds():
    rgba = np.random.default_rng(0).random((5, 6, 4), np.float32)
    rgba[0, 0, 3] = 0
    back = color.unpremultiply(color.premultiply(rgba))
    np.testing.assert_allclose(back[1:], rgba[1:], rtol=1e-5)
    np.testing.assert_array_equal(back[0, 0], 0)
    white = color.composite(rgba, 1.0)
    assert isinstance(white, np.ndarray) and white.dtype == np.float32
    np.testing.assert_allclose(white[0, 0], 1)
    premultiplied = color.premultiply(rgba)
    np.testing.assert_allclose(white, premultiplied[..., :3] + 1 - rgba[..., 3:], atol=1e-6)
    on_red = jax.jit(color.composite)(jnp.asarray(rgba), jnp.array([1.0, 0, 0]))
    np.testing.assert_allclose(on_red, color.composite(rgba, (1, 0, 0)), atol=1e-6)
    gradient = jax.grad(lambda x: color.unpremultiply(x).sum())(jnp.zeros((2, 4)))
    assert np.all(np.isfinite(gradient))
