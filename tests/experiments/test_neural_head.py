"""Neural textures of heads: what is measured of their motion, what drives them, and a run from frames to videos."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import head_motion, neural_head
from experiments.face_drawing import surface_of
from experiments.neural_head import Config
from experiments.toy_head import toy_head
from neurend import config
from neurend.checks import InputError
from neurend.data import tracked_head
from neurend.data.tracked_head import Performance
from neurend.geometry import cameras
from neurend.images import io, video
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.models.reenactment import face_conditions

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SIZE = 48


@pytest.fixture(scope='module')
def head():
    return toy_head(10, SIZE)


def test_the_flag_file_says_how_to_run_and_can_be_read():
    path = CONFIGS / 'neural_head_talking_head.flags'
    assert path.read_text().startswith('# ')
    config.parse(Config, f'--flagfile={path}')


@pytest.mark.slow
def test_colours_that_move_with_the_mesh_do_not_flicker(head):
    surface, camera = surface_of(head.mesh), jax.tree.map(jnp.asarray, head.camera)

    @jax.jit
    def painted(expression, pose):
        points = tracked_head.pose(head.mesh, expression, pose)
        maps = face_conditions.face_maps(surface, camera, points, width=SIZE, height=SIZE)
        return jnp.where(maps.mask[..., None], maps.code, 0.2)

    moves = Performance(*(each[::6] for each in toy_head(48, SIZE).performance))
    frames = [np.asarray(painted(*each)) for each in zip(*moves)]
    steady = head_motion.flicker(head, moves, frames)
    assert len(steady) == len(frames) - 1 == 7
    # Carried along by no motion, or by that of another time, the same frames differ; what is left are outlines.
    still, wrong = (Performance(*(each[order] for each in moves)) for order in (np.zeros(8, int), np.arange(8)[::-1]))
    assert np.mean(steady) < 0.4 * np.mean(head_motion.flicker(head, still, frames))
    assert np.mean(steady) < 0.4 * np.mean(head_motion.flicker(head, wrong, frames))


@pytest.mark.slow
def test_a_brightness_that_changes_is_all_flicker(head):
    frames = [np.full((SIZE, SIZE, 3), 0.5 + 0.1 * (k % 2), np.float32) for k in range(10)]
    np.testing.assert_allclose(head_motion.flicker(head, head.performance, frames), 0.1, atol=1e-5)


def test_mouth_masks_hold_the_lips_and_no_eyes(head):
    masks = head_motion.mouth_masks(head, head.performance)
    camera = jax.tree.map(jnp.asarray, head.camera)
    for mask, frame in zip(masks, zip(*head.performance)):
        points = tracked_head.pose(head.mesh, *frame)
        marks = np.floor(np.asarray(cameras.project(camera, points[head.mesh.landmarks])[0])).astype(int)
        assert mask[marks[48:, 1], marks[48:, 0]].all() and not mask[marks[36:48, 1], marks[36:48, 0]].any()
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        width = np.ptp(marks[48:, 0])
        # Five thirds of the width of the lips, but for rounding.
        assert abs(len(columns) - 5 / 3 * width) < 3 and mask.sum() == 255 * len(rows) * len(columns)


def test_the_gap_between_the_lips_is_that_of_the_posed_mesh(head):
    gaps = head_motion.gap(head.mesh, head.performance)
    for gap, frame in zip(gaps, zip(*head.performance)):
        points = np.asarray(tracked_head.pose(head.mesh, *frame))[head.mesh.landmarks]
        assert gap == pytest.approx(np.linalg.norm(points[62] - points[66]), rel=1e-4)
    told = np.eye(2, len(head.names), -1, np.float32)
    shut, opened = head_motion.gap(head.mesh, Performance(told, head.performance.world_from_head[:2]))
    assert opened > shut + 0.5


def test_drivers_move_the_face_and_not_the_head(head, tmp_path):
    own = neural_head.driver(Config(exaggeration=2.0), head)
    np.testing.assert_allclose(own.expressions[:, 0], np.minimum(2 * head.performance.expressions[8:, 0], 1))
    np.testing.assert_array_equal(own.world_from_head, head.performance.world_from_head[8:])
    path = tmp_path / 'other.npz'
    expressions = np.linspace(0, 1, 5, dtype=np.float32)[:, None]
    np.savez(path, expressions=expressions, expression_names=['jawOpen'], head_to_world=np.tile(np.eye(4), (5, 1, 1)))
    other = neural_head.driver(Config(driver=str(path)), head)
    np.testing.assert_array_equal(other.expressions[:, 0], expressions[:, 0])
    assert not other.expressions[:, 1:].any()
    np.testing.assert_array_equal(other.world_from_head, head.performance.world_from_head[[8, 9, 9, 8, 8]])
    # The mouth opens as it is told, whoever tells it.
    gaps = head_motion.gap(head.mesh, other)
    assert (np.diff(gaps) > 0.1).all() and gaps[-1] > gaps[0] + 0.5
    (tmp_path / 'film').mkdir()
    path.rename(tmp_path / 'film' / 'tracking.npz')
    again = neural_head.driver(Config(driver=str(tmp_path / 'film')), head)
    np.testing.assert_array_equal(again.expressions, other.expressions)


def test_bad_input(tmp_path, monkeypatch):
    with pytest.raises(InputError, match='--size: got 8'):
        Config(size=8)
    with pytest.raises(InputError, match='--mean_texture: got 100'):
        Config(mean_texture=100)
    with pytest.raises(InputError, match=r'nowhere.*does not exist'):
        neural_head.main(Config(data_dir='nowhere', workdir=str(tmp_path)))
    monkeypatch.setattr(neural_head, 'read', lambda config: toy_head(5, 32))
    monkeypatch.setattr(neural_head.loop, 'fit', lambda *_, **__: pytest.fail('trained'))
    with pytest.raises(InputError, match=r'^tracking nope\.npz: does not exist'):
        neural_head.main(Config(driver='nope.npz', size=32, workdir=str(tmp_path)))


@pytest.mark.slow
def test_a_run_from_frames_to_videos(tmp_path, monkeypatch):
    film = toy_head(60, 32)
    monkeypatch.setattr(neural_head, 'read', lambda config: film)
    model = NeuralTextureConfig(TextureConfig(64), NetworkConfig(unet=8, depth=3, width=16), crop=0)
    run = neural_head.RunConfig(steps=200, log_every=100, evaluate_every=0, checkpoint_every=0)
    table = neural_head.main(Config(workdir=str(tmp_path), size=32, mean_texture=64, model=model, run=run))
    assert len(table.rows) == 12
    for name in ('mean frame', 'nearest frame by landmarks', 'colour of the condition'):
        assert table.mean['psnr'] > table.baselines[name]['psnr']
    assert table.mean['psnr_masked'] > table.baselines['colour of the condition']['psnr_masked'] + 1
    assert table.mean['warp_error'] < 1.5 * table.mean['warp_error_truth']
    assert 'warp_error' not in table.rows['0048'] and 'warp_error' in table.rows['0049']
    told = json.loads((tmp_path / 'evaluation_test' / 'evaluation.json').read_text())
    assert told['mean']['warp_error_truth'] > 0 and set(told['protocol']['gap between the lips, units of the mesh'])
    driven, other = (list(video.read(tmp_path / f'{name}.mp4')) for name in ('driven', 'reenacted'))
    assert len(driven) == len(other) == 12 and driven[0].shape == (32, 96, 3) and other[0].shape == (32, 64, 3)
    # The last third of the first video is the truth.
    assert np.abs(driven[0][:, 64:].astype(float) - film.images[48]).mean() < 12
    assert io.read(tmp_path / 'evaluation_test' / 'contact_sheet.png').size
