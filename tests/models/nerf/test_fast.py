"""`fast` on a sphere small enough to train in seconds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.data import batches, posed
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import transforms
from neurend.models.nerf import fast, fast_spans, fast_start
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.fast_config import FastConfig
from neurend.train import loop

SIZE = 24
NEAR, FAR = 2.0, 4.2


def sphere(count, *, phase=0.0):
    """Views of a painted sphere of radius 0.6 with exact silhouettes (alpha by 16 rays a pixel)."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + phase
    eyes = np.stack([np.cos(angles), np.sin(angles), 0.6 * np.sin(2 * angles)], -1)
    eyes = 3 * eyes / np.linalg.norm(eyes, axis=-1, keepdims=True)
    poses = np.stack([np.asarray(transforms.look_at(eye, np.zeros(3), np.array([0, 0, 1.0]))) for eye in eyes])
    cameras = cameras_lib.make(poses.astype(np.float32), 36.0, size=np.full((count, 2), SIZE))
    pixels = (np.asarray(cameras_lib.pixel_centers(SIZE * 4, SIZE * 4)) / 4).astype(np.float32)
    rays = jax.tree.map(np.asarray, cameras_lib.rays(cameras[:, None, None], pixels))
    toward = -np.sum(rays.origins * rays.viewdirs, -1)
    inside = 0.36 - (np.sum(rays.origins**2, -1) - toward**2)
    hit = inside > 0
    points = rays.origins + (toward - np.sqrt(np.maximum(inside, 0)))[..., None] * rays.viewdirs
    rgb = np.where(hit[..., None], 0.3 + 0.3 * np.sin(9 * points), 0)
    alpha = hit.reshape(count, SIZE, 4, SIZE, 4).mean((2, 4))
    rgb = rgb.reshape(count, SIZE, 4, SIZE, 4, 3).mean((2, 4)) / np.maximum(alpha, 1e-6)[..., None]
    images = (255 * np.concatenate([rgb, alpha[..., None]], -1) + 0.5).astype(np.uint8)
    return posed.PosedImages(
        names=tuple(f'view {k}' for k in range(count)),
        images=tuple(images),
        cameras=jax.tree.map(np.asarray, cameras),
        masks=None,
        near=NEAR,
        far=FAR,
        scene_from_source=np.eye(4),
    )


STEPS = 120
CONFIG = FastConfig(
    subdivide_steps=(40,),
    prune_steps=(70,),
    rays=(512, 512),
    segments=(6.0, 5.0),
    samples=(8.0, 8.0),
    longest=12,
)


def prepared(views):
    foreground = [image[..., 3] > 0 for image in views.images]
    return fast_start.prepare(CONFIG, views.cameras, foreground, near=NEAR, far=FAR)


@pytest.fixture(scope='module')
def trained():
    views = sphere(16)
    start = prepared(views)
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
    rays = cameras_lib.rays(camera, jnp.array([[SIZE / 2, SIZE / 2], [0.5, 0.5]]))
    rendering = method.render(state, rays)
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
            state.params['density'],
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
    start, metrics = prepared(views), {}
    for room in (0.5, 5.0):
        config = dataclasses.replace(CONFIG, segments=(6.0, room))
        method = fast.fast(config, start=start, steps=STEPS)
        source = batches.device_source(views, num_rays=512)
        batch = source.draw(jax.random.key(1), source.data)
        _, metrics[room] = jax.jit(method.step)(jax.random.key(2), state, batch)
    assert float(metrics[5.0]['complete']) == 1
    assert 0.05 < float(metrics[0.5]['complete']) < 0.9
    assert np.isfinite(float(metrics[0.5]['loss']))


def test_resumes_after_a_subdivision(tmp_path):
    views = sphere(8)
    start = prepared(views)
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


def before_noise(views):
    """The same photographs, opaque, each before other squares of random colours; no alpha."""
    rng = np.random.default_rng(0)
    images = []
    for image in views.images:
        wall = rng.random((SIZE // 4, SIZE // 4, 3)).repeat(4, 0).repeat(4, 1)
        alpha = image[..., 3:] / 255
        images.append(np.round(image[..., :3] * alpha + 255 * wall * (1 - alpha)).astype(np.uint8))
    return dataclasses.replace(views, images=tuple(images))


def test_finds_the_sphere_before_unknown_backgrounds():
    views, steps = before_noise(sphere(16)), 240
    config = dataclasses.replace(
        CONFIG, subdivide_steps=(120,), prune_steps=(180,), segments=(16.0, 16.0), samples=(40.0, 40.0), longest=40
    )
    start = fast_start.prepare(config, views.cameras, None, near=NEAR, far=FAR, images=views.images)
    method = fast.fast(config, start=start, steps=steps)
    source = batches.device_source(views, num_rays=512, active=start.active)

    @jax.jit
    def step(state, data):
        draw_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(0), state.step))
        return method.step(step_key, state, source.draw(draw_key, data))[0]

    state = jax.jit(method.init)(jax.random.key(0))
    for _ in range(steps):
        state = step(state, source.data)
        if int(state.step) in method.update_steps:
            state = method.update(state)
    held_out = sphere(5, phase=0.2)
    for k in range(5):
        rays = cameras_lib.rays(held_out.camera(k), cameras_lib.pixel_centers(SIZE, SIZE).reshape(-1, 2))
        alpha = np.asarray(method.render(state, rays).alpha)
        truth = held_out.images[k][..., 3].reshape(-1) / 255
        assert alpha[truth == 1].mean() > 0.95
        assert alpha[truth == 0].mean() < 0.05


def test_options_that_do_not_fit_together(trained):
    views, *_ = trained
    with pytest.raises(checks.InputError, match='subdivide_steps'):
        FastConfig(subdivide_steps=(10,))
    with pytest.raises(checks.InputError, match='segments'):
        FastConfig(segments=(1.0,))
    nothing = [np.zeros((SIZE, SIZE), bool) for _ in range(16)]
    with pytest.raises(checks.InputError, match='carving'):
        fast_start.prepare(CONFIG, views.cameras, nothing, near=NEAR, far=FAR)
