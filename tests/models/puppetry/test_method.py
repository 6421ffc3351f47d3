import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data import expression_batches
from neurend.data.expression_batches import Spoken
from neurend.models.puppetry import method as puppetry
from neurend.models.puppetry.config import PuppetryConfig
from neurend.models.puppetry.method import Example, Inputs
from neurend.speech import expression, mapping
from neurend.speech import expression_losses as losses
from neurend.train.step import stepper


def _films():
    """Two speakers with the same letters, the second of whom moves the other way round and twice as far."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(316, 3))
    rows = np.stack([np.convolve(row, np.ones(5) / 5, 'same') for row in rows.T], 1)
    windows = (4 * rows - 7)[np.arange(300)[:, None] + np.arange(16)[None]].astype(np.float32)
    moves = np.tanh(rows[8:308] @ random.normal(size=(3, 4))).astype(np.float32)
    return [Spoken(windows, moves + 1, 0), Spoken(windows, -2 * moves, 1)]


def _method(config, films, rate=3e-3, ema=None):
    sizes = puppetry.scale(*map(list, zip(*films)))
    space = losses.coefficient_space(np.ones(4))
    return puppetry.puppetry(config, space, sizes, stepper=stepper(optax.adam(rate), ema_decay=ema))


CONFIG = PuppetryConfig(spread=0.02, loss=losses.LossConfig('l2', 1, 0.3, 0.3))
HEAR = jax.jit(expression.audio_expressions)


@pytest.fixture(scope='module')
def trained():
    films = _films()
    method = _method(CONFIG, films, ema=0.9)
    source = expression_batches.source(films, batch=8, moments=8)

    @jax.jit
    def train(state, data):
        def one(k, state):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(1), k))
            return method.step(keys[0], state, source.draw(keys[1], data))[0]

        return jax.lax.fori_loop(0, 200, one, state)

    return method, train(method.init(jax.random.key(0)), jax.tree.map(jnp.asarray, source.data))


def test_two_speakers_are_learned_in_one_network(trained):
    method, state = trained
    for k, film in enumerate(_films()):
        values, pictures = method.evaluate(state, Example('film', film.windows, film.expressions, k))
        assert values['explained_variance'] > 0.9
        assert values['correlation'] > 0.9
        assert values['jitter_ratio'] < 1.2
        assert pictures['curves'].dtype == np.uint8


def test_the_network_hears_raw_logits_and_says_what_the_method_does(trained):
    method, state = trained
    films = _films()
    found = jax.jit(method.render)(state, Inputs(jnp.asarray(films[1].windows), 1))
    assert found.rgb.shape == (4, 300, 3)
    params = puppetry.network(state)
    audio = HEAR(params, films[1].windows)
    ours = puppetry.speaker(state, 1)
    assert ours.network == mapping.fingerprint(params)
    np.testing.assert_allclose(ours(audio), found.extras['expressions'], atol=1e-4)


def test_a_new_person_is_fitted_to_what_the_network_hears(trained):
    _, state = trained
    film = _films()[0]
    audio = np.asarray(HEAR(puppetry.network(state), film.windows))
    mixed = film.expressions @ np.random.default_rng(2).normal(size=(4, 6)).astype(np.float32)
    fitted = mapping.ridge(audio[:200], mixed[:200], rest=mixed[:200].mean(0))
    error = np.square(np.asarray(fitted(jnp.asarray(audio[200:]))) - mixed[200:]).mean()
    assert error < 0.1 * mixed[200:].var(0).mean()


def test_standardised_layers_are_the_raw_ones_at_the_ends_of_windows_too():
    """The first layer pads raw zeros, so what is folded into it must count there."""
    films = _films()
    method = _method(CONFIG, films)
    state = method.init(jax.random.key(0))
    raw, inner = puppetry.network(state), state.params
    windows = films[0].windows[:3].astype(np.float64)
    aux = jax.device_get(state.aux)
    standard = np.pad(windows, ((0, 0), (1, 1), (0, 0)))
    standard = (standard - aux['mean']) / aux['deviation']
    first = jax.tree.map(np.asarray, inner['encoder']['convolution_0'])
    wanted = np.stack([np.einsum('nkc,kco->no', standard[:, t : t + 3], first['kernel']) for t in range(0, 16, 2)], 1)
    layer = jax.tree.map(np.asarray, raw['encoder']['convolution_0'])
    padded = np.pad(windows, ((0, 0), (1, 1), (0, 0)))
    found = np.stack([np.einsum('nkc,kco->no', padded[:, t : t + 3], layer['kernel']) for t in range(0, 16, 2)], 1)
    np.testing.assert_allclose(found + layer['bias'], wanted + first['bias'], atol=1e-4)


def test_the_loss_is_that_of_each_frame_with_its_own_eight_windows():
    films = _films()
    assert (CONFIG.own, CONFIG.before, CONFIG.after) == (3, 3, 4)
    config = PuppetryConfig(look_ahead=False, spread=0.1, loss=losses.LossConfig('rms', 1, 0, 0))
    assert (config.own, config.before, config.after) == (7, 7, 0)
    method = _method(config, films)
    state = method.init(jax.random.key(0))
    source = expression_batches.source(films, batch=2, moments=3, before=config.before, after=config.after)
    batch = jax.jit(source.draw)(jax.random.key(3), source.data)
    _, metrics = jax.jit(method.step)(jax.random.key(0), state, batch)

    @jax.jit
    def wanted(state, batch):
        params, rest = puppetry.network(state), state.aux['rest'][batch.speakers][:, None]
        windows = jnp.stack([batch.windows[:, k : k + 8] for k in range(3)], 1).reshape(6, 8, 16, 3)
        heard = expression.Audio2Expression(2, 4).apply({'params': params}, windows, jnp.repeat(batch.speakers, 3))
        own = expression.express(jnp.repeat(params['mapping'][batch.speakers], 3, 0), heard.codes[:, config.own])
        predicted, own = (each.reshape(2, 3, 4) + rest for each in (heard.expressions, own))
        return losses.terms(losses.coefficient_space(np.ones(4)), predicted, own, batch.expressions)

    parts = wanted(state, batch)
    for name, value in parts._asdict().items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4)
    np.testing.assert_allclose(metrics['loss'], parts.frames, rtol=1e-4)


def test_bad_input_is_refused():
    films = _films()
    with pytest.raises(InputError, match='none of the films is of speaker 0'):
        puppetry.scale([films[1].windows], [films[1].expressions], [1])
    with pytest.raises(InputError, match=r'space.root: got shape \(5, 5\), expected \(4, _\)'):
        sizes = puppetry.scale(*map(list, zip(*films)))
        puppetry.puppetry(CONFIG, losses.coefficient_space(np.ones(5)), sizes, stepper=stepper(optax.adam(1e-3)))
    with pytest.raises(InputError, match='intermediate: got 8, expected 0 to 7'):
        PuppetryConfig(intermediate=8)
    method = _method(CONFIG, films)
    batch = expression_batches.ExpressionBatch(jnp.zeros((2, 10, 16, 3)), jnp.zeros((2, 4, 4)), jnp.zeros(2, jnp.int32))
    with pytest.raises(InputError, match=r'batch.expressions: got shape \(2, 4, 4\), expected \(2, 3, 4\)'):
        jax.eval_shape(method.step, jax.random.key(0), jax.eval_shape(method.init, jax.random.key(0)), batch)
