"""`fast` refines the cameras of its images."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.data import batches
from neurend.geometry import alignment
from neurend.models.nerf import fast, fast_loss, poses
from neurend.models.nerf.fast_config import FastConfig, RefineConfig
from tests.models.nerf.painted import ball, prepared, sphere

COUNT = 24
CONFIG = FastConfig(
    subdivide_steps=(), prune_steps=(), rays=(1024,), segments=(12.0,), samples=(16.0,), longest=20, final_rate=0.1
)


@pytest.mark.slow
def test_recovers_cameras_in_a_learned_scene():
    """First the field is learned with true cameras, then these are put wrong, and the field is held."""
    views = sphere(COUNT, size=48)
    start = prepared(CONFIG, views, margin=0.2, slack=3.0)
    source = batches.device_source(views, num_rays=1024, active=start.active, cast_rays=False)
    held = dataclasses.replace(CONFIG, rate_density=0.0, rate_color=0.0, rate_view=0.0)
    key = jax.random.key(0)

    def run(config, state, refine):
        method = fast.fast(config, start=start, steps=300, refine=refine)

        @jax.jit
        def train(state):
            def body(state, key):
                draw_key, step_key = jax.random.split(key)
                return method.step(step_key, state, source.draw(draw_key, source.data))

            return jax.lax.scan(body, state, jax.random.split(key, 300))[0]

        return train(method.init(key) if state is None else state.replace(step=jnp.zeros((), jnp.int32)))

    learned = run(CONFIG, None, RefineConfig(begin=1000))
    np.testing.assert_array_equal(learned.params['cameras']['pose'], 0)
    noise = {'pose': 0.01 * jax.random.normal(jax.random.key(1), (COUNT, 6))}
    put_wrong = learned.replace(params={**learned.params, 'cameras': noise})
    refined = run(held, put_wrong, RefineConfig(rate=3e-3, begin=0))
    np.testing.assert_array_equal(refined.params['fields'][0]['color'], learned.params['fields'][0]['color'])

    def errors(state):
        return alignment.pose_errors(fast.corrected(state.params, start).world_from_camera, truth)

    truth = jnp.asarray(views.cameras.world_from_camera)
    before, after = errors(put_wrong), errors(refined)
    assert float(jnp.median(before.rotation)) > 1.5
    assert float(jnp.median(after.rotation)) < 0.25
    assert float(jnp.median(after.translation)) < 0.1 * float(jnp.median(before.translation))


@pytest.mark.slow
def test_gradient_of_the_loss_reaches_the_cameras():
    """Against central differences, where no ray lacks room, no sample is dropped and none leaves the grid."""
    config = dataclasses.replace(CONFIG, threshold=0.0, samples=(32.0,))
    views = sphere(4)
    start = prepared(CONFIG, views, margin=0.2, slack=3.0)
    refine = RefineConfig(parts=('pose', 'focal', 'center'))
    state = fast.fast(config, start=start, steps=10, refine=refine).init(jax.random.key(0))
    source = batches.device_source(views, num_rays=1024, active=start.active, cast_rays=False)
    batch = source.draw(jax.random.key(1), source.data)
    loss = fast_loss.make(config, jnp.asarray(views.cameras.size), None, lambda params: fast.corrected(params, start))
    density, color = ball(start.voxels, start.rows[0])

    @jax.jit
    def value(corrections):
        params = {**state.params['fields'][0], 'density': density, 'color': color, 'cameras': corrections}
        return loss(params, jax.random.key(2), state.aux, batch, jnp.int32(0))

    at = state.params['cameras']
    slopes, values = jax.jit(jax.grad(value, has_aux=True))(at)
    assert set(slopes) == {'pose', 'focal', 'center'} and float(values['complete']) == 1
    step = 2e-4
    for part, slope in slopes.items():
        direction = jax.random.normal(jax.random.key(3), slope.shape)
        along = float(jnp.vdot(slope, direction))
        ahead, behind = (value({**at, part: at[part] + sign * step * direction})[0] for sign in (1, -1))
        assert abs(along) > 1, part
        np.testing.assert_allclose(along, float(ahead - behind) / (2 * step), rtol=0.03, err_msg=part)


def test_without_refinement_there_is_nothing_to_correct():
    views = sphere(4)
    start = prepared(CONFIG, views, margin=0.2, slack=3.0)
    state = fast.fast(CONFIG, start=start, steps=10).init(jax.random.key(0))
    assert set(state.params) == {'fields'}
    refined = fast.corrected({'cameras': poses.init(4)}, start)
    np.testing.assert_allclose(refined.world_from_camera, views.cameras.world_from_camera, atol=1e-6)
    assert dataclasses.is_dataclass(refined)
