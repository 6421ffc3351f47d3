import json

import numpy as np
import pytest

from experiments import face_fit, face_fit_files, filmed_face
from neurend.checks import InputError
from neurend.data import tracked_head
from neurend.faces.fitting_pictures import PicturesConfig
from neurend.geometry import cameras
from neurend.images import io
from neurend.speech import audio
from neurend.speech.audio import Waveform


@pytest.mark.slow
def test_the_embedded_face_is_tracked(tmp_path):
    config = face_fit.Config(
        workdir=str(tmp_path), frames=10, size=64, pictures=PicturesConfig(batch=2, least=60, weight=0.2), movie=False
    )
    report = face_fit.main(config)
    assert report['true_landmarks_px_pictures'] < 0.5
    assert report['rotation_degrees_pictures'] < 2
    assert json.loads((tmp_path / 'report.json').read_text()) == report
    # What reads tracked heads finds the mesh where the landmarks are.
    head = tracked_head.read(tmp_path, face=tmp_path / 'face.npz')
    assert len(head) == 10 and head.train == 8 and head.images.shape == (10, 64, 64, 3)
    with np.load(tmp_path / 'fit.npz') as fit:
        assert fit['expressions'].shape == head.performance.expressions.shape
    points = tracked_head.pose(head.mesh, head.performance.expressions[4], head.performance.world_from_head[4])
    pixels, depth = cameras.project(head.camera, points)
    assert (np.asarray(depth) > 0).all()
    apart = np.asarray(pixels)[head.mesh.landmarks] - filmed_face.film(10, 64).points[4, :, :2]
    assert np.median(np.linalg.norm(apart, axis=-1)) < 1.2
    # A second run goes on from the first; a fit of another number of frames is refused.
    with pytest.raises(InputError, match='10 frames, expected 9'):
        face_fit.main(face_fit.Config(workdir=str(tmp_path / 'b'), frames=9, size=64, start=str(tmp_path / 'fit.npz')))


class _Listener:
    def windows(self, sound, fps):
        numbers = np.arange(round(sound.duration * fps), dtype=np.float32)
        return np.broadcast_to(numbers[:, None, None], (len(numbers), 16, 29))


def test_letters_come_with_the_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(face_fit_files.recognizer, 'load', lambda _: _Listener())
    path = tmp_path / 'a.wav'
    audio.write(path, Waveform(np.sin(np.arange(8000) / 5).astype(np.float32) / 2, 8000))

    def hear(sound, count, cut=False):
        return face_fit_files.hear(str(tmp_path), sound, '', fps=25.0, count=count, cut=cut)[:, 8, 0]

    np.testing.assert_array_equal(hear(str(path), 25), np.arange(25))
    np.testing.assert_array_equal(hear(str(path), 27), [*range(25), 24, 24])  # a little too short
    np.testing.assert_array_equal(hear(str(path), 9, cut=True), np.arange(9))
    for count in (9, 40):
        with pytest.raises(InputError, match=rf'a\.wav: lasts 1\.00 s, expected {count / 25:.2f} s'):
            hear(str(path), count)
    with pytest.raises(InputError, match='expected a sound file by --sound'):
        hear('', 25)
    with pytest.raises(InputError, match='--sound, --recognizer: expected a recogniser'):
        face_fit.main(face_fit.Config(sound=str(path)))


def _write(folder, count):
    frames, marks = folder / 'frames', folder / 'marks'
    for each in (frames, marks):
        each.mkdir()
    for k in range(count):
        io.write(frames / f'{k}.png', np.zeros((32, 32, 3), np.uint8))
        (marks / f'{k}.json').write_text(json.dumps({'people': []}))


def test_bad_input_is_refused(tmp_path, data_root):
    face = data_root / 'ict_face' / 'ict_face.npz'
    if not face.exists():
        pytest.skip(f'no {face}')
    _write(tmp_path, 3)
    given = {'video': str(tmp_path / 'frames'), 'face': str(face), 'workdir': str(tmp_path / 'out')}
    with pytest.raises(InputError, match='expected all or none'):
        face_fit.main(face_fit.Config(video=given['video']))
    with pytest.raises(InputError, match='3 of 3 frames have no face'):
        face_fit.main(face_fit.Config(landmarks=str(tmp_path / 'marks'), **given))
    (tmp_path / 'marks' / '2.json').unlink()
    with pytest.raises(InputError, match='landmarks of 2 frames, expected 3'):
        face_fit.main(face_fit.Config(landmarks=str(tmp_path / 'marks'), **given))
    points = np.random.default_rng(0).uniform(5, 25, (3, 68, 2))
    np.save(tmp_path / 'marks.npy', points)
    names = {'focal': np.float32(9), 'places': np.zeros((3, 3)), 'turns': np.zeros((3, 3)), 'identity': np.zeros(40)}
    np.savez(tmp_path / 'fit.npz', expressions=np.zeros((3, 17)), **names)
    with pytest.raises(InputError, match='got 17 coefficients, the face model has 53'):
        face_fit.main(face_fit.Config(landmarks=str(tmp_path / 'marks.npy'), start=str(tmp_path / 'fit.npz'), **given))
