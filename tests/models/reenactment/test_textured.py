"""Textured avatars: what is painted, what is learned from where, and textures unwrapped from frames."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data import figure
from neurend.geometry.skeletons import BODY_25, Person
from neurend.models.reenactment import textured
from neurend.models.reenactment.limb_maps import limb_maps
from neurend.models.reenactment.textured_method import AvatarBatch, Example, TexturedConfig, textured_avatar
from neurend.train import step


def _maps(seed, *shape):
    return textured.maps(3 * jax.random.normal(jax.random.key(seed), (*shape, textured.CHANNELS)))


def _paint(logits, coordinates, textures):
    """Pixel by pixel, part by part, in float64."""
    logits, coordinates, textures = (np.asarray(x, np.float64) for x in (logits, coordinates, textures))
    side, rgb = textures.shape[1], np.zeros((*logits.shape[:-1], 3))
    for place in np.ndindex(logits.shape[:-1]):
        weights = np.exp(logits[place] - logits[place].max())
        weights /= weights.sum()
        for part in range(24):
            u, v = coordinates[place][part]
            x, y = u * side - 0.5, (1 - v) * side - 0.5
            for row in (int(np.floor(y)), int(np.floor(y)) + 1):
                for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    texel = textures[part, min(max(row, 0), side - 1), min(max(column, 0), side - 1)]
                    rgb[place] += weights[part + 1] * share * texel
    return rgb


def test_colours_are_sums_over_parts_of_texels():
    found = _maps(0, 2, 3)
    textures = jax.random.uniform(jax.random.key(1), (24, 5, 5, 3))
    np.testing.assert_allclose(jax.jit(textured.paint)(found, textures), _paint(*found, textures), atol=1e-5)


def test_losses_against_probabilities_by_hand():
    found = _maps(2, 4, 5)
    random = np.random.default_rng(0)
    iuv = np.stack([random.integers(0, 25, (4, 5)), *random.integers(0, 256, (2, 4, 5))], axis=-1).astype(np.uint8)
    iuv[0, :2, 0] = 0
    probability = np.asarray(jax.nn.softmax(found.logits, axis=-1), np.float64)
    body = iuv[..., 0] > 0
    background = probability[..., 0]
    wanted = -np.where(body, np.log1p(-background), np.log(background)).mean()
    assert float(textured.segmentation_loss(found, iuv)) == pytest.approx(wanted, rel=1e-4)
    wanted = -np.log(np.take_along_axis(probability, iuv[..., :1].astype(int), -1)).mean()
    assert float(textured.parts_loss(found, iuv)) == pytest.approx(wanted, rel=1e-4)
    errors = [
        np.abs(np.asarray(found.coordinates)[place][iuv[place][0] - 1] - iuv[place][1:] / 255).mean()
        for place in np.argwhere(body).tolist()
        for place in [tuple(place)]
    ]
    assert float(textured.coordinates_loss(found, iuv)) == pytest.approx(np.mean(errors), rel=1e-4)


def test_textures_learn_nothing_from_the_background():
    found = _maps(3, 2, 2)
    textures = jax.random.uniform(jax.random.key(1), (24, 4, 4, 3))
    image = jnp.zeros((2, 2, 3))
    iuv = np.zeros((2, 2, 3), np.uint8)

    def gradient(iuv):
        return jax.jit(jax.grad(lambda t: textured.color_loss(textured.paint(found, t), image, iuv)))(textures)

    assert not np.any(gradient(iuv))
    iuv[1, 1, 0] = 7
    assert np.any(gradient(iuv))


def test_variation_of_a_ramp():
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 5).reshape(1, 1, 5, 1), (24, 5, 5, 3))
    assert float(textured.variation(ramp)) == pytest.approx(0.25)


def test_unwrapped_textures_are_means_and_holes_are_filled_from_around():
    images, iuv = np.zeros((2, 1, 3, 3), np.uint8), np.zeros((2, 1, 3, 3), np.uint8)
    iuv[0, 0, 0] = iuv[1, 0, 0] = (2, 0, 255)  # twice the same texel, at the top left
    images[0, 0, 0], images[1, 0, 0] = (100, 0, 0), (200, 0, 0)
    iuv[0, 0, 1] = (2, 255, 0)  # at the bottom right
    images[0, 0, 1] = (0, 255, 0)
    found = textured.unwrap(images, iuv, side=4)
    red, green = (150 / 255, 0, 0), (0, 1, 0)
    np.testing.assert_allclose(found[1, :2, :2], np.broadcast_to(red, (2, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(found[1, 2:, 2:], np.broadcast_to(green, (2, 2, 3)), atol=1e-6)
    mean = (100 / 255, 1 / 3, 0)  # of all three pixels of the body
    np.testing.assert_allclose(found[1, 0, 3], mean, atol=1e-6)
    np.testing.assert_allclose(found[0], np.broadcast_to(mean, (4, 4, 3)), atol=1e-6)


def test_true_maps_and_unwrapped_textures_give_back_the_frames():
    clip = figure.frames(*figure.person('a'), 4, 64)
    textures = textured.unwrap(clip.images, clip.iuv, side=32)
    logits = 40 * jax.nn.one_hot(clip.iuv[..., 0], 25)
    coordinates = jnp.broadcast_to(jnp.asarray(clip.iuv[..., None, 1:] / np.float32(255)), (4, 64, 64, 24, 2))
    rgb = np.asarray(textured.paint(textured.Maps(logits, coordinates), jnp.asarray(textures)))
    body = clip.iuv[..., 0] > 0
    error = np.square(rgb - clip.images / 255)[body].mean()
    plain = np.square(clip.images / 255 - (clip.images[body] / 255).mean(0))[body].mean()
    assert error < 0.15 * plain
    assert np.abs(rgb[~body]).max() < 1e-6


def test_bad_input():
    images = np.zeros((1, 2, 2, 3), np.uint8)
    with pytest.raises(InputError, match='shows no body'):
        textured.unwrap(images, images, side=4)
    with pytest.raises(InputError, match='parts to 25'):
        textured.unwrap(images, images + np.uint8(25), side=4)
    with pytest.raises(InputError, match='side: got 3'):
        textured.unwrap(images, images + np.uint8(1), side=3)
    with pytest.raises(InputError, match='raw: got shape'):
        textured.maps(jnp.zeros((1, 72)))
    stepper = step.stepper(optax.adam(1e-3))
    with pytest.raises(InputError, match='textures: got shape'):
        textured_avatar(TexturedConfig(), channels=3, stepper=stepper, textures=np.zeros((25, 4, 4, 3)))


@pytest.mark.slow
def test_an_avatar_learns_poses_it_is_tested_on():
    size, count = 32, 40
    clip = figure.frames(*figure.person('a'), count, size)
    poses = np.stack(
        [
            limb_maps(Person(points, None, None, None, BODY_25), size, size, frame=(size, size))
            for points in clip.keypoints
        ]
    )
    poses = (255 * poses).astype(np.uint8)
    held_out = np.arange(count) % 8 == 4
    textures = textured.unwrap(clip.images[~held_out], clip.iuv[~held_out], side=16)
    config = TexturedConfig(width=16, halvings=2, blocks=2)
    method = textured_avatar(
        config, channels=poses.shape[-1], stepper=step.stepper(optax.adam(2e-3)), textures=textures
    )
    state = jax.jit(method.init)(jax.random.key(0))
    examples = [
        Example(str(k), poses[k], clip.images[k], clip.iuv[k], clip.background) for k in np.flatnonzero(held_out)
    ]

    def scores(state):
        found = [method.evaluate(state, example)[0] for example in examples]
        return {name: np.mean([each[name] for each in found]) for name in found[0]}

    before = scores(state)
    take = jax.jit(method.step)
    random = np.random.default_rng(0)
    for _ in range(250):
        chosen = random.choice(np.flatnonzero(~held_out), 4)
        pair = (jnp.asarray(x[chosen], jnp.float32) / 255 for x in (poses, clip.images))
        state, _ = take(jax.random.key(0), state, AvatarBatch(*pair, jnp.asarray(clip.iuv[chosen])))
    after = scores(state)
    empty = np.mean(
        [-10 * np.log10(np.square((clip.background.astype(float) - clip.images[k]) / 255).mean()) for k in range(count)]
    )
    assert after['iou'] > 0.8 > before['iou']
    assert after['psnr'] > empty + 5 and after['psnr_masked'] > 17
