import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
import wave

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import io
from neurend.viewer import live
from neurend.viewer.live_session import Queue, Session, Show

FPS, TOKEN = 25, 'a-token-of-32-characters-or-so--'
FLOATS = {'Content-Type': 'application/octet-stream'}
JSON = {'Content-Type': 'application/json'}


def show(slow=0.0):
    """Frames tell the loudness of their sound by their grey."""

    def hear(rate):
        waiting, count = np.zeros(0), 0

        def push(samples):
            nonlocal waiting, count
            waiting = np.concatenate([waiting, samples])
            size, found = rate // FPS, []
            while len(waiting) >= size:
                found.append((count, float(np.abs(waiting[:size]).max())))
                waiting, count = waiting[size:], count + 1
            return found

        return push

    def draw(frame, loudness):
        time.sleep(slow)
        return np.full((16, 24, 3), round(200 * loudness), np.uint8)

    return Show('grey', FPS, (24, 16), 1 / FPS, hear, draw)


@pytest.fixture
def serve():
    servers = []

    def begin(shown=None, **options):
        server = live.Server(shown or show(), **options)
        threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server, method, path, body=None, headers=None):
    with contextlib.closing(http.client.HTTPConnection('127.0.0.1', server.server_port, timeout=5)) as connection:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as answer:
            return answer.status, answer.headers, answer.read()


def post(server, path, values, **headers):
    return ask(server, 'POST', path, json.dumps(values), JSON | headers)


def start(server, rate=16000):
    status, _, data = post(server, '/start', {'rate': rate})
    assert status == 200
    return json.loads(data)['session']


def frames(server, name):
    """Numbers, pictures and left-out frames that the endless answer has."""
    connection = http.client.HTTPConnection('127.0.0.1', server.server_port, timeout=5)
    connection.request('GET', f'/frames?session={name}')
    answer = connection.getresponse()
    try:
        assert answer.status == 200
        while head := answer.read(live.HEADER.size):
            size, frame, dropped, _ = live.HEADER.unpack(head)
            yield frame, io.decode(answer.read(size)), dropped
    finally:
        answer.close()
        connection.close()


def test_sound_goes_in_and_frames_come_out(serve):
    server = serve()
    status, _, data = post(server, '/start', {'rate': 16000})
    about = json.loads(data)
    assert (status, about['fps'], about['width'], about['height']) == (200, FPS, 24, 16)
    name, seen = about['session'], frames(server, about['session'])
    for k in range(6):
        sound = np.full(640, 0.1 * (k + 1), '<f4')
        assert ask(server, 'POST', f'/audio?session={name}&start={640 * k}', sound.tobytes(), FLOATS)[0] == 204
        frame, picture, dropped = next(seen)
        assert (frame, dropped, picture.shape) == (k, 0, (16, 24, 3))
        assert abs(int(picture.mean()) - 20 * (k + 1)) <= 2  # of its own sound
    assert post(server, f'/shown?session={name}', {'latency_ms': [40, 41.5], 'dropped': 2})[0] == 204
    assert (server.reports, server.dropped) == ([40, 41.5], 2)
    assert post(server, f'/stop?session={name}', {})[0] == 204
    assert list(seen) == []
    assert post(server, f'/shown?session={name}', {'latency_ms': []})[0] == 410


def test_lost_sound_leaves_frames_out_and_keeps_the_time_of_the_others(serve):
    server = serve()
    name = start(server)
    seen = frames(server, name)
    for at, loudness in ((0, 0.2), (640 * 10 + 100, 0.5), (640 * 11 + 100, 0.5)):
        sound = np.full(640, loudness, '<f4')
        assert ask(server, 'POST', f'/audio?session={name}&start={at}', sound.tobytes(), FLOATS)[0] == 204
        if not at:
            assert next(seen)[0] == 0
    frame, picture, dropped = next(seen)
    # The next whole frame of what has come begins at 640 * 11.
    assert (frame, dropped) == (11, 10)
    assert abs(int(picture.mean()) - 100) <= 2
    assert ask(server, 'POST', f'/audio?session={name}&start=640', sound.tobytes(), FLOATS)[0] == 400


