"""Conditions of a clip are the drawings of its people."""

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry.skeletons import BODY_25, Person
from neurend.models.reenactment import conditions, drawing, limb_maps


def people(count):
    rng = np.random.default_rng(0)
    bodies = np.concatenate([rng.uniform(4, 60, (count, 25, 2)), np.ones((count, 25, 1))], axis=-1)
    return [Person(body, None, None, None, layout=BODY_25) for body in bodies]


def test_sticks_limbs_and_both():
    clip, size = people(2), {'width': 64, 'height': 48, 'frame': (64, 64)}
    drawn = {kind: conditions.draw(clip, **size, kind=kind) for kind in conditions.KINDS}
    for k, person in enumerate(clip):
        np.testing.assert_array_equal(drawn['sticks'][k], drawing.stick_figure(person, **size))
        np.testing.assert_array_equal(drawn['limbs'][k] / 255, limb_maps.limb_maps(person, **size))
    np.testing.assert_array_equal(drawn['both'], np.concatenate([drawn['sticks'], drawn['limbs']], axis=-1))
    assert {part.dtype for part in drawn.values()} == {np.dtype(np.uint8)} and drawn['both'].shape[-1] == 30


def test_bad_input():
    with pytest.raises(InputError, match='people: got no frames'):
        conditions.draw([], 8, 8, frame=(8, 8))
    with pytest.raises(InputError, match='kind'):
        conditions.draw(people(1), 8, 8, frame=(8, 8), kind='bones')  # pyright: ignore[reportArgumentType]
