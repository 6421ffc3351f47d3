"""Deferred neural rendering as a whole: windows that fit their cameras, first pictures, and what is learned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.data import photographs
from neurend.geometry import cameras, paths
from neurend.models.neural_texture import windows
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, ShellConfig, TextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.models.neural_texture.method import Example, neural_texture
from neurend.scenes import primitives
from neurend.train.step import stepper
from tests.oracles import ring
from tests.oracles.ring import RING, SIZE

SMALL = NeuralTextureConfig(
    TextureConfig(32, 12, 3), NetworkConfig(unet=8, depth=3, maximum=2, context=4, width=16, reflection=2), crop=32
)
WHITE = np.ones(3, np.float32)


def colors(u, v, normals, views):
    """Patches under a soft highlight that moves with the camera."""
    blend = (1 / (1 + np.exp(-8 * np.sin(4 * np.pi * u) * np.sin(2 * np.pi * v))))[:, None]
    matte = blend * np.array([0.5, 0.3, 0.1]) + (1 - blend) * np.array([0.1, 0.2, 0.4])
    mirrored = 2 * np.sum(normals * views, axis=-1, keepdims=True) * normals - views
    return matte + 0.4 * np.maximum(mirrored @ np.array([[0.6], [0.0], [0.8]]), 0) ** 6


def torus():
    return primitives.torus(RING.major, RING.minor, around=48, across=24)


def views(count, elevation, start=0.0):
    return ring.views(paths.orbit(count, radius=3.5, elevation=elevation, start=start), colors)


def made(config, mesh=None, rate=0.01):
    return neural_texture(
        config, torus() if mesh is None else mesh, size=(SIZE, SIZE), stepper=stepper(optax.adam(rate))
    )


@pytest.mark.parametrize('zoom', [1.0, 2.0])
def test_windows_show_what_their_cameras_see(zoom):
    """Pixels of the photograph and of the background say where they are; so does the camera about points."""
    config = dataclasses.replace(SMALL, crop=20, zoom=zoom)
    camera = cameras.make(paths.orbit(1, radius=3.5)[0], 60.0, size=(40, 36))
    places = cameras.pixel_centers(40, 36)
    rgb = jnp.concatenate([places, jnp.zeros((36, 40, 1))], axis=-1)
    vertices = jnp.asarray(torus().vertices)
    draw = jax.jit(lambda key: windows.draw(key, config, vertices, Shot(camera, 2 * rgb), rgb))
    corners = set()
    for seed in range(6):
        part = draw(jax.random.key(seed))
        assert part.rgb.shape == (20, 20, 3)
        # Points on the rays of the whole picture's pixels, seen by the window's camera.
        seen = np.asarray(part.rgb)[..., :2]
        points = cameras.unproject(camera, jnp.asarray(seen.reshape(-1, 2)), jnp.full(400, 3.0))
        found, _ = cameras.project(part.camera, points)
        inside = ((seen > 1) & (seen < [39, 35])).all(-1).reshape(-1)
        expected = np.asarray(cameras.pixel_centers(20, 20) + jnp.asarray(part.window.corner)[None, None]).reshape(
            -1, 2
        )
        assert inside.mean() > 0.5
        np.testing.assert_allclose(np.asarray(found)[inside], expected[inside], atol=2e-3)
        np.testing.assert_allclose(part.background, 2 * part.rgb, atol=1e-4)
        corners.add(tuple(np.asarray(part.window.corner).tolist()))
    assert len(corners) > 1


def test_even_windows_go_where_there_are_few_vertices():
    """Nearly all vertices in a picture's upper left corner, one in the lower right one."""
    config = dataclasses.replace(SMALL, crop=8)
    camera = cameras.make(np.eye(4, dtype=np.float32), 40.0, size=(40, 40))
    pixels = jnp.asarray([[4.0, 4.0]] * 500 + [[36.0, 36.0]])
    vertices = cameras.unproject(camera, pixels, jnp.full(501, 3.0))
    shot, rgb = Shot(camera, jnp.ones(3)), jnp.zeros((40, 40, 3))
    keys = jax.random.split(jax.random.key(0), 200)

    def corners(even):
        return np.asarray(
            jax.vmap(lambda key: windows.draw(key, config, vertices, shot, rgb, even=even).window.corner)(keys)
        )

    assert (corners(0.0) < 2).all(-1).mean() > 0.98
    found = corners(0.5)
    assert 0.4 < (found < 2).all(-1).mean() < 0.65
    others = found[(found > 2).any(-1)]
    assert np.abs(others.mean(0) - 16).max() < 3 and others.max() >= 30


