"""Warped photographs and their weights against an oracle, closed forms, invariances and finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, transforms
from neurend.render import lumigraph, view_dependent, warps
from tests.oracles import lumigraph as oracle
from tests.oracles.derivatives import check_jacobian

RNG = np.random.default_rng(0)
SIZE = (9, 7)
WORLD = transforms.se3_exp(jnp.array([0.3, -2.0, 1.0, 0.4, -0.8, 0.5]))
MOVES = (
    (0.3, -0.2, 0.1, 0.05, -0.1, 0.2),
    (-0.5, 0.3, -0.2, 0.0, 0.1, -0.1),
    (0.1, 0.5, 0.3, -0.1, 0.0, 0.0),
    (0.0, 0.0, 5.0, 0.0, 0.0, 0.0),  # beyond the surface: sees nothing of it
)


def camera_at(twist=(0.0,) * 6, *, start=WORLD, focal=(8.0, 9.0), center=(4.5, 3.5)):
    pose = transforms.compose(start, transforms.se3_exp(jnp.asarray(twist, jnp.result_type(float))))
    return cameras.make(pose, jnp.asarray(focal), size=SIZE, center=jnp.asarray(center))


def stacked(*parts):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)


def sources_at(moves=MOVES, start=WORLD):
    pictures = RNG.uniform(size=(len(moves), *SIZE[::-1], 4))
    pictures[..., :3] *= pictures[..., 3:]
    depths = RNG.uniform(2.6, 3.4, size=(len(moves), *SIZE[::-1]))
    depths[:, :2, :3] = 0
    focal = [(8.0, 9.0), (7.0, 7.5), (12.0, 11.0), (8.0, 8.0)]
    return warps.Sources(
        jnp.asarray(pictures, jnp.float32),
        stacked(*(camera_at(move, start=start, focal=own) for move, own in zip(moves, focal))),
        jnp.asarray(depths, jnp.float32),
    )


SOURCES = sources_at()
DEPTH = jnp.asarray(
    np.where(RNG.uniform(size=SIZE[::-1]) < 0.1, 0, RNG.uniform(2.7, 3.3, size=SIZE[::-1])), jnp.float32
)
draw = jax.jit(lumigraph.render, static_argnames=('keep', 'angle', 'resolution'))


@pytest.mark.parametrize('keep', [2, 4])
def test_a_view_is_that_of_the_definitions(keep):
    target = camera_at((0.05, 0.1, 0.0, 0.02, 0.03, 0.0))
    found = draw(SOURCES, target, DEPTH, keep=keep, angle=1.5, resolution=0.3)
    options = {'angle': 1.5, 'resolution': 0.3, 'tolerance': 0.02, 'border': 2.0, 'least': 1e-3, 'kept': 1e-4}
    rgb, alpha, weights = oracle.render(SOURCES, target, DEPTH, keep=keep, **options)
    # Some are hidden, some are seen by several, nothing by the last, and where there is no surface there is nothing.
    assert 0.2 < (alpha > 0).mean() < 1 and ((weights > 0.1).sum(-1) > 1).any() and (weights[..., 3] == 0).all()
    np.testing.assert_allclose(found.weights, weights, atol=2e-4)
    np.testing.assert_allclose(found.alpha, alpha, atol=2e-4)
    np.testing.assert_allclose(found.rgb, rgb, atol=2e-4)
    assert (np.asarray(found.alpha)[np.asarray(DEPTH) == 0] == 0).all()


def test_moving_the_world_changes_nothing():
    moved = transforms.se3_exp(jnp.array([1.0, 2.0, -0.5, -0.3, 0.6, 1.0]))
    here = draw(SOURCES, camera_at(), DEPTH)
    other = SOURCES.cameras.replace(
        world_from_camera=transforms.compose(moved[None], SOURCES.cameras.world_from_camera)
    )
    target = camera_at()
    target = target.replace(world_from_camera=transforms.compose(moved, target.world_from_camera))
    there = draw(SOURCES.replace(cameras=other), target, DEPTH)
    np.testing.assert_allclose(there.rgb, here.rgb, atol=1e-3)


def test_order_of_photographs_does_not_matter_and_scale_of_the_scene_neither():
    here = draw(SOURCES, camera_at(), DEPTH, keep=2)
    order = np.array([2, 0, 3, 1])
    other = draw(jax.tree.map(lambda leaf: leaf[order], SOURCES), camera_at(), DEPTH, keep=2)
    np.testing.assert_allclose(other.rgb, here.rgb, atol=1e-5)
    np.testing.assert_allclose(other.weights, here.weights[..., order], atol=1e-5)

    def larger(camera):
        return camera.replace(world_from_camera=camera.world_from_camera.at[..., :3, 3].multiply(10))

    scaled = SOURCES.replace(cameras=larger(SOURCES.cameras), depths=10 * SOURCES.depths)
    np.testing.assert_allclose(draw(scaled, larger(camera_at()), 10 * DEPTH, keep=2).rgb, here.rgb, atol=1e-3)


def test_from_where_a_photograph_was_taken_it_is_seen_as_it_is():
    own = SOURCES.cameras[1]
    inner = (slice(2, -2), slice(2, -2))
    found = draw(SOURCES, own, SOURCES.depths[1])
    # Others have a thousandth of its weight, over the angle between them.
    assert found.weights[inner][..., 1].min() > 0.97
    only = draw(SOURCES, own, SOURCES.depths[1], keep=1)
    np.testing.assert_allclose(only.rgb[inner], SOURCES.pictures[1][inner][..., :3], atol=2e-3)
    np.testing.assert_allclose(only.alpha[inner], SOURCES.pictures[1][inner][..., 3], atol=2e-3)


def test_what_is_nearer_hides_what_is_behind():
    """A red card before a blue wall: what it hides from one photograph is taken from the other."""
    eyes = [(-0.5, 0.0, 0.0, 0, 0, 0), (0.5, 0.0, 0.0, 0, 0, 0), (0.0, 0.0, 0.0, 0, 0, 0)]
    views = [cameras.make(transforms.se3_exp(jnp.asarray(eye)), 40.0, size=(48, 32)) for eye in eyes]

    @jax.jit
    def seen(camera):
        rays = cameras.rays(camera, cameras.pixel_centers(48, 32))
        x = rays.origins[..., 0] + 2 * rays.directions[..., 0]
        return jnp.where(jnp.abs(x) < 0.2, 2.0, 4.0)

    depths = jnp.stack([seen(camera) for camera in views])
    colors = jnp.where((depths < 3)[..., None], jnp.array([1.0, 0, 0, 1]), jnp.array([0.0, 0, 1, 1]))
    sources = warps.Sources(colors[:2], stacked(*views[:2]), depths[:2])
    found = draw(sources, views[2], depths[2])
    np.testing.assert_allclose(found.rgb[:, 4:-4], colors[2][:, 4:-4, :3], atol=1e-5)
    weights = np.asarray(found.weights)[16]
    # Just right of the card it hides the wall from the left eye, and the other way round.
    at = np.flatnonzero(np.asarray(depths[2][16] < 3))
    assert weights[at[-1] + 2, 0] == 0 and weights[at[-1] + 2, 1] == 1
    assert weights[at[0] - 2, 0] == 1 and weights[at[0] - 2, 1] == 0
    np.testing.assert_allclose(weights[at[len(at) // 2]], 0.5, atol=0.1)


def test_penalties_are_angles_and_coarseness():
    points = jnp.array([[0.0, 0, 2], [0, 0, 4]])
    still = transforms.se3_exp(jnp.zeros(6))
    target = cameras.make(still, 10.0, size=SIZE)
    beside = cameras.make(still.at[0, 3].set(2.0), 10.0, size=SIZE)
    twice = cameras.make(still, 5.0, size=SIZE)
    found = lumigraph.penalties(points, target, stacked(target, beside, twice), angle=1.0, resolution=0.5)
    np.testing.assert_allclose(found[0], 0, atol=1e-6)
    np.testing.assert_allclose(found[1], np.arctan([1, 0.5]), atol=1e-6)
    np.testing.assert_allclose(found[2], 0.5, atol=1e-6)


def test_weights_fade_where_photographs_come_and_go():
    """Along a way past many photographs no weight jumps."""
    share = jnp.ones((6, 400))
    at = jnp.linspace(0, 5, 400)
    found = jax.jit(functools.partial(lumigraph.weights, keep=2))(jnp.abs(at[None] - jnp.arange(6.0)[:, None]), share)
    assert np.abs(np.diff(found, axis=1)).max() < 0.1
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert (np.sort(np.asarray(found), axis=0)[:-3] < 1e-3).all()
    tied = lumigraph.weights(jnp.ones((3, 1)), jnp.ones((3, 1)), keep=1)
    np.testing.assert_allclose(tied, 1 / 3, atol=1e-6)


def test_derivatives_to_pictures_depths_and_all_cameras_in_both_modes():
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        pictures, source_depths = jnp.asarray(rng.uniform(size=(2, 3, 4, 2))), jnp.full((2, 3, 4), 2.97)
        start = transforms.se3_exp(jnp.array([0.3, -2.0, 1.0, 0.4, -0.8, 0.5]))

        def picture(pictures, source_depths, depth, twists, optics):
            made = [
                cameras.make(transforms.compose(start, transforms.se3_exp(twist)), own[:2], size=(4, 3), center=own[2:])
                for twist, own in zip(twists, optics)
            ]
            found = lumigraph.render(warps.Sources(pictures, stacked(*made[1:]), source_depths), made[0], depth)
            return found.rgb, found.alpha

        depth = jnp.array([[0.0, 3.0, 3.05], [2.9, 3.08, 0.0]])
        twists = jnp.array([[0.0] * 6, [0.11, -0.07, 0.1, 0.01, 0.02, 0.1], [-0.23, 0.1, -0.05, 0.02, -0.03, 0.0]])
        optics = jnp.array([[4.0, 3.9, 1.6, 1.1], [3.1, 3.2, 2.0, 1.4], [4.5, 4.4, 2.2, 1.6]])
        check_jacobian(picture, pictures, source_depths, depth, twists, optics, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('move', [(0.0, 0, -20, 0, 0, 0), (50.0, 0, 0, 0, 0, 0), (1e7, -1e7, 0, 0, 0, 0)])
def test_without_overlap_the_picture_is_empty_and_so_are_gradients(move):
    away = camera_at(move)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def pulled(pictures, pose, focal):
        found = lumigraph.render(SOURCES.replace(pictures=pictures), cameras.make(pose, focal, size=SIZE), DEPTH)
        return jnp.sum(found.rgb) + jnp.sum(found.alpha), found

    (_, found), gradients = pulled(SOURCES.pictures, away.world_from_camera, away.focal)
    for x in (found.rgb, found.alpha, found.depth, found.weights, *gradients):
        assert (np.asarray(x) == 0).all()
    seen, _ = jax.jit(warps.warp)(SOURCES, away, DEPTH)
    with pytest.raises(InputError, match='far away: none of 4 source views sees anything'):
        warps.check(seen.share, 'far away')


def test_batches_are_those_of_a_loop():
    # Not from where a share is all but zero, which rounding changes and weights do not show.
    targets = [camera_at((0.05, 0.1, 0.0, 0.02, 0.03, 0.0)), camera_at((-0.1, 0.05, 0.0, 0.0, 0.01, 0.0))]
    together = jax.jit(jax.vmap(lambda target: lumigraph.render(SOURCES, target, DEPTH)))(stacked(*targets))
    for k, target in enumerate(targets):
        np.testing.assert_allclose(together.rgb[k], draw(SOURCES, target, DEPTH).rgb, atol=1e-5)


@pytest.mark.slow
def test_a_textured_mesh_is_drawn_in_the_colours_of_photographs():
    """Two triangles with a pattern that is linear over them, so that look-up and blending are exact."""
    vertices = jnp.array([[-2.0, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]])
    faces = jnp.array([[0, 2, 1], [0, 3, 2]], jnp.int32)
    eyes = jnp.array([[0.5, 0, -4], [-0.6, 0.3, -4], [0, 0.1, -4.5]])
    views = [transforms.look_at(eye, jnp.zeros(3), jnp.array([0.0, -1, 0])) for eye in eyes]
    views = [cameras.make(pose, 40.0, size=(24, 20)) for pose in views]

    @jax.jit
    def depth_and_pattern(camera):
        depth = view_dependent.surface(vertices, faces, camera, size=(24, 20)).depth
        points = cameras.unproject(camera, cameras.pixel_centers(24, 20), depth)
        return depth, jnp.concatenate([0.5 + 0.1 * points[..., :2], jnp.ones_like(points[..., :1])], axis=-1)

    (depths, pictures) = stacked(*(depth_and_pattern(camera) for camera in views))
    assert (np.asarray(depths) > 3).all()
    sources = warps.Sources(pictures[:2], stacked(*views[:2]), depths[:2])
    drawn = jax.jit(functools.partial(view_dependent.render, vertices, faces, size=(24, 20)))(sources, views[2])
    by_pixel = draw(sources, views[2], depths[2])
    # The view reaches a little beyond what the photographs show, whose last half pixel continues: up to 0.006.
    for found in (drawn, by_pixel):
        seen = np.asarray(found.alpha) > 0
        assert seen.mean() > 0.8
        np.testing.assert_allclose(found.rgb[seen], pictures[2, ..., :2][seen], atol=6e-3)
        np.testing.assert_allclose(found.depth[seen], depths[2][seen], rtol=1e-5)


def test_bad_input():
    with pytest.raises(InputError, match='tolerance, border'):
        warps.look(SOURCES, jnp.zeros((1, 3)), tolerance=0)
    with pytest.raises(InputError, match=r'sources\.depths'):
        warps.look(SOURCES.replace(depths=DEPTH), jnp.zeros((1, 3)))
    with pytest.raises(InputError, match='keep'):
        lumigraph.weights(jnp.ones((2, 3)), jnp.ones((2, 3)), keep=0)
    with pytest.raises(InputError, match='orthographic'):
        wrong = cameras.make(jnp.eye(4)[None], 1.0, size=SIZE, model='orthographic')
        lumigraph.penalties(jnp.zeros((1, 3)), camera_at(), wrong)
