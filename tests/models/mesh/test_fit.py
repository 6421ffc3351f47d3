"""Silhouettes of a known mesh are learned, to a number, and by the house's loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, paths, surface, triangles
from neurend.models.mesh import pictures, silhouettes
from neurend.models.mesh.fit import FitConfig, Surface, fit, mesh_of
from neurend.models.mesh.silhouettes import Silhouettes
from neurend.scenes import primitives
from neurend.scenes.meshes import Mesh
from neurend.train import loop, optimizers, step

SIZE = (32, 32)
CONFIG = FitConfig(views=3, divide_steps=(140,), divide_edges=(0.8,))


def _cameras(count, **options):
    return cameras.make(paths.sphere(count, radius=3.0, **options), 36.0, size=SIZE)


@pytest.fixture(scope='module')
def target():
    sphere = primitives.sphere(3)
    # An egg beside the origin.
    vertices = sphere.vertices * np.array([0.9, 0.5, 0.5], np.float32) + np.array([0.1, 0.05, -0.1], np.float32)
    return Mesh(vertices, sphere.faces)


@pytest.fixture(scope='module')
def views(target):
    return silhouettes.draw(target, _cameras(8), SIZE)


@pytest.fixture(scope='module')
def method(views):
    start = silhouettes.start_sphere(views, subdivisions=2)
    stepper = step.stepper(optimizers.uniform_adam(optimizers.log_linear(0.05, 0.005, steps=140), b2=0.9))
    return fit(CONFIG, start=start, size=SIZE, stepper=stepper)


@pytest.mark.slow
def test_an_egg_is_found_from_a_sphere_and_pictures_show_it(target, views, method, tmp_path):
    points = surface.sample(jax.random.key(3), target.vertices, target.faces, 3000).points
    truth = Surface(points)
    before = method.evaluate(jax.jit(method.init)(jax.random.key(0)), truth)[0]['chamfer']
    held_out = silhouettes.draw(target, _cameras(2, start=1.0), SIZE)
    state = loop.fit(
        method,
        silhouettes.source(views, CONFIG.views),
        workdir=tmp_path,
        steps=140,
        evaluation=[held_out[0], truth],
        log_every=40,
        devices=jax.devices()[:1],
        main_metric='iou',
    )
    after = method.evaluate(state, truth)[0]['chamfer']
    assert before > 20 * after
    numbers, shown = method.evaluate(state, held_out[1])
    assert numbers['iou'] > 0.96 and shown['comparison'].shape == (32, 96, 3)
    assert (tmp_path / 'pictures' / 'step_00000140' / '0_comparison.png').exists()
    # It was divided at last, and is closed.
    mesh = mesh_of(state, CONFIG)
    assert len(mesh.vertices) > 1.5 * 162
    assert (triangles.topology(mesh.faces).edge_faces >= 0).all()


@pytest.mark.slow
def test_gradients_add_up_to_what_the_loss_changes_by(views):
    """Of the whole loss, through the smooth coordinates, along a way: a step of plain descent tells the gradient."""
    start = silhouettes.start_sphere(views, subdivisions=2)
    plain = fit(CONFIG, start=start, size=SIZE, stepper=step.stepper(optax.sgd(1.0)))
    state = jax.jit(plain.init)(jax.random.key(0))
    u = state.params['differential']
    direction = jnp.asarray(np.random.default_rng(0).normal(size=u.shape), jnp.float32)

    @jax.jit
    def stepped(amount):
        moved = state.replace(params={'differential': u + amount * direction})
        after, metrics = plain.step(jax.random.key(0), moved, views[:3])
        return metrics['loss'], jnp.sum((moved.params['differential'] - after.params['differential']) * direction)

    # The loss has small jumps where an outline reaches a pixel's centre; they even out along a way of many of them.
    amounts = np.linspace(-0.02, 0.02, 17, dtype=np.float32)
    losses, slopes = np.array([stepped(amount) for amount in amounts]).T
    np.testing.assert_allclose(losses[-1] - losses[0], np.trapezoid(slopes, amounts), rtol=0.05)


def test_moments_start_anew_and_counts_go_on_where_the_mesh_is_divided(method):
    state = jax.jit(method.init)(jax.random.key(0))
    count, second = jnp.int32(140), jnp.float32(0.3)
    moved = state.optimizer._replace(
        count=count,
        first={'differential': jnp.ones_like(state.params['differential'])},
        second={'differential': second},
    )
    after = method.update(state.replace(step=count, optimizer=moved))
    assert int(after.optimizer.count) == 140 and float(after.optimizer.second['differential']) == np.float32(0.3)
    first = after.optimizer.first['differential']
    assert first.shape == after.params['differential'].shape and len(first) > 162 and not first.any()
    # The surface stays: new vertices lie on the old one's edges.
    old, new = (mesh_of(each, CONFIG) for each in (state, after))
    areas = [float(triangles.areas(mesh.vertices, mesh.faces).sum()) for mesh in (old, new)]
    np.testing.assert_allclose(areas[1], areas[0], rtol=1e-4)


def test_the_sphere_to_start_from_is_that_of_a_sphere():
    sphere = primitives.sphere(4, 0.4)
    center = np.array([0.2, -0.1, 0.15], np.float32)
    views = silhouettes.draw(Mesh(sphere.vertices + center, sphere.faces), _cameras(6), SIZE)
    start = silhouettes.start_sphere(views, subdivisions=2)
    np.testing.assert_allclose(start.vertices.mean(0), center, atol=5e-3)
    radius = np.linalg.norm(start.vertices - start.vertices.mean(0), axis=-1)
    # Outlines are those of the cone around the sphere, a little wider than it.
    np.testing.assert_allclose(radius, 0.4, rtol=0.03)


def test_batches_hold_no_silhouette_twice(views):
    numbered = Silhouettes(views.camera, np.arange(8, dtype=np.uint8)[:, None, None] + np.zeros((1, *SIZE), np.uint8))
    source = silhouettes.source(numbered, 5)
    drawn = [np.asarray(source.draw(jax.random.key(k), source.data).mask)[:, 0, 0] for k in range(6)]
    assert all(len(set(batch.tolist())) == 5 for batch in drawn)
    assert set(np.concatenate(drawn).tolist()) == set(range(8))


def test_difference_shows_too_much_in_red_and_too_little_in_blue():
    shown = pictures.difference(np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 1.0, 0.0]]))
    np.testing.assert_array_equal(shown[0], [[1, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1]])


def test_bad_input(views):
    with pytest.raises(InputError, match='views: got 9, expected 1 to 8'):
        silhouettes.source(views, 9)
    with pytest.raises(InputError, match='divide_steps, divide_edges'):
        fit(FitConfig(divide_edges=()), start=primitives.sphere(1), size=SIZE, stepper=step.stepper(optax.sgd(1.0)))
    empty = Silhouettes(views.camera, np.where(np.arange(8)[:, None, None] == 2, np.uint8(0), views.mask))
    with pytest.raises(InputError, match='silhouette 2: covers no pixel'):
        silhouettes.start_sphere(empty)
