"""Runs in processes of their own: killed ones, and several that train together."""

import json
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600  # seconds; a hung process must not hang the tests
COMMAND = [sys.executable, '-m', 'tests.train.tiny']


def start(workdir, *options, steps=50):
    command = [*COMMAND, f'--workdir={workdir}', f'--steps={steps}', *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return said


def result(path):
    return [np.asarray(leaf) for leaf in json.loads(path.read_text())]


def metric_lines(workdir):
    path = workdir / 'metrics.jsonl'
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for_line(workdir, process, *, lines):
    """Waits until a run has written more than so many lines of metrics, or has ended."""
    deadline = time.monotonic() + PATIENCE
    while metric_lines(workdir) <= lines and process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise TimeoutError(f'no line of metrics: {process.communicate()[0]}')
        time.sleep(0.002)


def kill_and_resume(tmp_path, kills, *, steps, seed):
    """Kills a run at random moments, each after it has made some headway; returns the final states of both."""
    finish(start(tmp_path / 'whole', '--every=20', f'--result={tmp_path / "whole.json"}', '--host', steps=steps))
    moments = random.Random(seed)
    options = ('--every=20', f'--result={tmp_path / "killed.json"}', '--host')
    for _ in range(kills):
        process = start(tmp_path / 'killed', *options, steps=steps)
        lines = metric_lines(tmp_path / 'killed')
        wait_for_line(tmp_path / 'killed', process, lines=lines)
        time.sleep(moments.uniform(0, 0.1))
        assert process.poll() is None, f'the run ended before it was killed {kills} times:\n{process.communicate()[0]}'
        process.kill()
        process.communicate()
    finish(start(tmp_path / 'killed', *options, steps=steps))
    return result(tmp_path / 'whole.json'), result(tmp_path / 'killed.json')


@pytest.mark.slow
def test_killed_ten_times_and_resumed_is_uninterrupted(tmp_path):
    whole, killed = kill_and_resume(tmp_path, 10, steps=2400, seed=1)
    for a, b in zip(whole, killed, strict=True):
        np.testing.assert_array_equal(a, b)


def free_port():
    with socket.socket() as listener:
        listener.bind(('localhost', 0))
        return listener.getsockname()[1]


def together(workdir, *options, steps=50):
    port = free_port()
    pair = [
        start(workdir, '--cpus=2', f'--port={port}', f'--process={rank}', *options, steps=steps) for rank in range(2)
    ]
    try:
        return [finish(process) for process in pair]
    finally:
        for process in pair:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize('options', [('--shard_above=8',), ('--host',)])
def test_two_processes_of_two_devices_agree_with_one(tmp_path, options):
    finish(start(tmp_path / 'one', f'--result={tmp_path / "one.json"}', *options))
    first, second = together(tmp_path / 'pair', *options, steps=30)
    assert 'step 30/30' in first and 'step 30/30' not in second
    first, _ = together(tmp_path / 'pair', *options)
    assert metric_lines(tmp_path / 'pair') == 5
    assert 'resuming after step 30' in first
    # What the pair saved goes on in one process, and is what that process trained by itself.
    finish(start(tmp_path / 'pair', f'--result={tmp_path / "pair.json"}', *options))
    for a, b in zip(result(tmp_path / 'one.json'), result(tmp_path / 'pair.json'), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_sigterm_to_one_of_two_processes_stops_both(tmp_path):
    port = free_port()
    pair = [start(tmp_path, '--cpus=2', f'--port={port}', f'--process={rank}', steps=200_000) for rank in range(2)]
    try:
        wait_for_line(tmp_path, pair[0], lines=0)
        pair[1].send_signal(signal.SIGTERM)
        first, _ = [finish(process) for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert 'stopped by SIGTERM' in first
