import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend.checks import InputError
from neurend.losses import temporal

warp, visible, warp_error = jax.jit(temporal.warp), jax.jit(temporal.visible), jax.jit(temporal.warp_error)


def pictures(seed, *shape):
    return np.random.default_rng(seed).random(shape, np.float32)


def constant(x, y, *shape):
    return np.broadcast_to(np.float32([x, y]), (*shape, 2))


def test_whole_pixels_move_exactly():
    image = pictures(0, 5, 7, 3)
    moved = warp(image, constant(2, -1, 5, 7))
    np.testing.assert_array_equal(moved[1:, :-2], image[:-1, 2:])
    np.testing.assert_array_equal(warp(image, constant(0, 0, 5, 7)), image)
    # Beyond the border the border continues.
    np.testing.assert_array_equal(moved[:, -2:], np.broadcast_to(moved[:, -3:-2], (5, 2, 3)))
    np.testing.assert_array_equal(moved[0], moved[1])


def test_half_pixels_are_means_of_neighbours():
    image = pictures(1, 5, 7, 2).astype(np.float64)
    half = warp(jnp.float32(image), constant(0.5, 0, 5, 7))
    np.testing.assert_allclose(half[:, :-1], (image[:, 1:] + image[:, :-1]) / 2, rtol=1e-6)
    both = warp(jnp.float32(image), constant(-0.5, 0.25, 5, 7))
    sideways = (image[:, 1:] + image[:, :-1]) / 2
    np.testing.assert_allclose(both[:-1, 1:], 0.75 * sideways[:-1] + 0.25 * sideways[1:], rtol=1e-6)


def test_leading_dims_are_images_of_their_own():
    image, flow = pictures(2, 2, 3, 4, 5, 1), 3 * pictures(3, 2, 3, 4, 5, 2) - 1.5
    together = warp(image, flow)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(together[index], warp(image[index], flow[index]), rtol=1e-6)


def test_gradients_to_image_and_flow():
    with jax.enable_x64(True):
        image = jnp.array(pictures(4, 4, 5, 2), jnp.float64)
        # Inside the cells between pixel centres, where bilinear interpolation is smooth.
        flow = jnp.array(0.2 + 0.6 * pictures(5, 4, 5, 2), jnp.float64)
        check_grads(warp, (image, flow), order=1, modes=('fwd', 'rev'), rtol=1e-6)
        check_grads(lambda *parts: warp_error(image[::-1], *parts), (image, flow), order=1, modes=('rev',))


def test_the_error_is_the_mean_over_what_both_frames_see():
    previous, change = pictures(6, 6, 8, 3), np.float32(0.125)
    frame = np.asarray(warp(previous, constant(1, 0, 6, 8))) + change
    frame[:, -1] = 9  # shows what was outside the previous frame
    np.testing.assert_allclose(warp_error(frame, previous, constant(1, 0, 6, 8)), change, rtol=1e-5)
    # Pixels marked as hidden do not count, whatever they and their flow hold.
    frame[2, 3], flow, valid = 7, np.array(constant(1, 0, 6, 8)), np.ones((6, 8), bool)
    assert warp_error(frame, previous, flow, valid) > 2 * change
    valid[2, 3], flow[2, 3] = False, np.nan
    value, gradient = jax.value_and_grad(warp_error, argnums=2)(frame, previous, flow, valid)
    np.testing.assert_allclose(value, change, rtol=1e-5)
    assert np.isfinite(gradient).all() and np.any(gradient) and not np.any(gradient[2, 3])
    assert warp_error(frame, previous, flow, np.zeros((6, 8), bool)) == 0


def test_weights_weigh():
    frame, previous, weight = pictures(7, 2, 4, 4, 1), pictures(8, 2, 4, 4, 1), pictures(9, 2, 4, 4)
    want = np.average(np.abs(frame - previous)[..., 0], weights=weight)
    np.testing.assert_allclose(warp_error(frame, previous, np.zeros((2, 4, 4, 2)), weight), want, rtol=1e-5)


def test_a_moving_square_hides_and_uncovers_background():
    # An 8 x 8 square moves 4 pixels to the right over a background at rest.
    before, now = np.zeros((2, 20, 24), bool)
    before[6:14, 4:12], now[6:14, 8:16] = True, True
    flow, reverse = np.zeros((2, 20, 24, 2), np.float32)
    flow[now], reverse[before] = (-4, 0), (4, 0)
    uncovered = before & ~now
    np.testing.assert_array_equal(visible(flow, reverse), ~uncovered)
    # What comes from outside the frame is not seen in the frame before, though its flow is consistent.
    assert not visible(constant(-2, 0, 5, 6), constant(2, 0, 5, 6))[:, :2].any()


def test_shapes_that_do_not_match_are_named():
    frames, flow = np.zeros((2, 4, 5, 3), np.float32), np.zeros((2, 4, 5, 2), np.float32)
    with pytest.raises(InputError, match=r'flow: got shape \(2, 5, 4, 2\), expected \(2, 4, 5, 2\)'):
        temporal.warp(frames, flow.swapaxes(1, 2))
    with pytest.raises(InputError, match=r'previous: got shape \(1, 4, 5, 3\), expected \(2, 4, 5, 3\)'):
        temporal.warp_error(frames, frames[:1], flow)
    with pytest.raises(InputError, match=r'valid: got shape \(2, 4, 5, 1\), expected \(2, 4, 5\)'):
        temporal.warp_error(frames, frames, flow, flow[..., :1])
