import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.avatar_live import talk
from experiments import avatar, avatar_live, avatar_speech
from experiments.avatar_live import Config
from experiments.avatar_speech import Speaker
from experiments.avatar_stream import Stream, by_letters, by_network
from neurend.checks import InputError
from neurend.data.tracked_head import Performance, TrackedHead
from neurend.faces import procedural
from neurend.geometry import cameras
from neurend.speech.audio import Waveform
from neurend.speech.expression import Audio2Expression
from neurend.speech.mapping import Mapping
from neurend.speech.recognizer import COLUMNS, Compiled, LetterNetwork, Recognizer
from neurend.speech.streaming import Listener
from neurend.speech.text import BLANK, LETTERS

RATE = 16000


@pytest.fixture(scope='module')
def recognizer():
    """An untrained one."""
    network = LetterNetwork(8, 8, 3, (1, 1), (1, 0))
    begin = jax.jit(lambda key: network.init(key, jnp.zeros((1, 2, COLUMNS)), network.start(1))['params'])
    return Recognizer(network, begin(jax.random.key(0)))


@pytest.fixture(scope='module')
def letters(recognizer):
    return Compiled(recognizer, 2)


def untrained(letters):
    windows, speakers = jnp.zeros((1, 8, 16, letters)), jnp.zeros(1, int)
    return Audio2Expression(1, 3).init(jax.random.key(1), windows, speakers)['params']


def sound(seconds):
    return np.random.default_rng(0).normal(scale=0.1, size=round(seconds * RATE)).astype(np.float32)


def speaker(expressions):
    """An untrained one, of some expressions."""
    params = jax.jit(lambda: untrained(29))()
    matrix = np.random.default_rng(1).normal(size=(expressions, 32)).astype(np.float32)
    mapping = Mapping(matrix, np.zeros(expressions, np.float32))
    return Speaker(params, mapping, True, 'probabilities', np.array([[-3.0], [3.0]]) * np.ones(expressions))


def test_stream_gives_what_the_whole_recording_gives_and_waits_as_it_says(letters, recognizer):
    windows, person = Listener(recognizer).windows(Waveform(sound(1.6), RATE), 25), speaker(3)
    stream = Stream(letters, by_network(person), fps=25, rate=RATE)
    found, heard = [], 0
    for piece in np.split(sound(1.6), 64):
        heard += len(piece)
        for frame, lips in stream.push(piece):
            assert frame == len(found)
            found.append(lips)
            assert heard / RATE - frame / 25 <= stream.wait + len(piece) / RATE + 1e-9
    assert len(found) >= (1.6 - stream.wait) * 25 - 1
    np.testing.assert_allclose(found, person(windows)[: len(found)], atol=1e-4)
    assert np.ptp(found, axis=0).min() > 0


def test_a_network_of_other_letters_is_refused():
    params = jax.eval_shape(lambda: untrained(12))
    with pytest.raises(InputError, match='logits'):
        by_network(Speaker(params, None, False, 'logits', np.zeros((2, 3))))


@pytest.mark.parametrize(
    'letter, moved, still',
    [('a', 'jawOpen', 'mouthPress_L'), ('m', 'mouthPress_L', 'jawOpen'), ('u', 'mouthPucker', 'mouthPress_L')],
)
def test_letters_shape_the_lips_of_the_procedural_face(letter, moved, still):
    listen = by_letters().begin()
    window = np.zeros((16, 29), np.float32)
    window[:, BLANK] = 20
    assert listen(window).max() < 1e-4
    window[7:10, BLANK], window[7:10, LETTERS.index(letter)] = 0, 20
    lips = listen(window)
    assert lips[procedural.NAMES.index(moved)] > 0.5 and lips[procedural.NAMES.index(still)] < 1e-4


@pytest.mark.parametrize(
    'flags, what',
    [
        ({'rows': 3}, 'rows'),
        ({'quality': 0}, 'quality'),
        ({'motion': 'x.npz'}, '--avatar'),
    ],
)
def test_flags_are_checked(flags, what):
    with pytest.raises(InputError, match=what):
        Config(**flags)


