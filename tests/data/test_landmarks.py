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