@pytest.mark.slow
@pytest.mark.parametrize('opacity', ['mesh', 'network'])
def test_a_picture_begins_as_the_textures_colour(opacity):
    method = made(dataclasses.replace(SMALL, opacity=opacity))
    state = jax.jit(method.init)(jax.random.key(0))
    background = jnp.array([0.9, 0.1, 0.4])
    camera = cameras.make(paths.orbit(1, radius=3.5, elevation=0.6)[0], 84.0, size=(SIZE, SIZE))
    found = jax.jit(method.render)(state, Shot(camera, background))
    inside, outside = np.asarray(found.depth) > 0, np.asarray(found.alpha) < 0.05
    rgb = np.asarray(found.rgb)
    assert 0.2 < inside.mean() < 0.8 and outside.mean() > 0.1
    # What begins near zero adds a little.
    assert np.abs(rgb[inside & (np.asarray(found.alpha) > 0.97)] - 0.5).mean() < 0.1
    assert np.abs(rgb[outside] - np.asarray(background)).mean() < 0.05


def test_without_a_network_the_picture_is_the_texture():
    bare = dataclasses.replace(SMALL, network=NetworkConfig(unet=0, width=0))
    method = made(bare)
    state = jax.jit(method.init)(jax.random.key(0))
    assert set(state.params) == {'texture'}
    levels = [jnp.zeros_like(level).at[..., 1].set(0.1) for level in state.params['texture']]
    camera = cameras.make(paths.orbit(1, radius=3.5, elevation=0.6)[0], 84.0, size=(SIZE, SIZE))
    found = jax.jit(method.render)(state.replace(params={'texture': levels}), Shot(camera, jnp.asarray(WHITE)))
    full = np.asarray(found.alpha) > 0.999
    np.testing.assert_allclose(
        np.asarray(found.rgb)[full], np.broadcast_to([0.5, 0.8, 0.5], (full.sum(), 3)), atol=1e-5
    )
    edge = (np.asarray(found.alpha) > 0.05) & ~full
    alpha = np.asarray(found.alpha)[edge][:, None]
    assert len(alpha) > 20
    np.testing.assert_allclose(np.asarray(found.rgb)[edge], alpha * [0.5, 0.8, 0.5] + 1 - alpha, atol=1e-4)


def test_the_network_sees_the_frames_of_its_window():
    """Each as it is seen alone; what is drawn is the first."""
    two, one = (dataclasses.replace(SMALL, window=window, crop=0) for window in (2, 1))
    base = jnp.asarray(torus().vertices)
    moving, still = (
        neural_texture(
            config, torus(), size=(SIZE, SIZE), stepper=stepper(optax.sgd(0.1)), pose=lambda given: base + given[None]
        )
        for config in (two, one)
    )
    state = moving.init(jax.random.key(0))
    shot = Shot(views(1, 0.4).camera(0), jnp.asarray(WHITE))
    here, there = jnp.zeros(3), jnp.array([0.3, 0.0, 0.0])
    both, same = (shot._replace(deformation=jnp.stack(each)) for each in ((here, there), (here, here)))
    pictures = [moving.render(state, each) for each in (both, same)]
    alone = still.render(still.init(jax.random.key(0)), shot._replace(deformation=here))
    np.testing.assert_allclose(pictures[0].alpha, alone.alpha, atol=1e-6)
    np.testing.assert_allclose(pictures[0].depth, alone.depth, atol=1e-5)
    changed = np.abs(np.asarray(pictures[0].rgb - pictures[1].rgb)).max(-1)
    assert changed.max() > 1e-5 and not changed[np.asarray(alone.alpha) == 0].any()


