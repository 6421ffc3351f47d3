"""ATVG: losses by hand, layers of the published sizes, frames that are what the maps say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.models.reenactment import atvg
from neurend.models.reenactment.atvg_face import ConvolutionalGRU, LandmarksToFace


def test_components_are_coordinates_in_the_basis():
    random = np.random.default_rng(0)
    basis = jnp.asarray(np.linalg.qr(random.normal(size=(136, 6)))[0], jnp.float32)
    mean = jnp.asarray(random.normal(size=136), jnp.float32)
    values = jnp.asarray(random.normal(size=(3, 6)), jnp.float32)
    landmarks = atvg.from_components(values, mean, basis)
    np.testing.assert_allclose(atvg.components(landmarks, mean, basis), values, atol=1e-5)
    np.testing.assert_allclose(landmarks[0, 5], (mean + basis @ values[0])[10:12], atol=1e-5)
    np.testing.assert_allclose(atvg.amplify(jnp.ones(6)), [1, 2.2, 2.4, 2.6, 2.8, 3])


def test_pixels_count_by_the_map_which_learns_nothing_from_it():
    random = np.random.default_rng(0)
    frames, truth = (jnp.asarray(random.random((2, 4, 4, 3)), jnp.float32) for _ in range(2))
    mask = jnp.asarray(random.random((2, 4, 4, 1)), jnp.float32)
    wanted = ((np.asarray(mask) + 0.5) * np.abs(np.asarray(frames) - np.asarray(truth))).mean()
    assert float(atvg.pixel_loss(frames, truth, mask)) == pytest.approx(wanted, rel=1e-5)
    of_frames, of_mask = jax.grad(lambda f, m: atvg.pixel_loss(f, truth, m), (0, 1))(frames, mask)
    assert not np.any(of_mask)
    wanted = (np.asarray(mask) + 0.5) * np.sign(np.asarray(frames - truth)) / frames.size
    np.testing.assert_allclose(of_frames, wanted, rtol=1e-4)


def test_heights_of_lips_count_more():
    zeros = jnp.zeros((2, 68, 2))

    def loss(point, axis):
        return float(atvg.landmark_loss(zeros.at[0, point, axis].set(0.5), zeros))

    assert loss(47, 1) == loss(50, 0) == pytest.approx(0.25 / (2 * 68 * 2))
    assert loss(48, 1) == loss(67, 1) == pytest.approx(100 * loss(47, 1))


def test_the_speech_network_has_the_published_layers():
    network = atvg.SpeechToLandmarks()
    windows, example = jax.ShapeDtypeStruct((2, 16, 28, 12), jnp.float32), jax.ShapeDtypeStruct((2, 6), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), windows, example)['params']
    assert params['speech_0']['kernel'].shape == (12288, 2048)
    assert params['speech_1']['kernel'].shape == (2048, 256)
    assert params['example_1']['kernel'].shape == (256, 512)
    assert params['lstm_0']['ii']['kernel'].shape == (768, 256)
    assert params['layer_4']['kernel'].shape == (3, 3, 256, 512)
    assert jax.eval_shape(network.apply, {'params': params}, windows, example).shape == (2, 16, 6)


@pytest.mark.slow
def test_speech_is_heard_in_order():
    network = atvg.SpeechToLandmarks(width=2, hidden=4)
    windows = jax.random.normal(jax.random.key(0), (2, 3, 28, 12))
    example = jax.random.normal(jax.random.key(1), (2, 6))
    params = network.init(jax.random.key(2), windows, example)
    found = np.asarray(jax.jit(network.apply)(params, windows, example))
    # Two sequences that change places change places; the same sounds in another order are other speech, but the same
    # statistics of the batch: what is heard first does not depend on the order of what follows.
    np.testing.assert_allclose(jax.jit(network.apply)(params, windows[::-1], example[::-1]), found[::-1], atol=1e-5)
    other = np.asarray(jax.jit(network.apply)(params, windows[:, jnp.array([0, 2, 1])], example))
    np.testing.assert_allclose(other[:, 0], found[:, 0], atol=1e-5)
    assert np.abs(other[:, 1:] - found[:, 1:]).max() > 1e-5


def test_a_gated_unit_of_one_pixel_by_hand():
    unit = ConvolutionalGRU(3)
    state, x = (jax.random.normal(jax.random.key(k), (2, 1, 1, c)) for k, c in ((0, 3), (1, 2)))
    params = unit.init(jax.random.key(2), state, x)['params']
    params = jax.tree.map(lambda leaf: 40 * leaf, params)
    found, again = unit.apply({'params': params}, state, x)
    # Around a single pixel there are zeros: only the middle of each kernel counts.
    weights = {name: np.asarray(layer['kernel'], np.float64)[1, 1] for name, layer in params.items()}
    h, inputs = (np.asarray(part, np.float64)[:, 0, 0] for part in (state, x))
    gates = 1 / (1 + np.exp(-np.concatenate([inputs, h], -1) @ weights['gates']))
    update, reset = gates[:, :3], gates[:, 3:]
    candidate = np.tanh(np.concatenate([inputs, reset * h], -1) @ weights['candidate'])
    np.testing.assert_allclose(found[:, 0, 0], (1 - update) * h + update * candidate, atol=1e-5)
    np.testing.assert_array_equal(found, again)


@pytest.fixture(scope='module')
def face():
    network = LandmarksToFace(width=2, blocks=1)
    example = jax.random.uniform(jax.random.key(0), (1, 16, 16, 3), minval=-1)
    rest, moving = (jax.random.normal(jax.random.key(k), shape) for k, shape in ((1, (1, 68, 2)), (2, (1, 2, 68, 2))))
    params = jax.jit(network.init)(jax.random.key(3), example, rest, moving)['params']
    return network, params, (example, rest, moving)


@pytest.mark.slow
def test_frames_are_composed_of_colour_and_example(face):
    network, params, inputs = face
    apply = jax.jit(lambda p: network.apply({'params': p}, *inputs))
    frames, color, mask = (np.asarray(part) for part in apply(params))
    example = np.asarray(inputs[0])[:, None]
    assert frames.shape == (1, 2, 16, 16, 3) and mask.min() > 0 and mask.max() < 1
    np.testing.assert_allclose(frames, mask * color + (1 - mask) * example, atol=1e-5)
    assert np.abs(frames[:, 0] - frames[:, 1]).max() > 0  # the moments differ, as their landmarks do
    # A closed mask leaves the example.
    head = params['head'] | {'mask': params['head']['mask'] | {'bias': jnp.full(1, -40.0)}}
    np.testing.assert_allclose(apply(params | {'head': head})[0], np.broadcast_to(example, frames.shape), atol=1e-5)


def test_bad_input():
    network, params = LandmarksToFace(width=2, blocks=1), {}
    example, rest, moving = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 68, 2)), jnp.zeros((1, 2, 68, 2))
    with pytest.raises(InputError, match='expected multiples of 16'):
        network.apply({'params': params}, example[:, :15], rest, moving)
    with pytest.raises(InputError, match='landmarks: got shape'):
        network.apply({'params': params}, example, rest, moving[..., :1])
    with pytest.raises(InputError, match='Give one example for each sequence'):
        atvg.SpeechToLandmarks(width=2, hidden=4).apply({'params': {}}, jnp.zeros((2, 1, 28, 12)), jnp.zeros((1, 6)))
    with pytest.raises(InputError, match='values: got shape'):
        atvg.amplify(jnp.ones(5))
