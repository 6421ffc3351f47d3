"""`fast` where neither masks nor backgrounds are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.data import batches
from neurend.geometry import cameras as cameras_lib
from neurend.models.nerf import fast, fast_separate, fast_start
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.fast_config import FastConfig
from tests.models.nerf.painted import FAR, NEAR, sphere

SIZE = 24
FIRST = FastConfig(
    subdivide_steps=(120,),
    prune_steps=(180,),
    rays=(512, 512),
    segments=(16.0, 16.0),
    samples=(40.0, 40.0),
    longest=40,
)
SECOND = dataclasses.replace(
    FIRST, subdivide_steps=(40,), prune_steps=(70,), segments=(12.0, 12.0), samples=(16.0, 16.0), longest=40
)


def before_noise(views, squares=6):
    """The same photographs, opaque, each before other squares of random colours; no alpha."""
    rng = np.random.default_rng(0)
    images = []
    for image in views.images:
        wall = rng.random((squares, squares, 3)).repeat(len(image) // squares, 0).repeat(len(image) // squares, 1)
        alpha = image[..., 3:] / 255
        images.append(np.round(image[..., :3] * alpha + 255 * wall * (1 - alpha)).astype(np.uint8))
    return dataclasses.replace(views, images=tuple(images))


def trained(config, start, views, steps):
    method = fast.fast(config, start=start, steps=steps)
    source = batches.device_source(views, num_rays=512, active=start.active)

    @jax.jit
    def step(state, data):
        draw_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(0), state.step))
        return method.step(step_key, state, source.draw(draw_key, data))[0]

    state = jax.jit(method.init)(jax.random.key(0))
    for _ in range(steps):
        state = step(state, source.data)
        if int(state.step) in method.update_steps:
            state = method.update(state)
    return method, state


@pytest.fixture(scope='module')
def first():
    views = before_noise(sphere(16, size=SIZE))
    start = fast_start.prepare(FIRST, views.cameras, None, near=NEAR, far=FAR, images=views.images)
    return views, start, *trained(FIRST, start, views, 240)


@pytest.mark.slow
def test_finds_the_sphere_before_unknown_backgrounds(first):
    *_, method, state = first
    held_out = sphere(5, phase=0.2, size=SIZE)
    for k in range(5):
        rays = cameras_lib.rays(held_out.camera(k), cameras_lib.pixel_centers(SIZE, SIZE).reshape(-1, 2))
        alpha = np.asarray(method.render(state, rays).alpha)
        truth = held_out.images[k][..., 3].reshape(-1) / 255
        assert alpha[truth == 1].mean() > 0.95
        assert alpha[truth == 0].mean() < 0.05


@pytest.mark.slow
def test_a_field_learned_anew_from_what_another_told_apart():
    """The other was learned with known masks here, so that what is tested is what comes after it."""
    known = sphere(16, size=48)
    views = before_noise(known, squares=1)
    masks = [image[..., 3] > 0 for image in known.images]
    start = fast_start.prepare(SECOND, known.cameras, masks, near=NEAR, far=FAR)
    found = fast_separate.separate(trained(SECOND, start, known, 160)[1], SECOND, start, views.images)
    foreground, plates = np.stack(found.foreground), np.stack(found.plates)
    truth = np.stack([image[..., 3] for image in known.images])
    assert foreground[truth == 255].all()
    near = jax.lax.reduce_window(truth, np.uint8(0), jax.lax.max, (1, 13, 13), (1, 1, 1), 'SAME')
    far = np.asarray(near) == 0
    assert far.mean() > 0.2 and not foreground[far].any()
    np.testing.assert_array_equal(plates[far], np.stack(views.images)[far])
    again = fast_start.prepare(SECOND, views.cameras, found.foreground, near=NEAR, far=FAR, plates=found.plates)
    method, state = trained(SECOND, again, views, 160)
    held_out = sphere(5, phase=0.2, size=48)
    values = [
        method.evaluate(state, Example(held_out.names[k], held_out.camera(k), held_out.images[k]))[0]['psnr']
        for k in range(5)
    ]
    assert np.mean(values) > 26


def test_an_empty_field_tells_nothing_apart():
    views = before_noise(sphere(4, size=SIZE))
    config = dataclasses.replace(
        FIRST, subdivide_steps=(), prune_steps=(), rays=(512,), segments=(16.0,), samples=(40.0,)
    )
    start = fast_start.prepare(config, views.cameras, None, near=NEAR, far=FAR, images=views.images)
    state = jax.jit(fast.fast(config, start=start, steps=1).init)(jax.random.key(0))
    fields = tuple({**field, 'density': jnp.full_like(field['density'], -20.0)} for field in state.params['fields'])
    empty = state.replace(params={**state.params, 'fields': fields})
    with pytest.raises(checks.InputError, match='separate: the object fills 0% to 0%'):
        fast_separate.separate(empty, config, start, views.images)
