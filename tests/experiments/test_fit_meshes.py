"""Shapes and poses from pictures, as programs: the embedded examples, and the figures that are promised."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import fit_pose, fit_shape
from neurend import config
from neurend.checks import InputError
from neurend.data import posed
from neurend.geometry import cameras, paths
from neurend.images import io
from neurend.scenes import mesh_files

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PROGRAMS = {'fit_shape_bunny': fit_shape, 'fit_shape_spot': fit_shape, 'fit_pose_spot': fit_pose}


def _settings(name, *options):
    return config.parse(PROGRAMS[name].Config, f'--flagfile={CONFIGS / f"{name}.flags"}', *options)


@pytest.mark.parametrize('name', PROGRAMS)
def test_flag_files_say_how_to_run_and_can_be_read(name):
    assert (CONFIGS / f'{name}.flags').read_text().startswith('# ')
    _settings(name)


def test_silhouettes_are_masks_or_alpha():
    camera = jax.tree.map(np.asarray, cameras.make(paths.sphere(2, radius=3.0), 20.0, size=(8, 8)))
    rgba = [np.full((8, 8, 4), k, np.uint8) for k in (10, 20)]
    masks = tuple(np.full((8, 8), k, np.uint8) for k in (30, 40))

    def images(pictures, masks):
        return posed.PosedImages(('a', 'b'), tuple(pictures), camera, masks, 1.0, 5.0, np.eye(4))

    assert fit_shape.from_images(images(rgba, None)).mask[:, 0, 0].tolist() == [10, 20]
    assert fit_shape.from_images(images(rgba, masks)).mask[:, 0, 0].tolist() == [30, 40]
    with pytest.raises(InputError, match='neither masks nor alpha'):
        fit_shape.from_images(images([image[..., :3] for image in rgba], None))


def test_bad_input():
    with pytest.raises(InputError, match='got both'):
        fit_shape.build(fit_shape.Config(mesh='a.obj', data_dir='b'))
    with pytest.raises(InputError, match='got one of them'):
        fit_pose.main(fit_pose.Config(mesh='a.obj'))
    with pytest.raises(InputError, match='--starts: got 0'):
        fit_pose.main(fit_pose.Config(starts=0))


@pytest.mark.slow
def test_a_box_is_found_and_shown(tmp_path):
    report = fit_pose.main(fit_pose.Config(workdir=str(tmp_path), starts=3))
    assert report['worst_degrees'] < 0.1 and report['rotation_before_degrees'] == pytest.approx(20, rel=1e-3)
    # The mesh lies over the picture at the end, not at the start.
    picture, start, end = np.split(io.read(tmp_path / 'overlay.png').astype(int), 3, axis=1)
    object_pixels = (picture < 200).all(-1)
    covered = [(abs(panel - picture).max(-1) > 30) for panel in (start, end)]
    overlaps = [(object_pixels & each).sum() / (object_pixels | each).sum() for each in covered]
    assert overlaps[1] > 0.95 > overlaps[0]


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_the_bunny_is_found_from_a_sphere_by_24_silhouettes(data_root, tmp_path):
    mesh = data_root / 'meshes' / 'stanford-bunny.obj'
    report = fit_shape.main(
        _settings(
            'fit_shape_bunny',
            f'--mesh={mesh}',
            f'--workdir={tmp_path}',
            '--steps=200',
            '--size=64',
            '--evaluate_every=0',
            '--frames=0',
        )
    )
    assert report['chamfer_ratio'] > 15
    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert next(line for line in lines if line['kind'] == 'evaluation')['iou'] > 0.93
    low, high = (reduce(mesh_files.read(tmp_path / 'fit.obj').vertices, axis=0) for reduce in (np.min, np.max))
    assert np.abs(high - low).max() == pytest.approx(1, abs=0.03)


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_spot_is_found_by_the_alpha_of_path_traced_views(data_root, tmp_path):
    # Before the mesh is divided: that it gets finer is shown with the bunny.
    less = ('--steps=145', '--views=12', '--factor=4', '--subdivisions=2', '--evaluate_every=0', '--frames=0')
    settings = _settings('fit_shape_spot', f'--data_dir={data_root / "spot_views"}', f'--workdir={tmp_path}', *less)
    fit_shape.main(settings)
    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert [line for line in lines if line['kind'] == 'evaluation'][-1]['iou'] > 0.8  # the sphere has 0.55


@pytest.mark.slow
def test_the_pose_of_spot_is_found_from_20_degrees_off(data_root, tmp_path):
    mesh = data_root / 'meshes' / 'spot_triangulated.obj'
    report = fit_pose.main(
        _settings('fit_pose_spot', f'--mesh={mesh}', f'--data_dir={data_root / "spot_views"}', f'--workdir={tmp_path}')
    )
    assert report['rotation_after_degrees'] < 0.05 and report['translation_after_percent'] < 0.05
    assert report['succeeded'] >= 0.9
