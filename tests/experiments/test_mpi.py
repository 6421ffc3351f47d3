"""Multi-plane images as a program: flag files, where images are put, and what a run leaves."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import mpi
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.data import synthetic
from neurend.models.mpi.config import MpiConfig
from neurend.scenes import planes_files

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TINY = MpiConfig(planes=4, border=0.1, backdrop=False, blended=2)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('mpi_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(mpi.Config, f'--flagfile={path}')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The embedded scene, small."""
    return synthetic.write_scene(tmp_path_factory.mktemp('scene') / 'scene', size=32, train=6, val=1, test=2)


def test_images_are_put_through_what_there_is(folder):
    setup = mpi.build(mpi.Config(data_dir=str(folder), model=TINY, images=3))
    assert setup.places.size == (38, 38) and setup.places.depths.shape == (3, 4)
    # The scene is about the origin, which all cameras look at from the same distance.
    middle = (setup.places.depths[:, 0] + setup.places.depths[:, -1]) / 2
    assert (setup.places.depths[:, 0] < synthetic.RADIUS).all() and (
        setup.places.depths[:, -1] > synthetic.RADIUS
    ).all()
    np.testing.assert_allclose(middle, synthetic.RADIUS, rtol=0.2)
    every = mpi.build(mpi.Config(data_dir=str(folder), model=TINY, images=0))
    assert len(every.places.depths) == 6


def test_numbers_out_of_range(folder):
    with pytest.raises(InputError, match='--images, --neighbors'):
        mpi.Config(neighbors=0)
    with pytest.raises(InputError, match='blended: got 2, expected at most 1'):
        mpi.build(mpi.Config(data_dir=str(folder), model=TINY, images=1))


@pytest.mark.slow
def test_a_run_leaves_its_results_and_can_be_loaded(folder, tmp_path):
    given = mpi.Config(
        data_dir=str(folder),
        model=TINY,
        images=3,
        workdir=str(tmp_path / 'run'),
        run=RunConfig(steps=3, evaluate_every=0, checkpoint_every=0),
        frames=2,
    )
    table = mpi.main(given)
    assert np.isfinite(table.mean['psnr']) and 'nearest photograph' in table.baselines
    left = {path.name for path in (tmp_path / 'run').iterdir()}
    assert {'page.html', 'planes.html', 'turntable.mp4', 'mpis', 'evaluation_test', 'checkpoints'} <= left
    images = planes_files.read(tmp_path / 'run' / 'mpis')
    assert len(images) == 3 and images[0].rgba.shape == (4, 38, 38, 4)
    (tmp_path / 'run' / 'config.flags').write_text(
        ''.join(
            f'--{name}={value}\n'
            for name, value in {
                'data_dir': folder,
                'images': 3,
                'model.planes': 4,
                'model.backdrop': 'false',
                'model.blended': 2,
                'model.border': 0.1,
            }.items()
        )
    )
    loaded, setup, state = mpi.load(str(tmp_path / 'run'))
    assert loaded.model == dataclasses.replace(TINY)
    found = mpi.drawer(setup.method, state)(jax.tree.map(jnp.asarray, setup.test.camera(0)))
    assert found.rgb.shape == (32, 32, 3) and found.depth.shape == (32, 32)
