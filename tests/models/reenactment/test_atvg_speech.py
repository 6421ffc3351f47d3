"""ATVG's first network as a method: its basis, what it reports, and that it learns what can be heard."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import talking_batches
from neurend.models.reenactment import atvg
from neurend.models.reenactment.atvg_speech import (
    SCALE,
    SpeechConfig,
    SpeechExample,
    SpeechInputs,
    distances,
    dots,
    landmark_basis,
    speech_to_landmarks,
)

COUNT, ROWS, COEFFICIENTS = 40, 8, 9


@pytest.fixture(scope='module')
def film():
    """Landmarks that move along two directions, windows that tell how far along the first, and the directions."""
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(136, 2)))[0].T.reshape(2, 68, 2)
    amounts = random.normal(size=(COUNT, 2)) * [1.0, 0.1]
    landmarks = 0.3 * random.normal(size=(1, 68, 2)) + np.tensordot(amounts, directions, 1)
    windows = np.tile(np.tanh(amounts[:, :1, None] + 0.1 * np.arange(COEFFICIENTS)), (1, ROWS, 1))
    return landmarks.astype(np.float32), windows.astype(np.float32), directions


def test_the_basis_is_that_of_the_directions_of_motion(film):
    landmarks, _, directions = film
    mean, basis = landmark_basis(landmarks, 2)
    np.testing.assert_allclose(mean, SCALE * landmarks.mean(0).reshape(-1), atol=1e-5)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-5)
    # The first component is the larger motion, and two hold everything that moves.
    assert abs(float(basis[:, 0] @ directions[0].reshape(-1))) > 0.95
    values = atvg.components(SCALE * jnp.asarray(landmarks), mean, basis)
    np.testing.assert_allclose(atvg.from_components(values, mean, basis) / SCALE, landmarks, atol=1e-5)


def test_distances_by_hand():
    truth = np.zeros((2, 68, 2), np.float32)
    found = truth.copy()
    found[0, 48] = (0.3, 0.4)
    found[1, 5] = (0.0, 2.0)
    values = distances(jnp.asarray(found), jnp.asarray(truth))
    assert float(values['distance']) == pytest.approx((0.5 + 2) / (2 * 68))
    assert float(values['lips']) == pytest.approx(0.5 / (2 * 20))


def test_dots_lie_at_the_landmarks():
    landmarks = np.full((68, 2), -10.0, np.float32)  # beyond the picture
    landmarks[7] = (0.5, -0.25)
    picture = np.asarray(dots(jnp.asarray(landmarks)))
    rows, columns = np.mgrid[:96, :96] + 0.5
    weights = picture[..., 0] / picture[..., 0].sum()
    assert (weights * columns).sum() == pytest.approx(0.75 * 96, abs=0.05)
    assert (weights * rows).sum() == pytest.approx(0.375 * 96, abs=0.05)
    assert picture.min() >= 0 and picture.max() <= 1


@pytest.mark.slow
def test_it_learns_what_can_be_heard(film):
    landmarks, windows, _ = film
    config = SpeechConfig(components=2, width=2, hidden=16, learning_rate=5e-3)
    basis = landmark_basis(landmarks, 2)
    method = speech_to_landmarks(config, basis, rows=ROWS, coefficients=COEFFICIENTS, steps=150)
    source = talking_batches.speech_source(windows, landmarks, batch=4, moments=4)
    state = jax.jit(method.init)(jax.random.key(0))
    step = jax.jit(lambda key, state: method.step(key, state, source.draw(key, source.data)))
    for k in range(150):
        state, _ = step(jax.random.key(k), state)
    # All of the film at once, whose statistics batch norm takes.
    found, pictures = method.evaluate(state, SpeechExample('film', windows, landmarks, landmarks[20]))
    mean = np.linalg.norm(landmarks - landmarks.mean(0, keepdims=True), axis=-1).mean()
    assert found['distance'] < 0.5 * mean and int(state.step) == 150
    # What is reported is what is rendered.
    inputs = SpeechInputs(jnp.asarray(windows[None]), jnp.asarray(landmarks[20][None]))
    heard = np.asarray(method.render(state, inputs).extras['landmarks'])[0]
    assert found['distance'] == pytest.approx(np.linalg.norm(heard - landmarks, axis=-1).mean(), rel=1e-4)
    np.testing.assert_allclose(pictures['heard'], 255 * np.asarray(dots(jnp.asarray(heard[COUNT // 2]))), atol=1)


@pytest.mark.slow
def test_the_loss_is_the_squared_difference_of_components_and_noise_is_random(film):
    landmarks, windows, _ = film
    basis = landmark_basis(landmarks, 2)
    batch = talking_batches.SpeechBatch(
        windows=jnp.asarray(windows[None, :3]),
        landmarks=jnp.asarray(landmarks[None, :3]),
        example=jnp.asarray(landmarks[9][None]),
    )
    for noise in (0.0, 2.0):
        config = SpeechConfig(components=2, width=2, hidden=4, noise=noise)
        method = speech_to_landmarks(config, basis, rows=ROWS, coefficients=COEFFICIENTS, steps=1)
        state = jax.jit(method.init)(jax.random.key(0))
        step = jax.jit(method.step)
        found = [float(step(jax.random.key(k), state, batch)[1]['loss']) for k in (1, 2)]
        if noise:
            assert found[0] != found[1]
            continue
        heard = method.render(state, SpeechInputs(batch.windows, batch.example)).extras['landmarks']
        values = [atvg.components(SCALE * each, *basis) for each in (heard, batch.landmarks)]
        wanted = float(jnp.mean(jnp.square(values[0] - values[1])))
        assert found[0] == found[1] == pytest.approx(wanted, rel=1e-3)


def test_bad_input(film):
    landmarks, windows, _ = film
    with pytest.raises(InputError, match='components: got 0'):
        SpeechConfig(components=0)
    with pytest.raises(InputError, match='noise: got -1'):
        SpeechConfig(noise=-1)
    with pytest.raises(InputError, match='got 3, expected at least 4, the components'):
        landmark_basis(landmarks[:3], 4)
    basis = landmark_basis(landmarks, 2)
    with pytest.raises(InputError, match='Make it with config.components'):
        speech_to_landmarks(SpeechConfig(components=3), basis, rows=ROWS, coefficients=COEFFICIENTS, steps=1)
    config = SpeechConfig(components=2, width=2, hidden=4)
    for rows, coefficients in ((4, 7), (5, 6)):
        with pytest.raises(InputError, match='expected at least 5 and 7'):
            speech_to_landmarks(config, basis, rows=rows, coefficients=coefficients, steps=1)
    smallest = speech_to_landmarks(config, basis, rows=5, coefficients=7, steps=1)
    assert jax.eval_shape(smallest.init, jax.random.key(0)).params['speech_0']['kernel'].shape[0] == 16
    method = speech_to_landmarks(config, basis, rows=ROWS, coefficients=COEFFICIENTS, steps=1)
    state = jax.eval_shape(method.init, jax.random.key(0))
    batch = talking_batches.SpeechBatch(
        windows=windows[None, :3, 1:], landmarks=landmarks[None, :3], example=landmarks[:1]
    )
    with pytest.raises(InputError, match='The method was made for such windows'):
        jax.eval_shape(method.step, jax.random.key(0), state, batch)
