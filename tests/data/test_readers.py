"""One truth written in every format: all readers give its cameras, rays and pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import colmap, colmap_scenes, normalize, scenes
from neurend.data import frames as frames_lib
from neurend.geometry import cameras as cameras_lib
from neurend.images import resample
from tests.data import writers

PLAIN = {'mixed': False, 'distorted': False}
WRITERS = {
    'blender': (writers.blender, PLAIN),
    'nerfstudio': (writers.nerfstudio, {}),
    'llff': (writers.llff, PLAIN),
    'colmap': (writers.colmap_text, {}),
    'colmap-binary': (writers.colmap_binary, {}),
    'deepvoxels': (writers.voxels, PLAIN),
    'srn': (lambda folder, t: writers.voxels(folder, t, near=False, camera_from_world=True), PLAIN),
}


def source_poses(images):
    """The cameras of a scene taken back to the frame of its files."""
    inverse = np.linalg.inv(np.asarray(images.scene_from_source, np.float64))
    return frames_lib.transform_poses(inverse, np.asarray(images.cameras.world_from_camera, np.float64))


def assert_agree(images, t, chosen):
    assert images.names == tuple(sorted(images.names))
    np.testing.assert_allclose(source_poses(images), t.poses[chosen], atol=2e-5)
    cameras = images.cameras
    np.testing.assert_allclose(cameras.focal, t.focal[chosen], rtol=1e-6)
    np.testing.assert_allclose(cameras.center, t.center[chosen], rtol=1e-6)
    np.testing.assert_allclose(cameras.distortion, t.distortion[chosen], rtol=1e-6)
    np.testing.assert_array_equal(cameras.size, np.array(t.sizes)[chosen])
    for image, k in zip(images.images, chosen):
        np.testing.assert_array_equal(image, t.images[k])
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(cameras))


@pytest.mark.parametrize('kind', WRITERS)
def test_every_format_gives_the_same_cameras_and_pixels(kind, tmp_path):
    write, options = WRITERS[kind]
    t = writers.truth(**options)
    folder = write(tmp_path / 'scene', t)
    assert scenes.detect(folder) == {'colmap-binary': 'colmap', 'srn': 'deepvoxels'}.get(kind, kind)
    if kind == 'blender':
        assert_agree(scenes.read(folder), t, range(9))
        return
    assert_agree(scenes.read(folder, split='train'), t, range(1, 8))
    assert_agree(scenes.read(folder, split='test'), t, [0, 8])
    assert_agree(scenes.read(folder, split='val', hold_val=True), t, [4])
    assert_agree(scenes.read(folder, split='train', hold_val=True), t, [1, 2, 3, 5, 6, 7])
    with pytest.raises(InputError, match='no val split'):
        scenes.read(folder, split='val')


@pytest.mark.parametrize('kind', WRITERS)
def test_near_and_far_enclose_the_content(kind, tmp_path):
    write, options = WRITERS[kind]
    t = writers.truth(**options)
    images = scenes.read(write(tmp_path / 'scene', t))
    points = t.points @ images.scene_from_source[:3, :3].T + images.scene_from_source[:3, 3]
    pose = np.asarray(images.cameras.world_from_camera)
    depth = ((points - pose[:, None, :3, 3]) * pose[:, None, :3, 2]).sum(-1)
    assert 0 < images.near < depth.min() < depth.max() < images.far * 1.01  # bounds of COLMAP are percentiles
    near, far = scenes.read(tmp_path / 'scene', near=0.5, far=9.0).near, scenes.read(tmp_path / 'scene', far=9.0).far
    assert (near, far) == (0.5, 9.0)


def test_rays_agree_between_formats(tmp_path):
    t = writers.truth(**PLAIN)
    pixels = jnp.asarray([[0.5, 0.5], [7.0, 3.0], [19.5, 15.5]])
    lines = {}
    for kind, (write, _) in WRITERS.items():
        images = scenes.read(write(tmp_path / kind, t))
        images = images.subset([images.names.index(n) for n in images.names if n.endswith('view_03.png')] or [3])
        rays = cameras_lib.rays(images.cameras[:, None], pixels)
        back = np.linalg.inv(images.scene_from_source)
        scale = np.cbrt(np.linalg.det(back[:3, :3]))
        origins = np.asarray(rays.origins) @ back[:3, :3].T + back[:3, 3]
        lines[kind] = np.concatenate([origins, np.asarray(rays.viewdirs) @ back[:3, :3].T / scale], axis=-1)
    for kind, line in lines.items():
        np.testing.assert_allclose(line, lines['blender'], atol=3e-5, err_msg=kind)


def test_normalised_frame_of_an_inward_capture(tmp_path):
    images = scenes.read(writers.colmap_text(tmp_path / 's', writers.truth()), test_every=0)
    pose = np.asarray(images.cameras.world_from_camera)
    np.testing.assert_allclose(normalize.focus(pose), 0, atol=1e-5)
    np.testing.assert_allclose((pose[:, :3, 3] ** 2).sum(-1).mean(), 1, rtol=1e-5)
    up = -pose[:, :3, 1].mean(0)
    np.testing.assert_allclose(up / np.linalg.norm(up), [0, 0, 1], atol=1e-5)
    assert not images.forward_facing


def test_splits_share_their_frame(tmp_path):
    folder = writers.colmap_text(tmp_path / 's', writers.truth())
    a, b = (scenes.read(folder, split=split) for split in ('train', 'test'))
    np.testing.assert_array_equal(a.scene_from_source, b.scene_from_source)
    assert (a.near, a.far) == (b.near, b.far)


def test_forward_facing_capture_fits_ndc(tmp_path):
    t = writers.truth(**PLAIN)
    poses = np.tile(np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]), (9, 1, 1))
    poses[:, :3, 3] = [[-4, 2 + 0.1 * (k % 3), 3 + 0.1 * (k // 3)] for k in range(9)]
    t = writers.dataclasses.replace(t, poses=poses)
    images = scenes.read(writers.llff(tmp_path / 's', t), test_every=0)
    assert images.forward_facing
    mean = normalize.mean_pose(np.asarray(images.cameras.world_from_camera, np.float64))
    np.testing.assert_allclose(mean, np.eye(4), atol=1e-5)
    depth = (t.points[None] - poses[:, None, :3, 3]) @ [1, 0, 0]
    np.testing.assert_allclose(np.cbrt(np.linalg.det(images.scene_from_source[:3, :3])), 1 / (0.75 * depth.min()))
    points = t.points @ images.scene_from_source[:3, :3].T + images.scene_from_source[:3, 3]
    assert points[:, 2].min() > 1.3
    assert not scenes.read(tmp_path / 's', capture='inward').forward_facing


def test_a_short_orbit_is_no_forward_facing_capture(tmp_path):
    t = writers.truth(n=60)
    arc = writers.dataclasses.replace(t, poses=t.poses[:6], sizes=t.sizes[:6], images=t.images[:6])
    images = scenes.read(writers.colmap_text(tmp_path / 's', arc), test_every=0)
    assert np.linalg.norm(arc.poses[:, :3, 2].mean(0)) > 0.95
    assert not images.forward_facing
    np.testing.assert_allclose(normalize.focus(np.asarray(images.cameras.world_from_camera)), 0, atol=1e-4)


def test_reduced_copies_and_factor(tmp_path):
    t = writers.truth(**PLAIN)
    folder = writers.llff(tmp_path / 's', t, full=8, suffix='_8')
    copies = scenes.read(folder, factor=8, test_every=0)
    np.testing.assert_array_equal(copies.images[2], t.images[2])
    np.testing.assert_allclose(copies.cameras.focal, t.focal, rtol=1e-6)
    further = scenes.read(folder, factor=16, test_every=0)
    np.testing.assert_array_equal(further.images[2], resample.area_downscale(t.images[2], 2))
    np.testing.assert_allclose(further.cameras.focal, t.focal / 2, rtol=1e-6)
    np.testing.assert_allclose(further.cameras.center, t.center / 2, rtol=1e-6)
    with pytest.raises(InputError, match='images_8'):
        scenes.read(folder)


def test_odd_sizes_are_cropped_and_rays_stay(tmp_path):
    folder = writers.nerfstudio(tmp_path / 's', writers.truth())
    whole, third = scenes.read(folder, test_every=0), scenes.read(folder, test_every=0, factor=3)
    np.testing.assert_array_equal(third.cameras.size, np.asarray(whole.cameras.size) // 3)
    a = cameras_lib.rays(whole.camera(1), jnp.asarray([4.5, 7.5]))
    b = cameras_lib.rays(third.camera(1), jnp.asarray([1.5, 2.5]))
    np.testing.assert_allclose(a.directions, b.directions, atol=1e-6)


def test_masks_by_format(tmp_path):
    t = writers.truth(**PLAIN)
    shape = np.zeros((16, 20, 1), np.uint8)
    shape[4:8, 5:9] = 255
    for write, stem in ((writers.llff, '{}'), (writers.colmap_binary, '{}.png')):
        folder = write(tmp_path / write.__name__, t)
        (folder / 'masks').mkdir()
        for k in range(9):
            writers.io.write(folder / 'masks' / stem.format(writers.name(k)), shape)
        images = scenes.read(folder)
        np.testing.assert_array_equal(images.masks[3], shape[..., 0])
        assert scenes.read(folder, factor=2).masks[0].shape == (8, 10)
        (folder / 'masks' / stem.format(writers.name(5))).unlink()
        with pytest.raises(InputError, match='masks'):
            scenes.read(folder)


def test_instant_ngp_unit_cube(tmp_path):
    t = writers.truth()
    folder = writers.nerfstudio(tmp_path / 's', t, aabb_scale=2, scale=0.2, offset=[0.1, 0.2, 0.3])
    images = scenes.read(folder, test_every=0)
    in_cube = (np.asarray(images.cameras.world_from_camera)[:, :3, 3] + 1) / 2
    np.testing.assert_allclose(in_cube, 0.2 * t.poses[:, :3, 3] + [0.1, 0.2, 0.3], atol=1e-5)
    assert_agree(images, t, range(9))


def test_nerfstudio_lists_of_splits(tmp_path):
    names = [f'images/{writers.name(k)}' for k in range(9)]
    lists = {'train_filenames': names[:6], 'val_filenames': ['./' + names[6]], 'test_filenames': names[7:]}
    folder = writers.nerfstudio(tmp_path / 's', writers.truth(), **lists)
    assert scenes.read(folder, split='val').names == (names[6],)
    assert scenes.read(folder, split='test').names == tuple(names[7:])


def test_split_folders_of_deepvoxels(tmp_path):
    t = writers.truth(**PLAIN)
    for split in ('train', 'test'):
        writers.voxels(tmp_path / split / 'vase', t)
    assert len(scenes.read(tmp_path / 'train' / 'vase', split='test')) == 9
    assert len(scenes.read(tmp_path / 'test' / 'vase', split='train')) == 9
    with pytest.raises(InputError, match="no images for split 'val'"):
        scenes.read(tmp_path / 'train' / 'vase', split='val')


def test_blender_near_and_far_follow_the_cameras(tmp_path, data_root):
    chair = scenes.read(data_root / 'nerf_synthetic' / 'chair', split='val')
    assert (chair.near, chair.far, chair.has_alpha, len(chair)) == (2.0, 6.0, True, 25)
    head = scenes.read(data_root / 'llff' / 'bronze_head', split='test', factor=16)
    assert (len(head), head.images[0].shape, len(head.masks)) == (9, (250, 250, 3), 9)
    rays = cameras_lib.rays(head.cameras, head.cameras.center)
    np.testing.assert_allclose(rays.origins + rays.directions, 0, atol=0.12)


PARAMETERS = {
    'SIMPLE_PINHOLE': [30, 10, 8],
    'PINHOLE': [30, 31, 10, 8],
    'SIMPLE_RADIAL': [30, 10, 8, 0.05],
    'RADIAL': [30, 10, 8, 0.05, -0.02],
    'OPENCV': [30, 31, 10, 8, 0.05, -0.02, 0.01, 0.003],
    'FULL_OPENCV': [30, 31, 10, 8, 0.05, -0.02, 0.01, 0.003, 0.002, 0, 0, 0],
    'OPENCV_FISHEYE': [30, 31, 10, 8, 0.05, -0.02, 0.01, 0.003],
    'SIMPLE_RADIAL_FISHEYE': [30, 10, 8, 0.05],
    'RADIAL_FISHEYE': [30, 10, 8, 0.05, -0.02],
    'SIMPLE_FISHEYE': [30, 10, 8],
    'FISHEYE': [30, 31, 10, 8],
}


@pytest.mark.parametrize('model', PARAMETERS)
def test_camera_models_agree_with_colmap(model):
    pycolmap = pytest.importorskip('pycolmap')
    params = PARAMETERS[model]
    if not hasattr(pycolmap.CameraModelId, model):
        pytest.skip(f'this pycolmap has no {model}')
    theirs = pycolmap.Camera(model=model, width=20, height=16, params=params)
    kind, values = colmap_scenes.lens(colmap.Intrinsics(model, (20, 16), tuple(map(float, params))), 'here')
    values = np.asarray(values, np.float32)
    ours = cameras_lib.Camera(
        jnp.eye(4), values[:2], values[2:4], values[4:], jnp.asarray([20, 16], jnp.int32), model=kind
    )
    points = np.array([[0.1, -0.2, 1.0], [0.3, 0.25, 1.1], [-0.33, 0.02, 0.9]])
    expected = theirs.img_from_cam(points)
    pixels, _ = cameras_lib.project(ours, jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(pixels, expected, atol=1e-4)


def test_reads_what_pycolmap_writes(tmp_path):
    pycolmap = pytest.importorskip('pycolmap')
    t = writers.truth()
    folder = writers.colmap_text(tmp_path / 's', t)
    model = pycolmap.Reconstruction(str(folder / 'sparse' / '0'))
    binary = tmp_path / 'binary'
    binary.mkdir()
    model.write_binary(str(binary))
    a, b = colmap.read_model(folder / 'sparse' / '0'), colmap.read_model(binary)
    assert a.cameras == b.cameras
    assert [p.name for p in a.photos] == [p.name for p in b.photos]
    for p, q in zip(a.photos, b.photos):
        np.testing.assert_allclose(p.quaternion * np.sign(p.quaternion[0]), q.quaternion * np.sign(q.quaternion[0]))
        np.testing.assert_allclose(p.translation, q.translation)
    np.testing.assert_allclose(a.points, b.points)
    np.testing.assert_array_equal(a.colors, b.colors)


@pytest.mark.parametrize('write', [writers.colmap_text, writers.colmap_binary])
def test_points_of_a_sparse_model_come_with_their_colours(tmp_path, write):
    t = writers.truth()
    found = colmap_scenes.cloud(write(tmp_path / 's', t))
    np.testing.assert_allclose(found.positions, t.points, atol=1e-6)
    np.testing.assert_array_equal(found.features, np.tile([1.0, 0, 0], (len(t.points), 1)))
    with pytest.raises(InputError, match='no COLMAP model'):
        colmap_scenes.cloud(tmp_path)
