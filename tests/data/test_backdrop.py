import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.backdrop import backdrop, hull


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
