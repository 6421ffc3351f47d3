"""Other voices, microphones and rooms for the same speech, made of its mel bands while a recogniser learns."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.checks import InputError
from neurend.speech import features
from neurend.typing import Array, Key

_CURVES = 5  # cosines of a random colour
_CHANCES = 17  # uniform numbers for an example, without those of masks


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How far speech is changed; 0 leaves it as it is, each.

    Attributes:
        part: of the examples that are changed at all: who hears nothing plain learns several times more slowly. What
            follows is of these.
        loudness: largest change, in nepers of energy (a factor of e).
        color: standard deviation of a smooth curve over the bands that is added to them, in nepers.
        formants: largest shift along the bands, in bands: other lengths of the vocal tract.
        tempo: largest local change of speed, a part of 1.
        noise: part of the examples with noise of a random colour, 0 to 40 dB below the speech.
        echo: part of the examples in a room: an echo that decays within 0.1 to 0.6 seconds.
        narrow: part of the examples without what lies above some frequency from 3 kHz on, and below 300 Hz.
        masks: stretches of time, up to 0.2 seconds, and of bands, up to 6, hidden (Park et al., 2019), of each.
    """

    part: float = 0.5
    loudness: float = 3.0
    color: float = 0.6
    formants: float = 2.0
    tempo: float = 0.2
    noise: float = 0.6
    echo: float = 0.4
    narrow: float = 0.3
    masks: int = 1

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        for name in ('part', 'noise', 'echo', 'narrow', 'tempo'):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f'{name}: got {getattr(self, name)}, expected a part of 1')
        if min(self.loudness, self.color, self.formants, self.masks) < 0:
            raise InputError('loudness, color, formants, masks: expected 0 or more of each')


def augment(key: Key, bands: Array, config: AugmentConfig) -> Array:
    """Changed mel bands, `[n t 40]`, of `features.log_mel`, each example by itself."""
    count, length = bands.shape[0], checks.shape('bands', bands, f'n t {features.BANDS}')['t']
    # Three draws for all: each that is written down takes seconds to compile.
    keys = [draws.in_a_row(each) for each in jax.random.split(key, 3)]
    chances = jax.random.uniform(keys[0], (count, _CHANCES + 4 * config.masks))
    curves = jax.random.normal(keys[1], (count, 2, _CURVES))
    noise = jax.random.uniform(keys[2], (count, 2, length, features.BANDS), minval=1e-6)
    return jax.vmap(functools.partial(_one, config=config))(bands, chances, curves, noise)


def _one(bands: Array, chances: Array, curves: Array, noise: Array, config: AugmentConfig) -> Array:
    """Of one example `[t 40]`, by uniform and normal numbers drawn for it."""
    tempo, formants, room, noisy, narrow, loudness, part = jnp.split(chances[:_CHANCES], (6, 7, 10, 12, 15, 16))
    plain = bands
    if config.tempo:
        bands = _at(bands, _warped(tempo, len(bands), config.tempo))
    if config.formants:
        bands = _at(bands.T, jnp.arange(features.BANDS) + config.formants * (2 * formants[0] - 1)).T
    if config.echo:
        bands = jnp.where(room[0] < config.echo, _in_a_room(room, bands), bands)
    if config.color:
        bands = bands + config.color * _curve(curves[0])[None]
    if config.noise:
        bands = jnp.where(noisy[0] < config.noise, _with_noise(noisy, curves[1], noise, bands), bands)
    if config.narrow:
        bands = jnp.where(narrow[0] < config.narrow, _narrowed(narrow, bands), bands)
    bands = bands + config.loudness * (2 * loudness[0] - 1)
    for each in chances[_CHANCES:].reshape(-1, 4):
        bands = _masked(each, bands)
    return jnp.where(part[0] < config.part, jnp.maximum(bands, math.log(features.QUIET)), plain)


def _at(rows: Array, places: Array) -> Array:
    """Rows at fractional places, those at the ends beyond them."""
    places = jnp.clip(places, 0, len(rows) - 1)
    before = jnp.minimum(jnp.floor(places).astype(jnp.int32), len(rows) - 2)
    part = (places - before)[:, None]
    return (1 - part) * rows[before] + part * rows[before + 1]


def _warped(chances: Array, count: int, tempo: float) -> Array:
    """Places in time that pass now faster and now slower, never more than `tempo` from the true speed."""
    periods, phases, sizes = chances.reshape(3, 2)
    turns = 2 * jnp.pi / (30 + 120 * periods)
    times = jnp.arange(count, dtype=jnp.float32)
    swing = jnp.sin(times[:, None] * turns[None] + 2 * jnp.pi * phases[None])
    return times + jnp.sum((tempo / 2 * sizes / turns)[None] * swing, axis=1)


def _curve(weights: Array) -> Array:
    """A smooth curve `[40]` over the bands, of unit variance about."""
    number = np.arange(1, _CURVES + 1)
    angles = np.pi * number[:, None] * (np.arange(features.BANDS)[None] + 0.5) / features.BANDS
    return weights @ jnp.asarray(np.sqrt(2) * np.cos(angles) / number[:, None], jnp.float32)


def _in_a_room(chances: Array, bands: Array) -> Array:
    """With the energy of what was heard before, which decays exponentially."""
    # Sixty decibels, in frames of ten milliseconds.
    rate = 6 * math.log(10) / (10 + 50 * chances[1])
    ages = np.arange(len(bands))[:, None] - np.arange(len(bands))[None]
    weights = jnp.where(ages > 0, rate * chances[2] * jnp.exp(-rate * np.maximum(ages, 0)), 0)
    return jnp.log((weights + jnp.eye(len(bands))) @ jnp.exp(bands))


def _with_noise(chances: Array, curve: Array, noise: Array, bands: Array) -> Array:
    level = jnp.log(jnp.mean(jnp.exp(bands))) - 40 * chances[1] * math.log(10) / 10
    # A band's energy is that of a few bins, each exponentially distributed.
    energy = -jnp.log(noise).mean(0)
    return jnp.logaddexp(bands, level + _curve(curve)[None] + jnp.log(energy))


def _narrowed(chances: Array, bands: Array) -> Array:
    place = jnp.arange(features.BANDS)
    high = 28 + (features.BANDS - 28) * chances[1]
    return bands - 8 * jnp.logical_or(place > high, place < 6 * chances[2])[None]


def _masked(chances: Array, bands: Array) -> Array:
    time, band = jnp.arange(len(bands)), jnp.arange(features.BANDS)
    start, first = chances[0] * len(bands), chances[1] * features.BANDS
    hidden = jnp.logical_or(
        jnp.logical_and(time >= start, time < start + 20 * chances[2])[:, None],
        jnp.logical_and(band >= first, band < first + 6 * chances[3])[None],
    )
    return jnp.where(hidden, jnp.mean(bands), bands)
