import math

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import landmarks
from neurend.geometry import skeletons
from neurend.geometry.skeletons import BODY_25, COCO_18, Person
from neurend.models.reenactment import drawing, limb_maps

FRAME = (192, 108)
BIG = (1920, 1080)


def random_person(layout, seed=0, parts=True):
    rng = np.random.default_rng(seed)

    def points(count):
        return np.stack([rng.uniform(20, 1900, count), rng.uniform(20, 1060, count), rng.uniform(0.5, 1, count)], -1)

    body = points(len(layout.joints))
    body[[3, 9]] = 0
    others = (points(70), points(21), points(21)) if parts else (None, None, None)
    return Person(body, *others, layout)


def test_a_limb_alone_is_the_ellipse_of_the_stick_figure():
    """Against the pixels that change when the limb is taken out of the drawing."""
    whom = random_person(COCO_18, parts=False)
    maps = limb_maps.limb_maps(whom, 384, 216, frame=BIG)
    assert maps.shape == (216, 384, 20)
    for channel, (a, b) in enumerate(COCO_18.limbs):
        body = np.zeros_like(whom.body)
        body[[a, b]] = whom.body[[a, b]]
        if min(whom.body[a, 2], whom.body[b, 2]) == 0:
            assert not maps[..., channel].any()
            continue
        alone = Person(body, None, None, None, COCO_18)
        picture = drawing.stick_figure(alone, 384, 216, frame=BIG)
        blended = (picture == np.rint(0.4 * 255 + 0.6 * np.array(COCO_18.colors[a]))).all(-1)
        # All of what is blended over white is in the map; the rest of the map lies over the two discs.
        assert (maps[..., channel] == 1)[blended].all()
        y, x = np.nonzero((maps[..., channel] == 1) & ~blended)
        distances = [np.hypot((x + 0.5) * 5 - whom.body[j, 0], (y + 0.5) * 5 - whom.body[j, 1]) for j in (a, b)]
        assert (np.minimum(*distances) <= 8).all()
        assert maps[..., channel].sum() > 10
    assert not maps[..., -3:].any()


def test_hands_and_face_have_channels_of_their_own():
    whom = random_person(BODY_25)
    maps = limb_maps.limb_maps(whom, *FRAME, frame=BIG)
    assert maps.shape[-1] == 27 and maps.dtype == np.float32
    assert set(np.unique(maps)) == {0, 1}
    np.testing.assert_array_equal(maps[..., -1:], limb_maps.face_edges(whom.face, *FRAME, frame=BIG))
    swapped = Person(whom.body, None, whom.right_hand, None, BODY_25)
    np.testing.assert_array_equal(limb_maps.limb_maps(swapped, *FRAME, frame=BIG)[..., -3], maps[..., -2])
    for hand, channel in ((whom.left_hand, 24), (whom.right_hand, 25)):
        for a, b in skeletons.HAND_LIMBS:
            x, y = (hand[a, :2] + hand[b, :2]) / 20
            assert maps[int(y), int(x), channel] == 1
        hand[:, 2] = 0.05
    assert not limb_maps.limb_maps(whom, *FRAME, frame=BIG)[..., 24:26].any()


def test_joint_maps_against_the_formula():
    whom = random_person(COCO_18, parts=False)
    maps = limb_maps.joint_maps(whom, *FRAME, frame=BIG, sigma=30)
    for joint in range(18):
        expected = np.zeros((108, 192))
        x0, y0, confidence = whom.body[joint].astype(float)
        for y in range(108):
            for x in range(192):
                squared = ((x + 0.5) * 10 - x0) ** 2 + ((y + 0.5) * 10 - y0) ** 2
                expected[y, x] = math.exp(-squared / (2 * 30**2)) * (confidence > 0)
        np.testing.assert_allclose(maps[..., joint], expected, atol=1e-6)
    with pytest.raises(InputError, match='sigma: got 0'):
        limb_maps.joint_maps(whom, *FRAME, frame=BIG, sigma=0)


def test_face_edges_against_distances(data_root):
    _, points = landmarks.read_folder(data_root / 'face_landmarks' / 'landmarks-dlib68')
    face = points[0]
    face[20, 2] = 0
    picture = limb_maps.face_edges(face, 640, 480, frame=(640, 480))[..., 0]
    y, x = np.mgrid[60:260, 260:440] + 0.5
    nearest = np.full(y.shape, np.inf)
    lines = [range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)]
    lines += [[*range(a, b), a] for a, b in ((36, 42), (42, 48), (48, 60), (60, 68))]
    for line in lines:
        for a, b in zip(list(line)[:-1], list(line)[1:]):
            if 20 in (a, b):
                continue
            p, d = face[a, :2], face[b, :2] - face[a, :2]
            t = np.clip(((x - p[0]) * d[0] + (y - p[1]) * d[1]) / (d @ d), 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - p[0] - t * d[0], y - p[1] - t * d[1]))
    half_width = 2 * 480 / 1080
    clear = np.abs(nearest - half_width) > 1e-5
    np.testing.assert_array_equal(picture[60:260, 260:440][clear], (nearest < half_width)[clear])
    assert picture.sum() == picture[60:260, 260:440].sum() > 500


def test_bad_faces():
    with pytest.raises(InputError, match='expected \\(68, 3\\) or \\(70, 3\\)'):
        limb_maps.face_edges(np.zeros((68, 2)), *FRAME, frame=FRAME)
    with pytest.raises(InputError, match='not finite'):
        limb_maps.face_edges(np.full((68, 3), np.nan), *FRAME, frame=FRAME)
    assert not limb_maps.face_edges(np.zeros((68, 3)), *FRAME, frame=FRAME).any()
