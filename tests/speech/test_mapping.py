import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import expression, mapping
from neurend.speech import expression_losses as losses

RANDOM = np.random.default_rng(0)
AUDIO = np.tanh(RANDOM.normal(size=(200, 32))).astype(np.float32)
TRUTH = 0.1 * RANDOM.normal(size=(5, 32))
SPACE = losses.vertex_space(RANDOM.normal(size=(5, 20, 3)), (np.arange(20) < 6).astype(np.float32))


def _expressions(noise=0.0):
    return (10 * AUDIO @ TRUTH.T + noise * RANDOM.normal(size=(200, 5))).astype(np.float32)


@pytest.mark.parametrize('space', [None, SPACE])
def test_a_linear_face_is_found_exactly(space):
    found = mapping.ridge(AUDIO, _expressions() + 0.3, space=space, strength=0, rest=np.full(5, 0.3))
    np.testing.assert_allclose(found.matrix, TRUTH, atol=1e-5)
    np.testing.assert_allclose(found(jnp.asarray(AUDIO)), _expressions() + 0.3, atol=1e-4)


@pytest.mark.parametrize('space', [None, SPACE])
def test_the_penalised_minimum_has_no_slope(space):
    wanted, strength = _expressions(1.0).astype(np.float64), 0.1
    matrix = np.asarray(mapping.ridge(AUDIO, wanted, space=space, strength=strength).matrix, np.float64)
    root = np.eye(5) if space is None else np.asarray(space.root, np.float64)
    gram, heard = root @ root.T, 10 * AUDIO.astype(np.float64)
    penalty = strength * np.trace(heard.T @ heard / 200) / 32 * np.trace(gram) / 5
    slope = gram @ (heard @ matrix.T - wanted).T @ heard / 200 + penalty * matrix
    assert abs(slope).max() < 1e-4 * abs(penalty * matrix).max()


def test_least_squares_agrees_with_numpy_also_where_audio_has_fewer_dimensions():
    flat = np.concatenate([AUDIO[:, :10], np.zeros((200, 22), np.float32)], axis=1)
    wanted = _expressions(0.5)
    found = mapping.ridge(flat, wanted, strength=0)
    np.testing.assert_allclose(found.matrix, np.linalg.lstsq(10 * flat, wanted, rcond=None)[0].T, atol=1e-5)


@pytest.mark.parametrize('space', [None, SPACE])
def test_gradients_end_near_the_closed_form(space):
    wanted = _expressions()
    found = mapping.gradient(jax.random.key(0), AUDIO, wanted, space=space)
    np.testing.assert_allclose(found.matrix, mapping.ridge(AUDIO, wanted, space=space, strength=0).matrix, atol=3e-3)


def _params(seed, speakers=2):
    network = expression.Audio2Expression(speakers, 5)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 16, 29)), jnp.zeros(1, jnp.int32))
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), shapes['params'])


def test_a_mapping_of_another_network_is_detected(tmp_path):
    params, path = _params(0), tmp_path / 'mappings' / 'someone.npz'
    name = mapping.fingerprint(params)
    fitted = mapping.ridge(AUDIO, _expressions(), rest=np.arange(5), network=name)
    mapping.save(path, fitted)
    again = mapping.load(path, network=mapping.fingerprint({**params, 'mapping': params['mapping'][:1]}), expressions=5)
    np.testing.assert_array_equal(again.matrix, fitted.matrix)
    np.testing.assert_array_equal(again.rest, fitted.rest)
    bent = jax.tree.map(np.copy, params)
    bent['attention_2']['bias'][1] += 1e-3
    others = [mapping.fingerprint(bent), mapping.fingerprint(_params(1)), mapping.fingerprint(params, look_ahead=False)]
    assert len({name, *others}) == 4
    for other in others:
        with pytest.raises(InputError, match='was fitted to another network .* Delete it, or fit it anew'):
            mapping.load(path, network=other)
    with pytest.raises(InputError, match=r'got shape \(5, 32\), expected \(e=53, 32\)'):
        mapping.load(path, network=name, expressions=53)


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(InputError, match=r'expressions: got shape \(199, 5\), expected \(t=200, e\)'):
        mapping.ridge(AUDIO, _expressions()[1:])
    with pytest.raises(InputError, match='expressions: got 4, expected 5, those of the face model'):
        mapping.ridge(AUDIO, _expressions()[:, 1:], space=SPACE)
    with pytest.raises(InputError, match='expressions: 1 of 1000 values not finite'):
        mapping.ridge(AUDIO, np.where(np.arange(1000).reshape(200, 5) == 7, np.nan, _expressions()))
    with pytest.raises(InputError, match='got no frames'):
        mapping.ridge(AUDIO[:0], _expressions()[:0])
    with pytest.raises(InputError, match='strength: got -1'):
        mapping.ridge(AUDIO, _expressions(), strength=-1)
    np.savez(tmp_path / 'other.npz', a=np.zeros(1))
    with pytest.raises(InputError, match='expected matrix, rest and network'):
        mapping.load(tmp_path / 'other.npz', network='')
