import dataclasses
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import nerf
from neurend import config
from neurend.checks import InputError
from neurend.data import synthetic
from neurend.models.nerf.classic import ClassicConfig
from neurend.models.nerf.mip import MipConfig
from neurend.train import optimizers

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TINY = (
    '--classic.depth=2',
    '--classic.width=16',
    '--classic.view_width=8',
    '--classic.coarse_samples=6',
    '--classic.fine_samples=6',
    '--rays=32',
    '--evaluate_views=2',
)


@pytest.fixture(scope='module')
def scene_dir(tmp_path_factory):
    return synthetic.write_scene(tmp_path_factory.mktemp('nerf') / 'scene', size=12, train=3, val=2, test=1)


def test_every_method_has_its_entry():
    methods = typing.get_args(typing.get_type_hints(nerf.Config)['method'])
    fields = {field.name for field in dataclasses.fields(nerf.Config)}
    assert set(methods) == set(nerf.METHODS) and set(methods) <= fields


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('nerf_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    settings = config.parse(nerf.Config, f'--flagfile={path}')
    assert settings.method in nerf.METHODS


def test_published_flags():
    classic = config.parse(nerf.Config, f'--flagfile={CONFIGS}/nerf_chair_classic.flags')
    assert classic.classic == ClassicConfig() and classic.rays == 1024 and classic.image_per_batch
    mip = config.parse(nerf.Config, f'--flagfile={CONFIGS}/nerf_chair_mip.flags')
    assert mip.mip == MipConfig() and mip.rays == 4096 and not mip.image_per_batch
    # The first step of Adam has the length of the learning rate.
    for settings, rates in ((classic, {0: 5e-4, 500_000: 5e-5}), (mip, {0: 5e-6, 1_000_000: 5e-6})):
        optimizer = optimizers.make(settings.optimizer, steps=settings.steps)
        for step, rate in rates.items():
            state = optimizer.init(jnp.zeros(()))
            state = jax.tree.map(lambda x, at=step: jnp.full_like(x, at) if x.dtype == jnp.int32 else x, state)
            update, _ = optimizer.update(jnp.ones(()), state)
            scale = 0.1 / (1 - 0.9 ** (step + 1)) / np.sqrt(0.001 / (1 - 0.999 ** (step + 1)))
            np.testing.assert_allclose(-update, rate * scale, rtol=1e-3)


@pytest.mark.slow
def test_a_step_in_half_precision_keeps_full_precision_parameters(scene_dir):
    for options in ((), ('--compute_dtype=bfloat16', '--accumulate=2', '--ema_decay=0.9')):
        settings = config.parse(nerf.Config, f'--data_dir={scene_dir}', *TINY, *options)
        setup = nerf.build(settings)
        state = jax.jit(setup.method.init)(jax.random.key(0))
        batch = setup.source.draw(jax.random.key(1), setup.source.data)
        after, metrics = jax.jit(setup.method.step)(jax.random.key(2), state, batch)
        assert jnp.isfinite(metrics['loss']) and int(after.step) == 1
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(after.params))
        assert not jnp.array_equal(after.params['fine']['rgb']['bias'], state.params['fine']['rgb']['bias'])
    assert len(setup.examples) == 2


def test_streamed_batches_are_what_the_method_takes(scene_dir):
    settings = config.parse(nerf.Config, f'--data_dir={scene_dir}', '--stream', '--scene.background=random', *TINY)
    setup = nerf.build(settings)
    batch = next(setup.source.iterator)
    state = jax.eval_shape(setup.method.init, jax.random.key(0))
    after, _ = jax.eval_shape(setup.method.step, jax.random.key(0), state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    with pytest.raises(InputError, match='leave out one of the two'):
        nerf.build(dataclasses.replace(settings, image_per_batch=True))
