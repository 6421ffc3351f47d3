import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import openpose
from neurend.geometry.skeletons import LAYOUTS, Person
from neurend.models.reenactment import face_box
from neurend.models.reenactment.face_box import Box

FRAME = (1920, 1080)


def person(layout, **places):
    body = np.zeros((len(layout.joints), 3))
    for name, place in places.items():
        body[layout.joints.index(name.replace('_', ' '))] = (*place, 0.8)
    return Person(body, None, None, None, layout)


def box(whom, width=1024, height=512, **options):
    return face_box.face_box(whom, width, height, frame=FRAME, **options)


@pytest.mark.parametrize('layout', LAYOUTS, ids=lambda layout: layout.name)
def test_the_nose_then_the_ears_are_the_centre(layout):
    ears = {'right_ear': (900, 540), 'left_ear': (1020, 540)}
    # (960, 540) is the middle of the frame, (512, 256) of the picture.
    middle = Box(192, 320, 448, 576)
    assert box(person(layout, nose=(960, 540), right_ear=(0, 0), left_ear=(0, 0))) == middle
    assert box(person(layout, **ears)) == middle
    assert box(person(layout, left_ear=(960, 540), nose=(960, 540))) == middle
    assert box(person(layout, left_ear=(960, 540))) == middle
    assert box(person(layout, neck=(960, 540))) is None


def test_axes_scale_apart():
    # 1920 -> 1024 and 1080 -> 512: 150 and 54 pixels are 80 and 25.6.
    assert box(person(LAYOUTS[0], nose=(960 + 150, 540 + 54))) == Box(218, 346, 528, 656)


def test_the_square_is_whole_and_inside():
    rng = np.random.default_rng(0)
    for x, y in rng.uniform(-300, 2200, (200, 2)):
        top, bottom, left, right = box(person(LAYOUTS[2], nose=(x, y)))
        assert (bottom - top, right - left) == (128, 128)
        assert 0 <= top < bottom <= 512
        assert 0 <= left < right <= 1024
        if 64 < x * 1024 / 1920 < 960 and 64 < y * 512 / 1080 < 448:
            assert abs((left + right) / 2 - x * 1024 / 1920) <= 0.5 + 1e-6
            assert abs((top + bottom) / 2 - y * 512 / 1080) <= 0.5 + 1e-6
    assert box(person(LAYOUTS[2], nose=(0, 0))) == Box(0, 128, 0, 128)
    assert box(person(LAYOUTS[2], nose=(1e9, 1e9))) == Box(384, 512, 896, 1024)


def test_reference_frames_have_the_face_inside(data_root):
    for whom in openpose.read_folder(data_root / 'body_pose' / 'openpose').people:
        top, bottom, left, right = box(whom)
        x, y = whom.face[:, 0] * 1024 / 1920, whom.face[:, 1] * 512 / 1080
        assert left < x.min() and x.max() < right
        assert top < y.min() and y.max() < bottom


def test_squares_that_do_not_fit():
    whom = person(LAYOUTS[0], nose=(960, 540))
    with pytest.raises(InputError, match='size: got 128, expected 1 to 100'):
        box(whom, 200, 100)
    assert box(whom, 200, 100, size=100) == Box(0, 100, 50, 150)
