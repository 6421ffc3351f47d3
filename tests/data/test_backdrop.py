import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.backdrop import around, backdrop, hole, hull


def test_what_is_free_in_some_frame_is_found_and_the_rest_is_like_what_is_beside_it():
    random = np.random.default_rng(0)
    truth = np.broadcast_to(np.linspace(50, 200, 30)[None, :, None], (20, 30, 3)).astype(np.uint8)
    images, covered = np.stack([truth] * 6), np.zeros((6, 20, 30), bool)
    for k in range(6):
        covered[k, 5:15, 8 + k : 20 + k] = True
    images = np.where(covered[..., None], random.integers(0, 255, images.shape), images).astype(np.uint8)
    found = backdrop(images, covered)
    never = covered.all(0)
    assert never.any()
    np.testing.assert_array_equal(found[~never], truth[~never])
    assert np.abs(found[never].astype(int) - truth[never]).max() < 40
    with pytest.raises(InputError, match='got all pixels'):
        backdrop(images, np.ones_like(covered))


def test_pixels_within_a_hull():
    inside = hull(np.array([[2, 2], [8, 2], [8, 6], [2, 6], [5, 4.0]]), 10, 9)
    wanted = np.zeros((9, 10), bool)
    wanted[2:6, 2:8] = True
    np.testing.assert_array_equal(inside, wanted)
    with pytest.raises(InputError, match='got 2'):
        hull(np.zeros((2, 2)), 4, 4)


def test_a_hole_goes_farthest_below_the_face():
    covered = np.zeros((256, 100), bool)
    covered[100, 50] = True
    rows, columns = np.nonzero(hole(covered))
    # Of 512 pixels 40 below, 8 above, 15 to either side (half a pixel rounds to the even number).
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (96, 120, 42, 58)
    assert len(rows) == 25 * 17
    np.testing.assert_array_equal(hole(covered, 0.0), covered)
    covered[0], covered[-1] = True, True
    assert hole(covered, 2.0)[[0, -1]].all()


def test_around_a_hole_frames_stay_and_in_it_nothing_of_them_is_left():
    random = np.random.default_rng(0)
    images = random.integers(0, 100, (2, 20, 24, 3)).astype(np.uint8)
    holes = np.zeros((2, 20, 24), bool)
    holes[0, 5:15, 6:16] = True
    found = around(images, holes)
    np.testing.assert_array_equal(found[..., 3], np.where(holes, 0, 255))
    np.testing.assert_array_equal(found[~holes][:, :3], images[~holes])
    images[holes] = 255
    np.testing.assert_array_equal(around(images, holes), found)
    with pytest.raises(InputError, match=r'got a frame \(1\) that is all hole'):
        around(images, holes | np.array([False, True])[:, None, None])
