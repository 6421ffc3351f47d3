"""Speech to expressions as a program: films in files, a head, a published checkpoint, and a run that goes on."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import audio_expression
from experiments.toy_head import toy_head
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.images import io
from neurend.speech import expression, released
from neurend.speech.expression import Audio2Expression

FLAGS = Path(__file__).resolve().parents[2] / 'configs' / 'audio_expression_speaker_a.flags'


def test_the_flag_file_says_how_to_run_and_can_be_read():
    assert FLAGS.read_text().startswith('# ')
    config.parse(audio_expression.Config, f'--flagfile={FLAGS}')


@pytest.fixture
def films(tmp_path):
    """Two speakers who say the same; the first three expressions of the first follow letters, the fourth is still."""
    random = np.random.default_rng(0)
    said = np.stack([np.convolve(row, np.hanning(7), 'same') for row in random.normal(size=(3, 255))], 1)
    rows = 3 * said @ random.normal(size=(3, 29)) - 5
    windows = rows[np.arange(240)[:, None] + np.arange(16)[None]]
    moves = said[8:248] * [0.1, 0.2, 0.05]
    folder = tmp_path / 'films'
    folder.mkdir()
    for name, factor in (('ada', 1), ('bob', -0.5)):
        expressions = np.concatenate([factor * moves, np.ones((240, 1))], axis=1)
        np.savez(folder / f'{name}.npz', logits=windows, expressions=expressions)
    return folder


@pytest.mark.slow
def test_a_run_of_two_speakers_learns_and_writes(films, tmp_path):
    settings = audio_expression.Config(
        data_dir=str(films),
        workdir=str(tmp_path / 'run'),
        moments=8,
        run=RunConfig(steps=320, log_every=160, evaluate_every=0, checkpoint_every=160),
    )
    table = audio_expression.main(settings)
    assert set(table.rows) == {'ada', 'bob'}
    assert min(row['strongest'] for row in table.rows.values()) > 0.5
    heard = np.load(tmp_path / 'run' / 'expressions.npz')
    assert heard['bob'].shape == (240, 4) and np.abs(heard['bob'][:, 3] - 1).max() < 0.2
    curves = io.read(tmp_path / 'run' / 'curves.png')
    assert curves.shape[1] == 900 and (curves < 128).any()
    # The run is there: started once more, it has nothing to do and says the same.
    assert audio_expression.main(settings).rows == table.rows


def test_a_published_network_hears_and_matrices_are_fitted(films, tmp_path):
    network = Audio2Expression(3, 76)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 16, 29)), jnp.zeros(1, jnp.int32))
    random = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: 0.2 * random.normal(size=leaf.shape), shapes['params'])
    state = {'mapping': params['mapping'][None]}
    for path, leaf in jax.tree_util.tree_leaves_with_path(
        {key: part for key, part in params.items() if key != 'mapping'}
    ):
        *parents, kind = (part.key for part in path)
        key = released.LAYERS['/'.join(parents)]
        array = leaf.transpose() if kind == 'kernel' else leaf
        array = array[..., None] if kind == 'kernel' and key.startswith('convNet') else array
        state[f'{key}.{"weight" if kind == "kernel" else "bias"}'] = array
    with open(tmp_path / 'netG.pth', 'wb') as file:
        np.savez(file, **state)
    settings = audio_expression.Config(
        data_dir=str(films), workdir=str(tmp_path / 'run'), released=str(tmp_path / 'netG.pth')
    )
    table = audio_expression.main(settings)
    # The best of all linear maps is better than the mean where it was fitted.
    speech = audio_expression.read(settings)
    person = audio_expression.fitted(released.read(settings.released), speech)[0]
    part = speech.learned()[0]
    audio = expression.audio_expressions(released.read(settings.released), part.windows)
    error = np.square(np.asarray(person(audio)) - part.expressions).sum()
    assert error < 0.8 * np.square(part.expressions - part.expressions.mean(0)).sum()
    assert set(table.columns) == {'explained_variance', 'strongest', 'correlation', 'jitter_ratio'}


@pytest.mark.slow
def test_a_head_is_compared_by_its_vertices_of_which_the_mouth_counts_most():
    speech = audio_expression.read(audio_expression.Config())
    head = toy_head(4, 16)
    mouth = audio_expression.mouth(head.mesh)
    lips, brows = head.mesh.landmarks[48:68], head.mesh.landmarks[17:27]
    assert mouth[lips].all() and not mouth[brows].any()
    basis = 0.01 * head.mesh.deltas
    wanted = np.sqrt(((mouth + 0.1)[None, :, None] * basis**2).mean((1, 2)))
    np.testing.assert_allclose(np.linalg.norm(speech.space.root, axis=1), wanted, rtol=1e-3, atol=1e-7)
    assert (len(speech.films[0].spoken.windows), speech.train) == (400, [320])


def test_bad_choices_are_refused(films):
    with pytest.raises(InputError, match='--held_out: got 1.0'):
        audio_expression.Config(held_out=1.0)
    with pytest.raises(InputError, match='--moments: got 2'):
        audio_expression.Config(moments=2)
    with pytest.raises(InputError, match=r'--ignored: got \(4,\), expected numbers from 0 to 3'):
        audio_expression.read(audio_expression.Config(data_dir=str(films), ignored=(4,)))
    with pytest.raises(InputError, match='film ada: got 240 frames, expected at least 16 beside the 98% held out'):
        audio_expression.read(audio_expression.Config(data_dir=str(films), held_out=0.98))
