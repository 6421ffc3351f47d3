import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend import checks
from neurend.images import tone


def _colors():
    return jnp.asarray(np.random.default_rng(0).gamma(1.0, 2.0, (50, 3)), jnp.float32)


def test_a_stop_doubles():
    np.testing.assert_allclose(tone.expose(jnp.array([1.0, 3.0]), 1), [2, 6])
    np.testing.assert_allclose(tone.expose(jnp.array([1.0, 3.0]), jnp.array([-1.0, 2.0])), [0.5, 12])


def test_luminance_of_the_primaries_and_white():
    np.testing.assert_allclose(tone.luminance(jnp.eye(3)), [0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(tone.luminance(jnp.ones((2, 3))), [1, 1], rtol=1e-6)


@pytest.mark.parametrize('white', [float('inf'), 4.0])
def test_reinhard_maps_luminance_and_keeps_hue(white):
    colors = _colors()
    mapped = tone.reinhard(colors, white=white)
    light = np.asarray(tone.luminance(colors), np.float64)
    np.testing.assert_allclose(tone.luminance(mapped), light * (1 + light / white**2) / (1 + light), rtol=1e-5)
    np.testing.assert_allclose(mapped[:, 0] * colors[:, 1], mapped[:, 1] * colors[:, 0], rtol=1e-5)
    grays = jnp.full((1, 3), 4.0)
    np.testing.assert_allclose(tone.reinhard(grays, white=white), 0.8 if white > 4 else 1, rtol=1e-5)


def test_aces_rises_from_black_to_white():
    x = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-4, 1e9, 400), jnp.array([jnp.inf])])
    y = np.asarray(tone.aces(x))
    assert y[0] == 0 and y[-1] == 1 and (np.diff(y) >= 0).all()
    # White is where the numerator reaches the denominator: 0.08 x^2 - 0.56 x - 0.14 = 0.
    white = (0.56 + np.sqrt(0.56**2 + 4 * 0.08 * 0.14)) / 0.16
    assert y[np.asarray(x) < white * 0.99].max() < 1 and (y[np.asarray(x) > white * 1.01] == 1).all()
    np.testing.assert_allclose(tone.aces(jnp.array([1.0])), 2.54 / 3.16, rtol=1e-6)


def test_gradients():
    with jax.enable_x64(True):
        colors = jnp.asarray(np.random.default_rng(0).uniform(0.1, 3, (5, 3)))

        def curves(colors, stops):
            exposed = tone.expose(colors, stops)
            return tone.reinhard(exposed, white=3.0), tone.aces(exposed)

        jax.test_util.check_grads(jax.jit(curves), (colors, 0.3), order=1, modes=('fwd', 'rev'))
    for curve in (tone.reinhard, tone.aces):
        assert np.all(np.isfinite(jax.grad(lambda x, f=curve: f(x).sum())(jnp.array([[0.0, 0, 0], [-3, 0, 0]]))))


def test_wrong_arguments_are_named():
    with pytest.raises(checks.InputError, match='white: got 0'):
        tone.reinhard(jnp.ones((2, 3)), white=0)
    with pytest.raises(checks.InputError, match='linear: got shape'):
        tone.luminance(jnp.ones((2, 4)))
