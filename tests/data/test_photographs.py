"""Batches of whole photographs: what lies behind transparent ones, chosen or random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data.photographs import photograph_source
from neurend.data.posed import PosedImages
from neurend.geometry import cameras


def scene(channels=4):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 6, channels), np.uint8)
    of = cameras.make(jnp.broadcast_to(jnp.eye(4), (3, 4, 4)), 5.0, size=(6, 4))
    return PosedImages(tuple('abc'), tuple(pixels), of, masks=None, near=0.1, far=2.0, scene_from_source=np.eye(4))


@pytest.mark.parametrize('background', [(0.2, 0.5, 0.9), None])
def test_transparent_pixels_show_what_is_behind(background):
    posed = scene()
    source = photograph_source(posed, views=3, background=background)
    first, second = (source.draw(jax.random.key(k), source.data) for k in (0, 1))
    for batch in (first, second):
        rest = [np.asarray(image, np.float64) / 255 for image in posed.images]
        for rgb, behind in zip(np.asarray(batch.rgb), np.asarray(batch.background)):
            guesses = [image[..., :3] * image[..., 3:] + (1 - image[..., 3:]) * behind for image in rest]
            errors = [np.abs(guess - rgb).max() for guess in guesses]
            assert min(errors) < 1e-6
            del rest[int(np.argmin(errors))]
    if background is None:
        colors = np.concatenate([first.background, second.background])
        assert colors.min() >= 0 and colors.max() <= 1 and len(np.unique(colors.round(4))) == colors.size
    else:
        np.testing.assert_allclose(first.background, np.broadcast_to(background, (3, 3)), rtol=1e-6)


def test_bad_input():
    with pytest.raises(InputError, match='views: got 4, expected 1 to 3'):
        photograph_source(scene(), views=4)
    with pytest.raises(InputError, match='background: got None, expected a colour'):
        photograph_source(scene(3), background=None)
