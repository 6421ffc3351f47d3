"""Pictures of landmarks: lines where the landmarks are, to less than a pixel, in colours that tell parts apart."""

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.models.reenactment.landmark_picture import landmark_picture


def _only(points, first, stop):
    """These landmarks alone, with confidences."""
    return np.concatenate([points, ((np.arange(68) >= first) & (np.arange(68) < stop))[:, None]], axis=1)


@pytest.fixture
def face():
    return np.random.default_rng(0).uniform(8, 56, (68, 2)).astype(np.float32)


def test_lines_are_where_landmarks_are_to_a_quarter_of_a_pixel(face):
    for offset in (0.0, 0.5):
        face[27:31] = np.stack([np.full(4, 20 + offset), [10, 20, 30, 40]], axis=-1)
        picture = landmark_picture(_only(face, 27, 31), 64, 64, frame=(64, 64)).astype(float).sum(-1)
        rows, columns = (np.arange(64) + 0.5) @ picture.sum(1), picture.sum(0) @ (np.arange(64) + 0.5)
        assert columns / picture.sum() == pytest.approx(20 + offset, abs=0.25)
        assert rows / picture.sum() == pytest.approx(25, abs=0.25)
    # Half the size shows the same face.
    small = landmark_picture(_only(face, 27, 31), 32, 32, frame=(64, 64)).astype(float).sum(-1)
    assert small.sum(0) @ (np.arange(32) + 0.5) / small.sum() == pytest.approx(10.25, abs=0.25)


def test_parts_have_colours_of_their_own_and_lines_without_an_end_are_left_out(face):
    parts = [(0, 17), (17, 22), (22, 27), (27, 31), (31, 36), (36, 42), (42, 48), (48, 60), (60, 68)]
    colors = set()
    for first, stop in parts:
        picture = landmark_picture(_only(face, first, stop), 64, 64, frame=(64, 64)).reshape(-1, 3)
        colors.add(tuple(picture[picture.astype(int).sum(1).argmax()].tolist()))
    assert len(colors) == len(parts)
    assert not landmark_picture(_only(face, 20, 21), 64, 64, frame=(64, 64)).any()


def test_bad_input(face):
    with pytest.raises(InputError, match=r'landmarks: got shape \(5, 2\)'):
        landmark_picture(face[:5], 8, 8, frame=(8, 8))
    face[3] = np.nan
    with pytest.raises(InputError, match='not finite'):
        landmark_picture(face, 8, 8, frame=(8, 8))
