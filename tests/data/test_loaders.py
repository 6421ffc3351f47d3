"""Streams of batches: the same pixels as the images hold, and resumable to the exact batch."""

import json

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import batches, loaders
from tests.data.test_batches import scene


def stream(**options):
    images = options.pop('images', None) or scene(masks=True)
    return loaders.stream_source(images, **{'num_rays': 32, 'seed': 3, 'background': 'random', **options}).iterator


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_every_pixel_agrees_with_its_place():
    images = scene(masks=True)
    batch = next(stream(images=images, num_rays=200))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(batch))
    for k in range(200):
        i, (x, y) = batch.index[k], batch.pixels[k].astype(int)
        pixel = images.images[i][y, x] / 255
        expected = pixel[:3] * pixel[3] + batch.background[k] * (1 - pixel[3])
        np.testing.assert_allclose(batch.rgb[k], expected, atol=1e-6)
        np.testing.assert_allclose(batch.mask[k], images.masks[i][y, x] / 255, atol=1e-6)
    rays = jax.jit(batches.cast)(images.cameras, batch.index, batch.pixels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), batch.rays, rays)


def test_batches_are_like_those_of_the_device():
    images = scene(masks=True)
    host = next(stream(images=images))
    source = batches.device_source(images, num_rays=32, background='random')
    device = jax.eval_shape(source.draw, jax.random.key(0), source.data)
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), batch) for batch in (host, device)]
    assert shapes[0] == shapes[1]


def test_resumes_at_the_exact_batch():
    whole = stream()
    expected = [next(whole) for _ in range(7)]
    first = stream()
    for k in range(4):
        assert_same(next(first), expected[k])
    state = json.loads(json.dumps(first.get_state()))
    second = stream()
    next(second)
    second.set_state(state)
    for k in range(4, 7):
        assert_same(next(second), expected[k])
    first.set_state(state)
    assert_same(next(first), expected[4])


def test_seeds_and_steps_differ():
    a, b = stream(seed=3), stream(seed=4)
    x, y, z = next(a), next(a), next(b)
    assert (x.pixels != y.pixels).any() and (x.pixels != z.pixels).any()
    assert (x.background != y.background).any()


def test_active_rows_and_mask_as_alpha():
    images = scene(channels=3, masks=True)
    batch = next(stream(images=images, active=np.array([2, 25]), mask_as_alpha=True, background=(0.1, 0.2, 0.3)))
    assert set(batch.index) == {0, 1}
    np.testing.assert_array_equal(batch.alpha, batch.mask)
    pixel = images.images[0][0, 2] / 255
    at = np.flatnonzero(batch.index == 0)[0]
    expected = pixel * batch.mask[at] + np.array([0.1, 0.2, 0.3]) * (1 - batch.mask[at])
    np.testing.assert_allclose(batch.rgb[at], expected, atol=1e-6)


@pytest.mark.slow
def test_workers_change_nothing(tmp_path):
    options = {'images': scene(masks=True), 'cast_rays': False}
    plain = stream(**options)
    expected = [next(plain) for _ in range(6)]
    first = stream(**options, workers=2, cache_dir=tmp_path)
    for k in range(3):
        assert_same(next(first), expected[k])
    state = json.loads(json.dumps(first.get_state()))
    second = stream(**options, workers=2, cache_dir=tmp_path)
    second.set_state(state)
    for k in range(3, 6):
        assert_same(next(second), expected[k])


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'workers': 2}, 'workers'), ({'num_rays': 0}, 'num_rays'), ({'background': 'pink'}, 'background')],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        stream(**options)
