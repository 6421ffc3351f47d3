"""The talking avatar: whose mouth, whose motion, what is refused, and a run from letters to a film with sound."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import (
    avatar,
    avatar_picture,
    avatar_report,
    avatar_script,
    avatar_speech,
    head_motion,
    spoken_face,
    surroundings,
)
from experiments.avatar import Config
from experiments.avatar_speech import SpeechConfig
from experiments.espeak import Phoneme
from experiments.toy_speech import speaking_head
from experiments.translation import RunConfig
from neurend import config
from neurend.checks import InputError
from neurend.data.tracked_head import Performance
from neurend.images import io, video
from neurend.models.neural_texture.config import InpaintConfig, NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.speech import audio, text
from neurend.speech.audio import Waveform
from neurend.speech.expression import Audio2Expression

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SIZE, FRAMES = 32, 60
PAINTED = NeuralTextureConfig(inpaint=InpaintConfig(4))


@pytest.fixture(scope='module')
def film():
    return speaking_head(FRAMES, SIZE)


@pytest.mark.parametrize('name', ['talking_head', 'fast', 'film'])
def test_flag_files_say_how_to_run_and_can_be_read(name):
    path = CONFIGS / f'avatar_{name}.flags'
    assert path.read_text().startswith('# ')
    assert config.parse(Config, f'--flagfile={path}').size == 256


def test_the_motion_of_a_film_goes_on_without_a_jump():
    places = avatar_script.turning(5, 40, start=3)
    assert places[0] == 3 and places.min() == 0 and places.max() == 4 and (np.abs(np.diff(places)) == 1).all()
    assert not avatar_script.turning(1, 3).any()
    with pytest.raises(InputError, match='count: got 0'):
        avatar_script.turning(0, 3)


def test_speech_moves_the_mouth_and_nothing_else(film):
    head, _ = film
    places = avatar_speech.mouth(head.names)
    assert {head.names[k] for k in places} == {name for name in head.names if name.startswith(('jaw', 'mouth'))}
    lips = np.full((60, len(places)), 0.25, np.float32)
    base = avatar_script.motion(head)
    spoken = avatar_script.speak(head, lips, base, avatar_script.turning(len(base.expressions), 60))
    np.testing.assert_array_equal(spoken.expressions[:, places], lips)
    others = np.setdiff1d(np.arange(len(head.names)), places)
    np.testing.assert_array_equal(spoken.expressions[:48][:, others], head.performance.expressions[:48][:, others])
    steps = [np.abs(np.diff(each.world_from_head, axis=0)).max() for each in (spoken, base)]
    assert steps[0] == steps[1]  # where the film turns round, too
    with pytest.raises(InputError, match='expected some whose names begin with jaw'):
        avatar_speech.mouth(('browUp',))


def test_another_film_moves_the_head_about_its_own_mean(film, tmp_path):
    head, _ = film
    own = avatar_script.motion(head)
    shift = np.eye(4, dtype=np.float32)
    shift[:3, 3] = (5.0, -3.0, 2.0)
    path = tmp_path / 'tracking.npz'
    moved = shift @ own.world_from_head
    np.savez(path, expressions=own.expressions, expression_names=head.names, head_to_world=moved)
    other = avatar_script.motion(head, str(path))
    np.testing.assert_allclose(other.world_from_head, own.world_from_head, atol=1e-4)
    np.testing.assert_array_equal(other.expressions, own.expressions)
    again = avatar_script.reenact(head, str(path), own)
    np.testing.assert_array_equal(again.expressions, own.expressions)


def test_lips_meet_where_m_b_and_p_are_said(film):
    head, windows = film
    said = avatar_script.Heard(windows, None, (Phoneme('a', 0, 0.4), Phoneme('m', 0.4, 0.5), Phoneme('i', 0.5, 2.4)))
    weights = avatar_script.closing(said, 25.0)
    assert weights.shape == (60,) and weights[10:13].min() == 1 and not weights[:8].any() and not weights[15:].any()
    lips = head.performance.expressions[:, avatar_speech.mouth(head.names)]
    shut = avatar_script.close(head, lips, weights)
    np.testing.assert_array_equal(shut[15:], lips[15:])
    expressions = head.performance.expressions.copy()
    expressions[:, avatar_speech.mouth(head.names)] = shut
    before, after = (
        head_motion.gap(head.mesh, head.performance._replace(expressions=each))
        for each in (head.performance.expressions, expressions)
    )
    assert after[10:13].max() < np.quantile(before, 0.25)
    # Without phonemes letters tell.
    heard = avatar_script.closing(avatar_script.Heard(windows), 25.0)
    letters = windows[:, 8].argmax(1)
    closed = np.isin(letters, [text.LETTERS.index(each) for each in 'mbp'])
    assert closed.any() and (heard[closed] > 0.9).all() and np.median(heard) < 0.1


def test_dubbing_leaves_all_but_the_lower_face(film):
    head, _ = film
    places = avatar_script.turning(len(head), 3)
    performance = Performance(*(each[places] for each in head.performance))
    pictures = [255 - head.images[k] for k in places]
    frames = list(avatar_picture.dubbed(head, performance, places, pictures))
    marks = spoken_face.project(head, *performance)
    for k, frame in enumerate(frames):
        changed = (frame.astype(int) != head.images[places[k]]).any(-1)
        lips = np.floor(marks[k, 48:]).astype(int)
        eyes = np.floor(marks[k, 36:48]).astype(int)
        assert changed[lips[:, 1], lips[:, 0]].all() and not changed[eyes[:, 1], eyes[:, 0]].any()
        x, y = lips.mean(0).astype(int)
        assert np.abs(frame[y, x].astype(int) - pictures[k][y, x]).max() < 40


def test_masks_of_lower_faces_are_hulls_with_soft_borders():
    landmarks = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 13)
    landmarks[2:15] = np.stack([50 + 30 * np.cos(angle), 50 + 30 * np.sin(angle)], -1)
    landmarks[31:36] = np.stack([np.linspace(42, 58, 5), np.full(5, 45.0)], -1)
    mask = avatar_picture.lower_face(landmarks, 100, 100)
    assert mask[60, 50] > 0.99 and mask[20, 50] < 0.01 and mask[60, 5] < 0.01 and 0.1 < mask[82, 50] < 0.9


def test_blanks_become_as_likely_as_in_the_film():
    random = np.random.default_rng(0)
    film, other = (random.normal(size=(50, 16, 29)).astype(np.float32) * 4 for _ in range(2))
    other[..., text.BLANK] += 6
    other[:, :, 5] += 8  # a letter, so that something is said all the time
    film[:, :, 7] += 8
    found = avatar_speech.as_often(other, film)
    means = [np.asarray(jax.nn.softmax(each[:, 8]))[:, text.BLANK].mean() for each in (film, found, other)]
    assert means[1] == pytest.approx(means[0], abs=1e-4) and means[2] > means[0] + 0.1
    np.testing.assert_array_equal(found[..., : text.BLANK], other[..., : text.BLANK])
    # Pauses change nothing of what is said beside them.
    pause = np.zeros((70, 16, 29), np.float32)
    pause[..., text.BLANK] = 15
    longer = avatar_speech.as_often(np.concatenate([other, pause]), film)
    np.testing.assert_allclose(longer[:50], found, atol=1e-5)
    np.testing.assert_array_equal(avatar_speech.as_often(pause, film), pause)


def test_a_mouth_of_the_truth_is_without_error(film):
    head, _ = film
    true = avatar_report.mouth(head, avatar_report.held_out(head))
    assert true.ratio == 0 and true.correlation == pytest.approx(1)
    lips = np.broadcast_to(head.performance.expressions[:, avatar_speech.mouth(head.names)].mean(0), (12, 11))
    still = avatar_report.mouth(head, avatar_report.unseen(head, lips))
    assert 0.05 < still.ratio < 1 and still.correlation == 0 and still.reach == pytest.approx(true.reach)


def test_another_background_fills_the_frame_unstretched(film, tmp_path):
    head, _ = film
    wide = np.zeros((60, 200, 3), np.uint8)
    wide[:, 70:130] = 255  # the middle, as high as wide
    for picture in (wide, wide.transpose(1, 0, 2)):
        io.write(tmp_path / 'a.png', picture)
        np.testing.assert_array_equal(avatar_picture.over(head, str(tmp_path / 'a.png')).background, 255)


def test_expressions_of_another_may_go_about_the_mean(film, tmp_path):
    head, _ = film
    own = avatar_script.motion(head)
    shifted = np.clip(own.expressions + 0.25, 0, None)
    path = tmp_path / 'tracking.npz'
    np.savez(path, expressions=shifted, expression_names=head.names, head_to_world=own.world_from_head)
    as_it_is = avatar_script.reenact(head, str(path), own)
    np.testing.assert_array_equal(as_it_is.expressions, shifted)
    about = avatar_script.reenact(head, str(path), own, relative=True)
    np.testing.assert_allclose(about.expressions, own.expressions.clip(0, 1), atol=1e-6)


def test_a_sound_must_last_a_frame(tmp_path):
    audio.write(tmp_path / 'a.wav', Waveform(np.sin(np.arange(160) / 9).astype(np.float32) / 2, 16000))
    with pytest.raises(InputError, match=r'a\.wav: lasts 0\.010 s, expected a frame of 1/25 s'):
        avatar_script.listen(
            wav=str(tmp_path / 'a.wav'), logits='', text='', voice=avatar.Voice(), listener='', fps=25.0
        )


def test_contradictions():
    for flags, message in (
        ({'wav': 'a.wav', 'text': 'hello'}, r'--wav, --text: got 2'),
        ({'text': 'hello', 'dub': True, 'background': 'a.png'}, '--dub: keeps the film'),
        ({'dub': True}, '--dub: nothing is to be said'),
        ({'text': '  '}, "--text: got '  ', expected words"),
        ({'relative': True}, '--relative: got no --expressions'),
        ({'output': 'a.avi'}, r'expected a file that ends with \.mp4'),
        ({'model': NeuralTextureConfig(window=2)}, r'--model\.window: got 2'),
        ({'part': 'face'}, '--part: got face without --hole'),
        ({'hole': 1.0}, r'--hole, --model\.inpaint\.width: got 1 and 0'),
        ({'model': PAINTED}, r'--hole, --model\.inpaint\.width: got 0 and 4'),
        ({'hole': 1.0, 'model': PAINTED, 'wav': 'a.wav', 'motion': 'a.npz'}, '--hole: draws into the film'),
    ):
        with pytest.raises(InputError, match=message):
            Config(**flags)
    assert Config(wav='a.wav', logits='a.npz').driven and not Config().driven


def test_a_person_drawn_into_the_film_stands_in_it(film):
    head, _ = film
    among = surroundings.surrounded(head, part='face', margin=0.5)
    assert among.surroundings is not None
    known = among.surroundings[..., 3] > 0
    np.testing.assert_array_equal(among.surroundings[known][:, :3], head.images[known])
    marks = np.floor(spoken_face.project(head, *head.performance))[:, 17:].astype(int)  # of what is within the face
    assert not known[np.arange(FRAMES)[:, None], marks[..., 1], marks[..., 0]].any() and known.mean() > 0.1
    # Of the head less is known: the scalp is the mesh's too.
    whole = surroundings.surrounded(head, part='head', margin=0.5).surroundings
    assert whole is not None
    assert not ((whole[..., 3] > 0) & ~known).any() and (known & (whole[..., 3] == 0)).any()
    avatar_picture.keeps_film(head, 'motion')
    with pytest.raises(InputError, match='--motion: the avatar is drawn into the frames of its film'):
        avatar_picture.keeps_film(among, 'motion')
    with pytest.raises(InputError, match='--background: the avatar is drawn into'):
        avatar_picture.over(among, 'a.png')
    assert avatar_picture.over(among, '') is among


def test_a_film_without_a_face_track_or_without_speech_is_refused(film, tmp_path):
    with pytest.raises(InputError, match=r'tracking\.npz: does not exist'):
        avatar.learn(Config(data_dir=str(tmp_path), workdir=str(tmp_path)))
    head, windows = film
    for given, message in (
        (windows[:3], r'logits: got shape \(3, 16, 29\), expected \(60, 16, _\)'),
        (np.full_like(windows, np.nan), 'logits'),
    ):
        with pytest.raises(InputError, match=message):
            avatar_speech.spoken('logits', head, given)


def checkpoint(path: Path, seed: int) -> None:
    """Random weights in the published layout."""
    network, random = Audio2Expression(2, 76), np.random.default_rng(seed)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 16, 29)), jnp.zeros(1, jnp.int32))
    shapes = jax.tree.map(lambda leaf: 0.2 * random.normal(size=leaf.shape).astype(np.float32), shapes['params'])
    names = {'encoder': 'convNet', 'dense': 'fullNet', 'attention': 'attentionConvNet', 'weigh': 'attentionNet'}
    state = {'mapping': np.asarray(shapes['mapping'])[None]}
    for layer, leaves in {**shapes['encoder'], **shapes}.items():
        kind, _, number = layer.rpartition('_') if layer != 'weigh' else ('weigh', '', '0')
        key = names.get('encoder' if kind == 'convolution' else kind)
        if key is None:
            continue
        kernel = np.asarray(leaves['kernel'])
        kernel = kernel.transpose(*reversed(range(kernel.ndim)))
        state[f'{key}.{2 * int(number)}.weight'] = kernel[..., None] if key == 'convNet' else kernel
        state[f'{key}.{2 * int(number)}.bias'] = np.asarray(leaves['bias'])
    np.savez(path, **state)


def test_a_network_trained_elsewhere_is_mapped_once_and_its_map_is_no_others(film, tmp_path):
    head, windows = film
    for seed in (1, 2):
        checkpoint(tmp_path / f'{seed}.npz', seed)
    first = avatar_speech.adopt(SpeechConfig(), str(tmp_path / '1.npz'), head, windows, tmp_path)
    windows_learned = windows[: head.train]
    lips = first(windows_learned)
    assert lips.shape == (head.train, 11)
    truth = head.performance.expressions[: head.train, avatar_speech.mouth(head.names)]
    assert np.square(lips - truth).mean() < np.square(truth.mean(0) - truth).mean()
    assert (lips >= truth.min(0)).all() and (lips <= truth.max(0)).all()
    again = avatar_speech.adopt(SpeechConfig(strength=1e6), str(tmp_path / '1.npz'), head, windows, tmp_path)
    np.testing.assert_array_equal(again(windows_learned), lips)  # from the file
    with pytest.raises(InputError, match='was fitted to another network'):
        avatar_speech.adopt(SpeechConfig(), str(tmp_path / '2.npz'), head, windows, tmp_path)
    fewer = dataclasses.replace(
        head,
        names=head.names[:5],
        performance=head.performance._replace(expressions=head.performance.expressions[:, :5]),
        mesh=head.mesh._replace(deltas=head.mesh.deltas[:5]),
    )
    with pytest.raises(InputError, match='Fit it to this face model'):
        avatar_speech.adopt(SpeechConfig(), str(tmp_path / '1.npz'), fewer, windows, tmp_path)


def test_logits_must_last_as_long_as_the_sound(tmp_path):
    audio.write(tmp_path / 'a.wav', Waveform(np.sin(np.arange(16000) / 9).astype(np.float32) / 2, 16000))
    np.savez(tmp_path / 'a.npz', logits=np.zeros((40, 16, 29), np.float32))
    given = {'wav': str(tmp_path / 'a.wav'), 'logits': str(tmp_path / 'a.npz'), 'text': '', 'listener': ''}
    with pytest.raises(InputError, match=r'40 frames at 25 per second, .* lasts 1\.00 s'):
        avatar_script.listen(**given, voice=avatar.Voice(), fps=25.0)
    np.savez(tmp_path / 'a.npz', logits=np.zeros((25, 16, 29), np.float32))
    heard = avatar_script.listen(**given, voice=avatar.Voice(), fps=25.0)
    assert heard.windows.shape == (25, 16, 29) and heard.sound is not None and heard.sound.duration == 1


@pytest.mark.slow
def test_from_letters_to_a_film_with_sound(film, tmp_path, monkeypatch):
    monkeypatch.setattr(avatar, 'speaking_head', lambda size: film)
    run = RunConfig(steps=200, log_every=100, evaluate_every=0, checkpoint_every=0)
    person = Config(
        workdir=str(tmp_path / 'run'),
        size=SIZE,
        speech=SpeechConfig(run=run),
        part='face',
        hole=0.5,
        model=NeuralTextureConfig(
            TextureConfig(64), NetworkConfig(unet=8, depth=3, width=16), inpaint=InpaintConfig(4, 3)
        ),
        run=run,
    )
    table = avatar.main(person)
    assert table is not None and len(table.rows) == 12
    assert table.baselines['true expressions']['lips'] == 0 < table.mean['lips'] < 1.5
    assert table.mean['psnr'] > 20
    beside = list(video.read(tmp_path / 'run' / 'beside.mp4'))
    assert len(beside) == 12 and beside[0].shape == (SIZE, 3 * SIZE, 3)
    assert io.read(tmp_path / 'run' / 'contact_sheet.png').size
    # Said by somebody else, in a second call, which learns nothing.
    _, windows = film
    seconds = FRAMES / 25
    np.savez(tmp_path / 'said.npz', logits=windows)
    sound = Waveform(np.sin(np.arange(round(seconds * 8000)) ** 1.5 / 300).astype(np.float32) / 2, 8000)
    audio.write(tmp_path / 'said.wav', sound)
    said = dataclasses.replace(person, wav=str(tmp_path / 'said.wav'), logits=str(tmp_path / 'said.npz'))
    assert avatar.main(said) is None
    path = tmp_path / 'run' / 'avatar.mp4'
    assert len(list(video.read(path))) == FRAMES and video.frame_rate(path) == 25
    back, rate = video.read_sound(path)
    assert abs(len(back) / rate - seconds) < 0.03
    told = video.about(path)
    assert 'Synthetic' in told['title'] and 'was not filmed' in told['comment']
