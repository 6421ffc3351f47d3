import jax
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import expression_batches
from neurend.data.expression_batches import Spoken


def _film(count, number, speaker=0):
    """Every value tells film and frame."""
    told = 100 * number + np.arange(count, dtype=np.float32)
    windows = np.broadcast_to(told[:, None, None], (count, 16, 2))
    return Spoken(windows, np.broadcast_to(told[:, None], (count, 3)), speaker)


FILMS = [_film(90, 1), _film(5, 2, 1), _film(12, 3)]


def _draw(batch, moments, before=3, after=4):
    source = expression_batches.source(FILMS, batch=batch, moments=moments, before=before, after=after)
    return jax.device_get(jax.jit(source.draw)(jax.random.key(0), source.data))


def test_stretches_stay_within_a_film_whose_ends_repeat():
    drawn = _draw(400, 4)
    lengths = {1: 90, 2: 5, 3: 12}
    starts = set()
    for windows, expressions, speaker in zip(drawn.windows, drawn.expressions, drawn.speakers):
        film, first = divmod(int(expressions[0, 0]), 100)
        starts.add((film, first))
        np.testing.assert_array_equal(expressions[:, 0], 100 * film + first + np.arange(4))
        places = np.clip(first + np.arange(-3, 8), 0, lengths[film] - 1)
        np.testing.assert_array_equal(windows[:, 0, 0], 100 * film + places)
        assert speaker == FILMS[film - 1].speaker
    assert {(2, 0), (2, 1), (3, 8)} <= starts
    assert not starts & {(2, 2), (3, 9)}


def test_films_have_equal_chances_whatever_their_lengths():
    films = _draw(3000, 3).expressions[:, 0, 0] // 100
    for film in (1, 2, 3):
        assert abs((films == film).mean() - 1 / 3) < 0.03


def test_bad_films_are_refused():
    def source(films, **options):
        return expression_batches.source(films, **{'batch': 1, 'moments': 3, **options})

    with pytest.raises(InputError, match='films: got none'):
        source([])
    with pytest.raises(InputError, match='film 1: got 5 frames, expected at least 6, of a stretch'):
        source(FILMS, moments=6)
    with pytest.raises(InputError, match=r'expressions of film 0: got shape \(89, 3\), expected \(t=90, e\)'):
        source([FILMS[0]._replace(expressions=FILMS[0].expressions[1:])])
    with pytest.raises(InputError, match=r'expressions of film 1: got shape \(90, 2\), expected \(t=90, e=3\)'):
        source([FILMS[0], FILMS[0]._replace(expressions=FILMS[0].expressions[:, 1:])])
    with pytest.raises(InputError, match='windows of film 0: .* not finite'):
        source([FILMS[0]._replace(windows=np.full((90, 16, 2), np.nan))])
    with pytest.raises(InputError, match='batch, moments, before, after'):
        source(FILMS, after=-1)
