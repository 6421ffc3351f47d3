import dataclasses

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import deepvoxels, posed, scenes, shepard_metzler, srn_folders
from tests.data import writers


@pytest.fixture(scope='module')
def figures():
    return shepard_metzler.category(3, views=4, size=16)


@pytest.mark.parametrize('near', [None, 0.0, 0.75])
def test_what_is_written_for_an_object_is_read_back(near, figures, tmp_path):
    images = figures.instance(0)
    folder = deepvoxels.write(tmp_path / 'figure', images, scale=1.2, near=near)
    calibration = deepvoxels.read_intrinsics(folder / 'intrinsics.txt')
    assert (calibration.scale, calibration.near, calibration.size) == (1.2, near or None, (16, 16))
    assert len((folder / 'intrinsics.txt').read_text().splitlines()) == (4 if near is None else 5)
    assert len((folder / 'pose' / '000003.txt').read_text().split('\n')[0].split()) == 16
    back = scenes.read(folder, test_every=0)
    np.testing.assert_array_equal(np.stack(back.images), np.stack(images.images))
    np.testing.assert_allclose(back.cameras.world_from_camera, images.cameras.world_from_camera, atol=1e-6)
    np.testing.assert_allclose(back.cameras.focal, images.cameras.focal, rtol=1e-7)
    np.testing.assert_allclose(back.cameras.center, images.cameras.center, rtol=1e-7)
    assert back.near == (near or pytest.approx(images.near, rel=1e-5))


def test_splits_of_a_scene_are_written_beside_each_other(figures, tmp_path):
    for split, index in (('train', 0), ('test', 1)):
        deepvoxels.write(tmp_path / split / 'figure', figures.instance(index), scale=1.2, near=0.0)
    test = scenes.read(tmp_path / 'train' / 'figure', split='test')
    np.testing.assert_array_equal(test.images[2], figures.images[1, 2])


def test_transparent_pixels_are_written_white(figures, tmp_path):
    images = figures.instance(0)
    clear = tuple(np.dstack([image, np.zeros((16, 16), np.uint8)]) for image in images.images)
    folder = deepvoxels.write(tmp_path / 'clear', dataclasses.replace(images, images=clear), scale=1.0)
    assert (scenes.read(folder, test_every=0).images[0] == 255).all()


