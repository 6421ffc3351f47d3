import numpy as np
import pytest

from experiments import head_category, prepare_category
from neurend.checks import InputError
from neurend.data import deepvoxels, scenes, shepard_metzler, srn_folders
from neurend.faces import ict
from neurend.geometry import cameras


def test_figures_are_written_by_split(tmp_path):
    prepare_category.main(prepare_category.Config(output=str(tmp_path), train=2, test=1, views=3, size=16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['test', 'train']
    figures = shepard_metzler.category(2, views=3, size=16)
    back = srn_folders.read(tmp_path)
    assert back.names == figures.names
    np.testing.assert_array_equal(back.images, figures.images)


def test_a_scene_becomes_deepvoxels_folders(tmp_path):
    figure = shepard_metzler.category(1, views=9, size=16).instance(0)
    source = deepvoxels.write(tmp_path / 'source', figure, scale=1.0)
    settings = prepare_category.Config(
        output=str(tmp_path / 'out'), kind='scene', data_dir=str(source), name='figure', scale=2.2
    )
    prepare_category.main(settings)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['test', 'train']
    for split, chosen in (('train', range(1, 8)), ('test', [0, 8])):
        folder = tmp_path / 'out' / split / 'figure'
        back = scenes.read(tmp_path / 'out' / 'train' / 'figure', split=split)
        np.testing.assert_array_equal(np.stack(back.images), np.stack(figure.images)[chosen])
        np.testing.assert_allclose(back.cameras.world_from_camera, figure.cameras.world_from_camera[chosen], atol=1e-6)
        assert deepvoxels.read_intrinsics(folder / 'intrinsics.txt').scale == 2.2
        assert back.near == pytest.approx(scenes.read(source, split=split).near)


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'output': ''}, '--output'),
        ({'kind': 'heads'}, '--faces'),
        ({'kind': 'scene'}, '--scale'),
        ({'kind': 'scene', 'scale': 1.0, 'name': '../up'}, 'up'),
        ({'views': 0}, 'views'),
    ],
)
def test_bad_input(changes, match, tmp_path):
    with pytest.raises(InputError, match=match):
        prepare_category.main(prepare_category.Config(**{'output': str(tmp_path / 'new'), **changes}))
    assert not (tmp_path / 'new' / 'train').exists()


@pytest.mark.slow
def test_heads_are_seen_from_around_by_their_cameras(data_root):
    path = data_root / 'ict_face' / 'ict_face.npz'
    heads = head_category.category(path, 2, views=3, size=64)
    again = head_category.category(path, 1, views=3, size=64, split='test')
    assert (heads.images[0, 0] != heads.images[1, 0]).any() and (heads.images[0] != again.images[0]).any()
    assert (heads.images[:, :, 0] == 255).all()
    covered = (heads.images.min(-1) < 250).mean((2, 3))
    assert (covered > 0.25).all() and (covered < 0.7).all()
    # A vertex at the top of the head is where the head ends in every picture, whatever the camera.
    model = ict.read(path)
    for k in range(2):
        vertices, _ = head_category.ict_heads.somebody(model, k)
        world = (vertices - head_category._MIDDLE) / head_category._UNIT
        assert np.abs(world).max() < heads.scale / 2
        pixels, _ = cameras.project(heads.cameras[k][:, None], world)
        top = np.asarray(pixels)[..., 1].min(1)
        seen = (heads.images[k].min(-1) < 250).any(-1).argmax(1)
        np.testing.assert_allclose(seen, top, atol=1.1)
