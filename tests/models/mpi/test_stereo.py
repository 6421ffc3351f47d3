"""Stereo magnification: what the network sees, how its result becomes planes, and that it learns to move the view."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data import posed, stereo
from neurend.data.photographs import Photographs
from neurend.geometry import cameras, transforms
from neurend.models.mpi import network
from neurend.models.mpi import stereo as stereo_lib
from neurend.models.mpi.stereo import StereoConfig, StereoExample
from neurend.models.mpi.stereo import stereo as method_of
from neurend.render import planes as render
from neurend.scenes import planes as scenes
from neurend.train.step import stepper

SIZE = (24, 16)
TINY = StereoConfig(planes=4, width=4)


def camera_at(x):
    return cameras.make(transforms.from_rt(jnp.eye(3), jnp.array([x, 0.0, 0.0])), 20.0, size=SIZE)


def pictures(count=5):
    """A wall with a bright square in front of it, seen while moving to the right."""
    found, eyes = [], np.linspace(-0.3, 0.3, count)
    for x in eyes:
        rays = cameras.rays(camera_at(x), cameras.pixel_centers(*SIZE))
        origin, direction = np.asarray(rays.origins), np.asarray(rays.directions)
        far, near = origin + 4 * direction, origin + 1.5 * direction
        wall = 0.5 + 0.3 * np.sin(3 * far[..., :1] + np.array([0, 1, 2])) * np.cos(2 * far[..., 1:2])
        square = (np.abs(near[..., :2]) < 0.25).all(-1, keepdims=True)
        found.append(np.rint(255 * np.where(square, np.array([0.9, 0.8, 0.2]), wall)).astype(np.uint8))
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *(camera_at(x) for x in eyes))
    return posed.PosedImages(
        names=tuple(f'{k}' for k in range(count)),
        images=tuple(found),
        cameras=batch,
        masks=None,
        near=1.5,
        far=4.0,
        scene_from_source=np.eye(4, dtype=np.float32),
    )


VIEWS = pictures()


def test_sources_are_near_each_other_and_not_the_target():
    source = stereo.stereo_source([VIEWS, VIEWS], batch=2, within=3)
    near = stereo.nearest(VIEWS, 3)
    np.testing.assert_array_equal(near[:, 0], np.arange(5))
    assert set(near[0]) == {0, 1, 2} and set(near[2]) == {1, 2, 3}
    draw = jax.jit(source.draw)
    for k in range(5):
        found = draw(jax.random.key(k), source.data)
        assert found.source.rgb.shape == (2, 2, 16, 24, 3) and found.target.rgb.shape == (2, 16, 24, 3)
        eyes = np.concatenate(
            [found.source.camera.world_from_camera[..., 0, 3], found.target.camera.world_from_camera[:, None, 0, 3]], -1
        )
        assert all(len(set(row.tolist())) == 3 for row in eyes) and np.ptp(eyes, axis=1).max() <= 0.45 + 1e-6
        np.testing.assert_allclose([found.near, found.far], [[1.5, 1.5], [4, 4]])
    with pytest.raises(InputError, match='within: got 9'):
        stereo.stereo_source([VIEWS], within=9)
    with pytest.raises(InputError, match='sources, within'):
        stereo.stereo_source([VIEWS], within=2)


def test_photographs_are_cut_to_squares_and_reduced_with_their_cameras():
    small = stereo.fitted(VIEWS, 8)
    assert small.images[0].shape == (8, 8, 3) and small.cameras.size.tolist() == [[8, 8]] * 5
    # The middle 16 x 16 of 24 x 16, means of 2 x 2.
    expected = VIEWS.images[1][:, 4:20].reshape(8, 2, 8, 2, 3).mean((1, 3))
    np.testing.assert_allclose(small.images[1], expected, atol=0.51)
    np.testing.assert_allclose(small.cameras.focal, 10.0)
    np.testing.assert_allclose(small.cameras.center, 4.0)
    with pytest.raises(InputError, match='expected at least size=32'):
        stereo.fitted(VIEWS, 32)


def test_the_network_sees_its_reference_and_the_other_picture_on_every_plane():
    rgb = jnp.asarray(np.stack(VIEWS.images[2:4]), jnp.float32) / 255
    both = jax.tree.map(lambda leaf: jnp.asarray(leaf[2:4]), VIEWS.cameras)
    depths = jnp.asarray(scenes.depths(1.5, 4.0, 4))
    seen = jax.jit(lambda *given: network.network_input(given[0][0], network.sweep(*given)))(rgb, both, depths)
    assert seen.shape == (1, 16, 24, 15)
    np.testing.assert_allclose(seen[0, ..., :3], 2 * rgb[0] - 1, atol=1e-6)
    # The wall agrees on the last plane and the square on the first.
    error = np.abs(np.asarray(seen[0, ..., 3:].reshape(16, 24, 4, 3) - seen[0, ..., None, :3])).mean(-1)
    assert error[2:5, 2:-6, 3].mean() < 0.05 < error[2:5, 2:-6, 0].mean()
    assert error[7:9, 11:13, 0].mean() < 0.05


@pytest.mark.parametrize('kind', network.KINDS)
def test_planes_are_made_of_what_the_network_gives(kind):
    rng = np.random.default_rng(0)
    count, reference = 3, rng.uniform(size=(2, 4, 3)).astype(np.float32)
    channels = network.channels_out(kind, count, sources=2)
    assert channels == {'background': 9, 'foreground': 12, 'all': 12, 'alpha': 3, 'single': 6, 'views': 9}[kind]
    found = rng.uniform(-1, 1, size=(2, 4, channels)).astype(np.float32)
    swept = rng.uniform(size=(1, count, 2, 4, 3)).astype(np.float32)
    rgba = np.asarray(jax.jit(network.planes_from, static_argnums=0)(kind, found, reference, swept))
    assert rgba.shape == (3, 2, 4, 4) and (rgba[-1, ..., 3] == 1).all()
    x = (found + 1) / 2
    for k in range(count):
        if kind == 'background':
            expected = x[..., k : k + 1] * reference + (1 - x[..., k : k + 1]) * x[..., 6:]
        elif kind == 'foreground':
            expected = x[..., k : k + 1] * x[..., 6:9] + (1 - x[..., k : k + 1]) * x[..., 9:]
        elif kind == 'views':
            share = 1 / (1 + np.exp(found[..., 3 + k : 4 + k] - found[..., k : k + 1]))
            expected = share * reference + (1 - share) * swept[0, k]
        else:
            expected = {'all': x[..., 4 * k : 4 * k + 3], 'alpha': reference, 'single': x[..., 3:]}[kind]
        np.testing.assert_allclose(rgba[k, ..., :3], expected, atol=1e-6)
        alpha = {'all': 4 * k + 3, 'alpha': k, 'single': k, 'views': 6 + k}.get(kind, 3 + k)
        if k < count - 1:
            expected = 1 / (1 + np.exp(-found[..., alpha])) if kind == 'views' else x[..., alpha]
            np.testing.assert_allclose(rgba[k, ..., 3], expected, atol=1e-6)


@pytest.mark.parametrize('kind', network.KINDS)
def test_opacities_are_where_their_channels_are_said_to_be(kind):
    rng = np.random.default_rng(1)
    count, reference = 3, rng.uniform(size=(2, 4, 3)).astype(np.float32)
    found = np.zeros((2, 4, network.channels_out(kind, count)), np.float32)
    channels = network.alpha_channels(kind, count)
    found[..., channels] = [0.9, 0.2, 0.5]
    swept = rng.uniform(size=(1, count, 2, 4, 3)).astype(np.float32)
    alpha = np.asarray(network.planes_from(kind, jnp.asarray(found), jnp.asarray(reference), jnp.asarray(swept)))[
        ..., 3
    ]
    expected = 1 / (1 + np.exp([-0.9, -0.2])) if kind == 'views' else np.array([0.95, 0.6])
    np.testing.assert_allclose(alpha[:2], np.broadcast_to(expected[:, None, None], (2, 2, 4)), atol=1e-6)


def pair_of(first, second):
    chosen = np.array([first, second])
    rgb = jnp.asarray(np.stack([VIEWS.images[k] for k in chosen]), jnp.float32) / 255
    return Photographs(jax.tree.map(lambda leaf: jnp.asarray(leaf[chosen]), VIEWS.cameras), rgb, jnp.ones((2, 3)))


@jax.jit
def drawn(made, camera):
    rays = cameras.rays(camera, cameras.pixel_centers(*SIZE))
    return render.render(made.rgba, made.depths, made.camera, rays, background=jnp.ones(3))


def test_without_a_network_planes_show_what_photographs_agree_on_beyond_their_reference():
    """The square is nearer than the wall; with a border the other photograph shows what the reference does not."""
    config = dataclasses.replace(TINY, border=4)
    with_border, without = (
        jax.jit(stereo_lib.swept_planes, static_argnums=0)(each, pair_of(2, 3), 1.5, 4.0) for each in (config, TINY)
    )
    assert with_border.rgba.shape == (4, 24, 32, 4) and without.rgba.shape == (4, 16, 24, 4)
    np.testing.assert_allclose(with_border.camera.center, np.array(VIEWS.cameras.center[2]) + 4)
    nearest = np.asarray(without.rgba)[0, ..., 3]
    assert nearest[7:9, 10:14].mean() > 2 * nearest[2:5, 2:-6].mean()
    target = jax.tree.map(jnp.asarray, VIEWS.camera(4))
    errors = [np.abs(np.asarray(drawn(made, target).rgb) - VIEWS.images[4] / 255) for made in (without, with_border)]
    copied = np.abs(VIEWS.images[2] / 255.0 - VIEWS.images[4] / 255.0)
    assert errors[1].mean() < 0.4 * copied.mean()
    assert errors[1][:, -1:].mean() < 0.5 * errors[0][:, -1:].mean()
    assert float(drawn(with_border, target).alpha.min()) > 0.99


def test_a_guided_network_that_says_nothing_gives_the_opacities_of_the_guess():
    config = dataclasses.replace(TINY, guided=True, output='views', border=4)
    method = method_of(config, size=SIZE, stepper=stepper(optax.adam(1e-3)))
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    silent = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes.params)
    made, guess = jax.jit(
        lambda pair: (
            stereo_lib.planes_of(config, silent, pair, 1.5, 4.0),
            stereo_lib.swept_planes(config, pair, 1.5, 4.0),
        )
    )(pair_of(2, 3))
    np.testing.assert_allclose(made.rgba, guess.rgba, atol=2e-5)


def made():
    return method_of(TINY, size=SIZE, stepper=stepper(optax.adam(6e-3)))


@pytest.mark.slow
def test_it_learns_to_move_the_view():
    method, source = made(), stereo.stereo_source([VIEWS], within=4)
    state = jax.jit(method.init)(jax.random.key(0))
    step = jax.jit(lambda key, state: method.step(key, state, source.draw(key, source.data)))
    losses = []
    for k in range(250):
        state, values = step(jax.random.key(k), state)
        losses.append(float(values['loss']))
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:5])
    pair = jax.tree.map(lambda leaf: leaf[0], source.draw(jax.random.key(0), source.data)).source
    both = jax.tree.map(lambda leaf: jnp.asarray(leaf[np.array([1, 2])]), VIEWS.cameras)
    rgb = jnp.asarray(np.stack([VIEWS.images[1], VIEWS.images[2]]), jnp.float32) / 255
    pair = dataclasses.replace(pair, camera=both, rgb=rgb)
    example = StereoExample('3', pair, (1.5, 4.0), VIEWS.camera(3), VIEWS.images[3])
    values, shown = method.evaluate(state, example)
    copied = np.mean((VIEWS.images[1] / 255 - VIEWS.images[3] / 255) ** 2)
    assert values['psnr'] > -10 * np.log10(copied) + 1.5
    assert shown['prediction'].shape == (16, 24, 3)


def test_bad_input():
    with pytest.raises(InputError, match='multiples of 8'):
        method_of(TINY, size=(20, 16), stepper=stepper(optax.adam(1e-3)))
    with pytest.raises(InputError, match='planes, width, sources'):
        StereoConfig(planes=1)
    with pytest.raises(InputError, match='kind'):
        network.channels_out('none', 4)
