from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend import trees
from neurend.geometry import cameras, transforms
from neurend.geometry.rays import Rays
from neurend.models.nerf.hash import HashConfig, hash_grid
from neurend.models.nerf.hash_field import Bounds
from neurend.models.nerf.spacing import inverse_power_ladder, power_ladder, t_from_s
from neurend.train.step import stepper
from neurend.typing import Array

SMALL = HashConfig(
    proposals=(24,),
    proposal_resolutions=(16,),
    samples=8,
    levels=2,
    features=2,
    coarsest=8,
    finest=24,
    log2_rows=12,
    width=16,
    color_width=16,
    view_degree=1,
    spacing='linear',
    contract=False,
    anneal_steps=20,
    shading='ray',
)
NEAR, FAR = 1.5, 4.5


class Batch(NamedTuple):
    rays: Rays
    rgb: Array
    alpha: Array
    mask: Array
    background: Array


def ball(rays):
    """A ball of radius 0.6 about the origin, coloured by its normal: colour [n 3] and alpha [n]."""
    direction = rays.viewdirs
    nearest = -(rays.origins * direction).sum(-1)
    squared = (rays.origins**2).sum(-1) - nearest**2
    hit = squared < 0.36
    depth = nearest - jnp.sqrt(jnp.where(hit, 0.36 - squared, 0.0))
    normal = (rays.origins + depth[:, None] * direction) / 0.6
    return jnp.where(hit[:, None], 0.5 + 0.5 * normal, 0.0), hit.astype(jnp.float32)


def batch_of(key, count, background='random'):
    keys = jax.random.split(key, 3)
    eye = jax.random.normal(keys[0], (count, 3))
    eye = 3 * eye / jnp.linalg.norm(eye, axis=-1, keepdims=True)
    pose = transforms.look_at(eye, jnp.zeros(3), jnp.array([0.1, 0.2, 1.0]))
    camera = cameras.make(pose, 50.0, size=(32, 32))
    rays = cameras.rays(camera, jax.random.uniform(keys[1], (count, 2), maxval=32.0))
    rgb, alpha = ball(rays)
    behind = jax.random.uniform(keys[2], (count, 3)) if background == 'random' else jnp.zeros((count, 3))
    return Batch(rays, rgb + (1 - alpha[:, None]) * behind, alpha, jnp.ones(count), behind)


def make(config, background='random', learning_rate=2e-2):
    return hash_grid(config, near=NEAR, far=FAR, stepper=stepper(optax.adam(learning_rate)), background=background)


@pytest.mark.slow
def test_learns_a_ball():
    method = make(SMALL)

    @jax.jit
    def train(state):
        def body(state, key):
            return method.step(key, state, batch_of(key, 512))

        return jax.lax.scan(body, state, jax.random.split(jax.random.key(1), 150))

    state, metrics = train(method.init(jax.random.key(0)))
    assert int(state.step) == 150
    assert float(metrics['photometric'][-10:].mean()) < 0.1 * float(metrics['photometric'][0])
    held_out = batch_of(jax.random.key(2), 400)
    rendering = method.render(state, held_out.rays)
    # Unknown backgrounds show up white.
    truth = held_out.rgb + (1 - held_out.alpha[:, None]) * (1 - held_out.background)
    assert -10 * np.log10(np.square(rendering.rgb - truth).mean()) > 22
    assert np.abs(rendering.alpha - held_out.alpha).mean() < 0.05
    inside = np.linalg.norm(np.cross(held_out.rays.origins, held_out.rays.viewdirs), axis=-1) < 0.4
    middle = held_out.rays.origins + rendering.depth[:, None] * held_out.rays.directions
    np.testing.assert_allclose(np.linalg.norm(middle, axis=-1)[inside].mean(), 0.6, atol=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    'changes',
    [
        {'shading': 'sample', 'proposals': (8, 6), 'proposal_resolutions': (8, 16), 'samples': 4, 'appearance': 2},
        {'contract': True, 'spacing': 'power', 'opaque': True, 'coarse_to_fine_steps': 10},
    ],
    ids=['sample', 'unbounded'],
)
def test_every_parameter_is_reached(changes):
    method = make(SMALL.__class__(**{**SMALL.__dict__, **changes}), 'none')
    state = method.init(jax.random.key(0))
    assert jax.tree.structure(jax.eval_shape(method.init, jax.random.key(0))) == jax.tree.structure(state)
    # Levels fade in: at the end all are there.
    state = state.replace(step=jnp.int32(20))
    new, metrics = jax.jit(method.step)(jax.random.key(1), state, batch_of(jax.random.key(2), 64, 'none'))
    assert np.isfinite(float(metrics['loss']))
    for name, after in trees.named_leaves(new.params):
        assert np.isfinite(after).all(), name
        # Proposals rest while they envelop the field's fog.
        moved = np.abs(after - dict(trees.named_leaves(state.params))[name]).max() > 0
        assert moved or 'proposals' in name, name
    rendering = method.render(new, batch_of(jax.random.key(3), 16).rays)
    if changes.get('opaque'):
        np.testing.assert_allclose(rendering.alpha, 1, atol=1e-5)


@pytest.mark.slow
def test_masked_rays_do_not_teach():
    method = make(SMALL)
    batch = batch_of(jax.random.key(0), 64)
    half = batch._replace(mask=(jnp.arange(64) < 32).astype(jnp.float32))
    other = half._replace(rgb=jnp.where(half.mask[:, None] > 0, half.rgb, 0.123))
    state = method.init(jax.random.key(1))
    step = jax.jit(method.step)
    losses = [float(step(jax.random.key(2), state, b)[1]['photometric']) for b in (half, other)]
    assert losses[0] == losses[1]


def test_bounds():
    inside, outside = jnp.array([0.5, -0.9, 0.2]), jnp.array([300.0, 400.0, 0.0])
    cube, is_in = Bounds(radius=2.0, contract=False).to_cube(2 * jnp.stack([inside, outside]))
    np.testing.assert_allclose(cube[0], inside / 2 + 0.5, atol=1e-6)
    assert is_in.tolist() == [True, False]
    cube, is_in = Bounds(radius=2.0).to_cube(2 * jnp.stack([inside * 0.5, outside]))
    np.testing.assert_allclose(cube[0], inside / 8 + 0.5, atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(4 * (cube[1] - 0.5)), 2 - 1 / 500, atol=1e-5)
    assert is_in.all()


def test_power_ladder():
    # The closed form for p = -1: P(x) = 2 (1 - 1 / (x / 2 + 1)) .
    x = jnp.linspace(0.0, 20.0, 30)
    np.testing.assert_allclose(power_ladder(x, -1.0), 2 - 2 / (x / 2 + 1), atol=1e-5)
    np.testing.assert_allclose(inverse_power_ladder(power_ladder(x)), x, rtol=1e-3, atol=1e-4)
    assert abs(float(jax.grad(power_ladder)(0.0)) - 1) < 1e-5


@pytest.mark.parametrize('spacing', ['linear', 'disparity', 'power'])
def test_spacing_runs_from_near_to_far(spacing):
    t = np.asarray(t_from_s(jnp.linspace(0, 1, 9), 0.5, 50.0, spacing))
    np.testing.assert_allclose(t[[0, -1]], [0.5, 50.0], rtol=2e-4)
    assert (np.diff(t) > 0).all()
