import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.pair_batches import PairBatch
from neurend.models.pix2pix.config import DiscriminatorConfig, GeneratorConfig, Pix2PixConfig
from neurend.models.pix2pix.method import pix2pix

GLOBAL = Pix2PixConfig(
    generator=GeneratorConfig('global', width=4, depth=1, blocks=1),
    discriminator=DiscriminatorConfig(width=2, layers=1),
    adversarial=0.0,
)
LOCAL = dataclasses.replace(
    GLOBAL, generator=GeneratorConfig('local', width=2, depth=1, blocks=1), fix_coarse=0.5, learning_rate=1e-2
)


@pytest.mark.slow
def test_the_enhancer_begins_with_the_global_generator_and_holds_it_for_half_the_run():
    coarse = pix2pix(GLOBAL, channels=3, size=(8, 8), steps=4).init(jax.random.key(1)).params['generator']
    method = pix2pix(LOCAL, channels=3, size=(16, 16), steps=4, coarse=coarse)
    state = method.init(jax.random.key(0))
    images = jax.random.uniform(jax.random.key(2), (2, 1, 16, 16, 3))
    step, moved = jax.jit(method.step), []
    for number in range(4):
        state, _ = step(jax.random.key(number), state, PairBatch(images[0], images[1]))
        inner = state.params['generator']['coarse']
        moved.append(
            max(float(jnp.abs(inner[name]['kernel'] - coarse[name]['kernel']).max()) for name in ('first', 'down_0'))
        )
    assert moved[:2] == [0, 0]
    assert moved[3] > moved[2] > 0
    assert 'last' not in state.params['generator']['coarse']


@pytest.mark.slow
def test_a_generator_of_another_width_is_refused():
    coarse = pix2pix(LOCAL, channels=3, size=(16, 16), steps=4).init(jax.random.key(1)).params['generator']['coarse']
    wide = dataclasses.replace(LOCAL, generator=dataclasses.replace(LOCAL.generator, width=3))
    with pytest.raises(InputError, match='twice the width'):
        pix2pix(wide, channels=3, size=(16, 16), steps=4, coarse=coarse).init(jax.random.key(0))
    with pytest.raises(InputError, match='only local has that part'):
        dataclasses.replace(GLOBAL, fix_coarse=0.5)


def test_a_generator_begins_with_the_weights_given_and_everything_else_does_not():
    options = {'channels': 3, 'size': (8, 8), 'steps': 4}
    config = dataclasses.replace(GLOBAL, adversarial=1.0, ema=0.5)
    given, fresh = (pix2pix(config, **options).init(jax.random.key(seed)) for seed in (1, 0))
    begun = pix2pix(config, **options, initial=given.params['generator']).init(jax.random.key(0))
    for params in (begun.params, begun.ema):
        jax.tree.map(np.testing.assert_array_equal, params['generator'], given.params['generator'])
        jax.tree.map(np.testing.assert_array_equal, params['discriminator'], fresh.params['discriminator'])
    with pytest.raises(InputError, match=r'initial: 1 of \d+ arrays differ, the first is first/kernel'):
        pix2pix(config, **{**options, 'channels': 4}, initial=given.params['generator']).init(jax.random.key(0))
