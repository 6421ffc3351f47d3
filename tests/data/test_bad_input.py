"""What is wrong with a scene's files is said in one message, whatever it is."""

import io as stdio
import json
import struct

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import colmap, scenes
from tests.data import writers

PLAIN = {'mixed': False, 'distorted': False}


@pytest.fixture
def blender(tmp_path):
    return writers.blender(tmp_path / 'scene', writers.truth(**PLAIN))


def edit(folder, change, name='transforms_train.json'):
    path = folder / name
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


def test_missing_folder_and_unknown_format(tmp_path):
    with pytest.raises(InputError, match='no such folder'):
        scenes.read(tmp_path / 'nothing')
    with pytest.raises(InputError, match='none of the known formats'):
        scenes.read(tmp_path)
    with pytest.raises(InputError, match='format'):
        scenes.read(tmp_path, format='obj')


def test_missing_image(blender):
    (blender / 'train' / writers.name(3)).unlink()
    with pytest.raises(InputError, match='view_03'):
        scenes.read(blender)


def test_truncated_image(blender):
    path = blender / 'train' / writers.name(3)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match='view_03.png'):
        scenes.read(blender)


def test_image_that_is_none(blender):
    (blender / 'train' / writers.name(3)).write_text('hello')
    with pytest.raises(InputError, match='view_03.png'):
        scenes.read(blender)


def test_image_of_another_size(blender, tmp_path):
    edit(blender, lambda meta: meta.update(w=40, h=32))
    with pytest.raises(InputError, match=r'20x16 pixels, expected 40x32 as its metadata says'):
        scenes.read(blender)
    folder = writers.colmap_text(tmp_path / 'colmap', writers.truth())
    writers.io.write(folder / 'images' / writers.name(3), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match='9x9 pixels, expected 24x16'):
        scenes.read(folder)
    folder = writers.voxels(tmp_path / 'voxels', writers.truth(**PLAIN))
    writers.io.write(folder / 'rgb' / writers.name(3), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match='9x9 pixels, expected the shape of 20x16'):
        scenes.read(folder)


@pytest.mark.parametrize(
    ('pose', 'message'),
    [
        ([[float('nan')] * 4] * 4, 'finite'),
        (np.diag([1.0, 1.0, 0.0, 1.0]).tolist(), 'singular'),
        (np.diag([1.0, 1.0, -1.0, 1.0]).tolist(), 'mirrors'),
        (np.diag([2.0, 2.0, 2.0, 1.0]).tolist(), 'scales'),
        ([[1.0, 2.0]], 'shape'),
        ('identity', 'matrix'),
        ([[1, 2], [3]], 'matrix'),
    ],
)
def test_broken_pose(blender, pose, message):
    edit(blender, lambda meta: meta['frames'][2].update(transform_matrix=pose))
    with pytest.raises(InputError, match=f'(?s)view_02.*{message}'):
        scenes.read(blender)


def test_broken_pose_of_other_formats(tmp_path):
    t = writers.truth(**PLAIN)
    t.poses[4, 0, 0] = np.nan
    folder = writers.voxels(tmp_path / 'voxels', t)
    with pytest.raises(InputError, match=r'view_04.txt: 1 of 16 values not finite'):
        scenes.read(folder)
    folder = writers.llff(tmp_path / 'llff', t)
    with pytest.raises(InputError, match='view_04'):
        scenes.read(folder)
    folder = writers.colmap_binary(tmp_path / 'colmap', writers.truth())
    path = folder / 'sparse/0/images.bin'
    data = bytearray(path.read_bytes())
    data[12:44] = bytes(32)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r'view_00.*quaternion is zero'):
        scenes.read(folder)


def test_empty_and_missing_split(blender):
    with pytest.raises(InputError, match='splits of this scene: train'):
        scenes.read(blender, split='val')
    edit(blender, lambda meta: meta.update(frames=[]))
    with pytest.raises(InputError, match='no frames'):
        scenes.read(blender)


