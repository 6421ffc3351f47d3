import dataclasses
import functools
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.geometry import alignment, cameras, transforms
from neurend.geometry.rays import Rays, at
from neurend.models import state as states
from neurend.models.method import Method
from neurend.models.nerf import poses
from neurend.render import volume
from neurend.render.rendering import Rendering
from neurend.train import step as steps
from neurend.typing import Array

COUNT = 6
PARTS = poses.PARTS
correct = jax.jit(poses.correct, static_argnames='depth')
unproject, project = jax.jit(cameras.unproject), jax.jit(cameras.project)
pose_errors = jax.jit(alignment.pose_errors)


@flax.struct.dataclass
class Batch:
    index: Array
    pixels: Array
    rgb: Array
    rays: Rays | None = None


class Blobs(NamedTuple):
    """Five soft coloured balls: a scene with a known field, smooth in its points."""

    centers: np.ndarray = np.array(
        [[0.5, 0, 0], [-0.4, 0.3, 0.1], [0, -0.5, 0.3], [0.1, 0.4, -0.5], [-0.2, -0.3, -0.4]]
    )
    colors: np.ndarray = np.array([[1, 0.2, 0.1], [0.1, 0.9, 0.2], [0.1, 0.3, 1], [0.9, 0.8, 0.1], [0.7, 0.1, 0.8]])

    def __call__(self, points, directions):
        del directions
        centers, colors = (jnp.asarray(table, points.dtype) for table in (self.centers, self.colors))
        offsets = points[..., None, :] - centers.reshape((1,) * (points.ndim - 1) + (5, 3))
        squared = jnp.square(offsets).sum(-1)
        each = 8 * jnp.exp(-squared / (2 * 0.2**2))
        density = each.sum(-1)
        return density, jnp.matmul(each, colors) / (density[..., None] + 1e-6)


@functools.partial(jax.jit, static_argnames='dtype')
def ring(dtype=jnp.float32):
    angle = np.linspace(0, 2 * np.pi, COUNT, endpoint=False)
    eyes = np.stack([3 * np.cos(angle), 3 * np.sin(angle), 1 + 0.5 * np.cos(2 * angle)], -1)
    pose = transforms.look_at(jnp.asarray(eyes, dtype), jnp.zeros(3, dtype), jnp.array([0, 0, 1], dtype))
    zeros = jnp.zeros((COUNT, 6), dtype)
    return cameras.make(pose, jnp.full((COUNT, 2), 40.0, dtype), size=(32, 32), distortion=zeros, model='opencv')


def draw(rays):
    """Colours through the true field, 24 samples a ray."""
    edges = jnp.broadcast_to(jnp.linspace(1.5, 4.8, 25, dtype=rays.origins.dtype), (*rays.shape, 25))
    return volume.integrate(Blobs(), rays, edges, background=jnp.ones(3, rays.origins.dtype)).rgb


def batch_of(key, truth, count):
    keys = jax.random.split(key)
    index = jax.random.randint(keys[0], (count,), 0, COUNT)
    pixels = jax.random.uniform(keys[1], (count, 2), truth.focal.dtype, 0, 32)
    return Batch(index, pixels, draw(cameras.rays(truth[index], pixels)))


def loss_fn(key, params, aux, batch, step):
    del key, params, aux, step
    loss = jnp.square(draw(batch.rays) - batch.rgb).mean()
    return loss, {'loss': loss}


def known_field(stepper):
    """A method with nothing of its own to learn."""
    return Method(
        init=lambda key: states.create({}, stepper),
        step=stepper.step(loss_fn),
        render=lambda state, rays: Rendering(rgb=draw(rays), alpha=jnp.ones(rays.shape), depth=jnp.ones(rays.shape)),
        evaluate=lambda state, example: ({}, {}),
    )


def test_no_correction_changes_nothing():
    truth = ring()
    for a, b in zip(jax.tree.leaves(correct(poses.init(COUNT, PARTS), truth)), jax.tree.leaves(truth)):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_twists_turn_about_what_the_cameras_look_at():
    corrections = poses.init(COUNT)
    corrections['pose'] = corrections['pose'].at[:, 3:].set(jnp.array([0.01, 0.02, 0.03]))
    moved = correct(corrections, ring(), depth=2.5)
    errors = pose_errors(moved.world_from_camera, ring().world_from_camera)
    np.testing.assert_allclose(errors.rotation, np.rad2deg(0.01 * (9 + 36 + 9) ** 0.5), rtol=2e-3)
    pivot = unproject(ring(), ring().center, jnp.full(COUNT, 2.5))
    pixels, depth = project(moved, pivot)
    np.testing.assert_allclose(pixels, ring().center, atol=1e-4)
    np.testing.assert_allclose(depth, 2.5, atol=1e-5)


