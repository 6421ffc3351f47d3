"""Latency of the live page: a recording is streamed in real time, over and over, for a minute.

    python -m benchmarks.avatar_live --avatar=out/avatar

Serves `experiments.avatar_live` and talks to it twice: by a client in this process that posts 20 ms of sound each 20 ms
and decodes each frame that comes; and, where Chromium is installed, by the page itself, whose microphone is the
recording. Prints, for both, the time from the moment at which a frame's own sound was heard to the moment at which it
was shown (median and 95th percentile; of the first and the last ten seconds too), frames per second and frames left
out, beside the wait that the networks ask for by looking ahead. The last line printed is JSON.

Without `--avatar` the procedural face is shown. `--quick` shows it small for some seconds, by an untrained recogniser.
"""

import argparse
import contextlib
import http.client
import json
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jax
import jax.numpy as jnp
import numpy as np

from experiments import avatar_live, recognizer
from neurend import allocation
from neurend.images import io
from neurend.speech import audio
from neurend.speech.audio import Waveform
from neurend.speech.recognizer import COLUMNS, Compiled, LetterNetwork, Recognizer
from neurend.viewer import live

_PIECE, _END = 0.02, 10.0  # seconds of a piece, and of the first and last part of a talk


class Seen(NamedTuple):
    """What a client saw: frames, seconds from their sound to their picture, when that was, and how many it missed."""

    frames: list[int]
    latencies: list[float]
    times: list[float]
    dropped: int


def talk(server: live.Server, sound: Waveform, *, seconds: float) -> Seen:
    """Streams a sound, over and over, to a server in real time."""

    def ask(connection, method, path, body=None, kind='application/json'):
        connection.request(method, path, body, {'Content-Type': kind} if body is not None else {})
        return connection.getresponse()

    connect = [http.client.HTTPConnection(server.host, server.server_port, timeout=20) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        sending, reading = (stack.enter_context(contextlib.closing(each)) for each in connect)
        about = json.loads(ask(sending, 'POST', '/start', json.dumps({'rate': sound.rate})).read())
        session = 'session=' + quote(about['session'])
        answer = stack.enter_context(ask(reading, 'GET', f'/frames?{session}'))
        size, begun = round(_PIECE * sound.rate), time.monotonic()

        def send():
            samples = np.asarray(sound.samples, '<f4')
            for start in range(0, round(seconds * sound.rate), size):
                piece = samples.take(range(start, start + size), mode='wrap')
                time.sleep(max(0.0, begun + (start + size) / sound.rate - time.monotonic()))
                kind = 'application/octet-stream'
                ask(sending, 'POST', f'/audio?{session}&start={start}', piece.tobytes(), kind).read()
            ask(sending, 'POST', f'/stop?{session}', '{}').read()

        sender = threading.Thread(target=send)
        sender.start()
        frames, latencies, times, dropped = [], [], [], 0
        while head := answer.read(live.HEADER.size):
            length, frame, dropped, _ = live.HEADER.unpack(head)
            io.decode(answer.read(length))
            frames.append(frame)
            times.append(time.monotonic() - begun)
            latencies.append(times[-1] - frame / about['fps'])
        sender.join()
    return Seen(frames, latencies, times, dropped)


def browse(server: live.Server, path: Path, *, browser: str, seconds: float) -> Seen:
    """Shows the page in a browser without a window, whose microphone is a recording, until some seconds are shown."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--mute-audio',
                f'--user-data-dir={folder}', '--autoplay-policy=no-user-gesture-required', '--remote-debugging-port=0',
                '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
                f'--use-file-for-fake-audio-capture={path.resolve()}', server.url + '#microphone',
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        begun, times = time.monotonic(), []
        try:
            # The page tells each second what it has shown; it takes a moment to start.
            while time.monotonic() - begun < seconds + 60 and (not times or time.monotonic() - times[0] < seconds):
                time.sleep(0.05)
                times += [time.monotonic()] * (len(server.reports) - len(times))
        finally:
            process.terminate()
            process.wait()
    latencies = [each / 1000 for each in server.reports[: len(times)]]
    return Seen([], latencies, [each - times[0] for each in times] if times else [], server.dropped)


def summary(seen: Seen, fps: float) -> dict[str, float]:
    """Figures of a talk."""
    values, times = np.array(seen.latencies), np.array(seen.times)
    if not len(values):
        return {'frames': 0}
    # The first second has what a recogniser without a past makes of the start.
    ends = [values[times < _END], values[times > times[-1] - _END]]
    return {
        'latency_ms': 1000 * float(np.median(values)),
        'latency_95_ms': 1000 * float(np.percentile(values, 95)),
        'latency_first_ms': 1000 * float(np.median(ends[0])),
        'latency_last_ms': 1000 * float(np.median(ends[1])),
        'frames': len(values),
        'fps': (len(values) - 1) / max(times[-1] - times[0], 1 / fps),
        'dropped': seen.dropped,
    }


def untrained() -> Recognizer:
    """A small recogniser that knows nothing."""
    network = LetterNetwork(16, 16)
    params = network.init(jax.random.key(0), jnp.zeros((1, 2, COLUMNS)), network.start(1))['params']
    return Recognizer(network, params)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--avatar', default='')
    parser.add_argument('--recognizer', default='out/recognizer')
    parser.add_argument('--size', type=int, default=256)
    parser.add_argument('--minutes', type=float, default=1.0)
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    seconds, size = (4.0, 64) if options.quick else (60 * options.minutes, options.size)
    config = avatar_live.Config(
        avatar='' if options.quick else options.avatar, size=size, recognizer=options.recognizer, port=0
    )
    known = untrained() if options.quick else recognizer.load(options.recognizer).recognizer
    shown = avatar_live.show(config, Compiled(known, config.rows))
    path = sorted((Path(options.data_root) / 'speech').glob('*.wav'))[0]
    sound, results = audio.read(path), {}
    with avatar_live.serve(config, shown) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        busy = time.process_time()
        results['client'] = summary(talk(server, sound, seconds=seconds), shown.fps)
        results['client']['cores'] = (time.process_time() - busy) / seconds
        browser = shutil.which('chromium') or shutil.which('google-chrome')
        if browser:
            seen = browse(server, path, browser=browser, seconds=seconds)
            results['browser'] = summary(seen, shown.fps)
        server.shutdown()
    print(f'{shown.name}, {shown.size[0]} x {shown.size[1]}; the networks wait {1000 * shown.wait:.0f} ms for sound')
    for name, found in results.items():
        print(f'{name}: {", ".join(f"{key} {value:.1f}" for key, value in found.items())}')
    figures = {f'{name}_{key}': round(value, 2) for name, found in results.items() for key, value in found.items()}
    print(json.dumps(figures | {'wait_ms': round(1000 * shown.wait), 'size': shown.size[0], 'seconds': seconds}))


if __name__ == '__main__':
    main()
