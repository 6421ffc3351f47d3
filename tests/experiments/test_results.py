"""What is made of a trained run: tables, pictures, pages, videos."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments import evaluate, nerf, render, trained
from neurend import app
from neurend.checks import InputError
from neurend.data import synthetic
from neurend.geometry import poses
from neurend.images import io, video
from neurend.models.nerf.classic import ClassicConfig
from neurend.train.checkpoints import Checkpoints

TINY = ClassicConfig(depth=2, width=8, view_width=8, coarse_samples=4, fine_samples=4)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """A run of no steps: the initial state as its checkpoint."""
    root = tmp_path_factory.mktemp('results')
    scene = synthetic.write_scene(root / 'scene', size=16, train=6, val=1, test=3)
    settings = nerf.Config(data_dir=str(scene), workdir=str(root / 'run'), classic=TINY, memory_mb=300)
    app.write_record(settings, root / 'run', 'config.flags')
    setup = nerf.build(settings)
    checkpoints = Checkpoints(root / 'run' / 'checkpoints')
    checkpoints.save(jax.jit(setup.method.init)(jax.random.key(3)))
    checkpoints.close()
    return root / 'run'


def test_evaluation_writes_table_pictures_and_page(workdir, capsys):
    evaluate.main(evaluate.Config(workdir=str(workdir), pictures=2, orbit=3, quantize=True))
    folder = workdir / 'evaluation_test'
    stored = json.loads((folder / 'evaluation.json').read_text())
    assert len(stored['views']) == 3
    np.testing.assert_allclose(stored['mean']['psnr'], np.mean([row['psnr'] for row in stored['views'].values()]))
    assert {'psnr', 'ssim', 'ssim_uniform'} <= set(stored['mean'])
    assert stored['protocol'].items() >= {'background': 'white', 'size': '16 x 16', 'downscaling': 'none'}.items()
    assert (folder / 'evaluation.txt').read_text() == capsys.readouterr().out
    pictures = sorted(path.name for path in folder.glob('*_prediction.png'))
    assert len(pictures) == 2
    # The stored pictures are those that were measured.
    name = pictures[0].removesuffix('_prediction.png')
    truth, prediction = (io.read(folder / f'{name}_{kind}.png') / 255 for kind in ('truth', 'prediction'))
    row = next(row for view, row in stored['views'].items() if view.replace('/', '_') == name)
    np.testing.assert_allclose(row['psnr'], -10 * np.log10(np.mean((truth - prediction) ** 2)), rtol=1e-3)
    assert (folder / 'contact_sheet.png').exists()
    assert (folder / 'page.html').read_text().count('data:image/jpeg') == 3


def test_video_has_the_frames_asked_for(workdir, tmp_path):
    pytest.importorskip('av')
    config = render.Config(
        workdir=str(workdir), path=render.PathConfig(frames=3), output=str(tmp_path / 'a.mp4'), scale=2
    )
    render.main(config)
    frames = list(video.read(tmp_path / 'a.mp4'))
    assert len(frames) == 3 and frames[0].shape == (32, 32, 3)


@pytest.mark.parametrize('kind', ['orbit', 'ellipse', 'spline'])
def test_paths_look_at_the_scene(workdir, kind):
    scene = trained.load(str(workdir))[1].scene
    focus = np.asarray(poses.focus_point(scene.cameras.world_from_camera))
    way = render.camera_path(render.PathConfig(kind=kind, frames=7), scene)
    assert way.shape == (7, 4, 4) and way.dtype == np.float32
    rotations = way[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.swapaxes(1, 2), np.tile(np.eye(3), (7, 1, 1)), atol=1e-5)
    toward = focus - way[:, :3, 3]
    cosine = np.sum(way[:, :3, 2] * toward, -1) / np.linalg.norm(toward, axis=-1)
    assert cosine.min() > 0.9


def test_paths_from_files_are_in_the_frame_of_the_source(workdir, tmp_path):
    settings, setup, _ = trained.load(str(workdir))
    scene = setup.scene
    assert render.choose(render.PathConfig(), settings, scene) == 'orbit'
    assert render.choose(render.PathConfig(), settings, dataclasses.replace(scene, forward_facing=True)) == 'spiral'
    given = np.asarray(scene.cameras.world_from_camera)
    (tmp_path / 'path.json').write_text(json.dumps(given.tolist()))
    moved = dataclasses.replace(scene, scene_from_source=np.diag([2.0, 2.0, 2.0, 1.0]))
    way = render.camera_path(render.PathConfig(kind='file', file=str(tmp_path / 'path.json')), moved)
    np.testing.assert_allclose(way[:, :3, 3], 2 * given[:, :3, 3], rtol=1e-5)
    np.testing.assert_allclose(way[:, :3, :3], given[:, :3, :3], atol=1e-5)


def test_bad_input(workdir, tmp_path):
    with pytest.raises(InputError, match=r'config\.flags'):
        trained.load(str(tmp_path))
    with pytest.raises(InputError, match='holds no checkpoint'):
        trained.restore(trained.load(str(workdir))[1].method, tmp_path)
    with pytest.raises(InputError, match='--lpips_backbone'):
        evaluate.main(evaluate.Config(workdir=str(workdir), lpips='vgg'))
    with pytest.raises(InputError, match='--scale'):
        render.main(render.Config(workdir=str(workdir), scale=0))
    with pytest.raises(InputError, match=r'--path\.file'):
        render.camera_path(render.PathConfig(kind='file'), trained.load(str(workdir))[1].scene)
