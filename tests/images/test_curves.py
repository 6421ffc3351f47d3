import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import curves


def _colored(picture, color):
    return np.abs(picture.astype(int) - np.array(color)).sum(-1) < 200


def test_lines_lie_where_their_values_are():
    time = np.linspace(0, 1, 200)
    picture = curves.curves([np.stack([time, 0.5 * np.ones(200)], 1), np.zeros((200, 2))], width=400, height=100)
    assert picture.dtype == np.uint8
    first, second = picture[18:118], picture[136:]
    rising = _colored(first, curves.COLORS[0])
    rows = [np.flatnonzero(rising[:, column]).mean() for column in (100, 200, 300)]
    assert rows[0] > rows[1] > rows[2]
    assert rows[1] == pytest.approx(50, abs=2)
    assert np.flatnonzero(_colored(second, curves.COLORS[0]).any(1)).max() < 10
    assert np.flatnonzero(_colored(second, curves.COLORS[1]).any(1)).min() > 90


def test_gaps_break_lines_and_titles_and_names_are_written():
    line = np.ones((100, 1))
    line[30:70] = np.nan
    plain = curves.curves([line], width=300)
    seen = _colored(plain[18:], curves.COLORS[0]).any(0)
    assert seen[:80].all() and not seen[100:200].any() and seen[220:].all()
    written = curves.curves([line], titles=['jaw'], names=['true'], width=300)
    assert written.shape[0] == plain.shape[0] + 18
    assert (written[:36] < 128).any()


def test_bad_lines_are_refused():
    with pytest.raises(InputError, match='lines: got 0, expected 1 to 4'):
        curves.curves([])
    with pytest.raises(InputError, match=r'line 1: got shape \(3, 2\), expected \(t=4, k=2\)'):
        curves.curves([np.zeros((4, 2)), np.zeros((3, 2))])
    with pytest.raises(InputError, match='expected at least 2 moments and a panel'):
        curves.curves([np.zeros((1, 2))])