def test_empty_test_split(tmp_path):
    folder = writers.colmap_text(tmp_path / 's', writers.truth())
    with pytest.raises(InputError, match='no images in this split'):
        scenes.read(folder, split='test', test_every=0)


@pytest.mark.parametrize('text', ['{"frames": [', '', '[1, 2]', '{"frames": 3}', '[' * 100000, '\xff\x00'])
def test_json_that_is_none(blender, text):
    (blender / 'transforms_train.json').write_bytes(text.encode('latin-1'))
    with pytest.raises(InputError, match=r'transforms_train.json: (not JSON|holds|no list)'):
        scenes.read(blender)


@pytest.mark.parametrize('path', ['../secret', '/etc/passwd', './train/../../secret', 'a\0b', 7, None, ''])
def test_file_path_that_leaves_the_folder(blender, path):
    writers.io.write(blender.parent / 'secret.png', np.zeros((16, 20, 3), np.uint8))
    edit(blender, lambda meta: meta['frames'][2].update(file_path=path))
    with pytest.raises(InputError, match=r'leaves its folder|expected the path of a file'):
        scenes.read(blender)


def test_link_out_of_the_folder(blender):
    writers.io.write(blender.parent / 'secret.png', np.zeros((16, 20, 3), np.uint8))
    (blender / 'train' / writers.name(3)).unlink()
    (blender / 'train' / writers.name(3)).symlink_to(blender.parent / 'secret.png')
    edit(blender, lambda meta: meta['frames'][3].update(file_path='./train/view_03.png'))
    with pytest.raises(InputError, match='leaves its folder'):
        scenes.read(blender)


def test_colmap_name_that_leaves_the_folder(tmp_path):
    folder = writers.colmap_text(tmp_path / 's', writers.truth())
    path = folder / 'sparse/0/images.txt'
    path.write_text(path.read_text().replace('view_03.png', '../../secret.png'))
    with pytest.raises(InputError, match='leaves its folder'):
        scenes.read(folder)


@pytest.mark.parametrize(
    'change',
    [{'camera_angle_x': 'wide'}, {'camera_angle_x': 4.0}, {'camera_angle_x': None}, {'k1': [0.1]}, {'fl_x': -3.0}],
)
def test_bad_intrinsics(blender, change):
    edit(blender, lambda meta: meta.update(change))
    with pytest.raises(InputError, match=r'angle|focal|finite number'):
        scenes.read(blender)


def test_unknown_lens_of_nerfstudio(tmp_path):
    folder = writers.nerfstudio(tmp_path / 's', writers.truth())
    edit(folder, lambda meta: meta.update(camera_model='FISHEYE624'), 'transforms.json')
    with pytest.raises(InputError, match=r'FISHEYE624.*prepare_data'):
        scenes.read(folder)
    edit(folder, lambda meta: meta.update(camera_model='OPENCV'), 'transforms.json')
    edit(folder, lambda meta: meta['frames'][0].update(camera_model='OPENCV_FISHEYE'), 'transforms.json')
    with pytest.raises(InputError, match='fisheye, opencv in one scene'):
        scenes.read(folder, test_every=0)


@pytest.mark.parametrize('model', ['FOV', 'THIN_PRISM_FISHEYE', 'MY_LENS', 'FULL_OPENCV'])
def test_unsupported_colmap_models(tmp_path, model):
    folder = writers.colmap_text(tmp_path / 's', writers.truth())
    path = folder / 'sparse/0/cameras.txt'
    params = ' '.join(['0.1'] * colmap.COUNTS.get(model, 3))
    path.write_text(f'1 {model} 20 16 {params}\n' + '\n'.join(path.read_text().splitlines()[2:]))
    with pytest.raises(InputError, match=rf'{model}.*prepare_data'):
        scenes.read(folder)


