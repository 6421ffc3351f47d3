"""Scene Representation Networks as methods: losses, codes, reconstruction, and codes cut over devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data import shepard_metzler
from neurend.data.category_batches import category_source
from neurend.models.srn.config import SRNConfig
from neurend.models.srn.method import Example, objective, srn
from neurend.models.srn.reconstruct import interpolate, mean_code, nearest_codes, reconstruction, with_codes
from neurend.models.srn.scene import Ball
from neurend.train import loop, mesh, step

CONFIG = SRNConfig(
    width=16, depth=2, code_size=8, hyper_width=16, hyper_depth=1, marcher_width=4, steps=2, generator_depth=1,
    start='ball', gradient='recomputed',
)  # fmt: skip
BALL = Ball(radius=1.04)


@pytest.fixture(scope='module')
def category():
    return shepard_metzler.category(4, views=3, size=16)


@pytest.fixture(scope='module')
def method():
    return srn(CONFIG, instances=4, stepper=step.stepper(optax.adam(3e-3)), ball=BALL)


@pytest.fixture(scope='module')
def begun(method):
    return jax.jit(method.init)(jax.random.key(0))


@pytest.fixture(scope='module')
def batch(category):
    source = category_source(category, instances=4, rays=32, on_object=0.5)
    return jax.jit(source.draw)(jax.random.key(0), source.data)


def test_terms_of_the_loss_are_what_they_say(begun, batch):
    config = dataclasses.replace(CONFIG, color_weight=3.0, depth_weight=5.0, code_weight=7.0)
    params = jax.tree.map(jnp.zeros_like, begun.params)
    params['generator']['out']['bias'] = jnp.array([0.5, -0.5, 1.0])
    # Steps of -2, twice, from before the figure to behind the camera.
    params['marcher']['step']['bias'] = jnp.array(-2.0)
    codes = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8)), jnp.float32)
    loss, terms = jax.jit(lambda params, codes: objective(jax.random.key(0), config, params, codes, batch, BALL))(
        params, codes
    )
    color = np.mean((np.array([0.5, -0.5, 1.0]) - (2 * np.asarray(batch.rgb) - 1)) ** 2)
    origins, directions = np.asarray(batch.rays.origins), np.asarray(batch.rays.directions)
    along = -(origins * directions).sum(-1) / (directions**2).sum(-1)
    nearest = origins + along[..., None] * directions
    inside = np.sqrt(np.maximum(1.04**2 - (nearest**2).sum(-1), 0))
    depth = along - (inside + 4 * 1.04) / np.linalg.norm(directions, axis=-1)
    assert depth.max() < 0
    np.testing.assert_allclose(terms['color'], color, rtol=1e-5)
    np.testing.assert_allclose(terms['depth'], np.mean(depth**2), rtol=1e-4)
    np.testing.assert_allclose(terms['code'], np.mean(np.square(codes)), rtol=1e-5)
    expected = 3 * terms['color'] + 5 * terms['depth'] + 7 * terms['code']
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_only_codes_of_the_batch_get_gradients_and_only_codes_are_reconstructed(method, begun, batch):
    some = jax.tree.map(lambda leaf: leaf[:2], batch)
    moved, _ = jax.jit(method.step)(jax.random.key(0), begun, some)
    change = np.abs(np.asarray(moved.params['codes'] - begun.params['codes'])).max(-1) > 0
    assert sorted(np.flatnonzero(change)) == sorted(np.asarray(some.instance))
    finding = reconstruction(CONFIG, moved, mean_code(moved, 4), stepper=step.stepper(optax.adam(1e-2)), ball=BALL)
    state = jax.jit(finding.init)(jax.random.key(0))
    again, _ = jax.jit(finding.step)(jax.random.key(0), state, batch)
    assert set(again.params) == {'codes'} and (again.params['codes'] != state.params['codes']).any(-1).all()
    for kept, learned in zip(*map(jax.tree.leaves, (again.aux['hypernetwork'], moved.params['hypernetwork']))):
        np.testing.assert_array_equal(kept, learned)
    rays = jax.tree.map(lambda leaf: leaf[1], batch.rays)
    rays = dataclasses.replace(rays, index=jnp.full(32, 2, jnp.int32))
    one = with_codes(moved, again.params['codes'])
    drawn = [jax.jit(each.render)(state, rays).rgb for each, state in ((finding, again), (method, one))]
    np.testing.assert_allclose(*drawn, atol=1e-6)


def test_the_code_that_made_the_pixels_is_found(method, begun, batch):
    wide = with_codes(begun, 30 * begun.params['codes'])
    order = jnp.array([2, 0, 3, 1])
    rays = jax.tree.map(lambda leaf: leaf[order], batch.rays)

    def draw(k, rays):
        return method.render(wide, dataclasses.replace(rays, index=jnp.full(32, k, jnp.int32))).rgb

    rgb = jnp.stack([jax.jit(draw)(k, jax.tree.map(lambda leaf, i=i: leaf[i], rays)) for i, k in enumerate(order)])
    made = dataclasses.replace(batch, rays=rays, rgb=rgb)
    found = jax.jit(lambda state, batch: nearest_codes(CONFIG, state, batch, ball=BALL))(wide, made)
    np.testing.assert_array_equal(found, wide.params['codes'][order])


def test_codes_between_codes():
    codes = jnp.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]])
    np.testing.assert_allclose(interpolate(codes, 5), [[0, 0], [0.5, 1], [1, 2], [2, 1], [3, 0]], atol=1e-6)
    closed = np.asarray(interpolate(codes, 6, closed=True))
    np.testing.assert_allclose(closed[[0, 2, 4, 5]], [[0, 0], [1, 2], [3, 0], [1.5, 0]], atol=1e-6)
    with pytest.raises(InputError, match='codes: got 1, expected at least 2'):
        interpolate(codes[:1], 3)


@pytest.mark.slow
def test_codes_cut_over_devices_learn_as_they_do_on_one(method, category, tmp_path):
    source = category_source(category, instances=4, rays=8)
    states = []
    for name, devices, above in (('one', jax.devices()[:1], None), ('four', jax.devices(), 100)):
        state = loop.fit(
            method, source, workdir=tmp_path / name, steps=3, devices=devices, shard_above=above, tensorboard=False
        )
        states.append(state)
    # Four instances over four devices.
    assert states[1].params['codes'].sharding.shard_shape((4, 8)) in ((1, 8), (4, 2))
    many = jax.ShapeDtypeStruct((4000, 8), jnp.float32)
    assert mesh.state_shardings(many, mesh.make(), shard_above=100).shard_shape((4000, 8)) == (1000, 8)
    for one, four in zip(*map(jax.tree.leaves, (states[0].params, states[1].params))):
        np.testing.assert_allclose(one, np.asarray(four), atol=2e-4)


def test_states_without_codes_cannot_be_reconstructed_and_bad_numbers_are_refused():
    single = srn(CONFIG, instances=0, stepper=step.stepper(optax.adam(1e-3)), ball=BALL)
    state = jax.eval_shape(single.init, jax.random.key(0))
    with pytest.raises(InputError, match='a single scene has no codes'):
        reconstruction(CONFIG, state, jnp.zeros((1, 8)), stepper=step.stepper(optax.adam(1e-3)), ball=BALL)
    with pytest.raises(InputError, match='instances: got -1'):
        srn(CONFIG, instances=-1, stepper=step.stepper(optax.adam(1e-3)), ball=BALL)
    with pytest.raises(InputError, match='steps: got 0, expected at least 1'):
        SRNConfig(steps=0)
    with pytest.raises(InputError, match='frequencies: got -1'):
        SRNConfig(frequencies=-1)


@pytest.mark.slow
def test_it_learns_instances_and_finds_the_code_of_one_again(category, tmp_path):
    method = srn(CONFIG, instances=4, stepper=step.stepper(optax.adam(3e-3)), ball=BALL)
    source = category_source(category, instances=4, rays=128, on_object=0.5)
    state = loop.fit(method, source, workdir=tmp_path, steps=400, log_every=200, tensorboard=False)

    def psnr(method, state, k):
        camera = jax.tree.map(lambda leaf: leaf[k, 1], category.cameras)
        return method.evaluate(state, Example('', k, camera, category.images[k, 1]))[0]['psnr']

    mean = category.images.mean((0, 1)) / 255
    guess = [-10 * np.log10(np.mean((mean - category.images[k, 1] / 255) ** 2)) for k in range(4)]
    learned = [psnr(method, state, k) for k in range(4)]
    assert np.mean(learned) > np.mean(guess) + 3
    finding = reconstruction(CONFIG, state, mean_code(state, 4), stepper=step.stepper(optax.adam(2e-2)), ball=BALL)
    start = jax.jit(finding.init)(jax.random.key(0))
    found = loop.fit(finding, source, workdir=tmp_path / 'found', steps=150, tensorboard=False)
    again, before = ([psnr(finding, each, k) for k in range(4)] for each in (found, start))
    assert np.mean(again) > np.mean(before) + 2 and np.mean(again) > np.mean(learned) - 1.5
