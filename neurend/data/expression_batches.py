"""Batches for the network from speech to expressions: stretches of tracked films, of any number of speakers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.typing import Array, Key, Source


class Spoken(NamedTuple):
    """A tracked film of somebody who speaks, of t frames; its rate is its own.

    Attributes:
        windows: `t 16 l`, see `neurend.speech.windows`.
        expressions: `t e`.
        speaker: whose, counted from 0.
    """

    windows: np.ndarray
    expressions: np.ndarray
    speaker: int = 0


@flax.struct.dataclass
class ExpressionBatch:
    """Stretches of t consecutive frames.

    Attributes:
        windows: `n before+t+after 16 l`, of the frames and of those around them.
        expressions: `n t e`.
        speakers: `n`, int32.
    """

    windows: Array
    expressions: Array
    speakers: Array


def check(films: Sequence[Spoken], *, moments: int = 1) -> None:
    """Checks that films can train one network.

    Raises:
        InputError: none, one shorter than `moments`, or arrays that do not fit each other or are not finite.
    """
    if not films:
        raise checks.InputError('films: got none, expected at least one')
    sizes: dict[str, int] = {}
    for k, film in enumerate(films):
        found = checks.shape(f'windows of film {k}', film.windows, 't 16 l', sizes=sizes)
        remedy = 'One for each window, as many as the other films have'
        found = checks.shape(f'expressions of film {k}', film.expressions, 't e', remedy, sizes=found)
        if found['t'] < moments:
            raise checks.InputError(f'film {k}: got {found["t"]} frames, expected at least {moments}, of a stretch')
        if film.speaker < 0:
            raise checks.InputError(f'film {k}: got speaker {film.speaker}, expected 0 or more')
        checks.finite(f'windows of film {k}', film.windows)
        checks.finite(f'expressions of film {k}', film.expressions)
        sizes = {name: found[name] for name in ('l', 'e')}


def source(films: Sequence[Spoken], *, batch: int, moments: int = 3, before: int = 3, after: int = 4) -> Source:
    """A source of `ExpressionBatch`es.

    Films are drawn with equal chances whatever their lengths and rates, and stretches lie within one film, as all that
    is beside them does: beyond its ends are its first or its last window.

    Args:
        films: at least one.
        batch: n.
        moments: t.
        before, after: windows that are heard beside those of the frames.

    Raises:
        InputError: see `check`, or numbers out of range.
    """
    if min(batch, moments) < 1 or min(before, after) < 0:
        raise checks.InputError(
            f'batch, moments, before, after: got {batch}, {moments}, {before} and {after}, expected 1, 1, 0 and 0 at '
            'least'
        )
    check(films, moments=moments)
    lengths = np.array([len(film.windows) for film in films], np.int32)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    speakers = np.array([film.speaker for film in films], np.int32)
    windows = np.concatenate([film.windows for film in films]).astype(np.float32)
    expressions = np.concatenate([film.expressions for film in films]).astype(np.float32)

    def draw(key: Key, data: Any) -> ExpressionBatch:
        heard, tracked, starts, lengths, speakers = map(jnp.asarray, data)
        film_key, place_key = jax.random.split(key)
        film = jax.random.randint(film_key, (batch, 1), 0, len(films))
        first, count = starts[film], lengths[film]
        place = jax.random.randint(place_key, (batch, 1), 0, count - moments + 1)
        around = place + jnp.arange(-before, moments + after)[None]
        frames = place + jnp.arange(moments)[None]
        return ExpressionBatch(
            heard[first + jnp.clip(around, 0, count - 1)], tracked[first + frames], speakers[film[:, 0]]
        )

    return Source(data=(windows, expressions, starts, lengths, speakers), draw=draw)
