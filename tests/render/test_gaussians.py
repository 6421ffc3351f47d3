"""Splatting of Gaussians: closed forms, an oracle, invariances, derivatives, and what is said of bad input."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import cameras, rotations, transforms
from neurend.render import gaussians
from tests.oracles import gaussians as oracle

SIZE = (40, 28)
COUNT, CAPACITY = 60, 512
POSE = np.asarray(transforms.look_at(np.array([0.3, -3.0, 0.5]), np.zeros(3), np.array([0, 0, 1.0])), np.float64)


def _some(seed=0, count=COUNT):
    """Gaussians of all sizes, some opaque, some wide, some thin, some behind the camera or off the picture."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(count, 3)) * [1.0, 0.8, 0.6]
    means[:2] = [[0, -4, 0], [3, -0.5, 0]]
    axes = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0] * rng.choice([0.02, 0.1, 0.4], (count, 1, 3))
    opacities = rng.choice([1.0, 0.9, 0.5, 0.05], count)
    return means, axes @ axes.transpose(0, 2, 1), opacities, rng.uniform(size=(count, 2))


def _camera(pose=POSE, focal=(42.0, 40.0), center=(19.0, 15.0)):
    return cameras.make(jnp.asarray(pose), jnp.asarray(focal), size=SIZE, center=jnp.asarray(center))


@functools.partial(jax.jit, static_argnames=('capacity', 'antialiased'))
def draw(means, covariances, opacities, features, camera, live=None, *, capacity=CAPACITY, antialiased=False):
    return gaussians.splat(
        means, covariances, opacities, features, camera, live=live, width=SIZE[0], height=SIZE[1], capacity=capacity,
        antialiased=antialiased,
    )  # fmt: skip


def _float32(arrays):
    return [jnp.asarray(x, jnp.float32) for x in arrays]


def _shown(*arrays, camera=None, **options):
    live = options.pop('live', np.ones(len(arrays[0]), bool))
    camera = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, camera or _camera())
    return draw(*_float32(arrays), camera, jnp.asarray(live), **options)


@pytest.mark.parametrize(('seed', 'antialiased'), [(0, False), (1, False), (2, True)])
def test_pictures_agree_with_the_oracle(seed, antialiased):
    given = _some(seed)
    want = oracle.splat(*given, POSE, (42, 40), (19, 15), SIZE, antialiased=antialiased)
    got = _shown(*given, antialiased=antialiased)
    gaussians.check(got)
    for found, expected in zip((got.rgb, got.alpha, got.depth * got.alpha), want):
        # At a threshold a pixel may fall to either side.
        off = np.abs(np.asarray(found, np.float64) - expected)
        assert np.mean(off > 1e-4) < 0.002 and off.max() < 0.03
    assert want[1].max() > 0.999 and want[1].min() < 0.2
    assert not got.extras['visible'][0] and (got.extras['radii'] > 0).sum() == got.extras['visible'].sum()


def test_what_is_before_a_surface_and_what_is_behind_it_agree_with_the_oracle():
    given = _some(3)
    surface = np.random.default_rng(3).uniform(2.2, 3.8, size=SIZE[::-1]).astype(np.float32)
    behind, ahead = np.full_like(surface, np.inf), np.zeros_like(surface)

    @jax.jit
    def part(ends, means):
        drawn = gaussians.splat(
            means, *_float32(given[1:]), camera, width=SIZE[0], height=SIZE[1], capacity=CAPACITY, between=ends
        )
        return drawn.rgb, drawn.alpha, drawn.depth * drawn.alpha

    camera = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, _camera())
    means = jnp.asarray(given[0], jnp.float32)
    for ends in ((ahead, surface), (surface, behind)):
        want = oracle.splat(*given, POSE, (42, 40), (19, 15), SIZE, between=ends)
        got = part(ends, means)
        for found, expected in zip(got, want):
            off = np.abs(np.asarray(found, np.float64) - expected)
            assert np.mean(off > 1e-4) < 0.002 and off.max() < 0.03
    # Both modes see the same parts.
    random = np.random.default_rng(4)
    moved = jnp.asarray(random.normal(size=means.shape), jnp.float32)
    weights = [jnp.asarray(random.normal(size=x.shape), jnp.float32) for x in got]

    def total(means):
        return sum(jnp.sum(weight * x) for weight, x in zip(weights, part(ends, means)))

    pushed, pulled = jax.jit(lambda m: (jax.jvp(total, (m,), (moved,))[1], jnp.vdot(jax.grad(total)(m), moved)))(means)
    np.testing.assert_allclose(pushed, pulled, rtol=1e-3)
    assert abs(float(pushed)) > 0.1
    with pytest.raises(checks.InputError, match='between: got shape'):
        part((ahead[:-1], surface), means)