def test_a_slow_machine_leaves_frames_out_rather_than_falling_behind():
    session = Session(show(slow=0.05), 16000)  # two at a time: 40 a second, of the 250 that come
    for k in range(100):
        session.push(640 * k, np.zeros(640, np.float32))
        time.sleep(0.004)
    time.sleep(0.3)
    last = None
    while (sent := session.take(0.01)) is not None:
        last = sent
    assert last.frame == 99
    assert last.dropped > 50
    assert last.seconds < 0.25
    session.close()
    assert session.closed and session.take() is None


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_what_goes_wrong_while_drawing_ends_the_talk(serve):
    def draw(frame, shown):
        raise RuntimeError('no paint')

    session = Session(show()._replace(draw=draw), 16000)
    session.push(0, np.zeros(640, np.float32))
    assert session.take() is None
    assert session.closed and str(session.problem) == 'no paint'
    session.close()
    server = serve(show()._replace(draw=draw))
    name, sound = start(server), np.zeros(640, '<f4').tobytes()
    ask(server, 'POST', f'/audio?session={name}&start=0', sound, FLOATS)
    server.session.take(2)
    status, _, told = ask(server, 'POST', f'/audio?session={name}&start=640', sound, FLOATS)
    assert status == 410 and b'went wrong' in told


def test_a_queue_keeps_the_newest():
    queue = Queue(3)
    for k in range(5):
        queue.put(k)
    assert [queue.take(), queue.take(), queue.take(), queue.take(0.01)] == [2, 3, 4, None]
    queue.close()
    assert queue.take() is None


def test_a_new_talk_ends_the_one_before(serve):
    server = serve()
    first = start(server)
    before = server.session
    second = start(server)
    assert before.closed
    assert ask(server, 'GET', f'/frames?session={first}')[0] == 410
    assert post(server, f'/stop?session={second}', {})[0] == 204


@pytest.mark.parametrize('host', ['0.0.0.0', '::', '192.168.1.5', '', 'example.org', '127.1', '0'])
def test_other_addresses_take_leave_and_a_token(host):
    with pytest.raises(InputError, match='allow_remote'):
        live.Server(show(), host=host)
    with pytest.raises(InputError, match='token'):
        live.check_address(host, allow_remote=True, token='')
    with pytest.raises(InputError, match='16'):
        live.check_address(host, allow_remote=True, token='short')
    live.check_address(host, allow_remote=True, token=TOKEN)


def test_it_listens_on_this_machine_alone(serve):
    assert serve().socket.getsockname()[0] == '127.0.0.1'
    with pytest.raises(InputError, match='Choose another port'):
        live.Server(show(), host='192.0.2.1', allow_remote=True, token=TOKEN)


@pytest.mark.parametrize('options', [{}, {'host': '0.0.0.0', 'allow_remote': True}])
def test_a_token_is_asked_of_everything_but_the_empty_page(serve, options):
    server = serve(token=TOKEN, **options)
    for given in ({}, {'Authorization': 'Bearer ' + TOKEN[:-1]}, {'Authorization': 'Bearer ' + TOKEN + 'x'}):
        assert post(server, '/start', {'rate': 16000}, **given)[0] == 401
        assert ask(server, 'GET', '/frames', headers=given)[0] == 401
    assert server.session is None
    status, _, page = ask(server, 'GET', '/')
    assert status == 200 and TOKEN.encode() not in page
    assert post(server, '/start', {'rate': 16000}, Authorization='Bearer ' + TOKEN)[0] == 200


@pytest.mark.parametrize(
    'headers, status',
    [
        ({'Host': 'evil.example'}, 421),  # a name that its owner has led to this machine
        ({'Host': 'evil.example:{port}'}, 421),
        ({'Host': '127.0.0.1.evil.example:{port}'}, 421),
        ({'Host': '127.0.0.1:1'}, 421),
        ({'Host': '[bad'}, 400),
        ({'Origin': 'http://evil.example'}, 403),
        ({'Origin': 'null'}, 403),
        ({'Origin': 'http://127.0.0.1:1'}, 403),
        ({'Sec-Fetch-Site': 'cross-site'}, 403),
        ({'Sec-Fetch-Site': 'same-site'}, 403),
        ({'Host': 'localhost:{port}', 'Origin': 'http://localhost:{port}', 'Sec-Fetch-Site': 'same-origin'}, 200),
    ],
)
def test_other_sites_are_kept_out(serve, headers, status):
    server = serve()
    given = {name: value.format(port=server.server_port) for name, value in headers.items()}
    found, answered, _ = post(server, '/start', {'rate': 16000}, **given)
    assert found == status
    assert not [name for name in answered if name.lower().startswith('access-control')]
    assert (server.session is not None) == (status == 200)


