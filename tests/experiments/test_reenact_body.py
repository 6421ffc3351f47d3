"""One body that moves like another, as a program: where poses go, what is measured, and a short run."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import body_scenes, footage, reenact_body
from experiments.body_scenes import Scene
from neurend import config
from neurend.checks import InputError
from neurend.geometry import skeletons
from neurend.geometry.skeletons import BODY_25, Person
from neurend.images import io, video
from neurend.models.reenactment import normalization

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAMES = ('reenact_body_figure', 'reenact_body_figure_temporal')
TINY = reenact_body.Config(size=(32, 32), target_frames=30, source_frames=12, held_out=6)


@pytest.mark.parametrize('name', NAMES)
def test_flag_files_say_how_to_run_and_can_be_read(name):
    assert (CONFIGS / f'{name}.flags').read_text().startswith('# ')
    settings = config.parse(reenact_body.Config, f'--flagfile={CONFIGS / f"{name}.flags"}')
    assert settings.pix2pix.frames == (3 if 'temporal' in name else 1)


def test_the_truth_of_what_is_driven_has_the_joints_that_were_asked_for():
    target, source = (footage.embedded(name, 60, (64, 64)) for name in 'ab')
    placement = normalization.fit(source.people, target.people)
    placed = placement.apply(source.people, width=64)
    assert target.film is not None and source.film is not None
    truth = footage.driven(target.film, source.film, placement, sideways=-7)
    for asked, shown in zip(placed, truth.people):
        np.testing.assert_allclose(asked.body, shown.body + np.float32([7, 0, 0]), atol=2e-3)
    # As large as the target is, and in the target's place: feet no lower than its own.
    feet = [max(person.body[list(BODY_25.ankles), 1].max() for person in clip.people) for clip in (target, truth)]
    assert feet[1] == pytest.approx(feet[0], abs=0.5)
    tall = [body_scenes.tallness(clip.people) for clip in (source, target, truth)]
    assert abs(tall[2] - tall[1]) < 0.5 * (tall[1] - tall[0])
    # The room is the target's.
    assert truth.film is not None
    np.testing.assert_array_equal(truth.film.clip.background, target.film.clip.background)


def test_measures_of_the_truth_itself_and_of_a_standing_still():
    clip = footage.embedded('a', 6, (48, 48))
    scene = Scene('truth', clip.people, clip.images, clip.images, clip)
    frames = clip.images.astype(np.float32) / 255

    def locate(images):
        """Two pixels to the right of where they are, whatever is shown."""
        return np.stack([person.body + np.float32([2, 0, 0]) for person in clip.people])

    own = body_scenes.measure(scene, frames, locate)
    assert own['psnr'] == np.inf and own['ssim'] == pytest.approx(1)
    assert own['keypoint_percent'] == pytest.approx(100 * 2 / body_scenes.tallness(clip.people))
    noise = np.random.default_rng(0).normal(0, 0.05, frames.shape).astype(np.float32)
    noisy = body_scenes.measure(scene, frames + noise, None)
    assert noisy['psnr'] == pytest.approx(-20 * np.log10(0.05), abs=0.1) == pytest.approx(noisy['psnr_person'], abs=1)
    # Of two independent errors the difference is sqrt(2) times as large; its mean absolute value sqrt(2 / pi) of that.
    assert noisy['warp_error'] == pytest.approx(0.05 * np.sqrt(2) * np.sqrt(2 / np.pi), rel=0.1)
    assert own['warp_error'] < 0.1 * noisy['warp_error']
    flat = body_scenes.measure(scene, 0 * frames + 0.5, None)
    assert flat['warp_error'] < 1e-6 and flat['psnr'] < 20


def test_tallness_is_from_head_to_ankles_of_those_who_show_them():
    body = np.zeros((25, 3), np.float32)
    body[BODY_25.nose] = 10, 5, 1
    body[list(BODY_25.ankles)] = [[7, 45, 1], [13, 45, 1]]
    person = Person(body, None, None, None, layout=BODY_25)
    hidden = dataclasses.replace(person, body=body * (np.arange(25) != BODY_25.ankles[0])[:, None])
    assert body_scenes.tallness([person, skeletons.moved(person, scale=2), person, hidden]) == 40
    assert np.isnan(body_scenes.tallness([hidden]))


def test_driven_poses_are_moved_to_the_middle_of_the_target(tmp_path):
    settings = dataclasses.replace(TINY, workdir=str(tmp_path))
    target, source = (footage.embedded(name, 20, (32, 32)) for name in 'ab')
    scene, frames = reenact_body._driven(target, source, settings)
    assert footage.middle(scene.people) == pytest.approx(footage.middle(target.people), abs=1e-3)
    np.testing.assert_array_equal(frames, source.images)
    assert scene.truth is not None
    for asked, shown in zip(scene.people, scene.truth.people):
        np.testing.assert_allclose(asked.body, shown.body, atol=2e-3)
    left, _ = reenact_body._driven(target, source, dataclasses.replace(settings, align=False))
    assert footage.middle(left.people) > footage.middle(target.people) + 2


def test_runs_are_stretches_with_somebody():
    body = Person(np.ones((25, 3)), None, None, None, layout=BODY_25)
    assert footage.runs([None, body, body, None, None, body]) == [(1, 3), (5, 6)]
    assert footage.runs([body, body]) == [(0, 2)] and footage.runs([None]) == []


def test_footage_of_files_is_stretched_with_its_points(data_root, tmp_path):
    pictures, points = (data_root / 'body_pose' / name for name in ('images', 'openpose'))
    whole = io.read(sorted(pictures.iterdir())[0])
    height, width = whole.shape[:2]
    plain, small = (footage.read(str(pictures), str(points), size) for size in ((width, height), (96, 64)))
    np.testing.assert_array_equal(plain.images[0], whole)
    assert small.images.shape == (5, 64, 96, 3)
    for a, b in zip(plain.people, small.people):
        found = a.body[:, 2] > 0
        np.testing.assert_allclose(b.body[found, :2], a.body[found, :2] * [96 / width, 64 / height], rtol=1e-5)
    film = tmp_path / 'film.mp4'
    video.write(film, plain.images, fps=5)
    again = footage.read(str(film), str(points), (96, 64))
    assert again.fps == 5 and np.abs(again.images.astype(int) - small.images).mean() < 8
    np.testing.assert_allclose(again.people[3].body, small.people[3].body, rtol=0.02, atol=0.1)
    # A frame in which nobody was found is left out.
    folder = tmp_path / 'points'
    shutil.copytree(points, folder)
    (sorted(folder.iterdir())[2]).write_text(json.dumps({'people': []}))
    assert footage.runs(footage.read(str(pictures), str(folder), (96, 64)).people) == [(0, 2), (3, 5)]


def test_bad_input(data_root, tmp_path):
    pictures, points = (str(data_root / 'body_pose' / name) for name in ('images', 'openpose'))
    with pytest.raises(InputError, match='no key points beside it'):
        reenact_body.main(dataclasses.replace(TINY, target=pictures))
    with pytest.raises(InputError, match='no frames that they are of'):
        reenact_body.main(dataclasses.replace(TINY, source_keypoints=points))
    with pytest.raises(InputError, match='expected a square'):
        reenact_body.main(dataclasses.replace(TINY, size=(32, 48)))
    with pytest.raises(InputError, match='--held_out: got 29, expected 2 to 28 of the 30 frames'):
        reenact_body.main(dataclasses.replace(TINY, held_out=29))
    target, source = (footage.embedded(name, 4, (32, 32)) for name in 'ab')
    others = [skeletons.body_23_from_25(person) for person in source.people]
    with pytest.raises(InputError, match='key points of BODY-23 and BODY-25, expected one layout'):
        reenact_body._driven(target, source._replace(people=others), TINY)
    nobody = target._replace(people=[None] * 4)
    with pytest.raises(InputError, match='nobody in 1 consecutive frames'):
        reenact_body._clips(nobody, TINY)
    with pytest.raises(InputError, match='--held_out: nobody in the last'):
        reenact_body._held_out(nobody, TINY)
    with pytest.raises(InputError, match='expected 5'):
        folder = tmp_path / 'points'
        shutil.copytree(points, folder)
        (sorted(folder.iterdir())[0]).unlink()
        footage.read(pictures, str(folder), (32, 32))
    first = sorted(Path(points).iterdir())[0]
    shutil.copy(first, folder / '99.json')
    for path in folder.glob('frame*'):
        path.rename(folder / f'{path.stem.removeprefix("frame000")}.json')
    with pytest.raises(InputError, match='pad the numbers'):
        footage.read(pictures, str(folder), (32, 32))


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_a_short_run(tmp_path):
    # Windows of frames; one by one they are translated in tests of faces and of pix2pix.
    settings = config.parse(
        reenact_body.Config,
        f'--flagfile={CONFIGS / "reenact_body_figure_temporal.flags"}',
        f'--workdir={tmp_path}',
        '--size=32,32',
        '--target_frames=40',
        '--source_frames=12',
        '--held_out=8',
        '--smoothing=3',
        '--pix2pix.generator.width=8',
        '--pix2pix.generator.depth=5',
        '--pix2pix.discriminator.width=8',
        '--pix2pix.discriminator.layers=2',
        '--run.steps=60',
        '--detector.width=8',
        '--detector.depth=3',
        '--detector_steps=30',
    )
    rows = reenact_body.main(settings)
    # The room is learned within a few steps: better than its mean colour, which has some 17 dB.
    assert rows['held_out']['psnr'] > 19 and rows['driven']['psnr'] > 19
    assert all(np.isfinite(value) for row in rows.values() for value in row.values())
    assert json.loads((tmp_path / 'evaluation' / 'evaluation.json').read_text())['scenes'] == rows
    frames = list(video.read(tmp_path / 'driven.mp4'))
    # Source, condition, result and truth; a frame of the window of three is lost at either end.
    assert len(frames) == 10 and frames[0].shape == (32, 4 * 32, 3)
    placed = normalization.read(tmp_path / 'norm_params.txt')
    assert placed.scale_close > 1
    # Once more with everything there: the same numbers without a step.
    assert reenact_body.main(settings) == rows
