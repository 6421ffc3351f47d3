import math

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import openpose
from neurend.geometry import skeletons
from neurend.geometry.skeletons import BODY_23, BODY_25, COCO_18, Person
from neurend.models.reenactment import drawing

FRAME = (1920, 1080)


def person(layout, joints, **parts):
    body = np.zeros((len(layout.joints), 3))
    for joint, place in joints.items():
        body[joint] = (*place, 0.9)
    given = {'face': None, 'left_hand': None, 'right_hand': None} | parts
    return Person(body, layout=layout, **given)


def draw(whom, size=FRAME, **options):
    return drawing.stick_figure(whom, *size, frame=options.pop('frame', FRAME), **options)


def drawn(picture):
    """Rows and columns, in frame coordinates, of what is not white."""
    rows, columns = np.nonzero((picture != 255).any(-1))
    return rows + 0.5, columns + 0.5


def blend(under, color):
    return np.rint(0.4 * np.asarray(under, np.float64) + 0.6 * np.asarray(color, np.float64))


def test_one_joint_is_a_disc_of_radius_8():
    picture = draw(person(COCO_18, {3: (100.5, 200.5)}))
    y, x = np.mgrid[:1080, :1920]
    inside = (x - 100) ** 2 + (y - 200) ** 2 <= 64
    np.testing.assert_array_equal((picture == COCO_18.colors[3]).all(-1), inside)
    assert (picture[~inside] == 255).all()


@pytest.mark.parametrize('ends', [((300, 400), (500, 400)), ((300, 300), (420, 470)), ((500, 420), (460, 200))])
def test_one_limb_is_an_ellipse_between_its_joints(ends):
    (x0, y0), (x1, y1) = ends
    whom = person(BODY_25, {2: ends[0], 3: ends[1]})
    picture = draw(whom).astype(int)
    y, x = np.mgrid[:1080, :1920] + 0.5
    angle = math.atan2(y1 - y0, x1 - x0)
    along = (x - (x0 + x1) / 2) * math.cos(angle) + (y - (y0 + y1) / 2) * math.sin(angle)
    across = (y - (y0 + y1) / 2) * math.cos(angle) - (x - (x0 + x1) / 2) * math.sin(angle)
    value = (along / (math.hypot(x1 - x0, y1 - y0) / 2)) ** 2 + (across / 4) ** 2
    free = (np.hypot(x - x0, y - y0) > 9) & (np.hypot(x - x1, y - y1) > 9)
    color = blend([255] * 3, BODY_25.colors[2])
    np.testing.assert_array_equal(color, [102, 153, 255])
    assert (picture[free & (value < 1 - 1e-9)] == color).all()
    assert (picture[free & (value > 1 + 1e-9)] == 255).all()
    # Over the joint of the other end the limb is blended with that joint's colour.
    near = (np.hypot(x - x1, y - y1) < 7.9) & (value < 1 - 1e-9)
    assert near.any()
    assert (picture[near] == blend(BODY_25.colors[3], BODY_25.colors[2])).all()


def test_limbs_blend_in_the_order_of_the_list():
    # 1-2 and 6-7 cross at (500, 500); 1-2 comes first.
    whom = person(COCO_18, {1: (400, 500), 2: (600, 500), 6: (500, 400), 7: (500, 600)})
    crossing = draw(whom)[500, 500]
    first = blend([255] * 3, COCO_18.colors[1])
    np.testing.assert_array_equal(crossing, blend(first, COCO_18.colors[6]))
    assert (blend(blend([255] * 3, COCO_18.colors[6]), COCO_18.colors[1]) != crossing).any()


def test_missing_joints_take_their_limbs_along():
    full = {0: (500, 300), 18: (500, 200), 1: (450, 320), 2: (420, 400)}
    partial = draw(person(BODY_23, {joint: place for joint, place in full.items() if joint != 1}))
    expected = draw(person(BODY_23, {0: (500, 300), 18: (500, 200)})).copy()
    alone = draw(person(BODY_23, {2: (420, 400)}))
    expected[alone != 255] = alone[alone != 255]
    np.testing.assert_array_equal(partial, expected)
    # A confidence of 0 counts, not the place.
    assert (draw(person(BODY_23, {})) == 255).all()


@pytest.mark.parametrize('size', [(1024, 512), (512, 512), (320, 180)])
def test_other_sizes_are_the_same_picture(size):
    whom = person(BODY_25, {1: (960, 300), 8: (940, 700), 2: (700, 320)})
    picture = draw(whom, size)
    full = draw(whom)
    columns = ((np.arange(size[0]) + 0.5) * 1920 / size[0]).astype(int)
    rows = ((np.arange(size[1]) + 0.5) * 1080 / size[1]).astype(int)
    nearest = full[rows[:, None], columns[None]]
    differing = (picture != nearest).any(-1)
    # Centres of small pixels are between those of the large picture: boundaries alone may differ, and thin lines.
    assert differing.sum() <= (0.25 if size[0] > 400 else 0.8) * (nearest != 255).any(-1).sum()
    assert picture.shape == (size[1], size[0], 3)
    # The middle of the trunk is where it belongs.
    center = int(500 * size[1] / 1080), int(950 * size[0] / 1920)
    np.testing.assert_array_equal(picture[center], blend([255] * 3, BODY_25.colors[1]))


