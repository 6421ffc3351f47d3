"""Image-based rendering of a patterned wall: which photographs are taken, what windows show, and what is learned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.models.image_based import proxies, views
from neurend.models.image_based.config import ImageBasedConfig
from neurend.models.image_based.method import Example, image_based, plain
from neurend.models.image_based.network import Blender
from neurend.render.rendering import Rendering
from neurend.render.warps import Seen
from neurend.scenes import planes
from neurend.train import step as steps

SIZE = (20, 16)
EYES = (-0.4, -0.2, 0.0, 0.15, 0.45)
TINY = ImageBasedConfig(neighbors=2, width=4, unet=4, depth=2, context=4, crop=12)


def camera_at(x):
    return cameras.make(transforms.from_rt(jnp.eye(3), jnp.array([x, 0.0, 0.0])), 16.0, size=SIZE)


CAMERAS = jax.tree.map(lambda *leaves: np.stack(leaves), *(camera_at(x) for x in EYES))


def wall(camera):
    """A proxy: the plane at depth 2, wherever a camera stands."""
    shape = SIZE[::-1]
    return Rendering(jnp.zeros((*shape, 0)), jnp.ones(shape), jnp.full(shape, 2.0))


def photograph(x):
    points = np.asarray(cameras.unproject(camera_at(x), cameras.pixel_centers(*SIZE), jnp.full(SIZE[::-1], 2.0)))
    u, v = points[..., 0], points[..., 1]
    rgb = 0.5 + 0.3 * np.stack([np.sin(4 * u), np.cos(3 * v + u), np.sin(2 * u - 3 * v)], axis=-1)
    return np.rint(255 * rgb).astype(np.uint8)


PHOTOGRAPHS = tuple(photograph(x) for x in EYES)


@pytest.fixture(scope='module')
def bank():
    return views.bank(PHOTOGRAPHS, CAMERAS, wall)


def test_the_nearest_photographs_are_taken(bank):
    assert sorted(np.asarray(views.nearest(bank, camera_at(0.1), 2)).tolist()) == [2, 3]
    assert sorted(np.asarray(views.nearest(bank, camera_at(0.0), 2, but=2)).tolist()) == [1, 3]
    np.testing.assert_allclose(bank.middle, [np.mean(EYES), 0, 2], atol=1e-5)
    with pytest.raises(InputError, match='neighbors: got 5, expected 1 to 4'):
        views.nearest(bank, camera_at(0.0), 5, but=2)


def test_windows_are_parts_of_photographs_and_are_drawn_from_others(bank):
    source = views.source(bank, neighbors=2, crop=12, views=2)
    batch = jax.jit(source.draw)(jax.random.key(3), source.data)
    assert batch.rgb.shape == (2, 12, 12, 3) and (np.asarray(batch.alpha) == 1).all()
    draw = jax.jit(lambda view: plain(TINY, view))
    for k in range(2):
        view, rgb = jax.tree.map(lambda leaf, k=k: leaf[k], (batch.view, batch.rgb))
        x = float(view.camera.world_from_camera[0, 3])
        own = int(np.argmin(np.abs(np.array(EYES) - x)))
        left, top = np.rint(np.array(SIZE) / 2 - np.asarray(view.camera.center)).astype(int)
        np.testing.assert_allclose(
            rgb, PHOTOGRAPHS[own][top : top + 12, left : left + 12].astype(np.float32) / 255, atol=1e-6
        )
        assert np.abs(np.asarray(view.sources.cameras.world_from_camera)[:, 0, 3] - x).min() > 0.1
        drawn = draw(view)
        seen = np.asarray(drawn.alpha) > 0
        assert seen.mean() > 0.8 and np.abs(np.asarray(drawn.rgb - rgb))[seen].mean() < 0.02


@pytest.mark.slow
def test_networks_begin_with_no_effect_and_take_photographs_in_any_order():
    rng = np.random.default_rng(0)
    seen = Seen(*(jnp.asarray(rng.uniform(size=shape), jnp.float32) for shape in ((3, 8, 8, 3), (3, 8, 8), (3, 8, 8))))
    weights = jax.nn.softmax(jnp.asarray(rng.normal(size=(3, 8, 8)), jnp.float32), axis=0)
    network = Blender(4, 4, 2, 4)
    params = jax.jit(network.init)(jax.random.key(0), seen, weights)
    apply = jax.jit(network.apply)
    found = apply(params, seen, weights)
    np.testing.assert_allclose(found.weights, weights, atol=0.03)
    order = np.array([2, 0, 1])
    other = apply(params, jax.tree.map(lambda leaf: leaf[order], seen), weights[order])
    np.testing.assert_allclose(other.rgb, found.rgb, atol=1e-4)
    np.testing.assert_allclose(other.weights, found.weights[order], atol=1e-5)


def test_surfaces_go_on_past_outlines():
    depth = jnp.zeros((7, 9)).at[3, 2:4].set(jnp.array([2.0, 4.0]))
    np.testing.assert_array_equal(views.continued(depth, 0), depth)
    found = np.asarray(views.continued(depth, 2))
    np.testing.assert_array_equal(found > 0, np.pad(np.ones((5, 6), bool), ((1, 1), (0, 3))))
    assert tuple(found[3, 2:4]) == (2, 4) and tuple(found[2, 1:5]) == (2, 3, 3, 4)
    with pytest.raises(InputError, match='pixels: got -1'):
        views.continued(depth, -1)


def test_opacity_of_photographs_draws_outlines_of_a_proxy_that_is_too_small():
    def across(camera):
        points = cameras.unproject(camera, cameras.pixel_centers(*SIZE), jnp.full(SIZE[::-1], 2.0))
        return np.abs(np.asarray(points)[..., 0])

    def narrow(camera):
        found = wall(camera)
        return dataclasses.replace(found, depth=jnp.where(across(camera) < 0.4, found.depth, 0))

    def shown(x):
        return np.where(across(camera_at(x)) < 0.7, np.uint8(255), np.uint8(0))

    cut = tuple(np.dstack([photograph, shown(x)]) for photograph, x in zip(PHOTOGRAPHS, EYES))
    camera = camera_at(0.1)
    clear = np.abs(across(camera) - 0.7) > 0.13  # by more than a pixel
    bank = views.bank(cut, CAMERAS, narrow, beyond=5)
    depth = views.continued(narrow(camera).depth, 5)
    drawn = jax.jit(lambda view: plain(TINY, view))(views.view(bank, camera, depth, jnp.array([2, 3])))
    np.testing.assert_allclose(np.asarray(drawn.alpha)[clear], shown(0.1)[clear] / 255, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(bank.depths) > 0, np.stack([across(camera_at(x)) < 0.4 for x in EYES]))


def test_where_fields_and_planes_are():
    camera = camera_at(0.0)

    def field(points, directions):
        return 200.0 * (points[..., 2] > 1.5), jnp.zeros_like(points)

    depth = proxies.of_field(field, SIZE, near=0.5, far=2.5, samples=200)(camera).depth
    np.testing.assert_allclose(depth, 1.5, atol=0.02)
    alpha = jnp.zeros((1, *SIZE[::-1])).at[0, :, 10:].set(1)
    stack = planes.Planes(jnp.concatenate([jnp.zeros((1, *SIZE[::-1], 3)), alpha[..., None]], -1), jnp.ones(1), camera)
    depth = np.asarray(proxies.of_planes(stack, SIZE)(camera).depth)
    assert (depth[:, :9] == 0).all() and np.allclose(depth[:, 11:19], 1, atol=1e-5)


def test_what_cannot_be_drawn_is_said(bank):
    with pytest.raises(InputError, match=r'photographs \[0, 1, 2, 3, 4\]: see nothing of the proxy'):
        views.bank(PHOTOGRAPHS, CAMERAS, lambda camera: Rendering(None, None, jnp.zeros(SIZE[::-1])))
    with pytest.raises(InputError, match='images: got several sizes'):
        views.bank((*PHOTOGRAPHS[:4], PHOTOGRAPHS[4][:8]), CAMERAS, wall)
    with pytest.raises(InputError, match='views, crop: got 1 and 17'):
        views.source(bank, neighbors=2, crop=17)
    with pytest.raises(InputError, match='expected 1 or more'):
        ImageBasedConfig(neighbors=0)
    with pytest.raises(InputError, match='beyond -1, .* crop and beyond 0 or more'):
        ImageBasedConfig(beyond=-1)
    away = views.view(bank, camera_at(50.0), jnp.full(SIZE[::-1], 2.0), jnp.array([0, 1]))
    with pytest.raises(InputError, match='the far view: none of 2 source views sees anything'):
        views.check(away, 'the far view')


@pytest.mark.slow
def test_steps_improve_a_view_that_was_left_out():
    """Photographs whose brightness differs: which count, and how much is amiss, can be learned."""
    dimmed = tuple(
        np.rint(photograph * (0.7 if k % 2 else 1.0)).astype(np.uint8) for k, photograph in enumerate(PHOTOGRAPHS)
    )
    kept = np.array([0, 1, 3, 4])
    bank = views.bank(tuple(dimmed[k] for k in kept), jax.tree.map(lambda leaf: leaf[kept], CAMERAS), wall)
    method = image_based(TINY, stepper=steps.stepper(optax.adam(5e-3)))
    source = views.source(bank, neighbors=2, crop=12)
    state = jax.jit(method.init)(jax.random.key(0))
    step = jax.jit(lambda key, state: method.step(key, state, source.draw(key, source.data)))
    camera = camera_at(EYES[2])
    view = views.view(bank, camera, wall(camera).depth, views.nearest(bank, camera, 2))
    example = Example('between', view, dimmed[2], np.ones(SIZE[::-1], np.uint8))
    first, _ = method.evaluate(state, example)
    for k in range(120):
        state, values = step(jax.random.key(k), state)
    last, pictures = method.evaluate(state, example)
    assert set(pictures) == {'truth', 'prediction', 'depth', 'error'} and np.isfinite(values['loss'])
    assert last['psnr'] > first['psnr'] + 1 and last['psnr_masked'] == pytest.approx(last['psnr'], abs=0.01)
