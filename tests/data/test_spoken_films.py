import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import spoken_films

WINDOWS = np.random.default_rng(0).normal(size=(6, 16, 29)).astype(np.float32)
EXPRESSIONS = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)


def _sequence(folder, count=6, width=4):
    (folder / 'audio_feature').mkdir(parents=True)
    for k in range(count):
        np.save(folder / 'audio_feature' / f'{k}.deepspeech.npy', WINDOWS[k].astype(np.float64))
    np.savetxt(folder / 'expression.txt', EXPRESSIONS[:, :width])


def test_all_layouts_are_the_same_films(tmp_path):
    (tmp_path / 'files').mkdir()
    for name in 'ab':
        np.savez(tmp_path / 'files' / f'{name}.npz', logits=WINDOWS, expressions=EXPRESSIONS)
        _sequence(tmp_path / 'sequences' / name)
    alone = [spoken_films.read(tmp_path / 'sequences' / 'a'), spoken_films.read(tmp_path / 'files' / 'a.npz')]
    together = [spoken_films.read(tmp_path / 'sequences'), spoken_films.read(tmp_path / 'files')]
    assert [film.name for films in alone for film in films] == ['a', 'a']
    for films in together:
        assert [film.name for film in films] == ['a', 'b']
        assert [film.spoken.speaker for film in films] == [0, 1]
    for film in (film for films in (*alone, *together) for film in films):
        np.testing.assert_array_equal(film.spoken.windows, WINDOWS)
        np.testing.assert_allclose(film.spoken.expressions, EXPRESSIONS, rtol=1e-6)


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(InputError, match=r'none: does not exist\. Expected an \.npz file'):
        spoken_films.read(tmp_path / 'none')
    with pytest.raises(InputError, match='holds none'):
        spoken_films.read(tmp_path)
    np.savez(tmp_path / 'a.npz', logits=WINDOWS)
    with pytest.raises(InputError, match='lacks expressions'):
        spoken_films.read(tmp_path / 'a.npz')
    np.savez(tmp_path / 'a.npz', logits=WINDOWS, expressions=EXPRESSIONS[1:])
    with pytest.raises(InputError, match=r'got shape \(5, 4\), expected \(t=6, e\)'):
        spoken_films.read(tmp_path / 'a.npz')
    _sequence(tmp_path / 'set' / 'one', width=4)
    _sequence(tmp_path / 'set' / 'two', width=3)
    with pytest.raises(InputError, match=r'got \[3, 4\] expressions, expected films tracked with one face model'):
        spoken_films.read(tmp_path / 'set')
    (tmp_path / 'set' / 'two' / 'expression.txt').write_text('1 2\n3\n')
    with pytest.raises(InputError, match='Expected lines of as many numbers'):
        spoken_films.read(tmp_path / 'set')
