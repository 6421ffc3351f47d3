import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.losses import adversarial

LOGITS = np.array([-100.0, -3.0, 0.0, 0.5, 100.0])


def log_sigmoid(x):
    """In float64, where log(1 + exp(-|x|)) is exact enough and nothing overflows."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    return np.exp(log_sigmoid(x))


# For each logit: loss of a real one, of a generated one, the generator's; then their derivatives.
CLOSED_FORMS = {
    'minimax': (
        lambda x: (-log_sigmoid(x), -log_sigmoid(-x), log_sigmoid(-x)),
        lambda x: (-sigmoid(-x), sigmoid(x), -sigmoid(x)),
    ),
    'non_saturating': (
        lambda x: (-log_sigmoid(x), -log_sigmoid(-x), -log_sigmoid(x)),
        lambda x: (-sigmoid(-x), sigmoid(x), -sigmoid(-x)),
    ),
    'least_squares': (
        lambda x: ((x - 1) ** 2, x**2, (x - 1) ** 2),
        lambda x: (2 * (x - 1), 2 * x, 2 * (x - 1)),
    ),
    'hinge': (
        lambda x: (np.maximum(1 - x, 0), np.maximum(1 + x, 0), -x),
        lambda x: (-(x < 1).astype(float), (x > -1).astype(float), np.full_like(x, -1)),
    ),
}


@pytest.mark.parametrize('name', typing.get_args(adversarial.Name))
def test_values_and_gradients_are_the_closed_forms(name):
    value, slope = CLOSED_FORMS[name]
    loss = adversarial.objective(name)
    real, fake = jnp.float32(LOGITS), jnp.float32(LOGITS[::-1] * 0.9)
    of_real, (_, of_fake, generator) = value(LOGITS)[0], value(LOGITS[::-1] * 0.9)
    np.testing.assert_allclose(loss.discriminator(real, fake), of_real.mean() + of_fake.mean(), rtol=1e-6)
    np.testing.assert_allclose(loss.generator(fake), generator.mean(), rtol=1e-6)
    to_real, to_fake = jax.grad(loss.discriminator, argnums=(0, 1))(real, fake)
    np.testing.assert_allclose(to_real, slope(LOGITS)[0] / 5, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(to_fake, slope(LOGITS[::-1] * 0.9)[1] / 5, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(jax.grad(loss.generator)(fake), slope(LOGITS[::-1] * 0.9)[2] / 5, rtol=1e-5, atol=1e-30)


def test_minimax_at_the_optimal_discriminator_is_log_4_less_twice_the_jensen_shannon_divergence():
    # Two distributions over five outcomes, drawn in exact proportion; D = p / (p + q) is optimal for them.
    p, q = np.array([[8, 4, 2, 1, 1], [1, 3, 4, 4, 4]]) / 16
    logits = np.log(p / q)
    real, fake = (jnp.float32(np.repeat(logits, (16 * weights).astype(int))) for weights in (p, q))
    middle = (p + q) / 2
    divergence = 0.5 * (p * np.log(p / middle)).sum() + 0.5 * (q * np.log(q / middle)).sum()
    loss = adversarial.objective('minimax')
    np.testing.assert_allclose(loss.discriminator(real, fake), np.log(4) - 2 * divergence, rtol=1e-6)
    # It is optimal: the loss of each outcome's logit is stationary.
    per_outcome = jax.grad(lambda logits: p @ jax.nn.softplus(-logits) + q @ jax.nn.softplus(logits))(logits)
    np.testing.assert_allclose(per_outcome, 0, atol=1e-6)
    # Equal distributions: D = 1/2 everywhere and log 4.
    np.testing.assert_allclose(loss.discriminator(jnp.zeros(7), jnp.zeros(7)), np.log(4), rtol=1e-6)


def test_the_minimax_generator_descends_where_the_discriminator_ascends():
    loss = adversarial.objective('minimax')
    real, fake = jnp.float32([0.3, -2.0]), jnp.float32([1.5, -0.2])
    against = jax.grad(loss.discriminator, argnums=1)(real, fake)
    np.testing.assert_allclose(jax.grad(loss.generator)(fake), -against, rtol=1e-6)


@pytest.mark.parametrize('name', typing.get_args(adversarial.Name))
def test_scales_are_summed_each_a_mean_over_its_patches(name):
    rng = np.random.default_rng(0)
    real = [jnp.float32(rng.normal(size=(2, size, size, 1))) for size in (4, 2)]
    fake = [jnp.float32(rng.normal(size=(2, size, size, 1))) for size in (4, 2)]
    loss = adversarial.objective(name)
    each = [loss.discriminator(r, f) for r, f in zip(real, fake)]
    np.testing.assert_allclose(loss.discriminator(real, fake), sum(each), rtol=1e-6)
    np.testing.assert_allclose(loss.generator(tuple(fake)), sum(map(loss.generator, fake)), rtol=1e-5)


def test_an_unknown_objective_is_named():
    with pytest.raises(InputError, match=r"objective: got 'wgan', expected one of 'minimax', 'non_saturating'"):
        adversarial.objective(typing.cast(adversarial.Name, 'wgan'))


def test_r1_of_a_linear_discriminator_is_the_squared_length_of_its_weights():
    rng = np.random.default_rng(1)
    weights, images = jnp.float32(rng.normal(size=12)), jnp.float32(rng.normal(size=(5, 12)))

    @jax.jit
    def penalty(weights):
        return adversarial.r1(lambda images: images @ weights + 3, images)

    value, gradient = jax.value_and_grad(penalty)(weights)
    np.testing.assert_allclose(value, np.square(weights).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * weights, rtol=1e-5)


def test_r1_of_a_curved_discriminator_and_its_gradient():
    # D(x) = tanh(w . x): the squared gradient is |w|^2 / cosh^4(w . x).
    rng = np.random.default_rng(2)
    weights, images = 0.5 * rng.normal(size=6), rng.normal(size=(4, 2, 3, 1))

    def closed_form(weights):
        return np.mean(weights @ weights / np.cosh(images.reshape(4, -1) @ weights) ** 4)

    def penalty(weights):
        return adversarial.r1(lambda x: jnp.tanh(x.reshape(len(x), -1) @ weights), jnp.float32(images))

    value, gradient = jax.value_and_grad(penalty)(jnp.float32(weights))
    np.testing.assert_allclose(value, closed_form(weights), rtol=1e-5)
    steps = 1e-5 * np.eye(6)
    slopes = [(closed_form(weights + step) - closed_form(weights - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)


def test_r1_takes_the_mean_over_patches_and_the_sum_over_scales():
    images = jnp.float32(np.random.default_rng(3).normal(size=(3, 8)))

    def discriminator(images):
        return [3 * images, images[:, :4].reshape(3, 2, 2, 1)]

    # Each of the first four pixels has the slope 3/8 + 1/4, each of the last four 3/8.
    want = 4 * (3 / 8 + 1 / 4) ** 2 + 4 * (3 / 8) ** 2
    np.testing.assert_allclose(adversarial.r1(discriminator, images), want, rtol=1e-6)
