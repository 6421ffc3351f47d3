"""Multi-plane images against ray casting, an oracle by homographies, closed forms, and finite differences."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.render import compositing, layers, planes
from neurend.scenes import planes as scenes
from tests.oracles import planes as oracle
from tests.oracles.derivatives import check_jacobian

RNG = np.random.default_rng(0)
SIZE = (9, 7)


def camera_at(twist=(0.0,) * 6, *, size=SIZE, focal=(8.0, 9.0), center=None, start=None):
    pose = transforms.se3_exp(jnp.asarray(twist, jnp.result_type(float)))
    pose = pose if start is None else transforms.compose(start, pose)
    center = jnp.asarray(center if center is not None else (size[0] / 2, size[1] / 2))
    return cameras.make(pose, jnp.asarray(focal), size=size, center=center)


def rays_of(camera, size=SIZE):
    return cameras.rays(camera, cameras.pixel_centers(*size).astype(camera.focal.dtype))


@functools.partial(jax.jit, static_argnames='size')
def draw(rgba, depths, source, target, size=SIZE):
    return planes.render(rgba, depths, source, rays_of(target, size))


WORLD = transforms.se3_exp(jnp.array([0.3, -2.0, 1.0, 0.4, -0.8, 0.5]))
DEPTHS = jnp.asarray(scenes.depths(1.0, 5.0, 5))
LAYERS = jnp.asarray(RNG.uniform(size=(5, 11, 13, 4)), jnp.float32)
SOURCE = camera_at(size=(13, 11), start=WORLD)
MOVES = ((0.0,) * 6, (0.3, -0.2, 0.1, 0.05, -0.1, 0.2), (-0.5, 0.3, -0.7, 0.0, 0.2, -0.1))


@pytest.mark.parametrize('move', MOVES)
def test_drawing_is_that_of_homographies(move):
    target = camera_at(move, start=WORLD, focal=(9.5, 8.0), center=(4.0, 3.2))
    found = draw(LAYERS, DEPTHS, SOURCE, target)
    rgb, alpha, depth = oracle.render(LAYERS, DEPTHS, SOURCE, target, SIZE)
    assert alpha.max() > 0.9
    np.testing.assert_allclose(found.rgb, rgb, atol=2e-5)
    np.testing.assert_allclose(found.alpha, alpha, atol=2e-5)
    np.testing.assert_allclose(found.depth, depth, atol=1e-4)


def test_as_layers_they_look_the_same():
    # Once from between them.
    for move in (MOVES[1], (0.0, 0.1, 2.5, 0.1, 0.2, 0.0)):
        target = camera_at(move, start=WORLD, focal=(9.5, 8.0), center=(4.0, 3.2))
        found = draw(LAYERS, DEPTHS, SOURCE, target)
        apart = jax.jit(planes.layers)(LAYERS, DEPTHS, SOURCE, rays_of(target))
        assert apart.rgb.shape == (5, *found.rgb.shape)
        together = jax.jit(layers.composite)(apart)
        for name in ('rgb', 'alpha', 'depth'):
            np.testing.assert_allclose(getattr(together, name), getattr(found, name), atol=1e-5)
    assert np.asarray(found.alpha > 0).mean() > 0 and np.isinf(apart.t).any()


def test_a_textured_plane_is_what_rays_hit():
    source, target = camera_at(size=(40, 40), focal=(40.0, 40.0)), camera_at((0.4, -0.3, 0.2, 0.1, -0.15, 0.3))
    at = 2.5
    # Bilinear look-up of a texture that is linear over the plane is exact.
    own = cameras.unproject(source, cameras.pixel_centers(40, 40), jnp.full((40, 40), at))
    texture = jnp.stack([0.3 * own[..., 0], 0.2 - own[..., 1], own[..., 0] + own[..., 1]], axis=-1)
    rgba = jnp.concatenate([texture, jnp.ones((40, 40, 1))], axis=-1)[None]
    found = draw(rgba, jnp.array([at]), source, target)
    rays = rays_of(target)
    t = (at - rays.origins[..., 2]) / rays.directions[..., 2]
    x, y, _ = np.moveaxis(np.asarray(rays.origins + t[..., None] * rays.directions), -1, 0)
    inner = np.maximum(abs(x), abs(y)) < 1.2
    assert 0.3 < inner.mean() < 1
    np.testing.assert_allclose(found.rgb[inner], np.stack([0.3 * x, 0.2 - y, x + y], -1)[inner], atol=1e-5)
    np.testing.assert_allclose(found.alpha[inner], 1, atol=1e-6)
    np.testing.assert_allclose(found.depth[inner], t[inner], rtol=1e-5)
    far = np.maximum(abs(x), abs(y)) > 1.3
    assert far.any() and (np.asarray(found.alpha)[far] == 0).all()


def test_planes_hide_each_other_from_both_sides():
    red, blue = jnp.array([1.0, 0, 0, 1]), jnp.array([0.0, 0, 1, 1])
    rgba = jnp.broadcast_to(jnp.stack([red, blue])[:, None, None], (2, 11, 13, 4))
    depths = jnp.array([2.0, 3.0])
    middle = (slice(3, 4), slice(4, 5))
    front = draw(rgba, depths, SOURCE, camera_at(start=WORLD))
    np.testing.assert_allclose(front.rgb[middle][0, 0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(front.depth[middle], 2, atol=1e-5)
    turned = (0.0, 0.0, 0.0, 0.0, float(np.pi), 0.0)
    behind = transforms.compose(WORLD, transforms.se3_exp(jnp.array([0.0, 0, 5, 0, 0, 0])))
    back = draw(rgba, depths, SOURCE, camera_at(turned, start=behind))
    np.testing.assert_allclose(back.rgb[middle][0, 0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(back.depth[middle], 2, atol=1e-5)
    between = transforms.compose(WORLD, transforms.se3_exp(jnp.array([0.0, 0, 2.5, 0, 0, 0])))
    for move, color in (((0.0,) * 6, [0, 0, 1]), (turned, [1, 0, 0])):
        seen = draw(rgba, depths, SOURCE, camera_at(move, start=between))
        np.testing.assert_allclose(seen.rgb[middle][0, 0], color, atol=1e-6)
        np.testing.assert_allclose(seen.depth[middle], 0.5, atol=1e-5)


def test_expected_depth_of_two_sheets():
    rgba = jnp.broadcast_to(jnp.array([0.2, 0.4, 0.6, 0.5]), (2, 11, 13, 4))
    found = draw(rgba, jnp.array([1.0, 4.0]), SOURCE, camera_at(start=WORLD))
    np.testing.assert_allclose(found.alpha[3, 4], 0.75, atol=1e-6)
    np.testing.assert_allclose(found.depth[3, 4], (0.5 * 1 + 0.25 * 4) / 0.75, rtol=1e-5)
    np.testing.assert_allclose(found.rgb[3, 4], 0.75 * np.array([0.2, 0.4, 0.6]), atol=1e-6)
    on_white = jax.jit(planes.render)(
        rgba, jnp.array([1.0, 4.0]), SOURCE, rays_of(camera_at(start=WORLD)), background=jnp.ones(3)
    )
    np.testing.assert_allclose(on_white.rgb[3, 4], 0.75 * np.array([0.2, 0.4, 0.6]) + 0.25, atol=1e-6)


def test_moving_the_world_changes_nothing():
    target = camera_at(MOVES[1])
    here = draw(LAYERS, DEPTHS, camera_at(size=(13, 11)), target)
    there = draw(LAYERS, DEPTHS, SOURCE, camera_at(MOVES[1], start=WORLD))
    np.testing.assert_allclose(there.rgb, here.rgb, atol=1e-5)
    np.testing.assert_allclose(there.depth, here.depth, atol=1e-4)


@jax.jit
@functools.partial(jax.grad, argnums=(0, 1, 2), has_aux=True)
def _pulled(rgba, pose, focal):
    target = cameras.make(pose, focal, size=SIZE)
    found = planes.render(rgba, DEPTHS, SOURCE, rays_of(target))
    return jnp.sum(found.rgb) + jnp.sum(found.alpha) + jnp.sum(found.depth), found


@pytest.mark.parametrize(
    'move',
    [
        (0.0, 0.0, 6.0, 0.0, 0.0, 0.0),  # all planes behind
        (50.0, 0.0, 0.0, 0.0, 0.0, 0.0),  # beside them
        (0.0, 0.0, 0.0, 0.0, float(np.pi), 0.0),  # looks away
        (1e7, -1e7, 0.0, 0.0, 0.0, 0.0),  # pixels beyond all integers
    ],
)
def test_where_nothing_is_seen_all_is_zero_and_gradients_too(move):
    target = camera_at(move, start=WORLD)
    gradients, found = _pulled(LAYERS, target.world_from_camera, target.focal)
    for x in (found.rgb, found.alpha, found.depth, *gradients):
        assert (np.asarray(x) == 0).all()


def test_rays_along_the_planes_and_planes_at_their_camera_are_finite():
    sideways = camera_at((0.0, 0, 2.0, 0, float(np.pi / 2), 0), start=WORLD)
    depths = jnp.array([-1.0, 0.0, 1.0, 2.0, 3.0])

    def value(rgba, depths):
        found = planes.render(rgba, depths, SOURCE, rays_of(sideways))
        return jnp.sum(found.rgb) + jnp.sum(found.depth)

    for x in jax.jit(jax.grad(value, argnums=(0, 1)))(LAYERS, depths):
        assert np.isfinite(x).all()
    own = draw(LAYERS, depths, SOURCE, camera_at(start=WORLD))
    np.testing.assert_allclose(own.rgb, draw(LAYERS[2:], depths[2:], SOURCE, camera_at(start=WORLD)).rgb, atol=1e-6)


def test_derivatives_to_planes_and_both_cameras_in_both_modes():
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        rgba, depths = jnp.asarray(rng.uniform(size=(2, 3, 3, 3))), jnp.array([1.0, 2.3])

        def picture(rgba, depths, source_twist, target_twist, source_optics, target_optics):
            source = camera_at(source_twist, size=(3, 3), focal=source_optics[0], center=source_optics[1])
            target = camera_at(target_twist, size=(2, 2), focal=target_optics[0], center=target_optics[1])
            found = planes.render(rgba, depths, source, rays_of(target, (2, 2)))
            return found.rgb, found.alpha, found.depth

        twists = jnp.asarray([0.05, 0.02, 0.1, 0.03, -0.04, 0.1]), jnp.asarray([0.11, -0.07, -0.2, -0.05, 0.08, 0.02])
        optics = jnp.array([[3.1, 2.9], [1.6, 1.4]]), jnp.array([[2.8, 2.6], [1.1, 0.95]])
        check_jacobian(picture, rgba, depths, *twists, *optics, rtol=1e-5, atol=1e-6)


def test_batches_are_those_of_a_loop():
    targets = [camera_at(move, start=WORLD) for move in MOVES]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *targets)
    scenes_batch = jnp.stack([LAYERS, LAYERS[::-1], LAYERS**2])
    together = jax.vmap(lambda rgba, target: draw(rgba, DEPTHS, SOURCE, target))(scenes_batch, batch)
    for k, target in enumerate(targets):
        alone = draw(scenes_batch[k], DEPTHS, SOURCE, target)
        np.testing.assert_allclose(together.rgb[k], alone.rgb, atol=1e-6)
        np.testing.assert_allclose(together.depth[k], alone.depth, atol=1e-5)


@pytest.mark.parametrize('count', [1, 2, 5, 8])
def test_merging_in_pairs_is_compositing_in_order(count):
    colors, alphas = RNG.uniform(size=(count, 6, 3)), RNG.uniform(size=(count, 6))
    alphas[count // 2, :3] = 1  # opaque: nothing behind counts, nor do its gradients break
    colors, alphas = jnp.asarray(colors, jnp.float32), jnp.asarray(alphas, jnp.float32)

    def by_pairs(colors, alphas):
        merged, alpha = compositing.merge([alphas * colors[..., c] for c in range(3)], alphas)
        return jnp.stack(merged, axis=-1), alpha

    def in_order(colors, alphas):
        return compositing.over(jnp.moveaxis(colors, 0, -2), jnp.moveaxis(alphas, 0, -1))[:2]

    for one, other in zip(by_pairs(colors, alphas), in_order(colors, alphas)):
        np.testing.assert_allclose(one, other, atol=1e-6)
    weight = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
    one, other = (
        jax.jit(jax.grad(lambda c, a, f=f: jnp.sum(weight * f(c, a)[0]) + jnp.sum(f(c, a)[1] ** 2), argnums=(0, 1)))(
            colors, alphas
        )
        for f in (by_pairs, in_order)
    )
    for a, b in zip(one, other):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_swept_pictures_agree_on_the_plane_where_things_are():
    """A picture of a plane, swept by another camera, is that camera's picture there and nowhere else."""
    reference, camera = camera_at(size=(24, 20), focal=(20.0, 20.0)), camera_at((0.3, 0.1, 0, 0, 0, 0), size=(24, 20),
                                                                             focal=(20.0, 20.0))  # fmt: skip
    pattern = lambda points: jnp.stack([jnp.sin(2 * points[..., 0]), jnp.cos(2 * points[..., 1])], axis=-1)  # noqa: E731
    pictures = [
        pattern(cameras.unproject(each, cameras.pixel_centers(24, 20), jnp.full((20, 24), 2.0)))
        for each in (reference, camera)
    ]
    volume = jax.jit(planes.sweep, static_argnums=4)(
        pictures[1], camera, reference, jnp.array([1.0, 2.0, 4.0]), (24, 20)
    )
    error = np.abs(np.asarray(volume - pictures[0][None]))[:, 4:-4, 6:-6].mean(axis=(1, 2, 3))
    assert error[1] < 2e-3 and error[0] > 0.1 and error[2] > 0.1


def test_bad_input():
    fisheye = dataclasses.replace(SOURCE, model='fisheye')
    rays = rays_of(camera_at())
    with pytest.raises(InputError, match=r'source\.model'):
        planes.render(LAYERS, DEPTHS, fisheye, rays)
    with pytest.raises(InputError, match='depths'):
        planes.render(LAYERS, DEPTHS[1:], SOURCE, rays)
    with pytest.raises(InputError, match='layers'):
        planes.render(LAYERS[0], DEPTHS, SOURCE, rays)