def test_strokes_scale_with_the_frame():
    """Somebody in a frame of half the size gives the same picture, also where the frame has another shape."""
    whom = person(COCO_18, {1: (960, 300), 2: (700, 320)})
    half = skeletons.moved(whom, scale=0.5)
    np.testing.assert_array_equal(draw(whom, (480, 270)), draw(half, (480, 270), frame=(960, 540)))
    # 1080x1080 of a 1920x1080 frame: a crop of the picture.
    cropped = skeletons.moved(whom, shift=(-420, 0))
    np.testing.assert_array_equal(draw(cropped, (1080, 1080), frame=(1080, 1080)), draw(whom)[:, 420:1500])


def test_lines_in_small_pictures_do_not_break_up():
    whom = person(COCO_18, {1: (300, 200), 2: (1500, 900)})
    picture = draw(whom, (96, 54))
    columns = np.nonzero((picture != 255).any((0, 2)))[0]
    assert set(range(20, 70)) <= set(columns.tolist())


def test_faces_are_dots_of_confident_points():
    face = np.zeros((70, 3))
    face[:, :2] = np.stack([100 + 20 * np.arange(70), np.full(70, 500)], -1) + 0.5
    face[:, 2] = 0.3
    face[8, 2] = 0
    picture = draw(person(COCO_18, {}, face=face))
    assert set(np.unique(picture)) == {0, 255}
    dots = [j for j in skeletons.FACE_8 if j != 8]
    rows, columns = drawn(picture)
    assert {int((x - 100) / 20 + 0.5) for x in columns} == set(dots)
    y, x = np.mgrid[-4:5, -4:5]
    assert len(rows) == len(dots) * (x**2 + y**2 <= 16).sum()
    np.testing.assert_array_equal(draw(person(COCO_18, {}, face=face), face_points=()), 255)
    more = draw(person(COCO_18, {}, face=face), face_points=skeletons.FACE_22)
    assert {int((x - 100) / 20 + 0.5) for x in drawn(more)[1]} == set(skeletons.FACE_22) - {8}
    face[:, 2] = 0.19
    np.testing.assert_array_equal(draw(person(COCO_18, {}, face=face)), 255)


def test_hands_have_the_colour_of_the_second_joint():
    hand = np.zeros((21, 3))
    hand[[0, 5, 6]] = [(300, 300, 0.5), (400, 300, 0.5), (500, 300, 0.06)]
    hand[7] = (600, 300, 0.05)
    for side in ('left_hand', 'right_hand'):
        picture = draw(person(COCO_18, {}, **{side: hand}))
        np.testing.assert_array_equal(picture[300, 350], blend([255] * 3, skeletons.HAND_COLORS[5]))
        np.testing.assert_array_equal(picture[300, 450], blend([255] * 3, skeletons.HAND_COLORS[6]))
        assert (picture[300, 550:] == 255).all()
        assert (picture[:, 350] != 255).any(-1).sum() == 4  # half width 2
        rows, _ = drawn(picture)
        assert rows.min() == 297.5 and rows.max() == 302.5  # radius 3
        np.testing.assert_array_equal(draw(person(COCO_18, {}, **{side: hand}), hands=False), 255)


def test_places_outside_of_the_picture():
    whom = person(COCO_18, {1: (-200, 500), 2: (200, 500), 5: (1e30, -1e30), 8: (960, 5000)})
    picture = draw(whom, (192, 108))
    np.testing.assert_array_equal(picture[50, 5], blend([255] * 3, COCO_18.colors[1]))
    with pytest.raises(InputError, match='positive sizes'):
        draw(whom, (0, 108))
    with pytest.raises(InputError, match='positive sizes'):
        draw(whom, frame=(1920, 0))


def test_reference_frames_have_limbs_between_their_key_points(data_root):
    clip = openpose.read_folder(data_root / 'body_pose' / 'openpose')
    tested = 0
    for whom in clip.people:
        bare = Person(whom.body, None, None, None, whom.layout)
        picture = draw(bare)
        for a, b in whom.layout.limbs:
            ends = whom.body[[a, b]]
            middle = ends[:, :2].mean(0)
            # Clear of other joints and limbs: the colour of the first joint over white, exactly.
            others = [limb for limb in whom.layout.limbs if limb != (a, b)]
            points = np.concatenate([whom.body[list(limb), :2] for limb in others])
            dense = [
                whom.body[c, :2] * (1 - t) + whom.body[d, :2] * t
                for c, d in others
                if min(whom.body[c, 2], whom.body[d, 2]) > 0
                for t in np.linspace(0, 1, 200)
            ]
            clear = min(np.linalg.norm(np.concatenate([points, dense]) - middle, axis=1)) > 14
            if ends[:, 2].min() > 0 and clear:
                x, y = middle.astype(int)
                np.testing.assert_array_equal(picture[y, x], blend([255] * 3, whom.layout.colors[a]))
                tested += 1
    assert tested >= 40
