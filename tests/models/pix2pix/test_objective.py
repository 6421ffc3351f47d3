import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.models.pix2pix import objective
from neurend.models.pix2pix.config import DiscriminatorConfig, Pix2PixConfig


def pictures(seed, *shape):
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1)


def softplus(x):
    return np.logaddexp(0, np.asarray(x, np.float64))


def affine(x):
    """A discriminator of one hidden layer and logits of one value per pixel."""
    hidden = 2 * x[..., :2] - 0.3
    return [hidden, jnp.sum(hidden, axis=-1, keepdims=True)]


def two_scales(x):
    return [affine(x), affine(x[:, ::2, ::2])]


def logits(x, step=1):
    return np.sum(2 * np.asarray(x, np.float64)[:, ::step, ::step, :2] - 0.3, axis=-1)


@pytest.mark.parametrize('scales', [1, 2])
def test_the_discriminator_minimises_half_of_the_objective(scales):
    discriminate = affine if scales == 1 else two_scales
    real, fake = pictures(0, 2, 4, 4, 5), pictures(1, 2, 4, 4, 5)
    expected = 0.5 * sum(
        softplus(-logits(real, step)).mean() + softplus(logits(fake, step)).mean() for step in range(1, scales + 1)
    )
    for norm in ('instance', 'batch'):
        config = Pix2PixConfig(discriminator=DiscriminatorConfig(norm=norm))
        assert float(objective.discriminator_loss(config, discriminate, real, fake)) == pytest.approx(
            expected, rel=1e-5
        )


def test_statistics_of_real_and_generated_images_do_not_mix():
    def normalized(x):
        return [x, jnp.mean(x - jnp.mean(x, axis=(0, 1, 2), keepdims=True), axis=-1, keepdims=True) + 1]

    config = Pix2PixConfig(discriminator=DiscriminatorConfig(norm='batch'), objective='least_squares')
    real, fake = pictures(0, 1, 4, 4, 1) + 5, pictures(1, 1, 4, 4, 1)

    def apart(x):
        return np.asarray(x, np.float64) - np.asarray(x, np.float64).mean() + 1

    expected = 0.5 * (np.square(apart(real) - 1).mean() + np.square(apart(fake)).mean())
    assert float(objective.discriminator_loss(config, normalized, real, fake)) == pytest.approx(expected, rel=1e-5)


def test_the_generator_minimises_the_weighted_sum_of_its_terms():
    config = Pix2PixConfig(adversarial=0.5, l1=7.0, features=3.0)
    fakes, reals = ([pictures(k + seed, 2, 4, 4, 3) for k in range(2)] for seed in (0, 10))

    def show(images):
        return jnp.concatenate(images, axis=0)

    total, terms = objective.generator_loss(config, affine, None, show, fakes, reals)
    fake, real = (np.concatenate([np.asarray(x, np.float64) for x in part]) for part in (fakes, reals))
    assert float(terms['l1']) == pytest.approx(np.abs(fake - real).mean(), rel=1e-5)
    assert float(terms['adversarial']) == pytest.approx(softplus(-logits(fake)).mean(), rel=1e-5)
    # The one hidden layer has the weight 4 / (0 + 1) of pix2pixHD, and differences are doubled by it.
    assert float(terms['features']) == pytest.approx(4 * 2 * np.abs(fake - real)[..., :2].mean(), rel=1e-5)
    expected = 0.5 * terms['adversarial'] + 7 * terms['l1'] + 3 * terms['features']
    assert float(total) == pytest.approx(float(expected), rel=1e-6)


def test_without_a_discriminator_l1_is_all():
    config = Pix2PixConfig(adversarial=0)
    fake, real = [pictures(0, 1, 4, 4, 3)], [pictures(1, 1, 4, 4, 3)]
    total, terms = objective.generator_loss(config, None, None, lambda images: images[0], fake, real)
    assert set(terms) == {'l1'} and float(total) == pytest.approx(100 * float(terms['l1']))
