import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import expression_losses as losses

RANDOM = np.random.default_rng(0)
BASIS, MOUTH = 0.01 * RANDOM.normal(size=(4, 7, 3)), (np.arange(7) < 3).astype(np.float32)
SPACE = losses.vertex_space(BASIS, MOUTH)


def _vertices(kind, difference):
    """The published formulas, vertex by vertex."""
    moved = np.einsum('...e,evc->...vc', difference, BASIS)
    weights = (MOUTH + 0.1)[:, None]
    if kind == 'l1':
        return (weights * np.abs(moved)).mean()
    square = (weights * moved**2).mean()
    return np.sqrt(square) if kind == 'rms' else square


@pytest.mark.parametrize('kind', ['rms', 'l2', 'l1'])
def test_vertex_space_is_that_of_the_vertices(kind):
    difference = RANDOM.normal(size=(2, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(losses.distance(SPACE, difference, kind=kind), _vertices(kind, difference), rtol=1e-5)


def test_coefficients_are_weighed_one_by_one():
    weights, difference = np.array([1.0, 0.0, 4.0]), np.array([[1.0, 5.0, -2.0]], np.float32)
    space = losses.coefficient_space(weights)
    np.testing.assert_allclose(losses.distance(space, difference, kind='l2'), 17 / 3, rtol=1e-6)
    np.testing.assert_allclose(losses.distance(space, difference, kind='l1'), 9 / 3, rtol=1e-6)


def test_terms_are_the_published_ones():
    predicted, own, target = RANDOM.normal(size=(3, 6, 3, 4)).astype(np.float32)
    parts = losses.terms(SPACE, predicted, own, target)
    p, q = predicted.astype(np.float64), target.astype(np.float64)
    (a, b, c), (x, y, z) = np.moveaxis(p, 1, 0), np.moveaxis(q, 1, 0)

    def away(difference):
        return _vertices('rms', difference)

    frames = away(b - y) + away(a - x) + away(c - z)
    temporal = away((b - c) - (y - z)) + away((a - b) - (x - y)) + away((c - a) - (z - x))
    np.testing.assert_allclose(parts.frames, frames, rtol=1e-5)
    np.testing.assert_allclose(parts.intermediate, away(own[:, 1] - target[:, 1]), rtol=1e-5)
    np.testing.assert_allclose(parts.temporal, temporal, rtol=1e-5)
    wanted = 1000 * frames + 3000 * away(own[:, 1] - target[:, 1]) + 20000 * temporal
    np.testing.assert_allclose(losses.total(losses.LossConfig(), parts), wanted, rtol=1e-5)


def test_a_constant_offset_costs_no_motion_and_gradients_are_finite_where_all_is_right():
    target = jnp.asarray(RANDOM.normal(size=(2, 4, 4)), jnp.float32)
    parts = losses.terms(SPACE, target + 1, target, target)
    assert float(parts.frames) > 0
    assert float(parts.temporal) < 1e-6

    def loss(predicted):
        return losses.total(losses.LossConfig(), losses.terms(SPACE, predicted, predicted, target))

    assert np.isfinite(jax.grad(loss)(target)).all()


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r'predicted: got 2 frames, expected at least 3'):
        losses.terms(SPACE, *[jnp.zeros((1, 2, 4))] * 3)
    with pytest.raises(InputError, match=r'difference: got shape \(2, 5\), expected \(..., 4\)'):
        losses.distance(SPACE, jnp.zeros((2, 5)))
    with pytest.raises(InputError, match='expected 0 or more, and some above'):
        losses.coefficient_space(np.zeros(3))
    with pytest.raises(InputError, match=r'mouth: got shape \(6,\), expected \(v=7,\)'):
        losses.vertex_space(BASIS, MOUTH[:6])
    with pytest.raises(InputError, match='weights of the loss'):
        losses.LossConfig(frames=-1)