def learn(method, train, steps):
    source = photographs.photograph_source(train, views=1)
    data = jax.tree.map(jnp.asarray, source.data)

    @jax.jit
    def step(state, key):
        draw_key, step_key = jax.random.split(key)
        return method.step(step_key, state, source.draw(draw_key, data))

    state = jax.jit(method.init)(jax.random.key(0))
    for number in range(steps):
        state, _ = step(state, jax.random.key(number))
    return state


def psnr(method, state, scene):
    shots = [Shot(scene.camera(k), jnp.asarray(WHITE)) for k in range(len(scene))]
    found = [
        method.evaluate(state, Example(name, shot, image))[0]['psnr']
        for name, shot, image in zip(scene.names, shots, scene.images)
    ]
    return float(np.mean(found))


@pytest.mark.slow
def test_what_is_learned_is_seen_from_elsewhere():
    """With the right mesh, beyond what its colours alone can say; on a wrong one with outlines of its own."""
    train = ring.views(
        jnp.concatenate(
            [paths.orbit(8, radius=3.5, elevation=e, start=s) for e, s in ((0.9, 0), (0.5, 0.3), (0.1, 0.6))]
        ),
        colors,
    )
    test = views(3, 0.7, 0.2)
    plain = made(dataclasses.replace(SMALL, network=NetworkConfig(unet=0, width=0)))
    flat = psnr(plain, learn(plain, train, 200), test)
    method = made(SMALL)
    learned = psnr(method, learn(method, train, 200), test)
    assert learned > flat + 3 and learned > 27
    # A ring that is too thick: only the network can draw the outline.
    thick = primitives.torus(RING.major, 1.3 * RING.minor, around=48, across=24)
    small = dataclasses.replace(SMALL.network, depth=2)
    double = dataclasses.replace(small, surfaces=2)
    loose = made(dataclasses.replace(SMALL, opacity='network', network=double), thick)
    bound = made(dataclasses.replace(SMALL, network=small), thick)
    tight = psnr(bound, learn(bound, train, 200), test)
    assert psnr(loose, learn(loose, train, 200), test) > tight + 1
    # Or its texture, on shells of it between which the right ring lies.
    plainer = dataclasses.replace(small, surfaces=4, normals=False, reflection=0)
    texture = dataclasses.replace(SMALL.texture, channels=13)
    shelled = dataclasses.replace(
        SMALL, opacity='texture', network=plainer, texture=texture, shells=ShellConfig(4, 0.04)
    )
    layered = made(shelled, thick)
    assert psnr(layered, learn(layered, train, 200), test) > tight + 1


def test_bad_input():
    with pytest.raises(InputError, match='unwrap'):
        made(SMALL, primitives.box())
    with pytest.raises(InputError, match='crop: got 65, expected at most 64'):
        made(dataclasses.replace(SMALL, crop=65))
    with pytest.raises(InputError, match='opacity: got network, but there is none'):
        dataclasses.replace(SMALL, opacity='network', network=NetworkConfig(unet=0, width=0))
    with pytest.raises(InputError, match='zoom: got 0.5'):
        dataclasses.replace(SMALL, zoom=0.5)
    with pytest.raises(InputError, match='window: got 0 frames'):
        dataclasses.replace(SMALL, window=0)
    small = made(dataclasses.replace(SMALL, crop=16))
    state = jax.eval_shape(small.init, jax.random.key(0))
    scene = views(1, 0.3)
    batch = photographs.photograph_source(scene).draw(jax.random.key(0), photographs.photograph_source(scene).data)
    with pytest.raises(InputError, match='batch.rgb: got shape'):
        jax.eval_shape(small.step, jax.random.key(0), state, dataclasses.replace(batch, rgb=batch.rgb[:, :8]))