def test_what_the_format_cannot_say_is_refused(figures, tmp_path):
    images = figures.instance(0)
    wide = dataclasses.replace(
        images,
        images=tuple(image[:8] for image in images.images),
        cameras=dataclasses.replace(images.cameras, size=np.tile(np.array([16, 8], np.int32), (4, 1))),
    )
    zoomed = images.cameras.focal * np.arange(1, 5, dtype=np.float32)[:, None]
    for changed, options, match in (
        (wide, {'scale': 1.0}, '16x8 pixels, expected square'),
        (dataclasses.replace(images, cameras=dataclasses.replace(images.cameras, focal=zoomed)), {'scale': 1}, 'one'),
        (
            dataclasses.replace(images, cameras=dataclasses.replace(images.cameras, model='fisheye')),
            {'scale': 1},
            'fis',
        ),
        (images, {'scale': 0.0}, 'scale'),
        (images, {'scale': 1.0, 'near': -1.0}, 'near'),
    ):
        with pytest.raises(InputError, match=match):
            deepvoxels.write(tmp_path / 'new', changed, **options)
    (tmp_path / 'old').mkdir()
    with pytest.raises(InputError, match='exists'):
        deepvoxels.write(tmp_path / 'old', images, scale=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ['old']


def test_a_category_is_written_and_read_back(figures, tmp_path):
    srn_folders.write(tmp_path, figures, split='train')
    srn_folders.write(tmp_path, figures.instances([1]), split='test')
    back = srn_folders.read(tmp_path)
    assert (back.names, back.scale) == (figures.names, figures.scale)
    np.testing.assert_array_equal(back.images, figures.images)
    np.testing.assert_allclose(back.cameras.world_from_camera, figures.cameras.world_from_camera, atol=1e-6)
    assert srn_folders.read(tmp_path, split='test').names == figures.names[1:2]
    thinned = srn_folders.read(tmp_path, views=2, limit=2)
    np.testing.assert_array_equal(thinned.images, figures.images[:2, [0, 3]])
    with pytest.raises(InputError, match="0 folders of split 'val' among test, train"):
        srn_folders.read(tmp_path, split='val')


def test_instances_without_split_folders_are_held_out(figures, tmp_path):
    folder = srn_folders.write(tmp_path, figures, split='val')
    assert srn_folders.read(folder, split='train', test_every=3).names == figures.names[1:]
    assert srn_folders.read(folder, split='test', test_every=3).names == figures.names[:1]
    with pytest.raises(InputError, match='val'):
        srn_folders.read(folder, split='val')


def test_folders_named_as_the_authors_do(figures, tmp_path):
    for name, index in (('cars_train', 0), ('cars_train_val', 1), ('cars_val', 2)):
        srn_folders.write(tmp_path / name, figures.instances([index]), split='train').rename(tmp_path / 'moved')
        (tmp_path / name).rmdir()
        (tmp_path / 'moved').rename(tmp_path / name)
    assert srn_folders.read(tmp_path, split='train').names == figures.names[:1]
    assert srn_folders.read(tmp_path, split='val').names == figures.names[2:]


@pytest.mark.parametrize('rows', [1, 4])
@pytest.mark.parametrize('flag', [False, True])
def test_poses_in_one_line_or_four_and_either_way(rows, flag, figures, tmp_path):
    folder = srn_folders.write(tmp_path, figures, split='train')
    for name in figures.names:
        for path in (folder / name / 'pose').iterdir():
            pose = np.reshape([float(x) for x in path.read_text().split()], (4, 4))
            pose = np.linalg.inv(pose) if flag else pose
            path.write_text('\n'.join(' '.join(map(repr, row)) for row in pose.reshape(rows, -1).tolist()))
        intrinsics = folder / name / 'intrinsics.txt'
        intrinsics.write_text(intrinsics.read_text() + ('1\n' if flag else '0\n'))
    back = srn_folders.read(tmp_path)
    np.testing.assert_allclose(back.cameras.world_from_camera, figures.cameras.world_from_camera, atol=1e-6)


def test_what_stops_a_category(figures, tmp_path):
    with pytest.raises(InputError, match='no such folder'):
        srn_folders.read(tmp_path / 'nowhere')
    folder = srn_folders.write(tmp_path, figures, split='train')
    with pytest.raises(InputError, match='limit: got 0'):
        srn_folders.read(tmp_path, limit=0)
    assert len(srn_folders.read(tmp_path, limit=99)) == len(figures)
    with pytest.raises(InputError, match='exists'):
        srn_folders.write(tmp_path, figures, split='train')
    (folder / 'train_00001' / 'pose' / '000003.txt').unlink()
    with pytest.raises(InputError, match='train_00001: 4 images in rgb/ and 3 poses'):
        srn_folders.read(tmp_path)
    (folder / 'train_00001' / 'rgb' / '000003.png').unlink()
    with pytest.raises(InputError, match='train_00001 has 3, train_00000 4'):
        srn_folders.read(tmp_path)
    assert srn_folders.read(tmp_path, views=3).num_views == 3


def test_names_and_links_do_not_leave_the_folder(figures, tmp_path):
    for name in ('../out', 'a/b', '.', '.hidden'):
        with pytest.raises(InputError, match='folder'):
            srn_folders.write(tmp_path / 'new', dataclasses.replace(figures, names=(name, 'b', 'c')), split='train')
    assert not (tmp_path / 'out').exists() and not list((tmp_path / 'new').iterdir())
    outside = deepvoxels.write(tmp_path / 'outside', figures.instance(0), scale=1.0)
    (tmp_path / 'data' / 'train').mkdir(parents=True)
    (tmp_path / 'data' / 'train' / 'figure').symlink_to(outside)
    with pytest.raises(InputError, match='leaves its folder'):
        srn_folders.read(tmp_path / 'data')


def test_pictures_that_are_not_square_are_refused(tmp_path):
    writers.voxels(tmp_path / 'train' / 'vase', writers.truth(mixed=False, distorted=False), near=False)
    with pytest.raises(InputError, match='vase: pictures of 20x16 pixels'):
        srn_folders.read(tmp_path)


def test_the_smallest_scale_holds_all_instances(figures, tmp_path):
    for name, scale in (('a', 1.0), ('b', 1.5)):
        deepvoxels.write(tmp_path / 'train' / name, figures.instance(0), scale=scale)
    assert srn_folders.read(tmp_path).scale == 1.5
    assert isinstance(srn_folders.read(tmp_path).instance(0), posed.PosedImages)
