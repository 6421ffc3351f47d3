"""Meshes that textures are learned on: what they are made of, and what is missing."""

import dataclasses

import numpy as np
import pytest

from experiments import proxy_meshes
from neurend.checks import InputError
from neurend.data import scenes
from neurend.geometry import cameras
from neurend.scenes import meshes
from tests.data import writers

MIDDLE = np.array([1.0, 2.0, 3.0])
PLAIN = {'mixed': False, 'distorted': False, 'square_pixels': True}


def ball(count, radius=1.0, seed=0):
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return MIDDLE + radius * points / np.linalg.norm(points, axis=-1, keepdims=True)


def capture(folder, points, write=writers.colmap_text):
    return scenes.read(write(folder, dataclasses.replace(writers.truth(**PLAIN), points=points)))


def in_source(images, points):
    back = np.linalg.inv(np.asarray(images.scene_from_source, np.float64))
    return np.asarray(points, np.float64) @ back[:3, :3].T + back[:3, 3]


@pytest.mark.parametrize('write', [writers.colmap_text, writers.colmap_binary])
def test_points_of_a_capture_are_those_of_its_files(tmp_path, write):
    points = ball(30)
    images = capture(tmp_path / 'scene', points, write)
    assert images.points.dtype == np.float32
    np.testing.assert_allclose(in_source(images, images.points), points, atol=1e-5)
    np.testing.assert_array_equal(images.subset([1, 2]).points, images.points)


def test_points_of_the_model_that_poses_are_of(tmp_path):
    points = ball(30)
    truth = dataclasses.replace(writers.truth(**PLAIN), points=points)
    folder = writers.colmap_text(writers.llff(tmp_path / 'scene', truth), truth)
    images = scenes.read(folder, format='llff')
    np.testing.assert_allclose(in_source(images, images.points), points, atol=1e-5)
    (folder / 'sparse' / '0' / 'points3D.txt').unlink()
    assert scenes.read(folder, format='llff').points is None


def test_a_mesh_of_points_goes_around_them(tmp_path):
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    stray = MIDDLE + [[40.0, 0, 0], [0, -30.0, 5.0], [0, 2.5, 60.0]]
    images = capture(tmp_path / 'scene', np.concatenate([ball(1500), stray]))
    mesh = meshes.check(proxy_meshes.make('points', '', images, texture=128))
    assert mesh.uvs is not None and 500 < len(mesh.faces) <= 10_000
    radii = np.linalg.norm(in_source(images, mesh.vertices) - MIDDLE, axis=-1)
    edge = 2 / 64
    assert abs(radii.mean() - 1) < 2 * edge and radii.min() > 1 - 8 * edge and radii.max() < 1 + 3 * edge


def test_points_on_the_background_are_left_out(tmp_path):
    own, far = ball(200), ball(200, radius=3.0)
    images = capture(tmp_path / 'scene', np.concatenate([own, far]))
    scale = np.cbrt(np.linalg.det(images.scene_from_source[:3, :3]))
    middle = images.scene_from_source[:3, :3] @ MIDDLE + images.scene_from_source[:3, 3]
    masks = []
    for k in range(len(images)):
        rays = cameras.rays(images.camera(k), cameras.pixel_centers(20, 16))
        toward = middle - np.asarray(rays.origins)
        along = (toward * np.asarray(rays.viewdirs)).sum(-1)
        # A little larger than the ball: pixels are coarse.
        masks.append(np.where((toward**2).sum(-1) - along**2 < (1.2 * scale) ** 2, np.uint8(255), np.uint8(0)))
    masked = dataclasses.replace(images, masks=tuple(masks))
    kept = in_source(images, proxy_meshes.subject_points(masked)) - MIDDLE
    assert (np.linalg.norm(kept, axis=-1) < 1.01).sum() == len(own)
    assert len(kept) < len(own) + 0.1 * len(far)
    nothing = dataclasses.replace(images, masks=tuple(np.zeros_like(mask) for mask in masks))
    with pytest.raises(InputError, match='none of 400 points is on all masks'):
        proxy_meshes.make('points', '', nothing, texture=64)


def test_captures_without_points_say_so(tmp_path):
    images = scenes.read(writers.blender(tmp_path / 'scene', writers.truth(**PLAIN)))
    with pytest.raises(InputError, match=r'--proxy=points: the capture has no points.*expected a COLMAP model'):
        proxy_meshes.make('points', '', images, texture=64)
    with pytest.raises(InputError, match=r'--mesh: got a\.obj with --proxy=points'):
        proxy_meshes.make('points', 'a.obj', images, texture=64)


def test_tiles_of_a_file_are_laid_side_by_side(tmp_path):
    """Two squares in tiles 1001 and 1002: none of their texels are the same, and both lie in the unit square."""
    lines = ['v 0 0 0', 'v 1 0 0', 'v 1 1 0', 'v 0 1 0', 'v 0 0 1', 'v 1 0 1', 'v 1 1 1', 'v 0 1 1']
    lines += [f'vt {u} {v}' for first in (0.1, 1.1) for u, v in ((first, 0.1), (first + 0.8, 0.1), (first + 0.8, 0.9))]
    lines += ['f 1/1 2/2 3/3', 'f 5/4 6/5 7/6']
    (tmp_path / 'tiles.obj').write_text('\n'.join(lines) + '\n')
    images = capture(tmp_path / 'scene', ball(30))
    mesh = proxy_meshes.make('mesh', str(tmp_path / 'tiles.obj'), images, texture=64)
    assert mesh.uvs is not None and mesh.uvs.min() >= 0 and mesh.uvs.max() <= 1
    first, second = (np.asarray(mesh.uvs)[face] for face in np.asarray(mesh.uv_faces))
    np.testing.assert_allclose(second - first, np.broadcast_to([0.5, 0], (3, 2)), atol=1e-6)
    assert first[:, 0].max() < 0.5


def test_unsound_layouts_are_named(tmp_path, capsys):
    images = capture(tmp_path / 'scene', ball(30))
    path = tmp_path / 'mirrored.obj'
    corners = ['v 0 0 0', 'v 1 0 0', 'v 1 1 0', 'v 0 1 1', 'vt 0.1 0.1', 'vt 0.9 0.1', 'vt 0.9 0.9']
    path.write_text('\n'.join([*corners, 'f 1/1 2/2 3/3', 'f 1/1 2/2 4/3']) + '\n')
    proxy_meshes.make('mesh', str(path), images, texture=64)
    said = capsys.readouterr()
    assert 'mirrored.obj: 100% of the texels in use belong to several faces' in said.out + said.err
    path.write_text('\n'.join([*corners, 'f 1/1 2/2 3/3', 'f 1 2 4']) + '\n')
    with pytest.raises(InputError, match='got 1 of 2 faces without UVs, expected none'):
        proxy_meshes.make('mesh', str(path), images, texture=64)
