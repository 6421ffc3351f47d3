"""Scene Representation Networks against float64, one ray at a time, in the layout that was released."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import draws
from neurend.checks import InputError
from neurend.geometry import cameras
from neurend.geometry.transforms import look_at
from neurend.models.srn import released, scene
from neurend.models.srn.config import SRNConfig
from neurend.models.srn.scene import Ball
from tests.oracles import srn as oracle

CONFIG = SRNConfig(
    width=8, depth=3, code_size=5, hyper_width=6, hyper_depth=2, marcher_width=4, steps=3, generator_depth=2
)
UNIT = Ball()


def state(instances):
    return oracle.draw_state(width=8, depth=3, code=5, hyper=6, hyper_depth=2, lstm=4, generator=2, instances=instances)


@pytest.fixture(scope='module')
def rays():
    eyes = jnp.array([[2.0, 0.5, 1.0], [-1.0, 1.5, 1.0]])
    camera = cameras.make(look_at(eyes, jnp.zeros(3), jnp.array([0.0, 0.0, 1.0])), 20.0, size=(16, 16))
    return cameras.rays(camera[:, None], jnp.array([[8.0, 8.0], [3.0, 12.0], [11.0, 5.0]])[None])


def made(config, instances):
    init = draws.quickly(lambda key: scene.init(key, config, instances))
    return jax.jit(init)(jax.random.key(0))


def traced(config, params, rays, ball=UNIT, codes=None):
    def run(params, rays):
        layers = None if codes is None else scene.layers(config, params, params['codes'][codes])
        return scene.trace(None, config, params, layers, rays, ball)

    return jax.jit(run)(params, rays)


@pytest.mark.parametrize('instances', [3, 0], ids=['category', 'single'])
def test_a_released_checkpoint_draws_what_the_oracle_draws(rays, instances):
    given = state(instances)
    params = released.load({f'module.{key}': value for key, value in given.items()}, CONFIG)
    chosen = jnp.array([2, 0]) if instances else None
    colors, depths = traced(CONFIG, params, rays, codes=chosen)
    for i in range(2):
        for r in range(3):
            ray = [np.asarray(leaf, np.float64)[i, r] for leaf in (rays.origins, rays.directions)]
            start = 0.05 * np.linalg.norm(ray[1])
            instance = int(chosen[i]) if instances else 0
            color, depth = oracle.trace(given, instance, *ray, start, depth=3, steps=3)
            np.testing.assert_allclose(colors[i, r], color, atol=2e-4)
            np.testing.assert_allclose(depths[i, r], depth, atol=2e-5)


def test_checkpoints_that_do_not_fit_are_refused_with_all_that_is_wrong():
    given = state(3)
    missing = {key: value for key, value in given.items() if key != 'ray_marcher.out_layer.bias'}
    missing['pixel_generator.net.0.net.0.weight'] = np.zeros((7, 8), np.float32)
    missing['pixel_generator.unet.0.weight'] = np.zeros(3, np.float32)
    with pytest.raises(InputError) as error:
        released.load(missing, CONFIG)
    for part in (
        'ray_marcher.out_layer.bias: missing, expected (1,)',
        'pixel_generator.net.0.net.0.weight: (7, 8), expected (8, 8)',
        'pixel_generator.unet.0.weight: (3,), unknown',
    ):
        assert part in str(error.value)
    with pytest.raises(InputError, match='expected .256, 256.'):
        released.load(given, SRNConfig())


def test_published_sizes_are_those_of_the_paper():
    params = jax.eval_shape(lambda key: scene.init(key, SRNConfig(), 10), jax.random.key(0))
    made = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params['hypernetwork']))
    assert 51.3e6 < made < 51.9e6
    assert params['codes'].shape == (10, 256) and params['marcher']['hidden'].shape == (16, 64)


def test_pictures_follow_when_cameras_and_ball_move_and_grow(rays):
    config = dataclasses.replace(CONFIG, start='ball', frequencies=2)
    params = made(config, 2)
    params['marcher']['step'] = {'kernel': 0.3 * jnp.ones(4), 'bias': jnp.array(0.4)}
    moved = dataclasses.replace(rays, origins=5 * rays.origins + jnp.array([[[1.0, 2.0, -3.0]]]))
    codes = jnp.array([0, 1])
    colors, depths = traced(config, params, rays, codes=codes)
    again, farther = traced(config, params, moved, Ball((1.0, 2.0, -3.0), 5.0), codes=codes)
    np.testing.assert_allclose(colors, again, atol=1e-5)
    np.testing.assert_allclose(5 * depths, farther, rtol=1e-5)


def test_steps_are_lengths_and_begin_at_the_ball(rays):
    config = dataclasses.replace(CONFIG, start='ball', steps=2)
    params = made(config, 0)
    params['marcher']['step'] = {'kernel': jnp.zeros(4), 'bias': jnp.array(0.25)}
    ball = Ball((0.0, 0.1, 0.0), 1.5)
    _, depths = traced(config, params, rays, ball)
    points = np.asarray(rays.origins + depths[..., None] * rays.directions)
    entered = points - 2 * 0.25 * 1.5 * np.asarray(rays.viewdirs)
    np.testing.assert_allclose(np.linalg.norm(entered - np.array(ball.center), axis=-1), 1.5, rtol=1e-5)
    inside = dataclasses.replace(rays, origins=0 * rays.origins)
    _, depths = traced(config, params, inside, ball)
    np.testing.assert_allclose(depths, 0.75 / jnp.linalg.norm(rays.directions, axis=-1), rtol=1e-6)


def test_instances_under_one_vmap_are_drawn_as_they_are_alone(rays):
    params = made(CONFIG, 2)
    together, _ = traced(CONFIG, params, rays, codes=jnp.array([0, 1]))
    for k in range(2):
        own = jax.tree.map(lambda leaf, k=k: leaf[k : k + 1], rays)
        alone, _ = traced(CONFIG, params, own, codes=jnp.array([k]))
        np.testing.assert_allclose(together[k], alone[0], atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 1e-4
