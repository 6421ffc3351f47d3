"""Surface and cameras found again from pictures that were traced by other means, beside albedo and light."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.geometry import alignment, paths, rotations, transforms
from neurend.models.appearance import AppearanceConfig
from neurend.models.mesh import inverse as inverse_lib
from neurend.models.mesh.inverse import InverseConfig, cameras_of, inverse, mesh_of, source
from neurend.scenes import primitives
from neurend.train import optimizers
from neurend.train.step import stepper
from tests.oracles import ring
from tests.oracles.ring import RING, SIZE

APPEARANCE = AppearanceConfig(texture=64, levels=4, degree=1)


def lit(u, v, n, _):
    """Bands around the ring and along it, lit from above."""
    pattern = np.sin(6 * np.pi * u) * np.sin(4 * np.pi * v)
    return (0.45 + 0.3 * pattern[..., None] * np.array([1.0, 0.3, -1.0])) * (0.7 + 0.4 * n[..., 2:] + 0.2 * n[..., :1])


@pytest.fixture(scope='module')
def scene():
    way = [paths.orbit(6, radius=3.5, elevation=e, start=s) for e, s in ((0.9, 0.0), (0.5, 0.3), (-0.7, 0.6))]
    return ring.views(jnp.concatenate(way), lit)


def torus(minor=RING.minor, **options):
    return primitives.torus(RING.major, minor, **{'around': 48, 'across': 24, **options})


def optimizer(steps, vertices=0.02, poses=1e-3):
    def falling(rate):
        return optimizers.log_linear(rate, 0.1 * rate, steps=steps)

    return optimizers.by_name(
        {
            '^differential': optimizers.uniform_adam(falling(vertices), b2=0.9),
            '^pose': optax.adam(optimizers.delayed(falling(poses), steps=steps // 4, multiplier=0.01), b2=0.99),
            '': optax.adam(falling(0.05)),
        }
    )


def learned(method, scene, steps, views=2):
    drawn = source(scene.cameras, scene.images, views=views)

    @jax.jit
    def run(state):
        def body(state, key):
            draw_key, step_key = jax.random.split(key)
            return method.step(step_key, state, drawn.draw(draw_key, drawn.data))

        return jax.lax.scan(body, state, jax.random.split(jax.random.key(0), steps))[0]

    return run(method.init(jax.random.key(0)))


def off_the_ring(mesh):
    """Distances of vertices from the true surface."""
    x, y, z = np.asarray(mesh.vertices).T
    return np.abs(np.hypot(np.hypot(x, y) - RING.major, z) - RING.minor)


def turned(scene, degrees, percent):
    """The scene with its cameras disturbed at random."""
    random = np.random.default_rng(1)
    pose = jnp.asarray(scene.cameras.world_from_camera)
    axes, steps = (random.normal(size=(len(pose), 3)) for _ in range(2))
    axes, steps = (part / np.linalg.norm(part, axis=-1, keepdims=True) for part in (axes, steps))
    turn = rotations.exp(jnp.asarray(np.deg2rad(degrees) * axes, jnp.float32))
    place = pose[:, :3, 3] + jnp.asarray(percent / 100 * 3.5 * steps, jnp.float32)
    moved = transforms.from_rt(pose[:, :3, :3] @ turn, place)
    return dataclasses.replace(scene, cameras=scene.cameras.replace(world_from_camera=np.asarray(moved)))


@pytest.mark.slow
def test_a_ring_too_thin_grows_to_its_size(scene):
    start = torus(RING.minor - 0.08)
    config = InverseConfig(APPEARANCE, strength=5.0)
    method = inverse(config, start, cameras=scene.cameras, size=(SIZE, SIZE), stepper=stepper(optimizer(200)))
    state = learned(method, scene, 200)
    found = mesh_of(config, start, state)
    assert off_the_ring(start).min() > 0.079
    assert np.median(off_the_ring(found)) < 0.012 and np.quantile(off_the_ring(found), 0.95) < 0.03


@pytest.mark.slow
def test_disturbed_cameras_are_found_on_a_known_mesh(scene):
    given = turned(scene, 1.0, 1.0)
    config = InverseConfig(APPEARANCE, parts=('albedo', 'light', 'poses'))
    mesh = torus(around=96, across=48)
    method = inverse(
        config, mesh, cameras=given.cameras, size=(SIZE, SIZE), stepper=stepper(optimizer(400, poses=2e-3))
    )
    state = learned(method, given, 800, views=3)
    found = cameras_of(mesh, given.cameras, state)
    # The ring may turn about its axis, and its texture with it.
    truth = jnp.asarray(scene.cameras.world_from_camera)
    aligned = (alignment.align_poses(jnp.asarray(each.world_from_camera), truth) for each in (given.cameras, found))
    before, after = (alignment.pose_errors(poses, truth) for poses in aligned)
    print(
        np.median(before.rotation),
        np.median(after.rotation),
        np.median(before.translation),
        np.median(after.translation),
    )
    assert np.median(after.rotation) < 0.5 * np.median(before.rotation)
    assert np.median(after.translation) < 0.65 * np.median(before.translation)
    np.testing.assert_array_equal(mesh_of(config, mesh, state).vertices, mesh.vertices)


@pytest.mark.slow
def test_gradients_add_up_to_what_the_loss_changes_by_and_what_is_not_learned_stays(scene):
    """Of vertices and poses together, along a way: a step of plain descent tells the gradient."""
    config = InverseConfig(APPEARANCE, parts=('vertices', 'poses'), strength=5.0, bends=0.01)
    plain = stepper(optax.sgd(1.0))
    method = inverse(config, torus(0.4), cameras=scene.cameras, size=(SIZE, SIZE), stepper=plain)
    state = method.init(jax.random.key(0))
    drawn = source(scene.cameras, scene.images, views=2)
    batch = drawn.draw(jax.random.key(3), drawn.data)
    random = np.random.default_rng(0)
    moving = ('differential', 'pose')
    directions = {name: random.normal(size=state.params[name].shape).astype(np.float32) for name in moving}

    @jax.jit
    def stepped(amount):
        moved = {name: state.params[name] + amount * directions[name] for name in moving}
        before = state.replace(params={**state.params, **moved})
        after, metrics = method.step(jax.random.key(0), before, batch)
        slope = sum(jnp.sum((before.params[name] - after.params[name]) * directions[name]) for name in moving)
        held = [jnp.all(after.params['light'] == before.params['light'])]
        held += [jnp.all(a == b) for a, b in zip(after.params['texture'], before.params['texture'], strict=True)]
        return metrics['loss'], slope, jnp.all(jnp.stack(held))

    # The loss has small jumps where an outline reaches a pixel's centre; they even out along a way of many of them.
    amounts = np.linspace(-0.02, 0.02, 65, dtype=np.float32)
    losses, slopes, held = np.array([stepped(amount) for amount in amounts]).T
    np.testing.assert_allclose(losses[-1] - losses[0], np.trapezoid(slopes, amounts), rtol=0.05)
    assert held.all()


def test_nothing_has_moved_at_first(scene):
    config = InverseConfig(APPEARANCE, parts=inverse_lib.PARTS)
    mesh = torus()
    method = inverse(config, mesh, cameras=scene.cameras, size=(SIZE, SIZE), stepper=stepper(optax.sgd(0.1)))
    state = method.init(jax.random.key(0))
    np.testing.assert_allclose(mesh_of(config, mesh, state).vertices, mesh.vertices, atol=1e-5)
    found = cameras_of(mesh, scene.cameras, state)
    np.testing.assert_allclose(found.world_from_camera, scene.cameras.world_from_camera, atol=1e-6)


def test_bad_input(scene):
    with pytest.raises(InputError, match='views: got 19, expected 1 to 18'):
        source(scene.cameras, scene.images, views=19)
    with pytest.raises(InputError, match='all with alpha or none'):
        source(scene.cameras, (scene.images[0][..., :3], *scene.images[1:]), views=2)
    options = {'cameras': scene.cameras, 'size': (SIZE, SIZE), 'stepper': stepper(optax.sgd(0.1))}
    with pytest.raises(InputError, match='parts'):
        inverse(InverseConfig(APPEARANCE, parts=('shape',)), torus(), **options)
    with pytest.raises(InputError, match='strength: got -1'):
        inverse(InverseConfig(APPEARANCE, strength=-1.0), torus(), **options)
    with pytest.raises(InputError, match='unwrap'):
        inverse(InverseConfig(APPEARANCE), primitives.box(), **options)
