"""Stereo magnification as a program: flag files, what it is tried on, and what a run leaves."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import stereo_clips, stereo_magnification
from experiments.captures import CaptureConfig
from experiments.translation import RunConfig
from neurend import app, config
from neurend.checks import InputError
from neurend.data import still_lifes
from neurend.models.mpi.stereo import StereoConfig
from neurend.scenes import planes_files
from neurend.train.checkpoints import Checkpoints

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SIZE = 16
TINY = StereoConfig(planes=4, width=4, border=4, output='views', guided=True)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('stereo_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(stereo_magnification.Config, f'--flagfile={path}')


def test_views_are_named_by_how_far_away_they_are():
    clip = still_lifes.clips(1, views=7, size=SIZE, shake=0.0)[0]
    found = stereo_clips.examples({'still lifes': [clip]})
    assert [each.name.split('0 ')[1] for each in found] == [
        'before at 3x',
        'before at 2x',
        'before at 1x',
        'beyond at 2x',
        'beyond at 3x',
    ]
    eyes = np.asarray(clip.cameras.world_from_camera)[:, :3, 3]
    for each in found:
        sources = np.asarray(each.sources.camera.world_from_camera)[:, :3, 3]
        baseline, away = sources[1] - sources[0], np.asarray(each.camera.world_from_camera)[:3, 3] - sources[0]
        signed = away @ baseline / (baseline @ baseline)
        assert signed == pytest.approx(int(each.name[-2]) * (1 if 'beyond' in each.name else -1), abs=1e-3)
    np.testing.assert_allclose(found[0].sources.rgb[0] * 255, clip.images[3], atol=1e-4)
    np.testing.assert_allclose(eyes[3], np.asarray(found[0].sources.camera.world_from_camera)[0, :3, 3])


def test_means_are_over_both_sides_of_a_kind():
    rows = {
        'duck 0 before at 3x': {'psnr': 10.0},
        'duck 1 beyond at 3x': {'psnr': 20.0},
        'still lifes 0 beyond at 3x': {'psnr': 5.0},
        'duck 0 before at 1x': {'psnr': 1.0},
    }
    means = {name: row['psnr'] for name, row in stereo_clips.by_distance(rows).items()}
    assert means == {'duck at 1x': 1.0, 'duck at 3x': 15.0, 'still lifes at 3x': 5.0}


def test_numbers_out_of_range():
    with pytest.raises(InputError, match='--scenes, --held_out'):
        stereo_magnification.Config(held_out=0)
    with pytest.raises(InputError, match='expected something to learn from'):
        stereo_clips.read(size=SIZE, scenes=0, held_out=1, data_dir='', capture=CaptureConfig(), clips_dir='', stride=5)


@pytest.mark.slow
def test_a_run_goes_on_leaves_its_results_and_can_be_loaded(tmp_path):
    """From a checkpoint of the last step, with the network as it begins: a step's compilation is tested elsewhere."""
    given = stereo_magnification.Config(
        workdir=str(tmp_path / 'run'),
        scenes=2,
        held_out=1,
        size=SIZE,
        model=TINY,
        run=RunConfig(steps=2, evaluate_every=0, checkpoint_every=0),
        frames=2,
    )
    app.write_record(given, tmp_path / 'run', 'config.flags')
    state = jax.jit(stereo_magnification.build(given).method.init)(jax.random.key(0))
    checkpoints = Checkpoints(tmp_path / 'run' / 'checkpoints')
    checkpoints.save(dataclasses.replace(state, step=jnp.int32(2)), notes={'seed': 0, 'seconds': 1.0})
    checkpoints.close()
    table = stereo_magnification.main(given)
    assert {'duck at 3x', 'still lifes at 1x'} <= set(table.baselines)
    # What it begins with is much like planes without a network, which beat the reference by far.
    means = table.baselines['still lifes at 3x']
    assert means['psnr'] > means['reference'] + 2 and abs(means['psnr'] - means['plane sweep']) < 1.5
    left = {path.name for path in (tmp_path / 'run').iterdir()}
    assert {'page.html', 'planes.html', 'sway.mp4', 'mpis', 'evaluation_test', 'checkpoints'} <= left
    written = planes_files.read(tmp_path / 'run' / 'mpis')
    assert len(written) == 2 and written[0].rgba.shape == (4, SIZE + 8, SIZE + 8, 4)
    loaded, setup, state = stereo_magnification.load(str(tmp_path / 'run'))
    assert loaded.model == TINY
    made = stereo_magnification.maker(loaded.model, state)(setup.clips.test['duck'][0])
    np.testing.assert_allclose(made.rgba, written[0].rgba, atol=0.5 / 255 + 1e-5)
