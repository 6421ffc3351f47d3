import statistics

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry.skeletons import BODY_23, COCO_18, Person
from neurend.models.reenactment import smoothing


def oracle(points, window):
    """Number by number, as the definition reads."""
    smooth = np.zeros((len(points) - window + 1, *points.shape[1:]))
    for k in range(len(smooth)):
        for j in range(points.shape[1]):
            inside = points[k : k + window, j].astype(float)
            if statistics.median(inside[:, 2]) > 0:
                inside = inside[inside[:, 2] > 0]
            smooth[k, j] = [statistics.median(inside[:, i]) for i in range(3)]
    return smooth


def random_points(frames, count, seed=0, missing=0.4):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-50, 900, (frames, count, 3))
    points[..., 2] = rng.uniform(0.1, 1, (frames, count))
    points[rng.uniform(size=(frames, count)) < missing] = 0
    return points.astype(np.float32)


@pytest.mark.parametrize('window', [1, 3, 7])
def test_medians_against_a_loop(window):
    points = random_points(20, 9)
    smooth = smoothing.smooth_points(points, window=window)
    np.testing.assert_allclose(smooth, oracle(points, window), rtol=1e-6)
    absent = smooth[..., 2] == 0
    assert 0 < absent.mean() < 1
    assert not smooth[absent].any()


def test_an_outlier_and_a_gap_leave_no_trace():
    steady = np.broadcast_to(np.array([[[3, 4, 0.5], [7, 8, 0.9]]], np.float32), (12, 2, 3)).copy()
    disturbed = steady.copy()
    disturbed[5, 0, :2] = 1000
    disturbed[6, 1] = 0
    np.testing.assert_array_equal(smoothing.smooth_points(disturbed), steady[:6])


def test_frames_are_those_of_the_middle():
    """Straight motion stays what it was, three frames later."""
    points = np.ones((15, 1, 3), np.float32)
    points[:, 0, 0] = 10 * np.arange(15)
    np.testing.assert_array_equal(smoothing.smooth_points(points), points[3:-3])


def test_people_are_smoothed_part_by_part():
    body, face, hand = random_points(12, 18), random_points(12, 70, seed=1), random_points(12, 21, seed=2)
    people = [
        None if k == 4 else Person(body[k], face[k], None if k == 7 else hand[k], None, COCO_18) for k in range(12)
    ]
    for points, gaps in ((body, [4]), (face, [4]), (hand, [4, 7])):
        points[gaps] = 0
    smooth = smoothing.smooth_people(people, window=5)
    assert len(smooth) == 8
    for name, points in (('body', body), ('face', face), ('left_hand', hand)):
        np.testing.assert_allclose([getattr(person, name) for person in smooth], oracle(points, 5), rtol=1e-6)
    assert all(person.right_hand is None for person in smooth)


def test_nobody_remains_where_most_frames_are_empty():
    whom = Person(np.ones((18, 3)), None, None, None, COCO_18)
    smooth = smoothing.smooth_people([whom] * 4 + [None] * 4, window=3)
    assert [person is None for person in smooth] == [False, False, False, True, True, True]


def test_bad_clips():
    points = random_points(6, 2)
    with pytest.raises(InputError, match='window: got 4, expected an odd number'):
        smoothing.smooth_points(points, window=4)
    with pytest.raises(InputError, match='got 6 frames, expected at least the 7'):
        smoothing.smooth_points(points)
    with pytest.raises(InputError, match='points: got shape'):
        smoothing.smooth_points(points[0])
    with pytest.raises(InputError, match='got nobody in 9 frames'):
        smoothing.smooth_people([None] * 9)
    with pytest.raises(InputError, match='got nobody in 0 frames'):
        smoothing.smooth_people([])
    mixed = [Person(np.ones((len(layout.joints), 3)), None, None, None, layout) for layout in (COCO_18, BODY_23)]
    with pytest.raises(InputError, match='got BODY-23, COCO-18 in 2 frames'):
        smoothing.smooth_people(mixed, window=1)