def test_twists_move_in_units_of_the_depth():
    corrections = poses.init(COUNT)
    corrections['pose'] = corrections['pose'].at[:, 1].set(0.02)
    moved = correct(corrections, ring(), depth=2.5).world_from_camera
    expected = ring().world_from_camera[:, :3, 3] + 0.05 * ring().world_from_camera[:, :3, 1]
    np.testing.assert_allclose(moved[:, :3, 3], expected, atol=1e-5)


@pytest.mark.slow
def test_gradient_agrees_with_central_differences():
    """Of each part, along a random direction, in forward and reverse mode."""
    with jax.enable_x64(True):
        truth = ring(jnp.float64)
        batch = batch_of(jax.random.key(0), truth, 40)
        loss = poses.correcting_loss(loss_fn, truth)

        @jax.jit
        def value(corrections):
            return loss(jax.random.key(0), {'method': {}, 'cameras': corrections}, None, batch, jnp.zeros(()))[0]

        def noise(key, scale):
            zeros = poses.init(COUNT, PARTS)
            keys = dict(zip(zeros, jax.random.split(key, len(zeros))))
            return {part: scale * jax.random.normal(keys[part], zeros[part].shape, jnp.float64) for part in zeros}

        start, directions = noise(jax.random.key(1), 0.02), noise(jax.random.key(2), 1.0)
        slopes = jax.jit(jax.grad(value))(start)
        forward = jax.jit(lambda tangent: jax.jvp(value, (start,), (tangent,))[1])
        for part in PARTS:
            way = {other: each * (other == part) for other, each in directions.items()}
            ahead, behind = (
                value(jax.tree.map(lambda x, step, sign=sign: x + sign * 1e-6 * step, start, way)) for sign in (1, -1)
            )
            expected = float(ahead - behind) / 2e-6
            assert abs(expected) > 1e-6, part
            for found in (forward(way), jnp.vdot(slopes[part], directions[part])):
                assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-8), part


def test_recovers_perturbed_cameras_in_a_known_scene():
    truth = ring()
    noise = {'pose': 0.03 * jax.random.normal(jax.random.key(1), (COUNT, 6)), 'focal': jnp.array([0.03, 0.03])}
    started = correct(noise, truth)
    optimizer = optax.adam(optax.exponential_decay(5e-3, 300, 0.1))
    method = poses.refining(known_field, steps.stepper(optimizer), started, parts=('pose', 'focal'), depth=3.0)

    @jax.jit
    def train(state):
        def body(state, key):
            return method.step(key, state, batch_of(key, truth, 512))

        return jax.lax.scan(body, state, jax.random.split(jax.random.key(2), 300))[0]

    state = train(jax.jit(method.init)(jax.random.key(0)))
    refined = correct(state.params['cameras'], started, depth=3.0)
    before = pose_errors(started.world_from_camera, truth.world_from_camera)
    after = pose_errors(refined.world_from_camera, truth.world_from_camera)
    assert float(jnp.median(before.rotation)) > 1.5
    assert float(jnp.median(after.rotation)) < 0.1
    assert float(after.rotation.max()) < 0.2
    # Longer lenses farther away make nearly the same pictures, so these two come last.
    assert float(after.translation.max()) < 0.05
    np.testing.assert_allclose(refined.focal, truth.focal, rtol=0.015)
    rays = jax.jit(cameras.rays)(truth[0], jnp.full((4, 2), 16.0))
    np.testing.assert_allclose(jax.jit(method.render)(state, rays).rgb, jax.jit(draw)(rays), atol=1e-6)


def test_says_what_cannot_be_refined():
    with pytest.raises(InputError, match='parts'):
        poses.init(COUNT, ('pose', 'roll'))  # pyright: ignore
    with pytest.raises(InputError, match='make them model opencv'):
        poses.correct(poses.init(COUNT, ('distortion',)), ring().replace(model='pinhole'))
    with pytest.raises(InputError, match='between steps'):
        poses.refining(
            lambda stepper: known_field(stepper)._replace(update=lambda state: state),
            steps.stepper(optax.sgd(1.0)),
            ring(),
        )


def test_ema_keeps_the_structure():
    method = poses.refining(known_field, steps.stepper(optax.sgd(0.1), ema_decay=0.9), ring())
    state = method.init(jax.random.key(0))
    assert jax.tree.structure(state.ema) == jax.tree.structure(state.params)
    assert dataclasses.is_dataclass(state)
    point = at(cameras.rays(ring()[0], jnp.full((2,), 16.0)), jnp.array([3.0]))
    assert point.shape == (1, 3)
