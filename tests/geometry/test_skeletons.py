import dataclasses

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import skeletons
from neurend.geometry.skeletons import BODY_23, BODY_25, COCO_18


def person(layout=BODY_25, seed=0):
    body = np.random.default_rng(seed).uniform(1, 900, (len(layout.joints), 3))
    return skeletons.Person(body, None, None, None, layout)


@pytest.mark.parametrize('layout', skeletons.LAYOUTS, ids=lambda layout: layout.name)
def test_layouts_are_trees_of_named_and_coloured_joints(layout):
    count = len(layout.joints)
    assert count == int(layout.name.split('-')[1]) == len(layout.colors) == len(set(layout.joints))
    assert len(layout.limbs) == count - 1
    reached = {layout.limbs[0][0]}
    for _ in layout.limbs:
        reached |= {joint for limb in layout.limbs if reached & set(limb) for joint in limb}
    assert reached == set(range(count))
    for a, b in layout.limbs:  # A limb does not change sides.
        sides = {layout.joints[joint].split()[0] for joint in (a, b)} & {'left', 'right'}
        assert len(sides) < 2


def test_key_joints_are_where_the_formats_have_them():
    assert (COCO_18.nose, COCO_18.ears, COCO_18.ankles) == (0, (16, 17), (10, 13))
    assert (BODY_23.nose, BODY_23.ears, BODY_23.ankles) == (18, (20, 22), (10, 15))
    assert (BODY_25.nose, BODY_25.ears, BODY_25.ankles) == (0, (17, 18), (11, 14))


def test_colours_are_the_published_ones_read_backwards():
    drawn = {
        'COCO-18': {0: (255, 0, 0), 1: (255, 85, 0), 10: (0, 170, 255), 17: (255, 0, 85)},
        'BODY-23': {1: (255, 55, 0), 8: (175, 255, 0), 13: (25, 25, 128), 16: (0, 212, 255), 22: (75, 0, 130)},
        'BODY-25': {
            0: (255, 0, 85),
            2: (255, 85, 0),
            7: (0, 255, 0),
            18: (85, 0, 255),
            19: (0, 0, 255),
            24: (0, 255, 255),
        },
    }
    for layout in skeletons.LAYOUTS:
        for joint, color in drawn[layout.name].items():
            assert layout.colors[joint] == color[::-1]
    assert skeletons.HAND_COLORS[0] == (40, 53, 230)
    assert skeletons.HAND_COLORS[16] == (255, 102, 189)
    assert skeletons.HAND_COLORS[20] == (145, 102, 255)


def test_body_25_becomes_body_23():
    gather = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 22, 23, 12, 13, 14, 19, 20, 0, 15, 17, 16, 18]
    whole = person()
    np.testing.assert_array_equal(skeletons.body_23_from_25(whole).body, whole.body[gather])
    with pytest.raises(InputError, match='COCO-18, expected BODY-25'):
        skeletons.body_23_from_25(person(COCO_18))


def test_hands_and_faces():
    assert len(skeletons.HAND_COLORS) == 21
    assert skeletons.HAND_LIMBS[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5))
    assert sorted(b for _, b in skeletons.HAND_LIMBS) == list(range(1, 21))
    assert [len(skeletons.FACE_8), len(skeletons.FACE_9), len(set(skeletons.FACE_22))] == [8, 9, 22]
    degree = np.bincount(np.ravel(skeletons.FACE_EDGES), minlength=68)
    # Ends of jaw, brows, bridge and nostrils.
    assert set(np.flatnonzero(degree == 1)) == {0, 16, 17, 21, 22, 26, 27, 30, 31, 35}
    assert set(degree) == {1, 2}


def test_moved_leaves_what_was_not_found():
    whole = person()
    whole.body[4] = 0
    far = skeletons.moved(whole, scale=(2, 0.5), shift=(10, -3))
    found = np.arange(25) != 4
    np.testing.assert_allclose(far.body[found, 0], 2 * whole.body[found, 0] + 10, rtol=1e-6)
    np.testing.assert_allclose(far.body[found, 1], 0.5 * whole.body[found, 1] - 3, rtol=1e-5)
    np.testing.assert_array_equal(far.body[:, 2], whole.body[:, 2])
    assert not far.body[4].any()
    np.testing.assert_array_equal(skeletons.moved(whole, scale=2).body[0, :2], 2 * whole.body[0, :2])


def test_the_head_is_the_nose_or_what_is_left():
    whole = person()
    np.testing.assert_array_equal(skeletons.head(whole), whole.body[0, :2])
    whole.body[0, 2] = 0
    np.testing.assert_allclose(skeletons.head(whole), (whole.body[17, :2] + whole.body[18, :2]) / 2, rtol=1e-6)
    whole.body[17, 2] = 0
    np.testing.assert_array_equal(skeletons.head(whole), whole.body[18, :2])
    whole.body[18, 2] = 0
    assert skeletons.head(whole) is None


def test_bad_people_are_refused():
    whole = person()
    with pytest.raises(InputError, match='body: got shape \\(25, 3\\), expected \\(18, 3\\)'):
        skeletons.Person(whole.body, None, None, None, COCO_18)
    with pytest.raises(InputError, match='left_hand: got shape'):
        dataclasses.replace(whole, left_hand=np.zeros((20, 3)))
    with pytest.raises(InputError, match='face: 1 of 210 values not finite'):
        dataclasses.replace(whole, face=np.where(np.arange(210) == 7, np.inf, 0).reshape(70, 3))
