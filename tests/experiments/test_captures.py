"""What programs share that learn from posed photographs: what is read, held out and said in tables."""

import numpy as np
import pytest

from experiments import captures
from experiments.captures import CaptureConfig, ObjectConfig
from neurend.checks import InputError
from neurend.data import synthetic


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return synthetic.write_scene(tmp_path_factory.mktemp('scene') / 'scene', size=16, train=3, val=1, test=2)


def test_photographs_become_examples_and_a_protocol(folder, tmp_path):
    train, test = captures.train_and_test(CaptureConfig(factor=2), str(folder), str(tmp_path))
    assert len(train) == 3 and len(test) == 2 and list(tmp_path.iterdir()) == []
    examples = captures.examples(test)
    for k, example in enumerate(examples):
        assert example.name == test.names[k] and example.mask is None
        np.testing.assert_array_equal(example.image, test.images[k])
        np.testing.assert_array_equal(example.camera.world_from_camera, test.cameras.world_from_camera[k])
    said = captures.protocol(CaptureConfig(factor=2), '', train, method='none', geometry='a ball')
    assert list(said)[:3] == ['scene', 'method', 'geometry'] and said['size'] == '8 x 8'
    assert said['scene'] == 'embedded, 3 training views' and said['downscaling'].startswith('means over 2 x 2')
    assert said['background'] == 'white'
    assert captures.protocol(ObjectConfig(masks='background'), 'x', train)['background'].endswith('off the masks')


def test_masks_that_are_to_cut_out_must_be_there(folder, tmp_path):
    with pytest.raises(InputError, match='masks: the images have none'):
        captures.train_and_test(ObjectConfig(masks='background'), str(folder), str(tmp_path))
