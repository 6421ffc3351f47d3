"""Several fields of `fast` on shifted grids."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.data import batches
from neurend.geometry import cameras as cameras_lib
from neurend.models.nerf import fast, fast_fields
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.fast_config import MOST_FIELDS, FastConfig
from neurend.render import volume
from tests.models.nerf.painted import FAR, NEAR, SIZE, ball, prepared, sphere

CONFIG = FastConfig(
    subdivide_steps=(40,),
    prune_steps=(70,),
    rays=(512, 512),
    segments=(6.0, 6.0),
    samples=(8.0, 10.0),
    longest=14,
    final_rate=0.1,
    fields=2,
)
STEPS = 150


def image(config, start, fields, camera):
    rays = cameras_lib.rays(camera, cameras_lib.pixel_centers(SIZE, SIZE).reshape(-1, 2))
    voxels = jax.tree.map(jnp.asarray, start.voxels)
    return fast_fields.render(config, voxels, fields, rays, near=NEAR, far=FAR)


@pytest.mark.slow
def test_fields_on_all_shifted_grids_show_one_scene():
    """Tables of the same ball, each sampled where the corners of its field's grid lie."""
    config = FastConfig(subdivide_steps=(), prune_steps=(), rays=(1024,), segments=(12.0,), samples=(16.0,))
    views = sphere(4)
    start = prepared(config, views)
    voxels, fields = jax.tree.map(jnp.asarray, start.voxels), []
    for k in range(MOST_FIELDS):
        density, color = ball(fast_fields.shifted(voxels, k, MOST_FIELDS), start.rows[0])
        fields.append({'density': density, 'color': color, 'view': jnp.zeros((start.rows[1], 24))})
    whole = image(config, start, tuple(fields), views.camera(1))
    assert float(whole.alpha.max()) > 0.9
    density, color = ball(voxels, start.rows[0])
    alone = image(config, start, ({**fields[0], 'density': density, 'color': color},), views.camera(1))
    np.testing.assert_allclose(whole.rgb, alone.rgb, atol=0.02)
    np.testing.assert_allclose(whole.alpha, alone.alpha, atol=0.02)
    seen = alone.alpha > 0.5
    np.testing.assert_allclose(whole.depth[seen], alone.depth[seen], atol=0.02)
    np.testing.assert_allclose(whole.median[seen], alone.median[seen], atol=0.03)
    # Not sampled where its grid lies, a field shows the ball elsewhere.
    wrong = image(config, start, ({**fields[0], 'density': density, 'color': color},) * 2, views.camera(1))
    assert float(jnp.abs(wrong.rgb - alone.rgb).max()) > 0.05


@pytest.fixture(scope='module')
def trained():
    views = sphere(16)
    start = prepared(CONFIG, views)
    source = batches.device_source(views, num_rays=CONFIG.batch_rays, active=start.active)
    method = fast.fast(CONFIG, start=start, steps=STEPS)
    traces = []

    @jax.jit
    def step(state, data):
        traces.append(0)
        draw_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(0), state.step))
        return method.step(step_key, state, source.draw(draw_key, data))

    state = jax.jit(method.init)(jax.random.key(0))
    for _ in range(STEPS):
        state, _ = step(state, source.data)
        if int(state.step) in method.update_steps:
            state = method.update(state)
    return method, state, start, traces


@pytest.mark.slow
def test_the_mean_is_better_than_either(trained):
    method, state, start, _ = trained
    assert len(state.params['fields']) == 2
    held_out = sphere(6, phase=0.2)
    views = [Example(held_out.names[k], held_out.camera(k), held_out.images[k]) for k in range(len(held_out))]

    def psnr(method, state):
        return np.mean([method.evaluate(state, view)[0]['psnr'] for view in views])

    both, alone = psnr(method, state), []
    single = fast.fast(dataclasses.replace(CONFIG, fields=1), start=start, steps=STEPS)
    for k, field in enumerate(state.params['fields']):
        aux = {**state.aux, 'voxels': fast_fields.shifted(state.aux['voxels'], k, 2)}
        alone.append(psnr(single, state.replace(params={'fields': (field,)}, aux=aux)))
    assert min(alone) > 28
    assert both > max(alone) + 0.1


@pytest.mark.slow
def test_a_field_as_a_function_shows_the_same_and_has_derivatives(trained):
    method, state, start, _ = trained
    single = fast.fast(dataclasses.replace(CONFIG, fields=1), start=start, steps=STEPS)
    aux = {**state.aux, 'voxels': fast_fields.shifted(state.aux['voxels'], 1, 2)}
    want_of = state.replace(params={'fields': state.params['fields'][1:]}, aux=aux)
    rays = cameras_lib.rays(sphere(1).camera(0), cameras_lib.pixel_centers(SIZE, SIZE)[20:24].reshape(-1, 2))
    want = single.render(want_of, rays)
    field = fast_fields.field_fn(CONFIG, state, 1)
    edges = jnp.broadcast_to(jnp.linspace(NEAR, FAR, 513), (len(rays.index), 513))
    got = jax.jit(lambda: volume.integrate(field, rays, edges, background=jnp.ones(3)).rgb)()
    assert float(jnp.abs(got - want.rgb).mean()) < 0.01

    # Away from the faces of cells, where it has a kink.
    voxels = fast_fields.shifted(state.aux['voxels'], 1, 2)
    rng = np.random.default_rng(0)
    cells = np.argwhere(np.asarray(voxels.cells) > 0)[rng.permutation(200)[:100]]
    points = voxels.low[None] + voxels.edge * (cells + rng.uniform(0.3, 0.7, cells.shape).astype(np.float32))
    target = jnp.asarray(rng.normal(size=(100, 4)), jnp.float32)

    def value(points):
        density, color = field(points, jnp.float32([0.6, 0.0, 0.8]))
        return jnp.sum(jnp.concatenate([density[:, None], color], axis=-1) * target, axis=-1)

    toward = jnp.float32([0.5, -0.3, 0.8]) * voxels.edge
    forward = jax.jvp(value, (points,), (jnp.broadcast_to(toward, points.shape),))[1]
    np.testing.assert_allclose(forward, jax.grad(lambda p: value(p).sum())(points) @ toward, rtol=1e-3, atol=1e-3)
    change = (value(points + 0.1 * toward[None]) - value(points - 0.1 * toward[None])) / 0.2
    np.testing.assert_allclose(forward, change, rtol=0.05, atol=0.02 * float(jnp.abs(forward).max()))

    def packed(origins):
        return method.render(state, dataclasses.replace(rays, origins=origins)).rgb.mean()

    for derivative in (jax.grad(packed), lambda origins: jax.jvp(packed, (origins,), (origins,))):
        with pytest.raises(checks.InputError, match='has no derivatives'):
            derivative(rays.origins)
    with pytest.raises(checks.InputError, match='Flatten the rays'):
        method.render(state, jax.tree.map(lambda leaf: leaf[None], rays))


@pytest.mark.slow
def test_one_trace_for_each_grid(trained):
    *_, traces = trained
    assert len(traces) == 2


@pytest.mark.parametrize('fields', [0, MOST_FIELDS + 1])
def test_numbers_of_fields_that_there_cannot_be(fields):
    with pytest.raises(checks.InputError, match='fields'):
        FastConfig(fields=fields)
