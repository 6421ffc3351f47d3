"""Speech to faces as a program: the flag file, crops that hold still, and a run of the procedural head."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments import speech_head, spoken_face
from experiments.toy_head import toy_head
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.faces import procedural
from neurend.images import io, video
from neurend.models.reenactment.atvg_method import TalkingFaceConfig
from neurend.models.reenactment.atvg_speech import SpeechConfig

FLAGS = Path(__file__).resolve().parents[2] / 'configs' / 'speech_head_talking_head.flags'
STILL = [*range(27, 36), 36, 39, 42, 45]


@pytest.fixture(scope='module')
def head():
    return toy_head(24, 64)


@pytest.fixture(scope='module')
def face(head):
    return spoken_face.spoken_face(head, spoken_face.babble(head), 32)


def test_the_flag_file_says_how_to_run_and_can_be_read():
    assert FLAGS.read_text().startswith('# ')
    config.parse(speech_head.Config, f'--flagfile={FLAGS}')


def testsimilarities_take_points_back():
    random = np.random.default_rng(0)
    target = random.normal(size=(9, 2))
    turns = np.array([1.2 * np.exp(0.3j), 0.7 * np.exp(-2j)])
    shifts = np.array([3 - 1j, 0.5j])
    points = ((target @ [1, 1j])[None] - shifts[:, None]) / turns[:, None]
    found = spoken_face.similarities(np.stack([points.real, points.imag], -1), target)
    np.testing.assert_allclose(found, [turns, shifts], atol=1e-12)


def test_crops_hold_nose_and_eyes_still(head, face):
    moving = spoken_face.project(head, *head.performance)[:, STILL]
    spread = moving.std(0).max() / 64 * 2
    assert face.landmarks[:, STILL].std(0).max() < 0.6 * spread
    # Nothing is left of a shift or a turn: the best similarity to the resting points is none.
    turns, shifts = spoken_face.similarities(face.landmarks[:, STILL].astype(float), face.rest[STILL].astype(float))
    np.testing.assert_allclose(turns, 1, atol=1e-4)
    np.testing.assert_allclose(shifts, 0, atol=1e-4)
    assert np.abs(face.rest).max() < 1 and np.abs(face.landmarks[:, STILL]).max() < 1


def test_pictures_move_with_their_landmarks(face):
    """The iris is blue where the landmarks of the eyes have their middle, in every frame."""
    for image, landmarks in zip(face.images[::6], face.landmarks[::6]):
        for eye in (slice(36, 42), slice(42, 48)):
            column, row = ((landmarks[eye].mean(0) + 1) * 16).astype(int)
            around = image[row - 1 : row + 2, column - 1 : column + 2].astype(int).mean((0, 1))
            assert around[2] > around[0] + 10
        column, row = ((landmarks[31:36].mean(0) + 1) * 16).astype(int)
        skin = image[row, column].astype(int)
        assert skin[0] > skin[2] + 10


def test_placed_landmarks_are_those_of_the_moving_head(face):
    # In 1/16 of a pixel each: placing forgets how far features stand out.
    placed = face.place(face.spoken[10:], 10)
    error = np.linalg.norm(placed - face.landmarks[10:], axis=-1)
    rest = face.place(np.broadcast_to(face.rest, placed.shape), 10)
    np.testing.assert_allclose(rest, face.rests[10:], atol=1e-6)
    assert error.mean() < 0.2 * np.linalg.norm(rest - face.landmarks[10:], axis=-1).mean()


def test_features_are_standardised_by_frames_to_learn_from_and_tell_of_the_mouth_alone(head, face):
    learned = face.windows[: face.train]
    np.testing.assert_allclose(learned.mean((0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(learned.std((0, 1)), 1, atol=1e-3)
    babble = spoken_face.babble(head)
    expressions = head.performance.expressions.copy()
    expressions[:, procedural.SPOKEN :] = 0.5  # lids and brows
    silent = head.performance._replace(expressions=expressions)
    changed = dataclasses.replace(head, performance=silent)
    np.testing.assert_array_equal(spoken_face.babble(changed), babble)
    # Row 8 of a frame is what row 10 of the frame before it was: two rows a frame.
    np.testing.assert_allclose(babble[5, 8], babble[4, 10], atol=1e-6)


def test_stretches_repeat_the_last_moment_to_fill_the_last():
    found = speech_head.stretches(np.arange(5)[:, None], 3)
    np.testing.assert_array_equal(found[..., 0], [[0, 1, 2], [3, 4, 4]])


def test_bad_input(head, tmp_path):
    with pytest.raises(InputError, match='--size: got 40'):
        speech_head.Config(size=40)
    with pytest.raises(InputError, match='windows: got shape'):
        spoken_face.spoken_face(head, np.zeros((3, 16, 12)), 32)
    with pytest.raises(InputError, match=r'tracking\.npz'):
        spoken_face.read(str(tmp_path), '', 32)


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_a_small_run_hears_draws_and_shows(tmp_path, monkeypatch):
    head = toy_head(60, 64)
    small = spoken_face.spoken_face(head, spoken_face.babble(head), 32)
    monkeypatch.setattr(spoken_face, 'read', lambda *_: small)
    settings = speech_head.Config(
        workdir=str(tmp_path),
        size=32,
        speech_moments=4,
        speech_batch=4,
        moments=2,
        batch=2,
        speech=SpeechConfig(width=2, hidden=16, noise=0.3, learning_rate=3e-3),
        speech_run=RunConfig(200, log_every=100, evaluate_every=0, checkpoint_every=0),
        model=TalkingFaceConfig(
            width=4, blocks=1, discriminator_width=2, hidden=8, adversarial=0.1, landmarks=0.1, learning_rate=2e-3
        ),
        run=RunConfig(150, log_every=50, evaluate_every=0, checkpoint_every=0),
    )
    table = speech_head.main(settings)
    assert list(table.rows) == [f'{k:04d}' for k in range(48, 60)]
    assert table.mean['lips_heard'] < 0.8 * table.mean['lips_mean']
    truth = small.images[48:].astype(float) / 255
    plain = np.mean(-10 * np.log10(np.mean((truth - truth.mean((1, 2), keepdims=True)) ** 2, axis=(1, 2, 3))))
    assert table.mean['psnr_heard'] > plain + 3
    # The baseline is the frame to learn from whose landmarks are nearest.
    distances = np.linalg.norm(small.landmarks[:48] - small.landmarks[48], axis=-1).mean(-1)
    copied = small.images[distances.argmin()].astype(float) / 255
    psnr = -10 * np.log10(np.mean((copied - truth[0]) ** 2))
    assert table.rows['0048']['psnr_nearest'] == pytest.approx(psnr, abs=0.01)
    frames = list(video.read(tmp_path / 'speech.mp4'))
    assert len(frames) == 12 and frames[0].shape == (32, 4 * 32, 3)
    # The last quarter of the video is the truth.
    assert np.abs(frames[0][:, 96:].astype(float) - small.images[48]).mean() < 12
    assert io.read(tmp_path / 'contact_sheet.png').shape[1] > 5 * 32
    # All of it is there: the second call only evaluates, and finds the same.
    assert speech_head.main(settings).mean['psnr_heard'] == pytest.approx(table.mean['psnr_heard'], abs=1e-3)