def test_other_machines_are_refused_before_anything_is_loaded(tmp_path):
    nowhere = {'recognizer': str(tmp_path / 'none'), 'host': '0.0.0.0'}
    with pytest.raises(InputError, match='allow_remote'):
        avatar_live.main(Config(**nowhere))
    with pytest.raises(InputError, match='token'):
        avatar_live.main(Config(**nowhere, allow_remote=True))
    with pytest.raises(InputError, match='token'):
        avatar_live.main(Config(**nowhere, allow_remote=True, token_file=str(tmp_path / 'none')))
    (tmp_path / 'token').write_text('guess\n')
    with pytest.raises(InputError, match='16'):
        avatar_live.main(Config(**nowhere, allow_remote=True, token_file=str(tmp_path / 'token')))


def test_pictures_follow_the_sound_through_the_server(letters, monkeypatch):
    def sketch(size, letters):
        """A bar as long as the jaw is open."""
        bar = np.arange(size)[None, :, None] / size

        def draw(frame, lips):
            return np.broadcast_to(255 * (bar < lips[0]), (size, size, 3)).astype(np.uint8)

        return avatar_live._show('bar', 25.0, (size, size, 3), letters, by_letters(), draw)

    monkeypatch.setattr(avatar_live, 'procedural', sketch)
    config = Config(size=16, port=0)
    with avatar_live.serve(config, avatar_live.show(config, letters)) as server:
        threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()
        seen = talk(server, Waveform(sound(0.5), RATE), seconds=1.2)
        server.shutdown()
    assert seen.frames[0] == 0 and len(seen.frames) + seen.dropped == seen.frames[-1] + 1
    assert len(seen.frames) >= 5
    # No frame comes before all that it is made of.
    assert min(seen.latencies) > server.show.wait - 0.06


def test_an_avatar_is_drawn_with_its_own_motion_and_a_mouth_that_is_heard(letters):
    rng = np.random.default_rng(2)
    performance = Performance(
        rng.normal(size=(6, len(procedural.NAMES))).astype(np.float32), rng.normal(size=(6, 4, 4)).astype(np.float32)
    )
    camera = jax.device_get(cameras.make(np.eye(4, dtype=np.float32), 16.0, size=(16, 16)))
    pictures = np.zeros((6, 16, 16, 3), np.uint8)
    head = TrackedHead(pictures, pictures[0], None, procedural.NAMES, performance, camera, 4)
    count = len(avatar_speech.mouth(head.names))

    def render(state, shot):
        # A picture that tells what is to be drawn.
        expression, pose = shot.deformation
        return SimpleNamespace(rgb=jnp.concatenate([0.5 + expression / 8, pose[:3].ravel() / 8 + 0.5])[None, :, None])

    person = avatar.Avatar(head, np.zeros((6, 16, 29)), speaker(count), SimpleNamespace(render=render), ())
    shown = avatar_live.of_avatar(person, letters, name='somebody')
    assert (shown.name, shown.fps, shown.size) == ('somebody', 25, (16, 16))
    lips = np.random.default_rng(0).normal(size=count).astype(np.float32)
    for frame, own in ((0, 0), (3, 3), (4, 2), (6, 0), (9, 3)):  # forwards and backwards, of the frames to learn from
        told = (shown.draw(frame, lips)[0, :, 0] / 255 - 0.5) * 8
        wanted = head.performance.expressions[own].copy()
        wanted[avatar_speech.mouth(head.names)] = lips
        np.testing.assert_allclose(told[: len(wanted)], wanted, atol=0.02)
        np.testing.assert_allclose(told[len(wanted) :], head.performance.world_from_head[own, :3].ravel(), atol=0.02)


@pytest.mark.slow
def test_the_procedural_face_moves_its_lips(letters):
    shown = avatar_live.show(Config(size=32), letters)
    shut, wide = np.zeros(procedural.SPOKEN, np.float32), np.eye(procedural.SPOKEN, dtype=np.float32)[0]
    closed, opened = (shown.draw(3, lips).astype(float) for lips in (shut, wide))
    changed = np.abs(opened - closed).max(-1) > 20
    rows = np.flatnonzero(changed.any(1))
    assert closed.shape == (32, 32, 3)
    assert 10 < changed.sum() < 200 and rows.min() > 14  # the lower face alone
