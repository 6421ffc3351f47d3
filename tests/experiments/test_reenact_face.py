"""Reenactment of faces: conditions agree with the tracking, and a run from frames to videos."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import reenact_face
from experiments.face_drawing import artist, surface_of
from experiments.reenact_face import Config
from experiments.toy_head import toy_head
from neurend import config
from neurend.checks import InputError
from neurend.data import tracked_head
from neurend.data.clips import Clip
from neurend.data.tracked_head import Performance
from neurend.geometry import cameras
from neurend.images import io, video
from neurend.models.pix2pix.config import DiscriminatorConfig, GeneratorConfig, Pix2PixConfig
from neurend.models.reenactment import face_conditions

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def _overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def _filmed(image, background):
    return np.abs(image.astype(int) - background).max(-1) > 25


def _check_tracking(head, size, frames, *, overlap, nose):
    """Silhouettes cover the filmed head, and the landmarks of the nose lie on the surface that the pixels show."""
    surface = surface_of(head.mesh)
    camera = jax.tree.map(jnp.asarray, head.camera)

    @jax.jit
    def maps_of(expression, pose):
        points = tracked_head.pose(head.mesh, expression, pose)
        marks, depths = cameras.project(camera, points[head.mesh.landmarks])
        return face_conditions.face_maps(surface, camera, points, width=size, height=size), marks, depths

    for k in frames:
        pose = head.performance.world_from_head[k]
        maps, marks, depths = jax.device_get(maps_of(head.performance.expressions[k], pose))
        assert _overlap(maps.mask, _filmed(head.images[k], head.background)) > overlap
        column, row = marks[27:31].astype(int).T
        assert maps.mask[row, column].all()
        np.testing.assert_allclose(maps.depth[row, column], depths[27:31], atol=nose)


def test_conditions_of_the_procedural_head_follow_its_tracking():
    _check_tracking(toy_head(3, 64), 64, range(3), overlap=0.97, nose=0.3)


@pytest.mark.slow
def test_conditions_of_the_filmed_head_follow_its_tracking(data_root):
    # Centimetres; pixels are a ninth of one wide, and the nose is steep.
    head = tracked_head.read(data_root / 'talking_head')
    _check_tracking(head, 256, (0, 150, 399), overlap=0.99, nose=0.3)


@pytest.mark.parametrize('name', ['reenact_face_talking_head', 'reenact_face_talking_head_quick'])
def test_flag_files_say_how_to_run_and_can_be_read(name):
    path = CONFIGS / f'{name}.flags'
    assert path.read_text().startswith('# ')
    config.parse(Config, f'--flagfile={path}')


def test_batches_pair_each_frame_with_its_own_window():
    frames = np.arange(6, dtype=np.uint8)[:, None, None, None]
    clip = Clip('clip', np.tile(frames, (1, 4, 4, 3)), np.tile(10 * frames, (1, 4, 4, 2)))
    for count in (1, 2):
        source = reenact_face.source(Config(window=3, batch=64, model=Pix2PixConfig(frames=count)), clip)
        batch = source.draw(jax.random.key(0), source.data)
        condition, image = (np.rint(255 * np.asarray(x)).astype(int) for x in (batch.condition, batch.image))
        condition, image = condition[..., 0, 0, :].reshape(-1, 6), image[..., 0, 0, 0].reshape(-1)
        now = np.stack([image, np.maximum(image - 1, 0), np.maximum(image - 2, 0)], -1)
        if count == 1:  # the first frame is repeated
            np.testing.assert_array_equal(condition[:, ::2], 10 * now)
            assert set(image) == set(range(6))
        np.testing.assert_array_equal(condition[:, 0], 10 * image)


def test_drivers(tmp_path):
    head = toy_head(5, 64)
    own = reenact_face.driver(Config(exaggeration=2.0), head)
    np.testing.assert_allclose(own.expressions[0, 0], min(2 * head.performance.expressions[4, 0], 1))
    # A head that turns to its left in the film turns to its right here.
    np.testing.assert_allclose(own.world_from_head[0, 0, 2], -head.performance.world_from_head[4, 0, 2], atol=1e-6)
    path = tmp_path / 'other.npz'
    np.savez(path, expressions=[[0.5]], expression_names=['jawOpen'], head_to_world=np.eye(4)[None])
    told = reenact_face.driver(Config(driver=str(path)), head).expressions
    np.testing.assert_array_equal(told, 0.5 * np.eye(1, len(head.names)))


def test_bad_input():
    with pytest.raises(InputError, match='--texture: got 100'):
        Config(texture=100)
    with pytest.raises(InputError, match='--size, --window: got 256 and 0'):
        Config(window=0)
    with pytest.raises(InputError, match=r'nowhere.*does not exist'):
        reenact_face.main(Config(data_dir='nowhere'))


def test_a_missing_driver_is_told_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reenact_face, 'read', lambda config: toy_head(5, 64))
    monkeypatch.setattr(reenact_face.translation, 'train', lambda *_, **__: pytest.fail('trained'))
    with pytest.raises(InputError, match=r'^tracking nope\.npz: does not exist'):
        reenact_face.main(Config(driver='nope.npz', workdir=str(tmp_path)))
    told = 'procedural head, no --data_dir given: 4 frames to learn from, 1 held out'
    assert capsys.readouterr().err.splitlines() == [told]


@pytest.mark.slow
def test_a_run_from_frames_to_videos(tmp_path):
    model = Pix2PixConfig(
        GeneratorConfig(width=8, depth=3, dropout=0.0), DiscriminatorConfig(width=8, layers=1), learning_rate=2e-3
    )
    settings = Config(
        workdir=str(tmp_path),
        size=32,
        texture=64,
        condition='both',
        window=2,
        model=model,
        run=reenact_face.RunConfig(steps=300, log_every=50, evaluate_every=0, checkpoint_every=0),
    )
    table, head = reenact_face.main(settings), reenact_face.read(settings)
    held_out = head.images[head.train :].astype(float) / 255
    mean = held_out.mean((1, 2), keepdims=True)
    plain = np.mean(-10 * np.log10(np.mean((held_out - mean) ** 2, axis=(1, 2, 3))))
    assert len(table.rows) == len(head) - head.train and table.mean['psnr'] > plain + 5
    told = json.loads((tmp_path / 'evaluation_test' / 'evaluation.json').read_text())['baselines']
    assert set(told) == {'mean frame', 'nearest frame by landmarks', 'colour of the condition'}
    driven, other = (list(video.read(tmp_path / f'{name}.mp4')) for name in ('driven', 'reenacted'))
    assert len(driven) == len(other) == len(head) - head.train
    # The last third of the first video is the truth.
    assert np.abs(driven[0][:, 64:].astype(float) - head.images[head.train]).mean() < 12
    assert io.read(tmp_path / 'evaluation_test' / 'contact_sheet.png').size
    # Landmarks alone are the lines that lie beside the mesh in what was learned from.
    some = Performance(*(each[:2] for each in head.performance))
    both, lines = (artist(head, kind, background=False, texels=64)(some) for kind in ('both', 'landmarks'))
    assert both.conditions.shape == (2, 32, 32, 12) and lines.conditions.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(lines.conditions[..., :1], both.conditions[..., 11:])
