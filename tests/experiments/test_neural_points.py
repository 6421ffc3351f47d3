"""Neural points as a program: its flag files, where points come from, and what a short run leaves."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import captures, neural_points, neural_texture, point_cloud
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.data import synthetic
from neurend.models.points.config import PointsConfig
from neurend.scenes import points, points_ply
from tests.data import writers

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
MODEL = PointsConfig(channels=8, harmonics=1, levels=2, unet=4, depth=2, context=4, width=8, layers=1, crop=16)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('neural_points_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(neural_points.Config, f'--flagfile={path}')


def test_points_are_those_of_a_file_or_of_the_capture(tmp_path):
    truth = writers.truth(mixed=False, distorted=False)
    places = truth.poses[:, :3, 3].mean(0) + 0.3 * np.random.default_rng(0).normal(size=(200, 3))
    folder = writers.colmap_text(tmp_path / 'colmap', dataclasses.replace(truth, points=places))
    settings = neural_points.Config(data_dir=str(folder), model=MODEL)
    train = captures.read(settings.scene, str(folder), 'train')
    begun = neural_points.beginning(settings, train)
    assert train.points is not None and 0.8 * len(train.points) < len(begun.positions) <= len(train.points)
    # A file is in the world of the scene's files.
    back = np.linalg.inv(train.scene_from_source)
    points_ply.write(tmp_path / 'some.ply', points.moved(begun, back))
    again = neural_points.beginning(dataclasses.replace(settings, points=str(tmp_path / 'some.ply')), train)
    np.testing.assert_allclose(again.positions, begun.positions, atol=1e-5)
    np.testing.assert_allclose(again.radii, begun.radii, rtol=1e-4)
    with pytest.raises(InputError, match='neither transparent surroundings, masks nor points'):
        neural_points.beginning(settings, dataclasses.replace(train, points=None))
    with pytest.raises(InputError, match='--count: got 0'):
        neural_points.Config(count=0)


def test_surfaces_are_where_depth_is_sure():
    depth = np.full((9, 12), 2.0)
    depth[:, 6:] = 3.0
    alpha = np.ones((9, 12))
    alpha[:, 0] = 0.2
    where = point_cloud.surface(depth, alpha, 0.02)
    # Beside what is translucent, the picture's border and the edge there is none.
    assert where[1:-1, [2, 3, 4, 7, 8]].all() and not where[:, [0, 1, 5, 6]].any()


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_leaves_its_results(tmp_path):
    folder = synthetic.write_scene(tmp_path / 'scene', size=32, train=6, val=1, test=2)
    run = RunConfig(steps=10, evaluate_every=0, checkpoint_every=0)
    given = neural_points.Config(
        data_dir=str(folder), workdir=str(tmp_path / 'run'), model=MODEL, count=3000, run=run, frames=2
    )
    begun = neural_points.main(given)
    table = neural_points.main(dataclasses.replace(given, run=dataclasses.replace(run, steps=60)))
    assert table.mean['psnr'] > begun.mean['psnr'] + 0.5 and 'nearest photograph' in table.baselines
    left = {path.name for path in (tmp_path / 'run').iterdir()}
    assert {'page.html', 'turntable.mp4', 'points.ply', 'evaluation_test', 'checkpoints'} <= left
    flags = {'data_dir': folder, 'count': 3000} | {f'model.{k}': v for k, v in dataclasses.asdict(MODEL).items()}
    text = ''.join(f'--{name}={value}\n' for name, value in flags.items())
    (tmp_path / 'run' / 'config.flags').write_text(text)
    loaded, setup, state = neural_points.load(str(tmp_path / 'run'))
    assert loaded.model == MODEL and int(state.step) == 60
    found = neural_texture.drawer(setup.method, state)(jax.tree.map(jnp.asarray, setup.test.camera(0)))
    assert found.rgb.shape == (32, 32, 3) and float(found.alpha.max()) > 0.9
    written = points_ply.read(tmp_path / 'run' / 'points.ply')
    assert len(written.positions) == 3000 and np.ptp(np.asarray(written.features)) > 0.1
