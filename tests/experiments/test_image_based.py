"""Image-based rendering as a program: flag files, what a run leaves, and what it refuses."""

import inspect
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import image_based
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.data import synthetic
from neurend.models.image_based.config import ImageBasedConfig
from neurend.scenes import mesh_files, proxies

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TINY = ImageBasedConfig(neighbors=2, width=4, unet=4, depth=2, context=4, crop=16)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('image_based_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(image_based.Config, f'--flagfile={path}')


def test_photographs_of_the_embedded_scene_hold_the_windows():
    side = inspect.signature(synthetic.write_scene).parameters['size'].default
    assert 0 < config.parse(image_based.Config).model.crop <= side


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The embedded scene, small."""
    return synthetic.write_scene(tmp_path_factory.mktemp('scene') / 'scene', size=32, train=8, val=1, test=2)


def test_numbers_and_proxies_that_do_not_fit(folder):
    with pytest.raises(InputError, match='--mesh, --field'):
        image_based.Config(mesh='a.obj', field='out/run')
    with pytest.raises(InputError, match=r'--model\.crop: got 64, expected at most 32'):
        image_based.build(image_based.Config(data_dir=str(folder), model=ImageBasedConfig(crop=64)))


@pytest.mark.slow
def test_a_run_leaves_its_results_and_can_be_loaded(folder, tmp_path):
    # A ball for a proxy spares the time that hulls take.
    ball = str(tmp_path / 'ball.obj')
    mesh_files.write(ball, proxies.sphere_about((-0.5,) * 3, (0.5,) * 3, cells=4))
    given = image_based.Config(
        data_dir=str(folder),
        mesh=ball,
        model=TINY,
        workdir=str(tmp_path / 'run'),
        run=RunConfig(steps=3, evaluate_every=0, checkpoint_every=0),
        frames=2,
    )
    table = image_based.main(given)
    assert {'nearest photograph', 'nearest photograph, warped', '2 photographs, not learned'} <= set(table.baselines)
    assert np.isfinite(table.mean['psnr']) and {'seconds per frame', 'memory per frame'} <= set(table.protocol)
    left = {path.name for path in (tmp_path / 'run').iterdir()}
    assert {'page.html', 'turntable.mp4', 'evaluation_test', 'checkpoints'} <= left
    flags = {
        'data_dir': folder,
        'mesh': ball,
        **{f'model.{name}': getattr(TINY, name) for name in ('neighbors', 'width', 'unet')},
    }
    flags |= {f'model.{name}': getattr(TINY, name) for name in ('depth', 'context', 'crop')}
    (tmp_path / 'run' / 'config.flags').write_text(''.join(f'--{name}={value}\n' for name, value in flags.items()))
    loaded, setup, state = image_based.load(str(tmp_path / 'run'))
    assert loaded.model == TINY and int(state.step) == 3
    found = image_based.drawer(loaded, setup, state)(jax.tree.map(np.asarray, setup.test.camera(0)))
    assert found.rgb.shape == (32, 32, 3) and float(found.alpha.max()) > 0.5
