"""Embedded heads: the picture shows what the landmarks say, and batches hold frames of one person."""

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import head_batches, head_looks, head_paint, heads
from neurend.data.head_looks import Motion


def _still(**changes):
    parts = {'angles': np.zeros((1, 3)), 'shift': np.zeros((1, 2))}
    parts |= {name: np.zeros(1) for name in ('jaw', 'smile', 'brow', 'blink', 'pucker')}
    return Motion(**{**parts, **{name: np.array([value], float) for name, value in changes.items()}})


def test_the_outline_is_that_of_an_ellipsoid_in_perspective():
    look = head_looks.look(0)._replace(skin=(0.9, 0.7, 0.6), backdrop=(0.0, 0.0, 0.0), hair=(0.5, 0.4, 0.3))
    head = head_paint.EllipsoidHead((0.3, 0.4, 0.35), (0.36, 0.2), 0.15, -0.45, 0.28, 0.14)
    size = 128
    image, _ = head_paint.paint(head, look, Motion(*(part[0] for part in _still())), size)
    covered = image.max(-1) > 60
    # A tangent from the eye at distance D touches an ellipse of half axes a and c where x / D is a / sqrt(D^2 - c^2).
    for axis, radius in ((1, 0.3), (0, 0.4)):
        extent = np.flatnonzero(covered.any(axis=1 - axis))
        half = radius * 4 / np.sqrt(4**2 - 0.35**2) * size
        assert extent[0] == pytest.approx(size / 2 - half, abs=1) and extent[-1] + 1 == pytest.approx(
            size / 2 + half, abs=1
        )


def test_features_are_painted_where_the_landmarks_are():
    clip = heads.ellipsoid_clip(3, _still(jaw=1.0), size=128)
    image, points = clip.images[0].astype(float), clip.landmarks[0]

    def at(point):
        return image[int(point[1]), int(point[0])]

    mouth = points[60:68].mean(0)
    assert at(mouth).mean() < 0.5 * at((points[33] + points[51]) / 2).mean()  # the open mouth is darker than the skin
    eye = points[36:42].mean(0)
    corner = 0.7 * points[36] + 0.3 * eye
    assert at(corner).min() > at(eye).mean()  # beside the iris there is white
    backdrop = np.array(head_looks.look(3).backdrop) * 255
    np.testing.assert_allclose(at(points[8] + [0, 8]), backdrop, atol=1)  # below the chin there is no head
    assert np.abs(at(points[8] - [0, 8]) - backdrop).max() > 10


def test_a_mirrored_pose_has_mirrored_landmarks():
    pose = {'jaw': 0.5, 'smile': 0.3, 'brow': 0.7}
    here = heads.ellipsoid_clip(5, _still(angles=(0.4, 0.2, 0.1), shift=(0.05, 0.02), **pose)).landmarks[0]
    there = heads.ellipsoid_clip(5, _still(angles=(-0.4, 0.2, -0.1), shift=(-0.05, 0.02), **pose)).landmarks[0]
    partner = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    partner += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    partner += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    np.testing.assert_allclose(there[partner], here * [-1, 1] + [64, 0], atol=1e-3)


def test_motion_is_a_function_of_seed_and_time():
    times = np.random.default_rng(0).uniform(0, 30, 50)
    order = np.random.default_rng(1).permutation(50)
    one, other = head_looks.motion(4, times), head_looks.motion(4, times[order])
    for here, there in zip(one, other):
        np.testing.assert_allclose(here[order], there)
    for part in (one.jaw, one.smile, one.brow, one.blink, one.pucker):
        assert part.min() >= 0 and part.max() <= 1
    assert np.abs(one.angles - head_looks.motion(5, times).angles).max() > 0.1
    # Frames of a video are close to each other.
    assert np.abs(np.diff(head_looks.motion(4, np.arange(200) / 25).angles, axis=0)).max() < 0.06


def test_batches_hold_distinct_frames_of_one_person():
    counts = (4, 7, 5)
    # Red says who, green which frame; conditions are the same, with blue.
    images = [np.zeros((count, 2, 2, 3), np.uint8) for count in counts]
    for person, frames in enumerate(images):
        frames[..., 0], frames[..., 1] = person, np.arange(len(frames))[:, None, None]
    conditions = [frames + np.array([0, 0, 9], np.uint8) for frames in images]
    source = head_batches.head_source(images, conditions, people=6, references=3, targets=1)
    seen = set()
    for number in range(20):
        batch = source.draw(jax.random.key(number), source.data)
        known, wanted = (
            np.rint(255 * np.asarray(x[..., 0, 0, :])).astype(int) for x in (batch.references, batch.images)
        )
        frames = np.concatenate([known, wanted], axis=1)
        assert (frames[..., 0] == np.asarray(batch.person)[:, None]).all()
        for person, numbers in zip(np.asarray(batch.person).tolist(), frames[..., 1].tolist()):
            assert len(set(numbers)) == 4 and max(numbers) < counts[person]
            seen |= {(person, number) for number in numbers}
        np.testing.assert_allclose(
            batch.conditions - batch.images, np.full((6, 1, 2, 2, 3), [0, 0, 9 / 255]), atol=1e-6
        )
    assert len(seen) == sum(counts)


def test_bad_input():
    images = [np.zeros((3, 4, 4, 3), np.uint8)]
    with pytest.raises(InputError, match='person 0: got 3 frames, expected at least 5'):
        head_batches.head_source(images, images, people=1, references=4, targets=1)
    with pytest.raises(InputError, match='expected one per person'):
        head_batches.head_source(images, [], people=1, references=1, targets=1)
    with pytest.raises(InputError, match='conditions of person 0'):
        head_batches.head_source(images, [images[0][:2]], people=1, references=1, targets=1)
    with pytest.raises(InputError, match='size: got 8'):
        heads.ellipsoid_clip(0, _still(), size=8)
    with pytest.raises(InputError, match='expected the same for all'):
        heads.ellipsoid_clip(0, _still()._replace(jaw=np.zeros(2)))
