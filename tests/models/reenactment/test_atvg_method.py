"""ATVG's second network as a method: what the discriminator is made of, what a step does, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import talking_batches
from neurend.models.reenactment import atvg
from neurend.models.reenactment.atvg_discriminator import RegressionDiscriminator
from neurend.models.reenactment.atvg_face import LandmarksToFace
from neurend.models.reenactment.atvg_method import FaceExample, FaceInputs, TalkingFaceConfig, talking_face
from neurend.models.reenactment.atvg_speech import SCALE

SIZE, MOMENTS, STEPS = 32, 2, 300
CONFIG = TalkingFaceConfig(width=4, blocks=1, discriminator_width=2, hidden=8)


@pytest.fixture(scope='module')
def film():
    """A square that brightens and darkens, and landmarks that go up and down with it."""
    places = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 7, 6, 5, 4, 3, 2, 1])
    images = np.full((len(places), SIZE, SIZE, 3), 40, np.uint8)
    for image, place in zip(images, places):
        image[10:22, 8:24] = 25 * place + 25
    shape = 0.2 * np.random.default_rng(0).normal(size=(68, 2))
    heights = np.stack([np.zeros(len(places)), (places - 4) / 40], axis=-1)
    return images, (shape[None] + heights[:, None]).astype(np.float32)


@pytest.fixture(scope='module')
def method(film):
    return talking_face(CONFIG, film[1].mean(0), size=(SIZE, SIZE), steps=STEPS)


@pytest.fixture(scope='module')
def batch(film):
    source = talking_batches.face_source(*film, batch=2, moments=MOMENTS)
    return source.draw(jax.random.key(1), source.data)


def test_the_discriminator_has_the_published_layers():
    judge = RegressionDiscriminator()
    frames, points = jax.ShapeDtypeStruct((2, 16, 128, 128, 3), jnp.float32), jax.ShapeDtypeStruct((2, 68, 2), 'f4')
    params = jax.eval_shape(judge.init, jax.random.key(0), frames, points)['params']
    assert [params[f'layer_{k}']['kernel'].shape[-1] for k in range(4)] == [64, 128, 256, 512]
    assert 'layer_0_norm' not in params and 'bias' in params['layer_0'] and 'bias' not in params['layer_1']
    assert params['frame']['kernel'].shape == (8 * 8 * 512, 512)
    assert params['example_0']['kernel'].shape == (136, 256) and params['example_1']['kernel'].shape == (256, 512)
    assert params['lstm_0']['ii']['kernel'].shape == (1024, 256) and 'lstm_2' in params and 'lstm_3' not in params
    assert params['score']['kernel'].shape == (256, 1) and params['differences']['kernel'].shape == (256, 136)


@pytest.fixture(scope='module')
def judged():
    judge = RegressionDiscriminator(width=2, hidden=4)
    frames = jax.random.uniform(jax.random.key(0), (2, 3, 16, 16, 3), minval=-1)
    points = jax.random.normal(jax.random.key(1), (2, 68, 2))
    params = jax.jit(judge.init)(jax.random.key(2), frames, points)
    return jax.jit(judge.apply), params, frames, points


@pytest.mark.slow
def test_the_discriminator_hears_moments_in_order(judged):
    apply, params, frames, points = judged
    score, found = map(np.asarray, apply(params, frames, points))
    other_score, other = map(np.asarray, apply(params, frames[:, jnp.array([0, 2, 1])], points))
    # The statistics are the same, so that the first moment is, and those that changed places are not.
    np.testing.assert_allclose(other[:, 0], found[:, 0], atol=1e-5)
    assert np.abs(other[:, 1:] - found[:, 1:]).max() > 1e-5 and np.abs(other_score - score).max() > 1e-7
    turned_score, turned = apply(params, frames[::-1], points[::-1])
    np.testing.assert_allclose(turned, found[::-1], atol=1e-5)
    np.testing.assert_allclose(turned_score, score[::-1], atol=1e-5)


@pytest.mark.slow
def test_the_score_is_a_mean_and_landmarks_are_the_examples_plus_differences(judged):
    apply, params, frames, points = judged
    layers = dict(params['params'])
    layers['score'] = {'kernel': jnp.zeros((4, 1)), 'bias': jnp.full(1, 0.7)}
    layers['differences'] = {'kernel': jnp.zeros((4, 136)), 'bias': jnp.arange(136.0)}
    score, found = apply({'params': layers}, frames, points)
    np.testing.assert_allclose(score, [0.7, 0.7], rtol=1e-6)
    wanted = np.asarray(points)[:, None] + np.arange(136.0).reshape(1, 1, 68, 2)
    np.testing.assert_allclose(found, np.broadcast_to(wanted, (2, 3, 68, 2)), rtol=1e-5)


@pytest.mark.slow
def test_a_step_reports_the_losses_of_what_it_drew(film, method, batch):
    state = jax.jit(method.init)(jax.random.key(0))
    after, values = jax.jit(method.step)(jax.random.key(2), state, batch)
    network = LandmarksToFace(CONFIG.width, CONFIG.blocks)
    judge = RegressionDiscriminator(CONFIG.discriminator_width, CONFIG.hidden)
    mean = film[1].mean(0)
    known, truth = (
        SCALE * (each - mean.reshape(*(1,) * (each.ndim - 2), 68, 2))
        for each in (batch.example_landmarks, batch.landmarks)
    )
    real = 2 * batch.images - 1
    frames, _, mask = jax.jit(network.apply)({'params': state.params['generator']}, 2 * batch.example - 1, known, truth)
    judging = jax.jit(judge.apply)

    def discriminate(params, images):
        return (np.asarray(part, np.float64) for part in judging({'params': params}, images, known))

    softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
    (right, of_real), (wrong, of_fake) = (discriminate(state.params['discriminator'], x) for x in (real, frames))
    assert float(values['discriminator']) == pytest.approx(softplus(-right).mean() + softplus(wrong).mean(), rel=1e-4)
    regression = sum(((found - np.asarray(truth)) ** 2).mean() for found in (of_real, of_fake))
    assert float(values['regression']) == pytest.approx(regression, rel=1e-3)
    # The generator is judged by the discriminator's next parameters.
    score, regressed = discriminate(after.params['discriminator'], frames)
    terms = {
        'pixel': float(atvg.pixel_loss(frames, real, mask)),
        'adversarial': softplus(-score).mean(),
        'landmarks': float(atvg.landmark_loss(jnp.asarray(regressed, jnp.float32), truth)),
    }
    for name, wanted in terms.items():
        assert float(values[name]) == pytest.approx(wanted, rel=1e-3)
    assert float(values['loss']) == pytest.approx(
        10 * terms['pixel'] + terms['adversarial'] + terms['landmarks'], rel=1e-3
    )
    error = np.mean((np.asarray(frames) - np.asarray(real)) ** 2) / 4
    assert float(values['psnr']) == pytest.approx(-10 * np.log10(error), rel=1e-4)


@pytest.mark.slow
def test_it_learns_to_follow_the_landmarks(film):
    images, landmarks = film
    config = dataclasses.replace(CONFIG, width=8, learning_rate=3e-3, adversarial=0.1, landmarks=0.1)
    method = talking_face(config, landmarks.mean(0), size=(SIZE, SIZE), steps=STEPS)
    source = talking_batches.face_source(images, landmarks, batch=4, moments=MOMENTS)
    state = jax.jit(method.init)(jax.random.key(0))
    step = jax.jit(lambda key, state, data: method.step(key, state, source.draw(key, data)))
    first = state
    for k in range(STEPS):
        state, values = step(jax.random.key(k), state, source.data)
    assert int(state.step) == STEPS and all(np.isfinite(float(value)) for value in values.values())
    # All of the film is drawn by one frame, in stretches.
    parts = [each.reshape(-1, MOMENTS, *each.shape[1:]) for each in film[::-1]]
    example = FaceExample('film', images[8], landmarks[8], *parts)
    found, pictures = method.evaluate(state, example)
    truth = images.astype(float) / 255
    mean = -10 * np.log10(np.mean((truth - truth.mean(0, keepdims=True)) ** 2))
    assert found['psnr'] > mean + 3 and found['psnr'] > method.evaluate(first, example)[0]['psnr']
    np.testing.assert_array_equal(pictures['truth'], images[8])
    # What is reported is what is rendered, and the square brightens with the landmarks.
    count = len(parts[0])
    known = np.repeat(images[8:9] / np.float32(255), count, 0), np.repeat(landmarks[8:9], count, 0)
    drawn = np.asarray(method.render(state, FaceInputs(*map(jnp.asarray, (*known, parts[0])))).rgb)
    drawn = drawn.reshape(truth.shape)
    psnr = -10 * np.log10(np.mean((drawn - truth) ** 2, axis=(1, 2, 3)))
    assert found['psnr'] == pytest.approx(psnr.mean(), abs=0.02)
    bright = drawn[:, 12:20, 10:22].mean((1, 2, 3))
    assert np.corrcoef(bright, landmarks[:, 0, 1])[0, 1] > 0.8


def test_bad_input(film, method, batch):
    with pytest.raises(InputError, match='expected multiples of 16'):
        talking_face(CONFIG, film[1][0], size=(24, 16), steps=1)
    with pytest.raises(InputError, match='mean: got shape'):
        talking_face(CONFIG, film[1], size=(16, 16), steps=1)
    with pytest.raises(InputError, match='got a negative weight'):
        dataclasses.replace(CONFIG, pixel=-1)
    with pytest.raises(InputError, match='constant: got 2'):
        dataclasses.replace(CONFIG, constant=2)
    state = jax.eval_shape(method.init, jax.random.key(0))
    for changes, message in (
        ({'images': batch.images[:, :, :16]}, 'The method was made for this size'),
        ({'landmarks': batch.landmarks[:, 1:]}, 'They must match batch.images'),
        ({'example_landmarks': batch.example_landmarks[:1]}, r'batch\.example_landmarks'),
    ):
        with pytest.raises(InputError, match=message):
            jax.eval_shape(method.step, jax.random.key(0), state, dataclasses.replace(batch, **changes))
