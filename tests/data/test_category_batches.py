"""Rays through the instances of a category: each carries the colour of the pixel it goes through."""

import dataclasses

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import shepard_metzler
from neurend.data.category_batches import category_source, reduced
from neurend.geometry import cameras


@pytest.fixture(scope='module')
def category():
    return shepard_metzler.category(3, views=2, size=16)


def drawn(source, seed=0):
    return jax.tree.map(np.asarray, jax.jit(source.draw)(jax.random.key(seed), source.data))


def test_rays_go_through_the_pixels_whose_colours_they_carry(category):
    batch = drawn(category_source(category, instances=3, rays=200, on_object=0.5))
    assert sorted(batch.instance) == [0, 1, 2] and batch.rgb.shape == (3, 200, 3)
    views = batch.rays.index
    assert set(views.ravel()) == {0, 1}
    seen = jax.tree.map(lambda leaf: leaf[batch.instance[:, None], views], category.cameras)
    points = batch.rays.origins + 2.0 * batch.rays.directions
    pixels = np.asarray(cameras.project(seen, points)[0])
    np.testing.assert_allclose(pixels % 1, 0.5, atol=1e-3)
    x, y = np.moveaxis(pixels.astype(int), -1, 0)
    truth = category.images[batch.instance[:, None], views, y, x] / 255
    np.testing.assert_allclose(batch.rgb, truth, atol=1e-6)


def test_rays_can_be_aimed_at_what_is_not_white(category):
    def colored(on_object):
        batch = drawn(category_source(category, instances=3, rays=1000, on_object=on_object))
        return (batch.rgb.min(-1) < 0.98).mean()

    covered = (category.images.min(-1) < 250).mean()
    assert abs(colored(0.0) - covered) < 0.05
    assert colored(1.0) > 1.5 * covered
    white = dataclasses.replace(category, images=np.full_like(category.images, 255))
    assert (drawn(category_source(white, instances=2, rays=50, on_object=1.0)).rgb == 1).all()


def test_one_view_of_one_instance_is_enough_and_batches_hold_no_instance_twice(category):
    one = category.instances([1]).views([0])
    batch = drawn(category_source(one, instances=8, rays=5))
    assert batch.rgb.shape == (1, 5, 3) and (batch.instance == 0).all()
    source = category_source(category, instances=2, rays=1)
    assert all(len(set(drawn(source, seed).instance)) == 2 for seed in range(8))


def test_reduced_pictures_are_means_that_their_cameras_fit(category):
    half = reduced(category, 2)
    assert half.images.shape == (3, 2, 8, 8, 3)
    np.testing.assert_allclose(half.images[1, 0, 3, 4], category.images[1, 0, 6:8, 8:10].mean((0, 1)), atol=0.51)
    np.testing.assert_array_equal(half.cameras.size, 8)
    point = np.array([0.1, -0.2, 0.3], np.float32)
    whole, small = (np.asarray(cameras.project(given.cameras, point)[0]) for given in (category, half))
    np.testing.assert_allclose(whole, 2 * small, atol=1e-4)
    assert reduced(category, 1) is category


def test_bad_options_are_refused(category):
    with pytest.raises(InputError, match='instances, rays: got 0, 4'):
        category_source(category, instances=0, rays=4)
    with pytest.raises(InputError, match='on_object: got 1.5'):
        category_source(category, instances=1, rays=4, on_object=1.5)
    with pytest.raises(InputError, match='factor: got 3, expected a divisor'):
        reduced(category, 3)
