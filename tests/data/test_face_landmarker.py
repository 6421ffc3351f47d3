"""MediaPipe's face landmarker, of which a stand-in with the same names finds what the frames are told to hold."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import face_landmarker, landmarks

POINTS = np.random.default_rng(0).uniform(0.2, 0.8, (478, 2))


class Finder:
    """Finds a face in frames that are not black, moved to the right by their first value's percentage."""

    times: list[int]

    def __init__(self):
        self.times = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def detect_for_video(self, image, time):
        self.times.append(time)
        value = int(image.data.max())
        points = [types.SimpleNamespace(x=x + value / 100, y=y) for x, y in POINTS]
        return types.SimpleNamespace(face_landmarks=[points] if value else [])


@pytest.fixture
def finder(monkeypatch):
    made = Finder()

    def create(options):
        if Path(options['base_options']).read_bytes() != b'model':
            raise RuntimeError('Unable to open zip archive.')
        return made

    vision = types.SimpleNamespace(
        FaceLandmarkerOptions=dict,
        RunningMode=types.SimpleNamespace(VIDEO='video'),
        FaceLandmarker=types.SimpleNamespace(create_from_options=create),
    )
    modules = {
        'mediapipe': types.SimpleNamespace(
            Image=lambda image_format, data: types.SimpleNamespace(data=data),
            ImageFormat=types.SimpleNamespace(SRGB='srgb'),
        ),
        'mediapipe.tasks': types.SimpleNamespace(),
        'mediapipe.tasks.python': types.SimpleNamespace(
            BaseOptions=lambda model_asset_path: model_asset_path, vision=vision
        ),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def test_landmarks_are_those_of_the_mesh_in_pixels(finder, tmp_path):
    model = tmp_path / 'face_landmarker.task'
    model.write_bytes(b'model')
    frames = [np.full((40, 50, 3), value, np.uint8) for value in (1, 0, 3)]
    found = face_landmarker.track(frames, model, fps=30.0)
    assert found.shape == (3, 68, 3) and found.dtype == np.float32 and finder.times == [0, 33, 67]
    np.testing.assert_array_equal(found[..., 2], np.float32([1, 0, 1])[:, None].repeat(68, 1))
    shift = np.array([50 * 0.02, 0])
    np.testing.assert_allclose(found[2, :, :2] - found[0, :, :2], np.broadcast_to(shift, (68, 2)), atol=1e-4)
    # The chin is the mesh's point 152, the tip of the nose 4.
    np.testing.assert_allclose(found[0, 8, :2], (POINTS[152] + [0.01, 0]) * [50, 40], rtol=1e-5)
    np.testing.assert_allclose(found[0, 30, :2], (POINTS[4] + [0.01, 0]) * [50, 40], rtol=1e-5)


def test_what_is_missing_is_said(finder, tmp_path, monkeypatch):
    model = tmp_path / 'face_landmarker.task'
    with pytest.raises(InputError, match=r"does not exist.*Get MediaPipe's face_landmarker\.task"):
        face_landmarker.track([], model, fps=25.0)
    model.write_bytes(b'nonsense')
    with pytest.raises(InputError, match=r'cannot be used \(Unable to open zip archive'):
        face_landmarker.track([], model, fps=25.0)
    model.write_bytes(b'model')
    with pytest.raises(InputError, match='got no frames'):
        face_landmarker.track([], model, fps=25.0)
    monkeypatch.setitem(sys.modules, 'mediapipe', None)
    with pytest.raises(InputError, match=r'neurend\[landmarks\]'):
        face_landmarker.track([], model, fps=25.0)
    with pytest.raises(InputError, match='points: got 68, expected 468 or 478'):
        landmarks.from_mesh(np.zeros((68, 2)), (4, 4))
