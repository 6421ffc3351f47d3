import json

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import openpose
from neurend.geometry import skeletons

KEYS = ('face_keypoints_2d', 'hand_left_keypoints_2d', 'hand_right_keypoints_2d')


def entry(count=25, offset=0.0, size=100.0, seed=0):
    points = np.random.default_rng(seed).uniform(0, size, (count, 3)) + [offset, offset, 0]
    points[:, 2] = 0.9
    return {'pose_keypoints_2d': points.ravel().tolist()}


def save(path, *people):
    path.write_text(json.dumps({'version': 1.2, 'people': people}))
    return path


def body(entry):
    return np.reshape(entry['pose_keypoints_2d'], (-1, 3))


@pytest.mark.parametrize('layout', skeletons.LAYOUTS, ids=lambda layout: layout.name)
def test_the_length_of_the_vector_decides_the_layout(tmp_path, layout):
    given = entry(len(layout.joints))
    hand, face = np.arange(63.0), np.arange(210.0)
    given |= dict(zip(KEYS, (face.tolist(), [], hand.tolist())))
    (person,) = openpose.read_frame(save(tmp_path / 'a.json', given))
    assert person.layout == layout
    np.testing.assert_array_equal(person.body, body(given).astype(np.float32))
    np.testing.assert_array_equal(person.face, face.reshape(70, 3))
    assert person.left_hand is None
    np.testing.assert_array_equal(person.right_hand, hand.reshape(21, 3))


def test_reference_frames(data_root):
    folder = data_root / 'body_pose' / 'openpose'
    clip = openpose.read_folder(folder)
    assert clip.names == tuple(f'frame000{k}' for k in range(100, 105))
    assert clip.empty == clip.crowded == ()
    for name, person in zip(clip.names, clip.people):
        raw = json.loads((folder / f'{name}.json').read_text())['people'][0]
        assert person.layout == skeletons.BODY_25
        np.testing.assert_array_equal(person.body, body(raw).astype(np.float32))
        np.testing.assert_array_equal(person.left_hand.ravel(), np.float32(raw['hand_left_keypoints_2d']))
        # The head is above the ankles, the right shoulder to the left in the picture of somebody who faces us.
        assert person.body[0, 1] < person.body[[11, 14], 1].min()
        assert person.body[2, 0] < person.body[5, 0]


def test_two_people_the_largest_and_the_nearest(tmp_path):
    small, large = entry(size=80), entry(offset=500, size=300)
    people = openpose.read_frame(save(tmp_path / 'a.json', small, large))
    assert openpose.select(people, rule='largest') is people[1]
    assert openpose.select(people, rule='nearest') is people[1]
    previous = skeletons.moved(people[0], shift=(3, 3))
    assert openpose.select(people, rule='nearest', previous=previous) is people[0]
    assert openpose.select(people, rule='largest', previous=previous) is people[1]
    # Nothing in common with the previous person: the largest.
    previous.body[:, 2] = 0
    assert openpose.select(people, rule='nearest', previous=previous) is people[1]
    assert openpose.select([], rule='nearest', previous=previous) is None
    with pytest.raises(InputError, match="rule: got 'tallest'"):
        openpose.select(people, rule='tallest')


def test_distance_counts_joints_found_in_both_alone(tmp_path):
    near, other = entry(), entry(offset=40, seed=1)
    near['pose_keypoints_2d'][:3] = [0, 0, 0]
    people = openpose.read_frame(save(tmp_path / 'a.json', near, other))
    previous = openpose.read_frame(save(tmp_path / 'b.json', entry(offset=1)))[0]
    previous.body[0, :2] = 1e6
    assert openpose.select(people, rule='nearest', previous=previous) is people[0]


def test_a_clip_follows_one_person_and_reports_what_it_met(tmp_path):
    near, other = entry(size=80), entry(offset=400, size=300)
    save(tmp_path / 'f2.json')
    save(tmp_path / 'f1.json', near)
    save(tmp_path / 'f3.json', other, near)
    nobody = {'pose_keypoints_2d': [0] * 75}
    save(tmp_path / 'f4.json', nobody)
    clip = openpose.read_folder(tmp_path)
    assert clip.names == ('f1', 'f2', 'f3', 'f4')
    assert clip.empty == ('f2', 'f4')
    assert clip.crowded == ('f3',)
    assert [person is None for person in clip.people] == [False, True, False, True]
    np.testing.assert_array_equal(clip.people[2].body, body(near).astype(np.float32))
    largest = openpose.read_folder(tmp_path, rule='largest')
    np.testing.assert_array_equal(largest.people[2].body, body(other).astype(np.float32))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"people": [', 'not JSON'),
        ('[' * 100000, 'not JSON'),
        ('\xff', 'not JSON'),
        ('[]', 'no list under "people"'),
        ('{"people": {}}', 'no list under "people"'),
        ('{"people": [3]}', 'person 0 is a int'),
        ('{"people": [{}]}', 'person 0 has no "pose_keypoints_2d"'),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', 'got 3 numbers, expected 54 or 69 or 75'),
        ('{"people": [{"pose_keypoints_2d": ["a", 2, 3]}]}', 'something else than a list of numbers'),
        (json.dumps({'people': [entry(18), {'pose_keypoints_2d': [1] * 150}]}), 'person 1, .* got 150 numbers'),
        (
            json.dumps({'people': [entry() | {KEYS[0]: [1] * 204}]}),
            '"face_keypoints_2d": got 204 numbers, expected 210',
        ),
        (json.dumps({'people': [entry() | {KEYS[1]: [1] * 64}]}), '"hand_left_keypoints_2d": got 64 numbers'),
        (json.dumps({'people': [{'pose_keypoints_2d': [float('nan')] * 54}]}), '54 of 54 values not finite'),
        (json.dumps({'people': [{'pose_keypoints_2d': [1e300] * 54}]}), 'not finite'),
        (json.dumps({'people': [{'pose_keypoints_2d': [10**400] * 54}]}), 'too large'),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / 'frame000007_keypoints.json'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(InputError, match=message) as caught:
        openpose.read_frame(path)
    assert 'frame000007_keypoints.json' in str(caught.value)


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match=r'holds no \.json files'):
        openpose.read_folder(tmp_path)
    with pytest.raises(InputError, match='no such folder'):
        openpose.read_folder(tmp_path / 'nothing')
    with pytest.raises(InputError, match='does not exist'):
        openpose.read_frame(tmp_path / 'nothing.json')
    save(tmp_path / 'a.json', entry(25))
    save(tmp_path / 'b.json', entry(18))
    with pytest.raises(InputError, match=r'b\.json: layouts BODY-25, COCO-18 in one clip'):
        openpose.read_folder(tmp_path)
