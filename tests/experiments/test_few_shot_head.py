"""Few-shot heads as a program: the flag file, the heads of the face model, and a run of the embedded example."""

from pathlib import Path

import numpy as np
import pytest

from experiments import few_shot_head, ict_heads
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.data import head_looks
from neurend.images import io
from neurend.models.reenactment.few_shot_config import FewShotConfig

FLAGS = Path(__file__).resolve().parents[2] / 'configs' / 'few_shot_head_ict.flags'


def test_the_flag_file_says_how_to_run_and_can_be_read():
    assert FLAGS.read_text().startswith('# ')
    settings = config.parse(few_shot_head.Config, f'--flagfile={FLAGS}')
    assert settings.size % 2**settings.model.halvings == 0 and settings.shots == 8


def test_the_nearest_shot_is_the_one_with_the_smallest_mean_distance():
    shots = np.zeros((3, 68, 2), np.float32)
    shots[0, :, 0] = 3
    shots[1, :2, 1] = 60  # far in two points, near in the mean
    shots[2] = -2
    assert few_shot_head.nearest(shots, np.zeros((68, 2), np.float32)) == 1


def test_test_frames_are_not_the_shots():
    settings = few_shot_head.Config(size=16, shots=3, test_frames=4)
    one = few_shot_head.person(settings, few_shot_head.filming(settings), 0)
    assert one.shots.images.shape[0] == 3 and len(few_shot_head.examples(one)) == 4
    distances = np.linalg.norm(one.shots.landmarks[:, None] - one.test.landmarks[None], axis=-1).mean(-1)
    assert distances.min() > 0.05
    for example, picture in zip(few_shot_head.examples(one), one.test.images):
        np.testing.assert_array_equal(example.image, picture)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='expected at least 1 of each'):
        few_shot_head.Config(held_out=0)
    with pytest.raises(InputError, match='--frames: got 4, expected at least 6, the --references and --targets'):
        few_shot_head.Config(frames=4)
    with pytest.raises(InputError, match='encoder_width: got 0'):
        FewShotConfig(encoder_width=0)
    with pytest.raises(InputError, match='discriminator_learning_rate: got -1'):
        FewShotConfig(discriminator_learning_rate=-1)
    with pytest.raises(InputError, match='face model .*does not exist'):
        ict_heads.filming(tmp_path / 'ict_face.npz', size=16)
    np.savez(tmp_path / 'other.npz', vertices=np.zeros((3, 3)))
    with pytest.raises(InputError, match='lacks identity_deltas'):
        ict_heads.filming(tmp_path / 'other.npz', size=16)


@pytest.mark.slow
def test_heads_of_the_face_model_show_what_their_landmarks_say(data_root):
    still = head_looks.Motion(np.zeros((2, 3)), np.zeros((2, 2)), *np.zeros((5, 2)))
    still.jaw[1] = 1
    still.shift[1] = (0.1, 0)
    size = 128
    clip = ict_heads.filming(data_root / 'ict_face' / 'ict_face.npz', size=size)(7, still)
    look = head_looks.look(7)
    image, points = clip.images[0].astype(float), clip.landmarks[0]

    def at(point):
        return image[int(point[1]), int(point[0])]

    np.testing.assert_allclose(image[0, 0], np.array(look.backdrop) * 255, atol=1)
    # Skin is lit, so that its colour is known up to a factor; white is beside the pupil.
    skin = at((points[30] + points[2]) / 2) / (255 * np.array(look.skin))
    assert np.ptp(skin) < 0.05 and 0.5 < skin.mean() < 1.06
    (left, top), (right, bottom) = points[36:42].min(0).astype(int), points[36:42].max(0).astype(int)
    eyes = image[top : bottom + 1, left : right + 1]
    assert eyes.min(-1).max() > 100 > 60 > eyes.mean(-1).min()
    # A face that looks ahead is nearly symmetric; an open jaw takes the chin down, a shift the head to the right.
    assert abs((points[36:42].mean(0) + points[42:48].mean(0))[0] / 2 - points[27, 0]) < 0.04 * size
    assert clip.landmarks[1][8, 1] > points[8, 1] + 0.02 * size
    assert clip.landmarks[1][27, 0] - points[27, 0] == pytest.approx(0.1 * size, rel=0.15)


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_a_small_run_learns_tunes_and_shows(tmp_path):
    settings = few_shot_head.Config(
        workdir=str(tmp_path),
        size=16,
        people=3,
        frames=6,
        held_out=1,
        shots=4,
        test_frames=3,
        batch=2,
        references=2,
        targets=1,
        model=FewShotConfig(
            width=4,
            halvings=1,
            blocks=1,
            attention=0,
            encoder_width=4,
            encoder_halvings=2,
            discriminator_steps=1,
            learning_rate=2e-3,
        ),
        run=RunConfig(20, log_every=10, evaluate_every=0, checkpoint_every=0),
        tuning_steps=150,
        tuning_learning_rate=5e-3,
        seconds=0.2,
    )
    table = few_shot_head.main(settings)
    assert len(table.rows) == 3 and table.mean['psnr'] > table.mean['psnr_before'] + 1
    assert (tmp_path / 'person_0.mp4').stat().st_size > 0
    assert io.read(tmp_path / 'contact_sheet.png').shape[1] > 5 * 16
    # All of it is there: the second call only evaluates, and finds the same.
    again = few_shot_head.main(settings)
    assert again.mean['psnr'] == pytest.approx(table.mean['psnr'], abs=1e-3)
