"""The parts of a neural texture's loss reach what they are for, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.images import backbones
from neurend.losses import adversarial, perceptual
from neurend.models.neural_texture import deferred, objective
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.models.neural_texture.method import Code, neural_texture
from neurend.models.neural_texture.objective import Drawn
from neurend.train.step import stepper
from tests.losses import test_perceptual
from tests.models.neural_texture.test_method import SIZE, SMALL, torus, views

SIDE = 24
JUDGED = NeuralTextureConfig(adversarial=0.3, color=0.5, discriminator_width=4, discriminator_layers=1)


def windows(key):
    parts = jax.random.uniform(key, (2, 3, SIDE, SIDE, 3))
    return [Drawn(rgb, flat, jnp.ones((SIDE, SIDE)), truth) for rgb, flat, truth in parts]


def test_discriminator_and_pictures_do_not_learn_each_others_losses():
    drawn = windows(jax.random.key(0))
    judge = objective.discriminator(JUDGED)
    assert judge is not None
    params = judge.init(jax.random.key(1), jnp.zeros((1, SIDE, SIDE, 6)))['params']
    rgb, flat, truth = (jnp.stack([getattr(each, name) for each in drawn]) for name in ('rgb', 'flat', 'truth'))

    def total(params, rgb):
        given = [each._replace(rgb=picture) for each, picture in zip(drawn, rgb)]
        return objective.total(JUDGED, given, layered=True, vgg=None, judge=(judge, params))[0]

    def logits(params, pictures):
        return judge.apply({'params': params}, 2 * jnp.concatenate([flat, pictures], axis=-1) - 1)[-1]

    against = adversarial.objective('non_saturating')
    found = jax.grad(total, (0, 1))(params, rgb)
    alone = jax.grad(lambda p: against.discriminator(logits(p, truth), logits(p, rgb)) / 2)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), found[0], alone)
    pictures = jax.grad(lambda x: jnp.mean(jnp.square(x - truth)) + 0.3 * against.generator(logits(params, x)))(rgb)
    np.testing.assert_allclose(found[1], pictures, rtol=1e-4, atol=1e-8)


def test_color_counts_where_the_texture_is_seen():
    (one, two), half = windows(jax.random.key(2)), jnp.zeros((SIDE, SIDE)).at[:, : SIDE // 2].set(1)
    drawn = [one._replace(seen=half), two]
    config = dataclasses.replace(JUDGED, adversarial=0.0)
    loss, values = objective.total(config, drawn, layered=True, vgg=None, judge=None)
    rgb, flat, truth = (np.stack([getattr(each, n) for each in drawn]).astype(float) for n in ('rgb', 'flat', 'truth'))
    first = np.square(flat[0] - truth[0])[:, : SIDE // 2].mean()
    color = (first + np.square(flat[1] - truth[1]).mean()) / 2
    squares = np.square(rgb - truth).mean()
    np.testing.assert_allclose(loss, squares + 0.5 * color, rtol=1e-5)
    np.testing.assert_allclose(values['psnr'], -10 * np.log10(squares), rtol=1e-5)


@pytest.mark.slow
def test_a_classifier_is_asked_about_the_pictures_alone(tmp_path):
    test_perceptual.write(tmp_path / 'vgg19.npz', test_perceptual.VGG19)
    vgg, drawn = backbones.load(tmp_path / 'vgg19.npz', 'vgg19'), windows(jax.random.key(3))
    config = NeuralTextureConfig(perceptual=0.2, vgg='vgg19.npz', color=0.5)
    truth = jnp.stack([each.truth for each in drawn])

    def total(rgb, flat, vgg):
        given = [each._replace(rgb=picture, flat=under) for each, picture, under in zip(drawn, rgb, flat)]
        return objective.total(config, given, layered=True, vgg=vgg, judge=None)[0]

    gradients = jax.jit(jax.value_and_grad(total, (0, 1)))
    rgb, flat = (jnp.stack([getattr(each, name) for each in drawn]) for name in ('rgb', 'flat'))
    (loss, found), (without, plain) = (gradients(rgb, flat, weights) for weights in (vgg, None))
    value, slope = jax.jit(jax.value_and_grad(lambda x: 0.2 * perceptual.distance(vgg, x, truth)))(rgb)
    np.testing.assert_allclose(loss - without, value, rtol=1e-4)
    np.testing.assert_allclose(found[0] - plain[0], slope, atol=1e-3 * float(jnp.abs(slope).max()))
    np.testing.assert_allclose(found[1], plain[1], atol=1e-9)


def test_a_code_changes_one_level_of_the_texture():
    """As a texture that has that level to begin with; pictures of another code differ."""
    config = dataclasses.replace(
        SMALL, texture=TextureConfig(32, 12, 3, dynamic=1), network=NetworkConfig(unet=0, width=0), crop=0
    )
    camera = views(1, 0.4).camera(0)
    code = Code(3, lambda given: given)
    moving, still = (
        neural_texture(each, torus(), size=(SIZE, SIZE), stepper=stepper(optax.sgd(1.0)), code=of)
        for each, of in ((config, code), (dataclasses.replace(config, texture=TextureConfig(32, 12, 3)), None))
    )
    state = moving.init(jax.random.key(0))
    behind, given = jnp.ones(3), jnp.array([0.3, -1.0, 2.0])
    made = deferred.dynamic(config)
    assert made is not None
    changed = config.texture.deviation * made.apply({'params': state.params['dynamic']}, given[None])[0]
    levels = list(state.params['texture'])
    assert changed.shape == levels[1].shape and float(jnp.abs(changed).max()) > 1e-4
    levels[1] = levels[1] + changed
    fixed = still.init(jax.random.key(0)).replace(params={'texture': levels})
    picture = moving.render(state, Shot(camera, behind, given)).rgb
    np.testing.assert_allclose(picture, still.render(fixed, Shot(camera, behind)).rgb, atol=1e-6)
    assert float(jnp.abs(moving.render(state, Shot(camera, behind, -given)).rgb - picture).max()) > 1e-4


def test_bad_input():
    with pytest.raises(InputError, match='code: got none, expected one where the model uses it'):
        neural_texture(
            dataclasses.replace(SMALL, texture=TextureConfig(32, 12, 3, dynamic=1)),
            torus(),
            size=(SIZE, SIZE),
            stepper=stepper(optax.sgd(1.0)),
        )
    with pytest.raises(InputError, match='dynamic: got 3, expected a level, 0 to 2'):
        TextureConfig(32, 12, 3, dynamic=3)
    with pytest.raises(InputError, match='perceptual, vgg: expected both'):
        NeuralTextureConfig(perceptual=1.0)
