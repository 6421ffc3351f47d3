"""Posed images: what masks cut out of them."""

import dataclasses

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import posed, scenes
from tests.data import writers


def test_an_object_is_cut_out_where_its_mask_is_more_than_half(tmp_path):
    images = scenes.read(writers.blender(tmp_path / 'scene', writers.truth(mixed=False, distorted=False)))
    with pytest.raises(InputError, match='masks: the images have none'):
        posed.cut_out(images)
    soft = np.arange(320, dtype=np.uint8).reshape(16, 20) // 2 * 2
    found = posed.cut_out(dataclasses.replace(images, masks=(soft,) * len(images)))
    for image, mask, before in zip(found.images, found.masks, images.images):
        np.testing.assert_array_equal(image[..., :3], before)
        np.testing.assert_array_equal(image[..., 3], mask)
        np.testing.assert_array_equal(mask, np.where(soft >= 128, 255, 0))
        np.testing.assert_array_equal(posed.composite(image, 1.0)[mask == 0], 1)
    # What is transparent already stays so.
    faint = np.where(np.arange(20) < 10, np.uint8(0), np.uint8(90))[None].repeat(16, axis=0)
    clear = tuple(np.dstack([image, faint]) for image in images.images)
    both = posed.cut_out(dataclasses.replace(images, images=clear, masks=(soft,) * len(images)))
    np.testing.assert_array_equal(both.images[0][..., 3], np.where(soft >= 128, faint, 0))
