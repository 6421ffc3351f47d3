"""Neural textures as a program: its flag files, and what is read and made before anything is learned."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments import captures, neural_texture
from neurend import config
from neurend.checks import InputError
from neurend.models.neural_texture.config import NeuralTextureConfig, ShellConfig
from tests.data import writers

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SCENE = captures.ObjectConfig


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('neural_texture_*.flags')), ids=lambda path: path.stem)
def test_flag_files_say_how_to_run_and_can_be_read(path):
    assert path.read_text().startswith('# ')
    config.parse(neural_texture.Config, f'--flagfile={path}')


@pytest.fixture(scope='module')
def capture(tmp_path_factory):
    """A COLMAP model whose points are on a ball, with a mask that shows the left half of every picture."""
    points = np.random.default_rng(0).normal(size=(900, 3))
    points = np.array([1.0, 2.0, 3.0]) + points / np.linalg.norm(points, axis=-1, keepdims=True)
    truth = writers.truth(mixed=False, distorted=False)
    folder = writers.colmap_text(tmp_path_factory.mktemp('colmap'), dataclasses.replace(truth, points=points))
    (folder / 'masks').mkdir()
    mask = np.repeat(np.uint8([[255, 0]]), 10, axis=1).repeat(16, axis=0)
    for k in range(len(truth)):
        writers.io.write(folder / 'masks' / writers.name(k), mask[..., None])
    return folder


def settings(folder, **scene):
    return neural_texture.Config(data_dir=str(folder), scene=SCENE(**scene), model=NeuralTextureConfig(crop=0))


def test_masks_say_what_is_learned(capture, tmp_path):
    pytest.importorskip('fast_simplification', reason="needs the extra 'mesh'")
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    whole = dataclasses.replace(settings(capture, test_every=3), proxy='points')
    cut = dataclasses.replace(whole, scene=SCENE(test_every=3, masks='background'))
    for given, channels in ((whole, 3), (cut, 4)):
        setup = neural_texture.build(given)
        assert (len(setup.train), len(setup.test)) == (6, 3)
        assert {image.shape for image in (*setup.train.images, *setup.test.images)} == {(16, 20, channels)}
        assert len(setup.mesh.faces) > 100 and setup.mesh.uvs is not None
    for image in setup.test.images:
        assert (image[:, :10, 3] == 255).all() and not image[:, 10:, 3].any()
    plain = writers.colmap_text(tmp_path / 'plain', writers.truth(mixed=False, distorted=False))
    with pytest.raises(InputError, match='masks: the images have none to cut the object out by'):
        neural_texture.build(settings(plain, masks='background'))


def test_what_cannot_be_learned_is_said_before_any_geometry_is_made(capture):
    with pytest.raises(InputError, match='model.crop: got 64, expected at most 16, a side of the pictures, or 0'):
        neural_texture.build(dataclasses.replace(settings(capture), model=NeuralTextureConfig(crop=64)))
    large = dataclasses.replace(NeuralTextureConfig().texture, side=2**18)
    with pytest.raises(InputError, match='side, channels: got 262144 and 16, a texture that takes'):
        neural_texture.build(dataclasses.replace(settings(capture), model=NeuralTextureConfig(texture=large)))
    with pytest.raises(InputError, match='--model.shells: count: got 0 shells'):
        config.parse(neural_texture.Config, '--model.shells.count=0')
    with pytest.raises(InputError, match='--model.network: depth: got 0, expected at least 1'):
        config.parse(neural_texture.Config, '--model.network.depth=0')


def test_shells_of_a_mesh_whose_texture_repeats_are_unwrapped(capture, tmp_path, capsys):
    pytest.importorskip('xatlas', reason="needs the extra 'mesh'")
    path = tmp_path / 'wide.obj'
    corners = ['v 0 0 0', 'v 1 0 0', 'v 1 1 0', 'v 0 1 1', 'vt -0.5 0.1', 'vt 0.4 0.1', 'vt 0.4 0.9', 'vt -0.4 0.9']
    path.write_text('\n'.join([*corners, 'f 1/1 2/2 3/3', 'f 1/1 3/3 4/4']) + '\n')
    model = NeuralTextureConfig(opacity='texture', shells=ShellConfig(3, 0.05))
    setup = neural_texture.build(dataclasses.replace(settings(capture), mesh=str(path), model=model))
    assert setup.mesh.uvs is not None and setup.mesh.uvs.min() >= 0 and setup.mesh.uvs.max() <= 1
    assert 'it is unwrapped' in (said := capsys.readouterr()).out + said.err