def test_one_gaussian_and_two_in_both_orders_have_closed_forms():
    camera = _camera(np.eye(4), focal=(50.0, 50.0), center=(20.5, 14.5))
    means, sizes = np.array([[0, 0, 2.0], [0, 0, 4.0]]), np.array([0.1, 0.3])
    covariances, colors = sizes[:, None, None] ** 2 * np.eye(3), np.array([[1.0, 0.2], [0.1, 0.8]])
    pixels = np.asarray(cameras.pixel_centers(*SIZE), np.float64)
    squared = ((pixels - [20.5, 14.5]) ** 2).sum(-1)
    for order in ((0, 1), (1, 0)):
        depths = np.array([2.0, 4.0])[list(order)]
        means[:, 2] = depths
        for opacities in (np.array([0.6, 0.0]), np.array([0.6, 0.7])):
            variance = (50 * sizes / depths) ** 2 + 0.3
            alphas = [o * np.exp(-0.5 * squared / v) for o, v in zip(opacities, variance)]
            alphas = [np.where(alpha < 1 / 255, 0, alpha)[..., None] for alpha in alphas]
            first, second = np.argsort(depths)
            expected = alphas[first] * colors[first] + (1 - alphas[first]) * alphas[second] * colors[second]
            got = _shown(means, covariances, opacities, colors, camera=camera)
            np.testing.assert_allclose(got.rgb, expected, atol=1e-5)
            assert expected.max() > 0.3
    # One alone is seen at its own depth wherever it is seen.
    alone = _shown(means, covariances, np.array([0.6, 0.0]), colors, camera=camera)
    np.testing.assert_allclose(np.asarray(alone.depth)[np.asarray(alone.alpha) > 0], depths[0], rtol=1e-5)


def test_what_moves_with_the_camera_or_changes_places_or_scale_looks_the_same():
    means, covariances, opacities, features = _some()
    before = _shown(means, covariances, opacities, features)
    turn = np.asarray(rotations.exp(jnp.array([0.3, -1.0, 0.4])), np.float64)
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = turn, [1.0, -2.0, 0.5]
    order = np.random.default_rng(3).permutation(COUNT)
    wide = POSE.copy()
    wide[:3, 3] *= 2
    for changed, pose, depth in (
        ((means @ turn.T + moved[:3, 3], turn @ covariances @ turn.T, opacities, features), moved @ POSE, 1),
        ((means[order], covariances[order], opacities[order], features[order]), POSE, 1),
        ((2 * means, 4 * covariances, opacities, features), wide, 2),
    ):
        after = _shown(*changed, camera=_camera(pose))
        np.testing.assert_allclose(after.rgb, before.rgb, atol=3e-4)
        np.testing.assert_allclose(after.depth, depth * before.depth, atol=2e-3)


def test_dead_and_broken_gaussians_are_not_there_and_have_no_gradients():
    means, covariances, opacities, features = _some()
    live = np.arange(COUNT) < 50
    features[50:] = 7
    means[5], covariances[6], opacities[7], covariances[8] = np.nan, np.inf, np.nan, -np.eye(3)
    kept = live & ~np.isin(np.arange(COUNT), [5, 6, 7, 8])
    want = oracle.splat(means[kept], covariances[kept], opacities[kept], features[kept], POSE, (42, 40), (19, 15), SIZE)
    got = _shown(means, covariances, opacities, features, live=live)
    assert np.mean(np.abs(got.rgb - want[0]) > 1e-4) < 0.002
    assert not got.extras['visible'][np.flatnonzero(~kept)].any()
    camera, alive = jax.tree.map(jnp.asarray, _camera()), jnp.asarray(live)

    def loss(*given):
        shown = draw(*given, camera, alive)
        return jnp.sum(shown.rgb) + jnp.sum(shown.depth)

    given = _float32((means, covariances, opacities, features))
    slopes = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*given)
    for slope in slopes:
        assert np.isfinite(slope).all() and not np.asarray(slope)[~kept].any() and np.asarray(slope)[kept].any()


def _parameters():
    means, covariances, opacities, features = _some(4)
    zeros = np.zeros(3)
    return means, np.linalg.cholesky(covariances), opacities * 0.999, features, zeros, zeros, (42.0, 40.0), (19.0, 15.0)


def _measured(weights, means, factors, opacities, features, turn, shift, focal, center):
    """Some weighted sums of a picture, in which everything has a part."""
    pose = transforms.compose(jnp.asarray(POSE), transforms.from_rt(rotations.exp(turn), shift))
    camera = dataclasses.replace(_camera(pose), focal=focal, center=center)
    covariances = jnp.matmul(factors, jnp.swapaxes(factors, -1, -2), precision='highest')
    shown = draw(means, covariances, opacities, features, camera)
    planes = jnp.concatenate([shown.rgb, shown.alpha[..., None], shown.depth[..., None]], axis=-1)
    return jnp.sum(weights * planes)


