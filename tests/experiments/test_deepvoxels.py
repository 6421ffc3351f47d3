"""DeepVoxels as a program: flag files, the cube it finds or is given, and what a run leaves."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import deepvoxels, trained
from experiments.captures import CaptureConfig
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.data import synthetic
from neurend.geometry import paths
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from tests.data import writers

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TINY = dataclasses.replace(
    deepvoxels.Config().model, grid_dim=8, features=4, width=4, depth=1, planes=4, occlusion_depth=1
)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('deepvoxels_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(deepvoxels.Config, f'--flagfile={path}')


def test_the_paper_is_the_default_of_the_model_and_the_cow_that_of_the_program():
    files = [CONFIGS / f'deepvoxels_{name}.flags' for name in ('paper', 'spot')]
    paper, spot = (config.parse(deepvoxels.Config, f'--flagfile={path}') for path in files)
    assert paper.model == DeepVoxelsConfig()
    # Whoever has no masks may begin all the same.
    assert dataclasses.replace(spot.model, silhouette=0.0) == deepvoxels.Config().model


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The embedded scene, small."""
    return synthetic.write_scene(tmp_path_factory.mktemp('scene') / 'scene', size=32, train=6, val=1, test=2)


def settings(folder, **changes):
    return deepvoxels.Config(data_dir=str(folder), model=TINY, frames=0, **changes)


def said(capsys):
    found = capsys.readouterr()
    return found.out + found.err


def test_the_cube_is_found_or_given_and_what_it_misses_is_said(folder, capsys):
    found = deepvoxels.build(settings(folder))
    assert 'a cube of side' in (text := said(capsys)) and 'warning' not in text
    assert 1 < float(found.cube.side) < 3.5
    given = deepvoxels.build(settings(folder, center=(0.1, 0.2, 0.3), side=2.5))
    np.testing.assert_allclose(given.cube.center, [0.1, 0.2, 0.3])
    assert float(given.cube.side) == 2.5
    said(capsys)
    deepvoxels.build(settings(folder, center=(0.0, 0.0, 5.0), side=1.0))
    assert 'warning: only 0 % of the pixels that show something see the cube' in said(capsys)
    deepvoxels.build(settings(folder, side=0.7))
    assert 'warning: only' in said(capsys)


@pytest.mark.parametrize('near', [True, False])
def test_folders_of_deepvoxels_and_srn_bring_their_cube(tmp_path, near, capsys):
    truth = writers.truth(mixed=False, distorted=False, square_pixels=True)
    written = writers.voxels(tmp_path / 'object', truth, near=near)
    model = dataclasses.replace(TINY, halvings=1)
    made = deepvoxels.build(deepvoxels.Config(data_dir=str(written), model=model, scene=CaptureConfig(test_every=3)))
    np.testing.assert_allclose(made.cube.center, 0)
    assert len(made.train) == 6 and len(made.test) == 3
    assert 'a cube of side' in said(capsys)
    told = dataclasses.replace(model, silhouette=1.0)
    with pytest.raises(InputError, match=r'--model.silhouette: got 1.0, but no photograph has alpha or a mask'):
        deepvoxels.build(deepvoxels.Config(data_dir=str(written), model=told, scene=CaptureConfig(test_every=3)))


def test_what_cannot_be_learned_is_said_first(folder):
    with pytest.raises(InputError, match='size: got photographs of 32 x 32, expected about multiples of 64'):
        deepvoxels.build(dataclasses.replace(settings(folder), model=dataclasses.replace(TINY, depth=5)))
        settings(folder, side=-1.0)
    with pytest.raises(InputError, match='checkpoint .*nothing: does not exist'):
        deepvoxels.build(settings(folder, checkpoint=str(folder / 'nothing')))


def test_a_tour_goes_to_the_nearest_that_is_left():
    poses = np.asarray(paths.orbit(8, radius=2.0))
    order = deepvoxels.tour(poses[[0, 4, 1, 5, 2, 6, 3, 7]], most=5)
    steps = np.linalg.norm(np.diff(order[:, :3, 3], axis=0), axis=-1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)


@pytest.mark.slow
def test_a_run_leaves_its_results_and_can_be_loaded(folder, tmp_path):
    given = settings(folder, workdir=str(tmp_path / 'run'), run=RunConfig(steps=3, evaluate_every=0))
    given = dataclasses.replace(given, frames=2)
    table = deepvoxels.main(given)
    assert np.isfinite(table.mean['psnr']) and table.baselines['nearest photograph']['psnr'] > 5
    left = {path.name for path in (tmp_path / 'run').iterdir()}
    assert {'page.html', 'turntable.mp4', 'path.mp4', 'evaluation_test', 'checkpoints'} <= left
    setup = deepvoxels.build(given)
    state = trained.restore(setup.method, tmp_path / 'run')
    draw = deepvoxels.drawer(setup.method, state)
    found = draw(jax.tree.map(jnp.asarray, setup.test.camera(0)))
    assert found.rgb.shape == (32, 32, 3) and found.depth.shape == (32, 32)
