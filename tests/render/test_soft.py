import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend import checks
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.numerics import log_lerp
from neurend.render import antialias, rasterize, soft, texture
from neurend.scenes import primitives
from tests.oracles import soft as oracle
from tests.oracles.derivatives import check_jacobian

WIDTH, HEIGHT = 40, 28
DEPTHS = (-1.0, -0.2)
silhouette = functools.partial(soft.silhouette, width=WIDTH, height=HEIGHT)
blend = functools.partial(soft.blend, width=WIDTH, height=HEIGHT, depth_range=DEPTHS)


def _random(seed, count=7, largest=30):
    """Triangles from a few to many pixels wide, over the border and behind each other; and colours."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform((-3, -3), (WIDTH + 3, HEIGHT + 3), (count, 1, 2))
    places = middle + rng.normal(size=(count, 3, 2)) * np.geomspace(1, largest, count)[:, None, None]
    w = rng.uniform(1, 5, (count, 3, 1))
    vertices = np.concatenate([places * w, -np.ones_like(w), w], axis=-1).reshape(-1, 4)
    return vertices, np.arange(3 * count, dtype=np.int32).reshape(count, 3), rng.uniform(size=(3 * count, 2))


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('sigma', [0.05, 2.0, 30.0])
def test_silhouettes_agree_with_the_oracle(seed, sigma):
    vertices, faces, _ = _random(seed)
    got = silhouette(jnp.asarray(vertices, jnp.float32), faces, sigma=jnp.float32(sigma))
    want = oracle.silhouette(vertices, faces, WIDTH, HEIGHT, sigma=sigma, eps=1e-4)
    # A pixel at the radius may fall on either side of it.
    assert np.abs(got - want).max() < 3e-4 and np.mean(np.abs(got - want) > 2e-5) < 0.002
    assert want.max() - want.min() > 0.6


@pytest.mark.parametrize('sigma', [0.3, 8.0])
@pytest.mark.parametrize('gamma', [0.5, 0.02])
def test_blended_colours_agree_with_the_oracle(sigma, gamma):
    vertices, faces, colors = _random(3)
    background = np.random.default_rng(0).uniform(size=(HEIGHT, WIDTH, 2))
    options = {'sigma': sigma, 'gamma': gamma}
    with jax.enable_x64(True):
        rgb, alpha = blend(jnp.asarray(vertices), faces, jnp.asarray(colors), jnp.asarray(background), **options)
    options |= {'depth_range': DEPTHS, 'eps': 1e-4}
    np.testing.assert_allclose(
        rgb, oracle.blend(vertices, faces, colors, background, WIDTH, HEIGHT, **options), atol=1e-9
    )
    want = oracle.silhouette(vertices, faces, WIDTH, HEIGHT, sigma=sigma, eps=1e-4)
    np.testing.assert_allclose(alpha, want, atol=1e-9)


@pytest.mark.slow
def test_derivatives_of_silhouettes_agree_with_differences_in_both_modes():
    vertices, faces, _ = _random(4, count=4, largest=8)
    weights = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH))
    with jax.enable_x64(True):

        def loss(vertices):
            return jnp.sum(weights * silhouette(vertices, faces, sigma=2.0, eps=1e-13))

        check_jacobian(loss, jnp.asarray(vertices))
        assert np.abs(jax.grad(loss)(jnp.asarray(vertices))).max() > 0.1


@pytest.mark.slow
def test_derivatives_of_colours_agree_with_differences_in_both_modes():
    vertices, faces, colors = _random(5, count=3, largest=8)
    background = np.array([0.2, 0.9])
    weights = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH, 2))
    with jax.enable_x64(True):

        def loss(vertices, colors, background, ends):
            options = {'sigma': 2.0, 'gamma': 0.3, 'eps': 1e-13, 'depth_range': ends, 'width': WIDTH, 'height': HEIGHT}
            rgb, alpha = soft.blend(vertices, faces, colors, background, **options)
            return jnp.sum(weights * rgb) + jnp.sum(weights[..., 0] * alpha)

        given = [jnp.asarray(x) for x in (vertices, colors, background, np.array(DEPTHS))]
        check_jacobian(loss, *given)
        assert all(np.abs(part).max() > 0.1 for part in jax.grad(loss, argnums=(0, 1, 2, 3))(*given))


def test_an_edge_has_the_profile_of_a_sigmoid():
    edge, sigma = 17.3, 1.7
    vertices = jnp.array([[-500.0, -500, 0, 1], [edge, -500, 0, 1], [edge, 900, 0, 1]])
    alpha = silhouette(vertices, jnp.array([[0, 1, 2]]), sigma=sigma, eps=1e-6)
    offset = edge - (np.arange(WIDTH) + 0.5)
    profile = 1 / (1 + np.exp(-np.sign(offset) * offset**2 / sigma))
    np.testing.assert_allclose(alpha, np.broadcast_to(np.where(profile > 1e-6, profile, 0), alpha.shape), atol=2e-6)
    assert (alpha[:, :8] == 1).all() and (alpha[:, 24:] == 0).all()


def test_pixels_deep_inside_of_large_triangles_are_opaque_without_gradients():
    vertices = jnp.array([[-900.0, -400, 0, 1], [1000, -450, 0, 1], [30, 900, 0, 1], [2.0, 3, 0, 1], [9, 3, 0, 1]])
    faces = jnp.array([[0, 1, 2], [3, 4, 2]])
    alpha, back = jax.vjp(lambda x: silhouette(x, faces, sigma=4.0), vertices)
    assert (alpha == 1).all() and (back(jnp.ones_like(alpha))[0] == 0).all()


def _ball():
    mesh = primitives.sphere(2)
    pose = transforms.look_at(jnp.array([0.3, -2.5, 0.8]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    camera = cameras.make(pose, 30.0, size=(WIDTH, HEIGHT))
    points = np.concatenate([mesh.vertices, 0.4 * mesh.vertices + [0.5, -1.0, 0.2]])
    faces = np.concatenate([mesh.faces, mesh.faces + len(mesh.vertices)]).astype(np.int32)
    return clip.from_camera(camera, jnp.asarray(points, jnp.float32)), faces


@pytest.mark.slow
def test_small_sigma_and_gamma_show_what_the_rasterizer_shows():
    vertices, faces = _ball()
    colors = jnp.asarray(np.random.default_rng(0).uniform(size=(len(vertices), 2)), jnp.float32)
    found = rasterize.rasterize(vertices, faces, width=WIDTH, height=HEIGHT)
    shown = (found.face >= 0)[..., None]
    sharp = jnp.where(shown, texture.interpolate(colors, faces, found), 0.5)
    rgb, alpha = blend(vertices, faces, colors, jnp.array([0.5, 0.5]), sigma=1e-5, gamma=1e-5)
    # Pixels on an edge, within its softness, show something between.
    assert np.mean(np.abs(alpha - shown[..., 0]) > 1e-3) < 0.01
    assert np.mean(np.abs(rgb - sharp).max(-1) > 0.02) < 0.01
    assert 0.1 < shown.mean() < 0.9


def test_neither_the_order_of_triangles_nor_of_corners_matters():
    vertices, faces = _ball()
    colors = jnp.asarray(np.random.default_rng(0).uniform(size=(len(vertices), 2)), jnp.float32)
    shuffled = np.random.default_rng(1).permuted(np.random.default_rng(2).permutation(faces), axis=1)
    one, other = (blend(vertices, order, colors, jnp.zeros(2), sigma=1.0, gamma=0.05) for order in (faces, shuffled))
    for first, second in zip(one, other):
        np.testing.assert_allclose(first, second, atol=2e-5)


def test_parts_of_a_picture_are_parts_of_it():
    vertices, faces = _ball()
    sigma = jnp.float32(3.0)
    whole = silhouette(vertices, faces, sigma=sigma)
    part = silhouette(vertices, faces, sigma=sigma, corner=jnp.array([7, 5]))
    np.testing.assert_allclose(part[:-5, :-7], whole[5:, 7:], atol=1e-5)


def _padded(vertices, faces, colors):
    """The same in arrays of one size, so that tests share a program."""
    rows, more = 26 - len(vertices), 14 - len(faces)
    return (
        jnp.asarray(np.pad(vertices, ((0, rows), (0, 0)), constant_values=1), jnp.float32),
        jnp.asarray(np.pad(faces, ((0, more), (0, 0)), constant_values=-1)),
        jnp.asarray(np.pad(colors, ((0, rows), (0, 0))), jnp.float32),
    )


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 2))
def _loss(vertices, faces, colors, sigma, gamma):
    rgb, alpha = blend(vertices, faces, colors, jnp.zeros(2), sigma=sigma, gamma=gamma)
    return jnp.sum(rgb**2) + jnp.sum(alpha**2) + jnp.sum(silhouette(vertices, faces, sigma=sigma) ** 2)


@pytest.mark.slow
def test_vmap_agrees_with_a_loop():
    scenes = [_padded(*_random(seed)) for seed in range(3)]
    sigmas = jnp.array([0.1, 1.0, 10.0])
    many = [jnp.stack(parts) for parts in zip(*scenes)]
    values, slopes = jax.vmap(_loss)(*many, sigmas, sigmas / 10)
    for k, scene in enumerate(scenes):
        value, own = _loss(*scene, sigmas[k], sigmas[k] / 10)
        np.testing.assert_allclose(values[k], value, rtol=1e-5)
        for slope, want in zip(slopes, own):
            np.testing.assert_allclose(slope[k], want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


def test_damaged_triangles_are_left_out_and_harm_no_others():
    whole, faces, colors = _random(6)
    damage = np.array([[np.nan, 0, -1, 1], [np.inf, 3, -1, 1], [5, 5, np.nan, 2], [9, 9, -1, -2], [5, 1e38, -1, 1e-3]])
    colors = np.concatenate([colors, np.ones((5, 2))])
    vertices = np.concatenate([whole, damage])
    more = [[0, 4, len(whole) + k] for k in range(5)] + [[-1, -1, -1], [0, 1, len(vertices)]]
    every = np.concatenate([more, faces]).astype(np.int32)
    got, slopes = _loss(*_padded(vertices, every, colors), 1.0, 0.1)
    want, expected = _loss(*_padded(vertices, faces, colors), 1.0, 0.1)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    for slope, right in zip(slopes, expected):
        np.testing.assert_allclose(slope, right, rtol=1e-4, atol=1e-5)
        assert (slope[len(whole) :] == 0).all() and np.abs(slope).max() > 0.1


def test_triangles_without_area_are_lines_and_points_with_finite_gradients():
    line = np.array([[8.0, 9, -1, 1], [20, 12, -1, 1], [14, 10.5, -1, 1], [30, 20, -1, 1]])
    faces = np.array([[0, 1, 2], [3, 3, 3], [0, 1, 1]], np.int32)
    padded = _padded(line, faces, np.ones((4, 2)))
    want = oracle.silhouette(line, faces, WIDTH, HEIGHT, sigma=2.0, eps=1e-4)
    np.testing.assert_allclose(silhouette(*padded[:2], sigma=2.0), want, atol=1e-5)
    value, slopes = _loss(*padded, 2.0, 0.1)
    assert np.isfinite(value) and all(np.isfinite(slope).all() and np.abs(slope).max() > 0.1 for slope in slopes)


def test_nothing_overflows_where_gamma_is_tiny():
    value, slopes = _loss(*_padded(*_random(7)), 1.0, 1e-6)
    assert np.isfinite(value) and value > 1
    assert all(np.isfinite(slope).all() and np.abs(slope).max() > 0.1 for slope in slopes)


def _soft_square(vertices, faces, sigma):
    return silhouette(vertices, faces, sigma=sigma)


def _antialiased_square(vertices, faces, _):
    found = rasterize.rasterize(vertices, faces, width=WIDTH, height=HEIGHT)
    shown = jnp.where(found.face >= 0, 1.0, 0.0)[..., None]
    return antialias.antialias(shown, found, vertices, triangles.topology(faces))[..., 0]


@pytest.mark.slow
@pytest.mark.parametrize(('picture', 'arrives'), [(_soft_square, True), (_antialiased_square, False)])
def test_a_soft_square_finds_a_target_that_it_does_not_overlap(picture, arrives):
    square = jnp.array([[-4.0, -4], [4, -4], [4, 4], [-4, 4]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    goal, start, steps = jnp.array([27.0, 17.0]), jnp.array([12.3, 10.2]), 120

    def vertices(shift):
        return jnp.pad(square + shift[None], ((0, 0), (0, 2)), constant_values=1)

    there, here = (
        rasterize.rasterize(vertices(shift), faces, width=WIDTH, height=HEIGHT).face >= 0 for shift in (goal, start)
    )
    assert there.sum() == 64 and not (here & there).any()
    optimizer = optax.adam(optax.cosine_decay_schedule(0.5, steps))

    def loss(shift, sigma):
        alpha = picture(vertices(shift), faces, sigma)
        return 1 - jnp.sum(alpha * there) / jnp.sum(alpha + there - alpha * there)

    def step(k, carry):
        shift, state = carry
        sigma = log_lerp(60.0, 0.5, k / steps)
        updates, state = optimizer.update(jax.grad(loss)(shift, sigma), state)
        return optax.apply_updates(shift, updates), state

    shift, _ = jax.lax.fori_loop(0, steps, step, (start, optimizer.init(start)))
    distance = np.linalg.norm(shift - goal)
    assert distance < 0.25 if arrives else distance > 10


def test_messages_say_what_is_wrong():
    vertices, faces, colors = jnp.ones((3, 4)), jnp.array([[0, 1, 2]]), jnp.ones((3, 2))
    with pytest.raises(checks.InputError, match='vertices: got shape .*jax.vmap'):
        silhouette(vertices[None], faces, sigma=1.0)
    with pytest.raises(checks.InputError, match='faces: got float32, expected integers'):
        silhouette(vertices, faces.astype(float), sigma=1.0)
    with pytest.raises(checks.InputError, match='width: got 9000, expected 1 to 8192'):
        soft.silhouette(vertices, faces, sigma=1.0, width=9000, height=4)
    with pytest.raises(checks.InputError, match='sigma: got 0, expected a positive'):
        silhouette(vertices, faces, sigma=0)
    with pytest.raises(checks.InputError, match='eps: got 0.7'):
        silhouette(vertices, faces, sigma=1.0, eps=0.7)
    with pytest.raises(checks.InputError, match='gamma: got -1.0'):
        blend(vertices, faces, colors, jnp.zeros(2), sigma=1.0, gamma=-1.0)
    with pytest.raises(checks.InputError, match='colors: got shape'):
        blend(vertices, faces, colors[:2], jnp.zeros(2), sigma=1.0, gamma=1.0)
    with pytest.raises(checks.InputError, match='background: got shape'):
        blend(vertices, faces, colors, jnp.zeros(3), sigma=1.0, gamma=1.0)


def test_empty_meshes_show_the_background():
    rgb, alpha = blend(
        jnp.ones((3, 4)), jnp.zeros((0, 3), jnp.int32), jnp.ones((3, 2)), jnp.array([0.1, 0.2]), sigma=1.0, gamma=1.0
    )
    assert (alpha == 0).all() and rgb.shape == (HEIGHT, WIDTH, 2) and np.allclose(rgb[3, 4], [0.1, 0.2])
