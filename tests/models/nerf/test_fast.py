"""`fast` on a sphere small enough to train in seconds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.data import batches
from neurend.geometry import cameras as cameras_lib
from neurend.models.nerf import fast, fast_spans, fast_start
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.fast_config import FastConfig
from neurend.train import loop
from tests.models.nerf.painted import FAR, NEAR, SIZE, prepared, sphere

STEPS = 120
CONFIG = FastConfig(
    subdivide_steps=(40,),
    prune_steps=(70,),
    rays=(512, 512),
    segments=(6.0, 5.0),
    samples=(8.0, 8.0),
    longest=12,
)


@pytest.fixture(scope='module')
def trained():
    views = sphere(16)
    start = prepared(CONFIG, views)
    source = batches.device_source(views, num_rays=512, active=start.active)
    method = fast.fast(CONFIG, start=start, steps=STEPS)
    key = jax.random.key(0)
    traces = []

    @jax.jit
    def step(state, data):
        traces.append(0)
        draw_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        return method.step(step_key, state, source.draw(draw_key, data))

    state = jax.jit(method.init)(key)
    occupied, history = [], []
    for _ in range(STEPS):
        state, metrics = step(state, source.data)
        history.append(metrics)
        if int(state.step) in method.update_steps:
            state = method.update(state)
        occupied.append(int((state.aux['voxels'].cells > 0).sum()))
    return views, method, state, history, occupied, traces


def test_learns_the_sphere(trained):
    _, method, state, history, _, _ = trained
    held_out = sphere(5, phase=0.2)
    values = [
        method.evaluate(state, Example(held_out.names[k], held_out.camera(k), held_out.images[k]))[0]['psnr']
        for k in range(5)
    ]
    assert np.mean(values) > 30
    assert min(float(metrics['complete']) for metrics in history[-40:]) > 0.99


def test_depth_is_that_of_the_sphere(trained):
    views, method, state, *_ = trained
    camera = views.camera(3)
    rays = jax.jit(cameras_lib.rays)(camera, jnp.array([[SIZE / 2, SIZE / 2], [0.5, 0.5]]))
    rendering = jax.jit(method.render)(state, rays)
    np.testing.assert_allclose(rendering.depth[0], 3 - 0.6, atol=0.08)
    np.testing.assert_allclose(rendering.median[0], 3 - 0.6, atol=0.08)
    np.testing.assert_allclose(rendering.alpha, [1, 0], atol=0.02)
    np.testing.assert_allclose(rendering.rgb[1], 1, atol=0.02)


def test_one_trace_for_each_grid_while_occupancy_changes(trained):
    *_, occupied, traces = trained
    assert len(set(occupied)) == 3
    assert len(traces) == 2


def test_spans_do_not_depend_on_how_many_rays_fit_a_round(trained):
    views, _, state, *_ = trained
    results = [
        fast_spans.refresh(
            state.aux['voxels'],
            state.params['fields'][0]['density'],
            jax.tree.map(jnp.asarray, views.cameras),
            state.aux['node_spans'],
            room=room,
            longest=CONFIG.longest,
            shift=CONFIG.shift,
            step=CONFIG.step,
        )
        for room in (0.05, float(CONFIG.longest))
    ]
    assert float(results[1][1].max()) > 0.5
    for few, all_at_once in zip(*results):
        np.testing.assert_allclose(few, all_at_once, atol=1e-5)


def test_full_buffers_lose_whole_rays_and_say_so(trained):
    views, _, state, *_ = trained
    start, metrics = prepared(CONFIG, views), {}
    for room in (0.5, 5.0):
        config = dataclasses.replace(CONFIG, segments=(6.0, room))
        method = fast.fast(config, start=start, steps=STEPS)
        source = batches.device_source(views, num_rays=512)
        batch = source.draw(jax.random.key(1), source.data)
        _, metrics[room] = jax.jit(method.step)(jax.random.key(2), state, batch)
    assert float(metrics[5.0]['complete']) == 1
    assert 0.05 < float(metrics[0.5]['complete']) < 0.9
    assert np.isfinite(float(metrics[0.5]['loss']))


@pytest.mark.slow
def test_resumes_after_a_subdivision(tmp_path):
    views = sphere(8)
    start = prepared(CONFIG, views)
    config = dataclasses.replace(CONFIG, subdivide_steps=(20,), prune_steps=(30,))
    source = batches.device_source(views, num_rays=512, active=start.active)

    def run(name, *stops):
        for steps in stops:
            state = loop.fit(fast.fast(config, start=start, steps=50), source, workdir=tmp_path / name, steps=steps)
        return state

    whole, resumed = run('whole', 50), run('resumed', 25, 50)
    assert jax.tree.structure(whole) == jax.tree.structure(resumed)
    assert len(whole.aux['grids']) == 2
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed)):
        np.testing.assert_array_equal(a, b)


def test_options_that_do_not_fit_together(trained):
    views, *_ = trained
    with pytest.raises(checks.InputError, match='subdivide_steps'):
        FastConfig(subdivide_steps=(10,))
    with pytest.raises(checks.InputError, match='segments'):
        FastConfig(segments=(1.0,))
    nothing = [np.zeros((SIZE, SIZE), bool) for _ in range(16)]
    with pytest.raises(checks.InputError, match='carving'):
        fast_start.prepare(CONFIG, views.cameras, nothing, near=NEAR, far=FAR)
