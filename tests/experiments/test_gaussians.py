"""Gaussians as a program: its flag files, where it begins, and what a short run leaves."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import captures, gaussians, trained
from neurend import config
from neurend.checks import InputError
from neurend.data import synthetic
from neurend.models.gaussians.config import GaussiansConfig
from neurend.models.gaussians.method import of_state
from neurend.scenes import gaussians_ply
from tests.data import writers

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MODEL = GaussiansConfig(count=300, degree=1, capacity=8192)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('gaussians_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(gaussians.Config, f'--flagfile={path}')


def test_captures_begin_at_their_points_and_files_at_their_gaussians(tmp_path):
    truth = writers.truth(mixed=False, distorted=False)
    points = np.random.default_rng(0).normal(size=(200, 3))
    folder = writers.colmap_text(tmp_path / 'colmap', dataclasses.replace(truth, points=points))
    settings = gaussians.Config(data_dir=str(folder), model=MODEL)
    train = captures.read(settings.scene, str(folder), 'train')
    begun = gaussians.beginning(settings, train)
    assert train.points is not None and begun.live.sum() == len(train.points) and begun.live.shape == (300,)
    gaussians_ply.write(tmp_path / 'begun.ply', begun)
    again = gaussians.beginning(dataclasses.replace(settings, init=str(tmp_path / 'begun.ply')), train)
    np.testing.assert_array_equal(again.means, begun.means)
    flat = dataclasses.replace(settings, init=str(tmp_path / 'begun.ply'), model=dataclasses.replace(MODEL, degree=2))
    with pytest.raises(InputError, match='has harmonics of degree 1, expected model.degree=2'):
        gaussians.beginning(flat, train)
    with pytest.raises(InputError, match='neither transparent surroundings, masks nor points'):
        gaussians.beginning(settings, dataclasses.replace(train, points=None))


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_leaves_its_results(tmp_path):
    folder = synthetic.write_scene(tmp_path / 'scene', size=32, train=8, val=1, test=2)
    given = gaussians.Config(
        data_dir=str(folder), workdir=str(tmp_path / 'run'), model=MODEL, hull_cells=24, steps=20, frames=2
    )
    begun = gaussians.main(given)
    table = gaussians.main(dataclasses.replace(given, steps=60))
    assert table.mean['psnr'] > begun.mean['psnr'] + 0.5
    left = {path.name for path in (tmp_path / 'run').iterdir()}
    assert {'page.html', 'turntable.mp4', 'scene.ply', 'evaluation_test', 'checkpoints'} <= left
    setup = gaussians.build(given)
    state = trained.restore(setup.method, tmp_path / 'run')
    assert int(state.step) == 60
    scene, written = of_state(state), gaussians_ply.read(tmp_path / 'run' / 'scene.ply')
    np.testing.assert_array_equal(written.means, np.asarray(scene.means)[np.asarray(scene.live)])
    found = gaussians.drawer(given, state)(jax.tree.map(jnp.asarray, setup.test.camera(0)))
    assert found.rgb.shape == (32, 32, 3) and found.depth.shape == (32, 32)
