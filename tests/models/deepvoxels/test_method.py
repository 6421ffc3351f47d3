"""DeepVoxels as a whole: what it learns, what it carries, and that views may come in any order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data.nearest_views import NearestViews
from neurend.data.photographs import Photographs
from neurend.geometry import cameras, paths
from neurend.models.deepvoxels import cubes, networks
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from neurend.models.deepvoxels.method import deepvoxels
from neurend.models.nerf.evaluation import Example
from neurend.render.lift import Cube
from neurend.train.optimizers import by_name

SIZE = 32
CUBE = Cube(jnp.zeros(3), jnp.float32(2.0))
LEARNED = DeepVoxelsConfig(
    grid_dim=8,
    features=4,
    width=8,
    halvings=1,
    depth=1,
    refined=False,
    taps=1,
    volume='learned',
    inpainting=0,
    planes=8,
    span=1.2,
    occlusion='rays',
    occlusion_width=8,
    occlusion_depth=1,
    norm='none',
    dropout=0.0,
    adversarial=0.0,
    compact=30.0,
    border=0,
)
INTEGRATED = dataclasses.replace(LEARNED, volume='integrated')


def camera_of(poses):
    return cameras.make(jnp.asarray(poses), 1.6 * SIZE, size=(SIZE, SIZE))


def ball(camera):
    """A ball of radius 0.6 around the origin on white, whose colour is its normal: [H W 3], and its depth."""
    rays = cameras.rays(camera, cameras.pixel_centers(SIZE, SIZE))
    origins, ways = np.asarray(rays.origins), np.asarray(rays.directions)
    a, b = (ways**2).sum(-1), (origins * ways).sum(-1)
    inside = b**2 - a * ((origins**2).sum(-1) - 0.36)
    t = (-b - np.sqrt(np.maximum(inside, 0))) / a
    normal = (origins + t[..., None] * ways) / 0.6
    return np.where(inside[..., None] > 0, 0.5 + 0.5 * normal, 1.0), np.where(inside > 0, t, np.nan)


def views(poses):
    camera = camera_of(poses)
    rgb, depth = (np.stack(parts) for parts in zip(*(ball(camera[k]) for k in range(len(poses)))))
    alpha = jnp.asarray(np.isfinite(depth), jnp.float32)
    return Photographs(camera, jnp.asarray(rgb, jnp.float32), jnp.ones((len(poses), 3)), alpha)


def batch_of(count, sources=1):
    every = views(paths.orbit(count + sources, radius=3.0, elevation=0.4))
    parts = slice(count), slice(count, count + sources)
    return NearestViews(*(jax.tree.map(lambda leaf, part=part: leaf[part], every) for part in parts))


def made(config, rate=0.01):
    return deepvoxels(config, CUBE, size=(SIZE, SIZE), optimizer=optax.adam(rate))


@pytest.mark.slow
def test_a_ball_is_learned_with_its_depth_and_silhouette():
    options = {'grid_dim': 12, 'features': 8, 'planes': 12, 'width': 16, 'occlusion_width': 16, 'silhouette': 20.0}
    config = dataclasses.replace(LEARNED, **options)
    optimizer = by_name({'^volume': optax.adam(0.03), '': optax.adam(2e-3)})
    method = deepvoxels(config, CUBE, size=(SIZE, SIZE), optimizer=optimizer)
    state = jax.jit(method.init)(jax.random.key(0))
    every = views(paths.sphere(40, radius=3.0))
    step = jax.jit(method.step)
    for k in range(700):
        target = jax.tree.map(lambda leaf, k=k: leaf[k * 7 % 40][None], every)
        state, values = step(jax.random.key(k), state, NearestViews(target, target))
    assert int(state.step) == 700 and np.isfinite(float(values['loss']))
    camera = camera_of(paths.orbit(5, radius=3.0, elevation=0.3))[2]
    truth, depth = ball(camera)
    image = np.rint(255 * truth).astype(np.uint8)
    metrics, pictures = method.evaluate(state, Example('new', camera, image))
    assert metrics['psnr'] > 19, metrics
    assert pictures['depth'].shape == (SIZE, SIZE, 3)
    found, seen = jax.device_get(jax.jit(method.render)(state, camera)), np.isfinite(depth)
    assert np.mean((found.alpha > 0.5) == seen) > 0.95
    assert np.corrcoef(found.depth[seen], depth[seen])[0, 1] > 0.7


@pytest.mark.slow
def test_several_views_are_integrated_in_any_order():
    config = dataclasses.replace(INTEGRATED, sources=3, gate_dropout=0.0)
    method = made(config, rate=1e-3)
    state = jax.jit(method.init)(jax.random.key(0))
    batch, step = batch_of(1, sources=3), jax.jit(method.step)
    other = dataclasses.replace(batch, source=jax.tree.map(lambda leaf: leaf[np.array([2, 0, 1])], batch.source))
    volumes = [np.asarray(step(jax.random.key(1), state, each)[0].aux['volume']) for each in (batch, other)]
    assert np.abs(volumes[0]).max() > 1e-3
    np.testing.assert_allclose(*volumes, atol=1e-5)
    # The next step goes on with it, and pictures are drawn from it.
    state, _ = step(jax.random.key(1), state, batch)
    later, values = step(jax.random.key(2), state, batch)
    assert np.isfinite(float(values['loss'])) and int(later.step) == 2
    assert np.abs(np.asarray(later.aux['volume']) - volumes[0]).max() > 1e-4
    draw, camera = jax.jit(method.render), batch.target.camera[0]
    found, bare = (draw(dataclasses.replace(later, aux={'volume': v}), camera) for v in (volumes[0], 0 * volumes[0]))
    assert np.abs(np.asarray(found.rgb - bare.rgb)).max() > 1e-4
    stops = np.asarray(found.extras['visibility']).sum(-1)
    assert np.all(stops > 0) and np.all(stops < 1)


def test_photographs_of_any_size_are_the_corner_of_those_that_can_be_halved():
    methods = [deepvoxels(LEARNED, CUBE, size=size, optimizer=optax.adam(0.1)) for size in ((30, 32), (32, 32))]
    state = jax.jit(methods[0].init)(jax.random.key(0))
    camera = camera_of(paths.sphere(1, radius=3.0))[0]
    small, large = (jax.jit(method.render)(state, camera) for method in methods)
    assert small.rgb.shape == (32, 30, 3) and small.depth.shape == (32, 30)
    np.testing.assert_allclose(small.rgb, large.rgb[:, :30], atol=1e-5)
    np.testing.assert_allclose(small.depth, large.depth[:, :30], atol=1e-5)


def test_rays_stop_where_cells_before_do_not_stop_them():
    network, volume = networks.Occlusion(LEARNED), jax.random.normal(jax.random.key(0), (1, 2, 3, 8, 4))
    params = network.init(jax.random.key(1), volume)
    params['params']['last']['bias'] = jnp.zeros(1)
    logits = np.asarray(network.apply(params, volume), np.float64)
    layer, last = (jax.tree.map(np.float64, params['params'][name]) for name in ('dense_0', 'last'))
    hidden = np.maximum(np.asarray(volume, np.float64) @ layer['kernel'] + layer['bias'], 0)
    opacity = 1 / (1 + np.exp(-(hidden @ last['kernel'] + last['bias'])[..., 0]))
    before = np.concatenate([np.ones((1, 2, 3, 1)), np.cumprod(1 - opacity, -1)], -1)
    expected = before * np.concatenate([opacity, np.ones((1, 2, 3, 1))], -1)
    np.testing.assert_allclose(np.exp(logits), expected, atol=1e-6)
    np.testing.assert_allclose(np.exp(logits).sum(-1), 1, atol=1e-6)


def test_silhouettes_need_alpha():
    method = made(dataclasses.replace(LEARNED, silhouette=1.0))
    batch = batch_of(1)
    bare = dataclasses.replace(batch, target=dataclasses.replace(batch.target, alpha=None))
    with pytest.raises(InputError, match='alpha: got None. With a weight for silhouettes photographs need alpha'):
        jax.eval_shape(lambda key: method.step(key, method.init(key), bare), jax.random.key(0))


def test_photographs_that_are_too_small():
    with pytest.raises(InputError, match='size: got photographs of 18 x 20, expected about multiples of 32'):
        deepvoxels(dataclasses.replace(LEARNED, depth=4), CUBE, size=(18, 20), optimizer=optax.adam(0.1))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'taps': 2}, 'taps: got 2, expected 1 or 3'),
        ({'grid_dim': 30}, 'grid_dim, inpainting: got 30 cells'),
        ({'planes': 48}, 'planes, occlusion_depth: got 48 planes, expected a multiple of 64'),
        ({'sources': 0}, 'sources: got 0, expected at least 1'),
        ({'occlusion': 'none', 'compact': 1.0}, 'compact: got 1.0 without an occlusion network'),
        ({'silhouette': 1.0}, "silhouette: got 1.0 with occlusion='volume', by which every ray stops"),
        ({'dropout': 1.0}, 'dropout, gate_dropout: got 1.0'),
    ],
)
def test_choices_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message):
        DeepVoxelsConfig(**changes)


def test_cubes_are_found_around_what_is_shown():
    camera = camera_of(paths.sphere(24, radius=3.0))
    foreground = [np.isfinite(ball(camera[k])[1]) for k in range(24)]
    found = cubes.around(camera, foreground, near=1.5, far=4.5)
    np.testing.assert_allclose(found.center, 0, atol=0.06)
    assert 1.2 < float(found.side) < 1.5
    sizes = np.asarray(camera.size)
    assert cubes.held(found, camera, foreground, sizes=sizes) == 1
    aside = Cube(jnp.array([0.6, 0.0, 0.0]), jnp.float32(1.0))
    part = cubes.held(aside, camera, foreground, sizes=sizes)
    assert 0.2 < part < 0.8
    away = Cube(jnp.array([9.0, 0.0, 0.0]), jnp.float32(1.0))
    assert cubes.held(away, camera, foreground, sizes=sizes) < 0.1
    # Without masks the cube that a DeepVoxels folder names: its corners lie on the ball between near and far.
    plain = cubes.around(camera, None, near=3 - 3**0.5, far=3 + 3**0.5)
    np.testing.assert_allclose(plain.side, 2, rtol=1e-5)
    inside = camera_of(paths.orbit(2, radius=0.3))
    assert cubes.held(CUBE, inside, None, sizes=np.asarray(inside.size)) == 1
