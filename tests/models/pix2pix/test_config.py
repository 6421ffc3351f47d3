import itertools
import re

import jax
import jax.numpy as jnp
import pytest

from neurend.checks import InputError
from neurend.models.pix2pix import config as configs
from neurend.models.pix2pix.config import DiscriminatorConfig, GeneratorConfig, Pix2PixConfig
from neurend.nn.patchgan import MultiScale, PatchGAN, PixelGAN
from neurend.nn.resnet import GlobalGenerator, LocalEnhancer
from neurend.nn.unet import UNet

GENERATORS = {
    'unet': (GeneratorConfig('unet', width=2, depth=3), 8),
    'unet_bilinear': (GeneratorConfig('unet_bilinear', width=2, depth=2), 4),
    'dilated': (GeneratorConfig('dilated', width=2, depth=3), 1),
    'global': (GeneratorConfig('global', width=2, depth=2, blocks=1), 4),
    'local': (GeneratorConfig('local', width=2, depth=1, blocks=1), 4),
}


@pytest.mark.parametrize('name', GENERATORS)
def test_a_generator_takes_multiples_of_its_multiple_and_nothing_between(name):
    config, multiple = GENERATORS[name]
    assert configs.multiple(config) == multiple
    network = configs.generator(config, out=2)
    keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
    sizes = (1, 2 * multiple + 6 * (multiple == 1), 4 * multiple + 6 * (multiple == 1), 5)
    out = jax.eval_shape(lambda x: network.init_with_output(keys, x)[0], jnp.zeros(sizes))
    assert out.shape == (*sizes[:3], 2)
    if multiple > 1:
        with pytest.raises(InputError, match='multiples of'):
            jax.eval_shape(lambda x: network.init(keys, x), jnp.zeros((1, 2 * multiple + 1, 4 * multiple, 5)))


def test_every_choice_reaches_its_network():
    unet = configs.generator(GeneratorConfig('unet', 7, 5, 'none', 0.25, 1))
    assert unet == UNet(3, 7, 5, norm='none', dropout=0.25, refinements=1)
    assert configs.generator(GeneratorConfig('unet_bilinear', 7, 5)) == UNet(3, 7, 5, upsample='bilinear')
    coarse = GeneratorConfig('global', 7, 3, 'batch', blocks=2)
    assert configs.generator(coarse) == GlobalGenerator(3, 7, 3, 2, 'batch')
    fine = GeneratorConfig('local', 7, 3, 'batch', blocks=2)
    assert configs.generator(fine) == LocalEnhancer(3, 7, 3, 2, norm='batch')
    assert configs.discriminator(DiscriminatorConfig('patch', 7, 2)) == PatchGAN(7, 2)
    assert configs.discriminator(DiscriminatorConfig('pixel', 7, norm='none')) == PixelGAN(7, 'none')
    assert configs.discriminator(DiscriminatorConfig('multiscale', 7, 2, 3)) == MultiScale(3, 7, 2)


def test_the_defaults_have_as_many_parameters_as_the_released_networks():
    def count(network, channels):
        keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
        shapes = jax.eval_shape(lambda x: network.init(keys, x), jnp.zeros((1, 256, 256, channels)))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    # 4x4 kernels and their biases, layer by layer as Isola et al. (2017) list them.
    widths = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    encoder = sum(16 * i * o + o for i, o in itertools.pairwise(widths))
    doublings = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 3)]
    decoder = sum(16 * i * o + o for i, o in doublings)
    assert count(configs.generator(GeneratorConfig()), 3) == encoder + decoder
    patches = [6, 64, 128, 256, 512, 1]
    judge = sum(16 * i * o + o for i, o in itertools.pairwise(patches))
    assert count(configs.discriminator(DiscriminatorConfig()), 6) == judge


def test_choices_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match='frames: got 0'):
        Pix2PixConfig(frames=0)
    with pytest.raises(InputError, match='no features without a discriminator'):
        Pix2PixConfig(adversarial=0, features=10)
    with pytest.raises(InputError, match='both a weight and a file'):
        Pix2PixConfig(perceptual=10)
    with pytest.raises(InputError, match='both a weight and a file'):
        Pix2PixConfig(vgg='vgg19.pth')
    with pytest.raises(InputError, match='parts of 1'):
        Pix2PixConfig(ema=1)
    with pytest.raises(InputError, match='parts of 1'):
        Pix2PixConfig(constant=1.5)


@pytest.mark.parametrize(
    ('make', 'values', 'message'),
    [
        (GeneratorConfig, {'width': 0}, 'generator.width: got 0, expected at least 1'),
        (GeneratorConfig, {'depth': -1}, 'generator.depth: got -1'),
        (GeneratorConfig, {'blocks': -1}, 'generator.blocks: got -1, expected at least 0'),
        (GeneratorConfig, {'refinements': -1}, 'generator.refinements: got -1'),
        (GeneratorConfig, {'dropout': 2}, 'generator.dropout: got 2'),
        (GeneratorConfig, {'dropout': 1.0}, 'generator.dropout: got 1.0'),
        (DiscriminatorConfig, {'width': 0}, 'discriminator.width: got 0'),
        (DiscriminatorConfig, {'layers': -1}, 'discriminator.layers: got -1'),
        (DiscriminatorConfig, {'scales': 0}, 'discriminator.scales: got 0'),
        (Pix2PixConfig, {'learning_rate': -1}, 'learning_rate: got -1, expected a positive number'),
        (Pix2PixConfig, {'learning_rate': float('nan')}, 'learning_rate: got nan'),
        (Pix2PixConfig, {'l1': -1}, 'l1: got -1, expected at least 0'),
        (Pix2PixConfig, {'pool': -1}, 'pool: got -1'),
        (Pix2PixConfig, {'beta1': 1}, 'fix_coarse, beta1: got 0.0 and 1'),
    ],
)
def test_numbers_out_of_range_are_refused(make, values, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make(**values)
