import numpy as np
import pytest

from neurend import checks
from neurend.scenes import closing


def ball(size, radius):
    axis = np.arange(size) + 0.5 - size / 2
    return np.sum(np.square(np.stack(np.meshgrid(axis, axis, axis, indexing='ij'))), axis=0) < radius**2


def test_a_shell_with_holes_is_filled_and_no_larger_than_the_ball():
    solid = ball(20, 8)
    shell = solid & ~ball(20, 7)
    np.testing.assert_array_equal(closing.closed(shell, 0), solid)
    holed = shell & (np.random.default_rng(0).random(shell.shape) < 0.6)
    assert closing.closed(holed, 0).sum() < 0.6 * solid.sum()
    found = closing.closed(holed, 2)
    assert (found | ~holed).all()
    assert found.sum() > 0.9 * solid.sum() and not (found & ~solid).any()


def test_reach_says_which_gaps_close():
    rows = np.zeros((9, 7, 7), bool)
    rows[[0, 3, 8]] = True
    found = closing.closed(rows, 1)[:, 3, 3]
    # Two cells wide closes; four wide does not.
    np.testing.assert_array_equal(found, [True] * 4 + [False] * 4 + [True])
    assert closing.closed(rows, 2)[:, 3, 3].all()


def test_convex_cells_stay_and_the_border_is_open():
    solid = np.zeros((6, 7, 8), bool)
    solid[0:4, 2:7, 3:8] = True
    for reach in (0, 1, 3):
        np.testing.assert_array_equal(closing.closed(solid, reach), solid)
    # A cup that is open towards the border of the array holds nothing.
    cup = np.ones((5, 5, 5), bool)
    cup[1:4, 1:4, 2:] = False
    np.testing.assert_array_equal(closing.closed(cup, 0), cup)
    cup[:, :, 4] = True
    assert closing.closed(cup, 0).all()


def test_wrong_arguments_are_named():
    with pytest.raises(checks.InputError, match='reach: got -1'):
        closing.closed(np.ones((2, 2, 2), bool), -1)
    with pytest.raises(checks.InputError, match=r'cells: got shape \(2, 2\)'):
        closing.closed(np.ones((2, 2), bool), 1)
