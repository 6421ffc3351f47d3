"""The detector of key points: places of known distributions, its loss, its pictures, and what it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.models.reenactment import detection
from neurend.models.reenactment.detection import DetectorConfig

CONFIG = DetectorConfig(width=8, depth=3, sigma=0.04, batch=4)
HEIGHT, WIDTH = 40, 56


def gaussian(points, spread):
    """Logarithms of Gaussians around points [n j 2]: [n h w j]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    square = (x[None, ..., None] - points[:, None, None, :, 0]) ** 2
    square = square + (y[None, ..., None] - points[:, None, None, :, 1]) ** 2
    return jnp.asarray(-0.5 * square / spread**2, jnp.float32)


def test_places_are_found_to_a_fraction_of_a_pixel():
    points = np.random.default_rng(0).uniform(8, 32, (3, 5, 2))
    scores = gaussian(points, CONFIG.sigma * HEIGHT)
    found = detection._locate(CONFIG, scores)
    np.testing.assert_allclose(found[..., :2], points, atol=0.03)
    # Within 2.5 sigmas both ways are 0.9876^2 of a Gaussian; pixels are whole, so that a little less or more counts.
    np.testing.assert_allclose(found[..., 2], 0.975, atol=0.02)
    # A second, lower hill far away does not pull.
    other = gaussian(points[:, ::-1] + np.array([20.0, 0]), CONFIG.sigma * HEIGHT) - 0.5
    both = detection._locate(CONFIG, jnp.logaddexp(scores, other))
    far = np.abs(points[:, ::-1] + [20.0, 0] - points).max(-1) > 12
    np.testing.assert_allclose(both[..., :2][far], points[far], atol=0.03)
    np.testing.assert_allclose(both[..., 2][far], 0.975 / (1 + np.exp(-0.5)), atol=0.02)


def test_loss_is_least_at_the_gaussian_and_blind_to_what_was_not_found():
    points = np.array([[[10.3, 20.1, 1], [30.2, 12.9, 0.4], [15.0, 8.0, 0], [-3.0, 8.0, 1]]], np.float32)
    best = gaussian(points[..., :2], CONFIG.sigma * HEIGHT)

    def loss(scores):
        return detection._cross_entropy(CONFIG, scores, jnp.asarray(points))

    # The entropy of a Gaussian in two dimensions: 1 + log(2 pi sigma^2).
    entropy = 1 + np.log(2 * np.pi * (CONFIG.sigma * HEIGHT) ** 2)
    np.testing.assert_allclose(loss(best), entropy, rtol=1e-3)
    gradient = jax.grad(loss)(best)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    noisy = best + jax.random.normal(jax.random.key(0), best.shape)
    assert loss(noisy) > entropy + 0.1
    assert not jax.grad(loss)(noisy)[..., 2:].any()
    none = points * np.float32([1, 1, 0])
    assert detection._cross_entropy(CONFIG, noisy, jnp.asarray(none)) == 0


def test_errors_are_mean_distances_of_joints_that_were_found():
    truth = jnp.asarray([[[0, 0, 1], [10, 0, 0.5], [5, 5, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]], jnp.float32)
    points = jnp.asarray([[[3, 4, 1], [10, 1, 1], [99, 99, 1]], [[1, 1, 1], [1, 1, 1], [1, 1, 1]]], jnp.float32)
    np.testing.assert_allclose(detection.errors(points, truth), [3, 0])


def dots(count):
    """Pictures of a red and a green dot on a dark ground, the red one hidden now and then; and where they are."""
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(10, 30, (count, 2, 2)), np.ones((count, 2, 1))], axis=-1)
    points[::4, 0, 2] = 0
    blobs = np.exp(gaussian(points[..., :2], 2.0)) * (points[:, None, None, :, 2] > 0)
    images = np.concatenate([blobs, np.zeros_like(blobs[..., :1])], axis=-1)
    return (255 * images).astype(np.uint8), points.astype(np.float32)


def test_samples_move_points_with_their_pictures():
    images, points = dots(6)
    source = detection.samples(images, points, config=dataclasses.replace(CONFIG, batch=16, shift=0.1, zoom=0.3))
    assert source.draw is not None
    batch = source.draw(jax.random.key(0), source.data)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    spreads = []
    for image, pose in zip(np.asarray(batch.image), np.asarray(batch.points)):
        for channel, (px, py, confidence) in enumerate(pose):
            mass = image[..., channel]
            if confidence == 0:
                assert mass.max() < 0.01
            elif 8 < px < WIDTH - 8 and 8 < py < HEIGHT - 8:
                place = [(mass * axis).sum() / mass.sum() for axis in (x, y)]
                np.testing.assert_allclose(place, [px, py], atol=0.1)
                spreads.append(np.sqrt((mass * ((x - px) ** 2 + (y - py) ** 2)).sum() / mass.sum() / 2))
    # Dots are scaled as well: their radius was 2.
    assert len(spreads) > 12 and 1.3 < min(spreads) < 1.9 < 2.2 < max(spreads) < 2.8


def test_bad_input():
    images, points = dots(3)
    with pytest.raises(InputError, match='points: got shape'):
        detection.samples(images, points[:2], config=CONFIG)
    with pytest.raises(InputError, match='images: got none'):
        detection.samples(images[:0], points[:0], config=CONFIG)


@pytest.mark.slow
def test_it_learns_to_find_dots():
    images, points = dots(40)
    config = dataclasses.replace(CONFIG, learning_rate=5e-3)
    method = detection.detector(config, joints=2, steps=60)
    source = detection.samples(images[8:], points[8:], config=config)
    assert source.draw is not None
    state, step, draw = method.init(jax.random.key(0)), jax.jit(method.step), jax.jit(source.draw)
    for k in range(60):
        key = jax.random.fold_in(jax.random.key(1), k)
        state, values = step(key, state, draw(key, source.data))
    assert int(state.step) == 60 and np.isfinite(values['loss'])
    found = detection.detect(detection.locator(config, joints=2), state.weights, images[:8])
    error = detection.errors(jnp.asarray(found), jnp.asarray(points[:8]))
    assert error.max() < 1.0
    numbers, pictures = method.evaluate(state, detection.Example('0', images[1], points[1]))
    np.testing.assert_allclose(numbers['pixels'], error[1], atol=1e-3)
    # Bright is where a dot is.
    y, x = np.unravel_index(pictures['likely'][..., 0].argmax(), (HEIGHT, WIDTH))
    assert np.hypot(points[1, :, 0] - x - 0.5, points[1, :, 1] - y - 0.5).min() < 2