def test_bad_requests_are_answered_and_the_talk_goes_on(serve):
    server = serve()
    name = start(server)
    sound = np.zeros(640, '<f4').tobytes()
    where = f'/audio?session={name}&start=0'
    for method, path, body, headers, status in [
        ('GET', '/../etc/passwd', None, {}, 404),
        ('GET', '/audio', None, {}, 404),
        ('POST', '/', b'', JSON, 404),
        ('PUT', '/start', b'', JSON, 501),
        ('GET', '/frames?session=other', None, {}, 410),
        ('POST', '/audio?session=other&start=0', sound, FLOATS, 410),
        ('POST', where, sound, {'Content-Type': 'text/plain'}, 415),  # what a form of another site could send
        ('POST', where, b'', FLOATS, 400),
        ('POST', where, sound[:-1], FLOATS, 400),
        ('POST', where, np.full(4, np.nan, '<f4').tobytes(), FLOATS, 400),
        ('POST', f'/audio?session={name}&start=-1', sound, FLOATS, 400),
        ('POST', f'/audio?session={name}', sound, FLOATS, 400),
        ('POST', where, bytes(live.MOST + 4), FLOATS, 413),
        ('POST', where, iter([sound]), FLOATS, 411),  # chunked
        ('POST', where, b'', FLOATS | {'Content-Length': '9' * 30}, 413),
        ('POST', '/start', b'{', JSON, 400),
        ('POST', '/start', b'[]', JSON, 400),
        ('POST', '/start', b'{"rate": true}', JSON, 400),
        ('POST', f'/shown?session={name}', b'{"latency_ms": ["x"], "dropped": 0}', JSON, 400),
        ('POST', f'/shown?session={name}', b'{"latency_ms": [NaN], "dropped": 0}', JSON, 400),
        ('POST', f'/shown?session={name}', b'{"latency_ms": [1]}', JSON, 400),
    ]:
        try:
            found = ask(server, method, path, body, headers)[0]
        except ConnectionError:  # it hung up before it had all of too much
            found = 413
        assert found == status, (method, path, headers)
    assert ask(server, 'POST', where, sound, FLOATS)[0] == 204
    assert next(frames(server, name))[0] == 0


def test_connections_are_limited_in_number_and_time(serve, monkeypatch):
    monkeypatch.setattr(live.Handler, 'timeout', 0.3)
    server = serve()
    with contextlib.ExitStack() as idle:
        for _ in range(20):
            idle.enter_context(socket.create_connection(('127.0.0.1', server.server_port)))
        time.sleep(0.1)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(server, 'GET', '/')
        time.sleep(0.5)
        assert ask(server, 'GET', '/')[0] == 200


def test_page_says_that_it_is_synthetic_and_asks_nobody_else(serve):
    server = serve()
    status, headers, page = ask(server, 'GET', '/')
    assert status == 200
    assert b'This video is synthetic.' in page and b'consent' in page
    assert "default-src 'none'" in headers['Content-Security-Policy']
    assert headers['X-Content-Type-Options'] == 'nosniff' and 'Python' not in headers['Server']
    for path in ('/', '/live.js', '/microphone.js'):
        status, _, text = ask(server, 'GET', path)
        assert status == 200 and b'http' not in text and b'//cdn' not in text and b'innerHTML' not in text


@pytest.mark.skipif(not shutil.which('node'), reason='node is not installed')
@pytest.mark.parametrize('name', ['live.js', 'microphone.js'])
def test_scripts_parse(name):
    path = f'{live.resources.files("neurend.viewer")}/{name}'
    subprocess.run(['node', '--check', path], check=True, capture_output=True)


def test_page_works_in_a_browser(serve, tmp_path):
    browser = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if not browser:
        pytest.skip('no Chromium is installed (apt-get install chromium)')
    server = serve()
    with wave.open(str(tmp_path / 'sound.wav'), 'wb') as sound:
        sound.setparams((1, 2, 48000, 0, 'NONE', ''))
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
        sound.writeframes(np.round(32767 * tone).astype('<i2').tobytes())
    process = subprocess.Popen(
        [
            browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--mute-audio',
            f'--user-data-dir={tmp_path / "profile"}', '--autoplay-policy=no-user-gesture-required',
            '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
            f'--use-file-for-fake-audio-capture={tmp_path / "sound.wav"}', '--remote-debugging-port=0',
            server.url + '#microphone',
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while len(server.reports) < 25 and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait()
    # A second of frames was shown; none before its own sound was over.
    assert len(server.reports) >= 25
    assert 20 <= np.median(server.reports) < 2000