def test_unknown_colmap_model_number(tmp_path):
    folder = writers.colmap_binary(tmp_path / 's', writers.truth())
    path = folder / 'sparse/0/cameras.bin'
    data = bytearray(path.read_bytes())
    data[12:16] = struct.pack('<i', 99)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r'unknown model number 99.*prepare_data'):
        scenes.read(folder)


@pytest.mark.parametrize('name', ['cameras', 'images', 'points3D'])
def test_truncated_colmap_binaries(tmp_path, name):
    folder = writers.colmap_binary(tmp_path / 's', writers.truth(n=2))
    path = folder / f'sparse/0/{name}.bin'
    whole = path.read_bytes()
    for length in [*range(0, min(200, len(whole)), 7), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=f'{name}.bin: truncated'):
            colmap.read_model(path.parent)


@pytest.mark.parametrize('name', ['cameras', 'images', 'points3D'])
def test_hostile_counts_allocate_nothing(tmp_path, name):
    folder = writers.colmap_binary(tmp_path / 's', writers.truth(n=2))
    path = folder / f'sparse/0/{name}.bin'
    whole = path.read_bytes()
    for count in (2**40, 2**63, 2**64 - 1):
        path.write_bytes(struct.pack('<Q', count) + whole[8:])
        with pytest.raises(InputError, match='truncated'):
            colmap.read_model(path.parent)
    if name == 'images':  # the number of points that the first image sees
        at = whole.index(b'.png\0') + 5
        path.write_bytes(whole[:at] + struct.pack('<Q', 2**60) + whole[at + 8 :])
        with pytest.raises(InputError, match='truncated'):
            colmap.read_model(path.parent)


@pytest.mark.parametrize('name', ['cameras', 'images', 'points3D'])
@pytest.mark.parametrize('text', ['1 2\n', 'a b c d e f g h i j\nk l m\n', '\xff\xfe\n'])
def test_garbled_colmap_text(tmp_path, name, text):
    folder = writers.colmap_text(tmp_path / 's', writers.truth(n=2))
    (folder / f'sparse/0/{name}.txt').write_bytes(text.encode('latin-1'))
    with pytest.raises(InputError, match=f'{name}.txt'):
        colmap.read_model(folder / 'sparse/0')


def test_pickled_arrays_are_refused(tmp_path):
    folder = writers.llff(tmp_path / 's', writers.truth(**PLAIN))
    np.save(folder / 'poses_bounds.npy', np.array([{'run': 'me'}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match='not an array of numbers'):
        scenes.read(folder)


def test_arrays_that_are_none_of_ours(tmp_path):
    folder = writers.llff(tmp_path / 's', writers.truth(**PLAIN))
    path = folder / 'poses_bounds.npy'
    whole = path.read_bytes()
    archive = stdio.BytesIO()
    np.savez(archive, poses=np.zeros((9, 17)))
    for data in (b'', whole[:50], whole[:200], b'hello', archive.getvalue()):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r'poses_bounds.npy'):
            scenes.read(folder)
    np.save(path, np.zeros((9, 15)))
    with pytest.raises(InputError, match=r'\(9, 15\), expected \(n, 17\)'):
        scenes.read(folder)


def test_poses_and_images_differ_in_number(tmp_path):
    folder = writers.llff(tmp_path / 's', writers.truth(**PLAIN))
    (folder / 'images' / writers.name(8)).unlink()
    with pytest.raises(InputError, match='9 poses but 8 images'):
        scenes.read(folder)


@pytest.mark.parametrize('text', ['', '1 2 3\n', '22 10 8\n0 0 0\n0\n1\n16 20\n3 3 3\n', '22 10 8\nx y z\n1\n16 20\n'])
def test_garbled_voxel_intrinsics(tmp_path, text):
    folder = writers.voxels(tmp_path / 's', writers.truth(**PLAIN))
    (folder / 'intrinsics.txt').write_text(text)
    with pytest.raises(InputError, match=r'intrinsics.txt'):
        scenes.read(folder)
