"""Inverse rendering as a program: its flag files, and the embedded scene with disturbed cameras, on its hull."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import inverse_render
from experiments.refine_poses import PerturbConfig
from neurend import config
from neurend.images import io
from neurend.models.appearance import AppearanceConfig
from neurend.models.mesh.inverse import PARTS, InverseConfig
from neurend.scenes import mesh_files

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('inverse_render*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(inverse_render.Config, f'--flagfile={path}')


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_the_embedded_scene_is_learned_from_disturbed_cameras(tmp_path):
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    settings = inverse_render.Config(
        workdir=str(tmp_path),
        perturb=PerturbConfig(degrees=1.0, percent=1.0),
        inverse=InverseConfig(AppearanceConfig(texture=64, levels=3), parts=PARTS),
        views=2,
        steps=700,
        evaluate_every=0,
        frames=2,
    )
    table = inverse_render.main(settings)
    assert len(table.rows) == 20
    for known in table.baselines.values():
        assert table.mean['psnr'] > known['psnr'] + 2
    poses = json.loads((tmp_path / 'poses.json').read_text())
    assert poses['after']['rotation_degrees'] < 0.8 * poses['before']['rotation_degrees']
    assert np.shape(list(poses['world_from_camera'].values())) == (80, 4, 4)
    written = mesh_files.read(tmp_path / 'mesh.glb')
    np.testing.assert_array_equal(io.to_uint8(written.materials[0].texture), io.read(tmp_path / 'texture.png'))
    for name in ('turntable.mp4', 'page.html', 'evaluation_test/evaluation.json'):
        assert (tmp_path / name).stat().st_size > 1000
