import json

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import landmarks
from neurend.images import io


def test_reference_frames(data_root):
    folder = data_root / 'face_landmarks'
    names, points = landmarks.read_folder(folder / 'landmarks-dlib68')
    assert names == tuple(f'0000{k}' for k in range(5))
    raw = json.loads((folder / 'landmarks-dlib68' / '00003.json').read_text())
    np.testing.assert_array_equal(points[3, :, :2], raw)
    assert (points[..., 2] == 1).all()
    info = io.probe(folder / 'images' / '00003.jpg')
    assert (points[..., :2] > 0).all()
    assert (points[..., 0] < info.width).all() and (points[..., 1] < info.height).all()
    # Brows above eyes above mouth above chin.
    heights = [points[:, part, 1].mean() for part in (slice(17, 27), slice(36, 48), slice(48, 68), slice(8, 9))]
    assert heights == sorted(heights)


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([[1, 2]] * 67, 'got 67 pairs, expected 68'),
        ([[1, 2, 3]] * 68, 'got something else'),
        ({'points': []}, 'got something else'),
        ([[1, 'x']] * 68, 'expected 68 pairs'),
        ([[1, float('inf')]] * 68, 'not finite'),
    ],
)
def test_bad_files_are_named(tmp_path, value, message):
    (tmp_path / '00007.json').write_text(json.dumps(value))
    with pytest.raises(InputError, match=message) as caught:
        landmarks.read_folder(tmp_path)
    assert '00007.json' in str(caught.value)


def test_broken_json_and_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r'holds no \.json'):
        landmarks.read_folder(tmp_path)
    (tmp_path / 'a.json').write_text('[[1, 2')
    with pytest.raises(InputError, match=r'a\.json: not JSON'):
        landmarks.read_folder(tmp_path)


def test_openpose_and_mesh_layouts_agree_with_dlibs(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.integers(10, 200, (68, 2)).astype(float)
    mesh = rng.uniform(size=(478, 3))
    places = landmarks._MESH
    assert len(set(places.tolist())) == 68
    mesh[places, :2] = points / [[320, 240]]
    face = np.concatenate([points, np.full((68, 1), 0.7)], 1)
    face = np.concatenate([face, [[1, 2, 0.5]] * 2])
    person = {'pose_keypoints_2d': [50.0, 60.0, 1.0] * 25, 'face_keypoints_2d': face.ravel().tolist()}
    files = {
        '0': points.tolist(),
        '1': {'people': [person]},
        '2': mesh.tolist(),
        '3': [[{'x': x, 'y': y, 'z': z} for x, y, z in mesh[:468]]],
        '4': {'people': []},
        '5': [],
    }
    for name, value in files.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(value))
    found = landmarks.read_track(tmp_path, size=(320, 240))
    assert found.shape == (6, 68, 3)
    np.testing.assert_allclose(found[:4, :, :2], np.broadcast_to(points, (4, 68, 2)), rtol=1e-5)
    np.testing.assert_allclose(found[:, :, 2].mean(1), [1, 0.7, 1, 1, 0, 0], rtol=1e-6)
    np.save(tmp_path / 'track.npy', found)
    np.testing.assert_array_equal(landmarks.read_track(tmp_path / 'track.npy', size=(320, 240)), found)


@pytest.mark.parametrize('value', [[[0.5]] * 468, [['a', 'b']] * 478, [[1, 2]] * 67, 'text'])
def test_unknown_layouts_are_named(tmp_path, value):
    (tmp_path / '00003.json').write_text(json.dumps(value))
    with pytest.raises(InputError, match=r'00003\.json'):
        landmarks.read_track(tmp_path, size=(320, 240))


def test_tracks_of_other_shapes_are_refused(tmp_path):
    np.save(tmp_path / 'track.npy', np.zeros((3, 67, 2)))
    with pytest.raises(InputError, match='67'):
        landmarks.read_track(tmp_path / 'track.npy', size=(320, 240))
