"""Changed speech stays speech."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import augment
from neurend.speech.augment import AugmentConfig

NOTHING = {
    'part': 1, 'loudness': 0, 'color': 0, 'formants': 0, 'tempo': 0, 'noise': 0, 'echo': 0, 'narrow': 0, 'masks': 0,
}  # fmt: skip


def bands(count=3, length=60):
    return 12 + jnp.asarray(np.random.default_rng(0).normal(size=(count, length, 40)), jnp.float32)


def changed(seed=0, **only):
    return np.asarray(augment.augment(jax.random.key(seed), bands(), AugmentConfig(**(NOTHING | only))))


def test_nothing_changes_nothing():
    np.testing.assert_array_equal(changed(), bands())


def test_a_part_stays_plain():
    same = [(changed(seed, loudness=3.0, part=0.5) == bands()).all((1, 2)) for seed in range(6)]
    assert 2 < np.sum(same) < 16
    np.testing.assert_array_equal(changed(loudness=3.0, noise=1.0, part=0.0), bands())


def test_loudness_and_color_are_the_same_at_all_times():
    change = changed(loudness=3.0) - bands()
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1, :1], change.shape), atol=1e-5)
    assert np.abs(change).max() <= 3 and np.ptp(change[:, 0, 0]) > 0.1
    change = changed(color=1.0) - bands()
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1], change.shape), atol=1e-5)
    # Smooth: neighbouring bands differ little.
    assert np.abs(np.diff(change[:, 0])).max() < 0.4 * np.ptp(change[:, 0])


def test_noise_and_echo_add_energy():
    for only in ({'noise': 1.0}, {'echo': 1.0}):
        change = changed(**only) - bands()
        assert change.min() > -1e-4 and change.max() > 0.05


def test_tempo_stays_within_its_limit():
    places = augment._warped(jnp.asarray(np.random.default_rng(1).random(6), jnp.float32), 200, 0.2)
    assert np.abs(np.diff(places) - 1).max() <= 0.2 + 1e-4
    np.testing.assert_allclose(places, np.arange(200), atol=6)


def test_narrow_bands_and_masks_hide():
    change = changed(narrow=1.0) - bands()
    assert set(np.round(np.unique(change.round(3)))) <= {-8, 0} and (change[:, :, 10:28] == 0).all()
    change = changed(masks=2)
    hidden = (change != np.asarray(bands())).mean()
    assert 0 < hidden < 0.8


def test_bad_input():
    with pytest.raises(InputError, match='noise: got 2'):
        AugmentConfig(noise=2)
    with pytest.raises(InputError, match='0 or more'):
        AugmentConfig(color=-1)
