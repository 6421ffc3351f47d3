"""Carving removes air and never the surface."""

import numpy as np
import pytest

from neurend import checks
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import transforms
from neurend.scenes import carving

RADIUS = 0.5
SIZE = 48


def views(count, *, distortion=None):
    """Cameras around a sphere at the origin, and its exact silhouettes by casting rays."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    eyes = 3 * np.stack([np.cos(angles), np.sin(angles), 0.5 * np.sin(3 * angles)], -1)
    poses = np.stack([np.asarray(transforms.look_at(eye, np.zeros(3), np.array([0, 0, 1.0]))) for eye in eyes])
    model = 'pinhole' if distortion is None else 'opencv'
    if distortion is not None:
        distortion = np.broadcast_to(np.asarray(distortion, np.float32), (count, 6))
    cameras = cameras_lib.make(poses.astype(np.float32), 60.0, size=(SIZE, SIZE), distortion=distortion, model=model)
    masks = []
    fine = (np.asarray(cameras_lib.pixel_centers(SIZE * 4, SIZE * 4)) / 4).astype(np.float32)
    for k in range(count):
        rays = cameras_lib.rays(cameras[k], fine)
        toward = -np.sum(np.asarray(rays.origins) * np.asarray(rays.viewdirs), -1)
        miss = np.sum(np.square(rays.origins), -1) - toward**2
        hit = np.asarray(miss < RADIUS**2)
        masks.append(hit.reshape(SIZE, 4, SIZE, 4).any((1, 3)))
    return cameras, masks


@pytest.mark.parametrize('distortion', [None, (-0.2, 0.05, 0.0, 0.0, 0.005, -0.005)])
def test_a_sphere_is_carved_tightly_and_never_into(distortion):
    cameras, masks = views(12, distortion=distortion)
    edge = 0.05
    axis = np.arange(-1, 1, edge) + edge / 2
    centers = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), -1).reshape(-1, 3).astype(np.float32)
    half = edge * 3**0.5 / 2
    carver = carving.Carver(cameras, masks, radius=half, nearest=1.5)
    kept = carver.occupied(centers, half)
    distance = np.linalg.norm(centers, axis=-1)
    assert kept[distance < RADIUS + half].all()
    # Air is removed: little is left beyond the sphere, the ring of cameras and the margins considered.
    assert kept.mean() < 0.25
    assert not kept[distance > RADIUS + 0.45].any()


def test_what_no_image_shows_stays_unless_all_of_the_scene_is_in_view():
    cameras, masks = views(3)
    aside = np.array([[0.0, 0.0, 2.0]], np.float32)
    assert not carving.Carver(cameras, masks, radius=0.05, nearest=1.5).occupied(aside, 0.05).any()
    for mask in masks:
        mask[0, 0] = True
    assert carving.Carver(cameras, masks, radius=0.05, nearest=1.5).occupied(aside, 0.05).all()
    carver = carving.Carver(cameras, masks, radius=0.05, nearest=1.5)
    outside = np.array([[0.0, 0.0, 5.0], [0.0, 0.0, -5.0]], np.float32)
    assert carver.occupied(outside, 0.05).all()
    assert (carving.seen(cameras, outside, near=0.1, far=100.0) == 0).all()
    assert (carving.seen(cameras, np.zeros((1, 3), np.float32), near=1.0, far=5.0) == 3).all()
    assert (carving.seen(cameras, np.zeros((1, 3), np.float32), near=1.0, far=2.0) == 0).all()


def test_distance_to_what_may_be_foreground():
    rng = np.random.default_rng(0)
    masks = [rng.random((9, 14)) < 0.05, np.zeros((12, 7), bool)]
    got = carving.background_distance(masks, reach=4)
    assert got.shape == (2, 12, 14)
    for mask, distance in zip(masks, got):
        height, width = mask.shape
        border = mask[[0, -1]].any() or mask[:, [0, -1]].any()
        known = np.pad(mask, 1, constant_values=border)
        where = np.argwhere(known) - 1
        for y, x in np.ndindex(height, width):
            expected = min(4, np.abs(where - (y, x)).max(-1).min()) if len(where) else 4
            assert distance[y, x] == expected
    with pytest.raises(checks.InputError, match='reach'):
        carving.background_distance(masks, reach=0)
