"""TFDS datasets of posed images: what is read back is what was stored, and no TensorFlow is imported for it."""

import sys

import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import builder, scenes
from tests.data import writers


def assert_same(a, b):
    assert (a.names, a.near, a.far, a.forward_facing) == (b.names, b.near, b.far, b.forward_facing)
    jax.tree.map(np.testing.assert_array_equal, a.cameras, b.cameras)
    jax.tree.map(np.testing.assert_array_equal, (a.images, a.masks), (b.images, b.masks))
    np.testing.assert_array_equal(a.scene_from_source, b.scene_from_source)


@pytest.mark.parametrize('kind', ['mixed', 'masks'])
def test_round_trip(kind, tmp_path):
    t = writers.truth(mixed=kind == 'mixed')
    folder = writers.colmap_binary(tmp_path / 's', t)
    if kind == 'masks':
        (folder / 'masks').mkdir()
        for k in range(len(t)):
            writers.io.write(folder / 'masks' / writers.name(k), t.images[k][..., :1])
    else:
        rgba = np.concatenate([t.images[2], t.images[2][..., :1]], axis=-1)
        writers.io.write(folder / 'images' / writers.name(2), rgba)
    prepared = builder.posed_builder(folder, name=kind, data_dir=tmp_path / 'tfds')
    for split in ('train', 'test'):
        assert_same(builder.load(prepared, split), scenes.read(folder, split=split))
    assert 'tensorflow' not in sys.modules
    # Prepared once, read again without the scene.
    again = builder.posed_builder(tmp_path / 'gone', name=kind, data_dir=tmp_path / 'tfds')
    assert builder.load(again, 'test').names == (writers.name(0), writers.name(8))
    with pytest.raises(InputError, match='split'):
        builder.load(prepared, 'val')


def test_examples_decode_by_themselves(tmp_path):
    folder = writers.blender(tmp_path / 's', writers.truth(n=2, mixed=False, distorted=False))
    prepared = builder.posed_builder(folder, name='plain', data_dir=tmp_path / 'tfds', splits=('train',), factor=2)
    example = prepared.as_data_source(split='train')[1]
    images = scenes.read(folder, factor=2)
    np.testing.assert_array_equal(example['image'][..., :3], images.images[1])
    np.testing.assert_array_equal(example['world_from_camera'], images.cameras.world_from_camera[1])


def test_broken_scene_is_reported(tmp_path):
    with pytest.raises(InputError, match='no such folder'):
        builder.posed_builder(tmp_path / 'none', name='none', data_dir=tmp_path / 'tfds')
