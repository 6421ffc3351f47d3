"""Scene Representation Networks as a program: flag files, what is read, and a short run from end to end."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import category_baselines, srn, srn_data
from experiments.srn_data import DataConfig
from neurend import config
from neurend.checks import InputError
from neurend.data import deepvoxels, shepard_metzler, srn_folders
from neurend.models.srn.config import SRNConfig

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TINY = SRNConfig(
    width=8, depth=2, code_size=4, hyper_width=8, hyper_depth=1, marcher_width=4, steps=1, generator_depth=1,
    start='ball',
)  # fmt: skip


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('srn_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(srn.Config, f'--flagfile={path}')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Three and two figures in the folders of SRN; the second of the three has another number of views."""
    root = tmp_path_factory.mktemp('category')
    srn_folders.write(root, shepard_metzler.category(3, views=7, size=16), split='train')
    srn_folders.write(root, shepard_metzler.category(2, views=4, size=16, split='test'), split='test')
    other = root / 'train' / 'train_00001'
    for name in ('rgb/000000.png', 'pose/000000.txt'):
        (other / name).unlink()
    return root


def test_folders_of_unequal_counts_give_as_many_views_of_each(folders):
    data = srn_data.read(DataConfig('category', instances=0, views=4, novel=2, unseen=2), str(folders), '')
    assert data.train.images.shape == (3, 4, 16, 16, 3) and data.novel.images.shape == (3, 2, 16, 16, 3)
    assert data.unseen is not None and data.unseen.images.shape == (2, 4, 16, 16, 3)
    trained, tested = (set(map(bytes, part.images[1])) for part in (data.train, data.novel))
    assert len(trained) == 4 and not trained & tested
    np.testing.assert_allclose(data.ball.radius, np.sqrt(3) / 2 * data.train.scale)
    with pytest.raises(InputError, match='that instance train_00001 has. Views are --data.views and --data.novel'):
        srn_data.read(DataConfig('category', instances=0, views=6, novel=1), str(folders), '')
    every = srn_data.read(DataConfig('category', instances=99, views=4, novel=1), str(folders), '')
    assert len(every.train) == 3 and every.unseen is not None and len(every.unseen) == 2
    with pytest.raises(InputError, match='Views are --data.unseen_views'):
        srn_data.read(DataConfig('category', views=4, novel=1, unseen_views=9), str(folders), '')


def test_one_view_to_train_on_and_views_that_are_not_there():
    data = srn_data.read(DataConfig(instances=2, views=1, novel=1, unseen=0, size=8), '', '')
    assert data.train.num_views == 1 and data.novel.num_views == 1 and data.unseen is None
    for observed in ((0, 3), (0, 1, 2)):
        with pytest.raises(InputError, match='--data.observed: got .* expected numbers below 3'):
            srn_data.read(DataConfig(instances=1, views=3, unseen=1, size=8, observed=observed), '', '')
    for wrong in ({'observed': ()}, {'observed': (1, 1)}, {'views': 0}):
        with pytest.raises(InputError, match='--data'):
            DataConfig(**wrong)
    with pytest.raises(InputError, match='--factors, --stages'):
        srn.Config(factors=(2, 1))
    with pytest.raises(InputError, match='--stages: got .5, 5.'):
        srn.Config(factors=(4, 2, 1), stages=(5, 5))


def test_guesses_are_the_mean_and_the_training_figure_that_is_most_alike():
    train = shepard_metzler.category(3, views=2, size=16)
    figures = [shepard_metzler.figure((0, k, 0)) for k in range(3)]
    # Views of the third figure by other cameras: what is most like it is itself.
    cameras = shepard_metzler.cameras(5, 3, size=16)
    examples = [
        srn_data.Example(str(v), 0, cameras[v], shepard_metzler.render(figures[2], cameras[v])) for v in range(3)
    ]
    found = category_baselines.measure(
        train, lambda k, camera: shepard_metzler.render(figures[k], camera), examples[:1], examples[1:]
    )
    assert found['nearest instance']['psnr'] > 100
    mean = train.images.mean((0, 1)) / 255
    expected = [-10 * np.log10(np.mean((mean - each.image / 255) ** 2)) for each in examples[1:]]
    np.testing.assert_allclose(found['mean image']['psnr'], np.mean(expected), rtol=1e-4)
    draw = category_baselines.nearest_views(train)
    np.testing.assert_array_equal(draw(1, jax.tree.map(lambda leaf: leaf[1, 1], train.cameras)), train.images[1, 1])


@pytest.mark.slow
def test_a_category_is_learned_resumed_and_reconstructed(tmp_path):
    pytest.importorskip('av', reason="needs the extra 'video'")
    settings = srn.Config(
        workdir=str(tmp_path), data=DataConfig(instances=3, views=4, unseen=2, size=16), model=TINY, instances=2,
        rays=16, factors=(2, 1), stages=(10,), steps=15, reconstruct_steps=5, log_every=5, checkpoint_every=0,
        frames=4,
    )  # fmt: skip
    first = srn.main(settings)
    assert set(first) == {'novel', '1_shot', '2_shot'} and len(first['2_shot'].rows) == 4
    assert set(first['1_shot'].baselines) == {'mean image', 'nearest instance'}
    for name in ('trajectory.mp4', 'interpolation.mp4', 'evaluation_1_shot/contact_sheet.png'):
        assert (tmp_path / name).stat().st_size > 1000
    again = srn.main(dataclasses.replace(settings, frames=0))
    assert again['2_shot'].mean == first['2_shot'].mean
    (tmp_path / 'config.flags').write_text(config.to_flags(settings))
    written = json.loads((tmp_path / 'evaluation_novel' / 'evaluation.json').read_text())
    _, setup, state = srn.load(str(tmp_path))
    example = srn_data.examples(setup.data.novel)[1]
    values, _ = setup.method.evaluate(state, example)
    assert values['psnr'] == pytest.approx(written['views'][example.name]['psnr'], abs=1e-3)


@pytest.mark.slow
def test_a_single_scene_is_learned_without_codes(tmp_path):
    folder = deepvoxels.write(tmp_path / 'figure', shepard_metzler.category(1, views=9, size=16).instance(0), scale=1.2)
    settings = srn.Config(
        data_dir=str(folder), workdir=str(tmp_path / 'out'), data=DataConfig('scene', radius=1.04), model=TINY,
        instances=1, rays=32, steps=6, log_every=3, checkpoint_every=0, frames=0,
    )  # fmt: skip
    assert set(srn.main(settings)) == {'novel'}
    assert set(jax.eval_shape(srn.build(settings).method.init, jax.random.key(0)).params) == {
        'field',
        'marcher',
        'generator',
    }
