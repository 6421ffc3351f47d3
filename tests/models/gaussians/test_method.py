"""Scenes of Gaussians that are learned: a few coloured balls are found again from pictures of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.data import photographs, posed
from neurend.geometry import cameras, transforms
from neurend.models.gaussians import picture
from neurend.models.gaussians.config import GaussiansConfig
from neurend.models.gaussians.method import gaussians, of_state
from neurend.models.nerf.evaluation import Example
from neurend.scenes import gaussians as scenes

SIZE = (32, 24)
CONFIG = GaussiansConfig(count=64, degree=1, capacity=1024, every=20, begin=20)


@pytest.fixture(scope='module')
def views():
    """Six pictures of three balls, on nothing."""
    truth = scenes.make(
        [[0.4, 0, 0], [-0.4, 0.1, 0.2], [0, -0.3, -0.3]], [0.15, 0.2, 0.1], opacities=0.95,
        colors=[[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.2, 0.9]],
    )  # fmt: skip
    angles = np.arange(6) * np.pi / 3
    eyes = np.stack([3 * np.cos(angles), 3 * np.sin(angles), 1 + 0 * angles], axis=-1)
    poses = jnp.stack([transforms.look_at(jnp.asarray(eye), jnp.zeros(3), jnp.array([0, 0, 1.0])) for eye in eyes])
    camera = cameras.make(poses.astype(jnp.float32), 36.0, size=np.tile(SIZE, (6, 1)))
    draw = jax.jit(lambda camera: picture.picture(truth, camera, size=SIZE, capacity=512))
    images = []
    for k in range(6):
        shown = draw(camera[k])
        straight = shown.rgb / np.maximum(shown.alpha, 1e-6)[..., None]
        images.append((255 * np.concatenate([straight, shown.alpha[..., None]], axis=-1)).round().astype(np.uint8))
    names = tuple('abcdef')
    return posed.PosedImages(names, tuple(images), jax.tree.map(np.asarray, camera), None, 1.0, 5.0, np.eye(4))


def _start(seed=0, live=64):
    points = np.random.default_rng(seed).uniform(-0.6, 0.6, (live, 3))
    return scenes.from_points(points, count=64, degree=1)


def _learned(config, views, start, steps):
    method = gaussians(config, start, size=SIZE, steps=steps)
    source = photographs.photograph_source(views, views=2)

    def one(_, state):
        draw_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(0), state.step))
        return method.step(step_key, state, source.draw(draw_key, data))[0]

    data = jax.tree.map(jnp.asarray, source.data)
    state = jax.jit(method.init)(jax.random.key(0))
    return method, jax.jit(lambda state: jax.lax.fori_loop(0, steps, one, state))(state)


@pytest.mark.slow
@pytest.mark.parametrize('density', ['mcmc', 'classic'])
def test_balls_are_learned(views, density):
    config = dataclasses.replace(CONFIG, density=density, reset_every=50 if density == 'classic' else 0, end=0.3)
    start = _start(live=64 if density == 'mcmc' else 24)
    method, state = _learned(config, views, start, 200)
    scene = of_state(state)
    scenes.check(scene)
    assert scene.live.shape == (64,) and (density == 'mcmc' or int(scene.live.sum()) > 24)
    values = [
        method.evaluate(state, Example(name, views.camera(k), views.images[k]))[0] for k, name in enumerate(views.names)
    ]
    # Opacities that were reset have a hundred steps to come back.
    assert np.mean([value['psnr'] for value in values]) > (26 if density == 'mcmc' else 20)
    shown = method.render(state, jax.tree.map(jnp.asarray, views.camera(0)))
    alpha = views.images[0][..., 3] / 255
    assert np.abs(shown.alpha - alpha).mean() < 0.1


def test_normals_of_a_disc_face_the_camera():
    disc = scenes.make([[0, 0, 2.0]], [[0.3, 0.3, 0.01]], rotations=[[1, 0.2, 0, 0]], opacities=0.9)
    camera = cameras.make(jnp.eye(4), 30.0, size=SIZE)
    shown = picture.draw(disc, camera, background=jnp.ones(3))
    normal = np.asarray(shown.normal)[12, 16]
    angle = 2 * np.arctan(0.2)
    np.testing.assert_allclose(normal, [0, np.sin(angle), -np.cos(angle)], atol=1e-5)
    assert shown.rgb.shape == (24, 32, 3) and shown.rgb[0, 0, 0] == 1
    with pytest.raises(checks.InputError, match=r'camera.size: got shape \(2, 2\).*one camera'):
        picture.draw(disc, cameras.make(jnp.stack([jnp.eye(4)] * 2), 30.0, size=SIZE))


def test_what_is_wrong_is_said():
    with pytest.raises(checks.InputError, match='start: got 64 places and degree 1, expected .* 30 and 1'):
        gaussians(dataclasses.replace(CONFIG, count=30), _start(), size=SIZE, steps=10)
    with pytest.raises(checks.InputError, match='size: got 8 x 24, expected at least 11 x 11'):
        gaussians(CONFIG, _start(), size=(8, 24), steps=10)
    with pytest.raises(checks.InputError, match='start: no Gaussian is live'):
        gaussians(CONFIG, _start().replace(live=jnp.zeros(64, bool)), size=SIZE, steps=10)
    for options, message in (
        ({'degree': 4}, 'degree: got 4'),
        ({'count': 0}, 'count: got 0, expected at least 1'),
        ({'ssim': 2.0}, 'ssim: got 2.0'),
        ({'faintest': 0.0}, 'faintest: got 0.0'),
    ):
        with pytest.raises(checks.InputError, match=message):
            GaussiansConfig(**options)
