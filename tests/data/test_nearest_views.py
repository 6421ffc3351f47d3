"""Which views a step draws, and which it lifts."""

import dataclasses

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.nearest_views import nearest_view_source, neighbors, opacities
from neurend.data.posed import PosedImages, host_cameras
from neurend.geometry import paths


def ring(count):
    """Views on a circle, each of one gray that says which it is, transparent on its right half."""
    poses = np.asarray(paths.orbit(count, radius=3.0))
    camera = host_cameras(
        world_from_camera=poses,
        focal=np.full((count, 2), 9.0, np.float32),
        center=np.full((count, 2), 4.0, np.float32),
        distortion=np.zeros((count, 6), np.float32),
        size=np.full((count, 2), 8, np.int32),
        model='pinhole',
    )
    images = [np.full((8, 8, 4), k, np.uint8) for k in range(count)]
    for image in images:
        image[..., 3] = np.repeat([255, 0], 4)[None]
    return PosedImages(tuple(map(str, range(count))), tuple(images), camera, None, 1.0, 5.0, np.eye(4))


def test_neighbours_look_the_same_way():
    found = neighbors(ring(12).cameras, 4)
    for k, row in enumerate(found):
        assert k not in row
        assert {min((k - j) % 12, (j - k) % 12) for j in row} == {1, 2}
        assert min((k - row[0]) % 12, (row[0] - k) % 12) == 1


def test_few_views_recur_and_one_is_its_own():
    assert neighbors(ring(3).cameras, 5).shape == (3, 5)
    assert set(neighbors(ring(3).cameras, 5)[0]) == {1, 2}
    np.testing.assert_array_equal(neighbors(ring(1).cameras, 2), [[0, 0]])
    source = nearest_view_source(ring(1), sources=2)
    batch = source.draw(jax.random.key(0), source.data)
    assert batch.target.rgb.shape == batch.source.rgb.shape == (2, 8, 8, 3)


def test_sources_are_among_the_nearest_of_the_first_target():
    views = ring(12)
    source = nearest_view_source(views, targets=2, sources=2)
    draw, firsts, others = jax.jit(source.draw), set(), set()
    for seed in range(60):
        batch = draw(jax.random.key(seed), source.data)
        shown = [np.rint(255 * np.asarray(part.rgb)[:, 0, 0, 0]).astype(int) for part in (batch.target, batch.source)]
        np.testing.assert_array_equal(np.asarray(batch.target.rgb)[:, :, 4:], 1)
        np.testing.assert_array_equal(np.asarray(batch.target.alpha), np.tile(np.repeat([1.0, 0.0], 4), (2, 8, 1)))
        poses = np.asarray(views.cameras.world_from_camera)[np.concatenate(shown)]
        cameras = [np.asarray(part.camera.world_from_camera) for part in (batch.target, batch.source)]
        np.testing.assert_allclose(np.concatenate(cameras), poses, atol=1e-6)
        first = shown[0][0]
        assert len(set(shown[1])) == 2
        assert all(min((first - k) % 12, (k - first) % 12) in (1, 2) for k in shown[1])
        firsts.add(int(first))
        others.add(int(shown[0][1]))
    assert len(firsts) > 8 and len(others) > 8


def test_masks_stand_in_for_alpha():
    views = ring(3)
    images = tuple(image[..., :3] for image in views.images)
    assert opacities(dataclasses.replace(views, images=images)) is None
    masks = tuple(np.eye(8, dtype=np.uint8) for _ in images)
    found = opacities(dataclasses.replace(views, images=images, masks=masks))
    np.testing.assert_array_equal(found, np.tile(255 * np.eye(8), (3, 1, 1)))


def test_numbers_that_make_no_batch():
    with pytest.raises(InputError, match='sources: got 0, expected at least 1'):
        nearest_view_source(ring(3), sources=0)