@pytest.mark.slow
def test_derivatives_are_those_of_differences_in_both_modes():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        weights = jnp.asarray(rng.normal(size=(*SIZE[::-1], 4)))
        given = tuple(jnp.asarray(x) for x in _parameters())
        value = jax.jit(functools.partial(_measured, weights))
        push = jax.jit(lambda given, change: jax.jvp(functools.partial(_measured, weights), given, change)[1])
        slopes = jax.jit(jax.grad(functools.partial(_measured, weights), argnums=tuple(range(8))))(*given)
        for k in range(len(given)):
            change = [jnp.zeros_like(x) for x in given]
            change[k] = jnp.asarray(rng.normal(size=given[k].shape))
            forward, reverse = push(given, tuple(change)), jnp.sum(slopes[k] * change[k])
            step = 1e-7
            ends = [value(*(x + sign * step * c for x, c in zip(given, change))) for sign in (1, -1)]
            assert abs(float(reverse)) > 1e-3
            np.testing.assert_allclose(forward, reverse, rtol=1e-9)
            np.testing.assert_allclose(float(ends[0] - ends[1]) / (2 * step), reverse, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_scenes_and_cameras_together_are_those_one_by_one():
    given = [_float32(_some(seed)) for seed in (0, 1)]
    poses = [POSE, transforms.compose(jnp.asarray(POSE), transforms.from_rt(jnp.eye(3), jnp.array([0.1, 0, -0.5])))]
    camera = jax.tree.map(lambda *x: jnp.stack(x), *(_camera(np.asarray(pose, np.float32)) for pose in poses))
    live = jnp.arange(COUNT)[None] < jnp.array([[40], [55]])
    stacked = [jnp.stack(pair) for pair in zip(*given)]

    def loss(means, others, camera, live):
        return jnp.sum(jnp.square(draw(means, *others, camera, live).rgb))

    both = jax.jit(jax.vmap(jax.value_and_grad(loss)))(stacked[0], stacked[1:], camera, live)
    one = jax.jit(jax.value_and_grad(loss))
    for k in range(2):
        value, slope = one(given[k][0], given[k][1:], camera[k], live[k])
        np.testing.assert_allclose(both[0][k], value, rtol=1e-5)
        np.testing.assert_allclose(both[1][k], slope, atol=1e-4 * float(jnp.abs(slope).max()))


def test_what_finds_no_room_is_farthest_behind_counted_and_said():
    given = _some()
    whole = _shown(*given)
    pairs = int(whole.extras['pairs'])
    assert 256 < pairs <= CAPACITY and whole.extras['missing'] == 0
    cut = _shown(*given, capacity=256)
    assert int(cut.extras['pairs']) == pairs and 0 < int(cut.extras['missing']) < pairs
    # What is there is the picture of the nearest ones.
    depth = (given[0] - POSE[:3, 3]) @ POSE[:3, 2]
    order, nearest = np.argsort(depth), []
    for count in range(1, COUNT):
        live = np.isin(np.arange(COUNT), order[:count])
        few = _shown(*given, live=live, capacity=256)
        if int(few.extras['missing']):
            break
        nearest.append(few)
    np.testing.assert_allclose(cut.rgb, nearest[-1].rgb, atol=1e-6)
    with pytest.raises(checks.InputError, match=rf'of {pairs} pairs of a Gaussian and a tile .* Set capacity=1024'):
        gaussians.check(cut)


def test_larger_lists_are_made_in_parts_of_their_room():
    given = _some()
    few, many = _shown(*given), _shown(*given, capacity=1 << 16)
    np.testing.assert_array_equal(few.rgb, many.rgb)


def test_what_is_wrong_is_said():
    means, covariances, opacities, features = _some()
    away = _shown(means + [0, -9, 0], covariances, opacities, features)
    with pytest.raises(checks.InputError, match='means: no Gaussian is visible, expected some in front of the camera'):
        gaussians.check(away)
    assert not np.asarray(away.alpha).any()
    options = {'width': 8, 'height': 8, 'capacity': 64}
    camera = _camera()
    for arrays, changed, message in (
        ((means, covariances[0], opacities, features), {}, r'covariances: got shape \(3, 3\), expected \(n=60, 3, 3\)'),
        ((means, covariances, opacities[:3], features), {}, r'opacities: got shape \(3,\)'),
        ((means, covariances, opacities, features[:, 0]), {}, 'features: .* an axis of size 1'),
        ((means, covariances, opacities, features), {'width': 9000}, 'width, height: got 9000, 8'),
        ((means, covariances, opacities, features), {'capacity': 0}, 'capacity: got 0'),
        ((means, covariances, opacities, features), {'near': 0.0}, 'near, far: got 0.0'),
        ((means, covariances, opacities, features), {'blur': -1.0}, 'blur: got -1.0'),
        ((means, covariances, opacities, features), {'background': np.ones(3)}, 'background: got shape'),
    ):
        with pytest.raises(checks.InputError, match=message):
            gaussians.splat(*arrays, camera, **{**options, **changed})
    with pytest.raises(checks.InputError, match="camera.model: got 'fisheye', expected one of 'pinhole', 'opencv'"):
        gaussians.splat(means, covariances, opacities, features, camera.replace(model='fisheye'), **options)
