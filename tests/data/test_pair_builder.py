"""TFDS datasets of pairs: what is read back is what was stored, and no TensorFlow is imported for it."""

import sys

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import pair_builder, pairs
from neurend.images import io


def random_pairs(channels, count=3, seed=0, sizes=None):
    rng = np.random.default_rng(seed)
    sizes = sizes or [(8 + k, 12) for k in range(count)]
    return pairs.Pairs(
        names=tuple(f'p{k}' for k in range(count)),
        conditions=tuple(rng.integers(0, 256, (*size, channels), np.uint8) for size in sizes),
        images=tuple(rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes),
    )


def assert_same(a, b):
    assert a.names == b.names
    for left, right in zip((*a.conditions, *a.images), (*b.conditions, *b.images)):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_round_trip_is_exact(channels, tmp_path):
    truth = {'train': random_pairs(channels), 'val': random_pairs(channels, count=12, seed=1)}
    prepared = pair_builder.pair_builder(truth.__getitem__, name=f'c{channels}', data_dir=tmp_path)
    for split, expected in truth.items():
        assert_same(pair_builder.load(prepared, split), expected)
    assert 'tensorflow' not in sys.modules

    def gone(split):
        raise AssertionError(f'{split} is read again')

    again = pair_builder.pair_builder(gone, name=f'c{channels}', data_dir=tmp_path)
    assert_same(pair_builder.load(again, 'val'), truth['val'])
    with pytest.raises(InputError, match='split'):
        pair_builder.load(prepared, 'test')


def test_facades_round_trip(tmp_path):
    stored = random_pairs(3, sizes=[(256, 256)] * 3)
    for split in ('train', 'val'):
        (tmp_path / 'f' / split).mkdir(parents=True)
        for name, condition, image in zip(*stored):
            io.write(tmp_path / 'f' / split / f'{name}.png', np.hstack([image, condition]))
    prepared = pair_builder.facades_builder(tmp_path / 'f', data_dir=tmp_path / 'tfds')
    assert_same(pair_builder.load(prepared, 'train'), stored)


def test_what_cannot_be_stored_is_refused(tmp_path):
    with pytest.raises(InputError, match='condition of p0: 2 channels'):
        pair_builder.pair_builder(lambda split: random_pairs(2), name='two', data_dir=tmp_path)
    with pytest.raises(InputError, match='no such folder'):
        pair_builder.facades_builder(tmp_path / 'none', data_dir=tmp_path)
