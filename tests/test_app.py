import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import ClassVar

import pytest

from neurend import app, checks, config
from neurend.train import lock
from neurend.train.diagnosis import NonFiniteError

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 3
    scale: float = 1.0
    workdir: str | None = None


PROGRAM = '''
"""Prints its configuration."""
import dataclasses
from neurend import app, checks

@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 3
    scale: float = 1.0
    workdir: str | None = None

def main(config):
    if config.steps < 0:
        raise checks.InputError('--steps: got a negative number')
    print(config)

if __name__ == '__main__':
    app.run(main, Config)
'''


@pytest.fixture(scope='module')
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp('app') / 'program.py'
    path.write_text(textwrap.dedent(PROGRAM))

    def start(*args, stdout=subprocess.PIPE):
        environment = os.environ | {'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
        command = [sys.executable, str(path), *map(str, args)]
        return subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment, timeout=300, check=False
        )

    return start


def test_a_run_announces_itself_and_its_record_reproduces_it(program, tmp_path):
    flagfile = tmp_path / 'a.flags'
    flagfile.write_text('# comment\n--steps=5\n--scale=0.1\n')
    workdir = tmp_path / 'deep' / 'run'
    first = program('--scale=0.25', f'--workdir={workdir}', f'--flagfile={flagfile}')
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"Config(steps=5, scale=0.25, workdir='{workdir}')\n"
    for text in ('devices: CPU ONLY, ', 'memory: ', 'compiling: ', f'config: {workdir}/config.flags'):
        assert text in first.stderr
    again = program(f'--flagfile={workdir}/config.flags')
    assert (again.returncode, again.stdout) == (0, first.stdout)


def test_errors_are_one_message_and_exit_code_2(program, tmp_path):
    loop = tmp_path / 'loop.flags'
    loop.write_text(f'--flagfile={loop}\n')
    (tmp_path / 'file').write_text('')
    for args, message in (
        (['--stpes=3'], '--stpes: there is no such flag; did you mean --steps?'),
        ([f'--flagfile={loop}'], 'includes itself'),
        ([f'--workdir={tmp_path}/file/run'], 'cannot be written (Not a directory)'),
        (['--steps=-1'], '--steps: got a negative number'),
    ):
        result = program(*args)
        assert result.returncode == 2
        assert message in result.stderr.splitlines()[-1]
        assert result.stderr.splitlines()[-1].startswith('error: ')
        assert 'Traceback' not in result.stderr
        assert result.stdout == ''
    assert 'Traceback' in program('--steps=-1', '--traceback').stderr


def test_a_loss_that_is_not_finite_is_one_message_and_exit_code_1(capsys):
    def main(_):
        raise NonFiniteError('step 7: loss nan')

    with pytest.raises(SystemExit) as exit_:
        app.run(main, Config, [], record=None)
    assert exit_.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == 'error: step 7: loss nan'
    with pytest.raises(NonFiniteError):
        app.run(main, Config, ['--traceback'], record=None)


def test_help_needs_no_device_and_no_required_flag(capsys):
    def main(_):
        raise AssertionError('not to be called')

    with pytest.raises(SystemExit) as exit_:
        app.run(main, Config, ['--help'])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert '--steps  (int; default 3)' in text
    assert '--coordinator' in text


def test_help_whose_reader_has_left_ends_quietly(program):
    reader, writer = os.pipe()
    os.close(reader)
    result = program('--help', stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, '')


def test_a_program_may_keep_its_own_record_or_none(tmp_path):
    seen = []
    app.run(seen.append, Config, [f'--workdir={tmp_path}'], record=None)
    assert list(tmp_path.iterdir()) == []
    app.run(seen.append, Config, [f'--workdir={tmp_path}', '--steps=4'], record='evaluate.flags')
    assert [path.name for path in tmp_path.iterdir()] == ['evaluate.flags']
    assert seen == [Config(workdir=str(tmp_path)), Config(steps=4, workdir=str(tmp_path))]
    assert config.parse(Config, f'--flagfile={tmp_path / "evaluate.flags"}') == seen[1]


def test_a_second_run_in_a_workdir_leaves_the_record_of_the_first(tmp_path, capsys):
    app.run(lambda _: None, Config, [f'--workdir={tmp_path}'])
    record = (tmp_path / 'config.flags').read_text()
    with lock.hold(tmp_path), pytest.raises(SystemExit) as exit_:
        app.run(lambda _: None, Config, [f'--workdir={tmp_path}', '--steps=9'])
    assert exit_.value.code == 2
    assert f'process {os.getpid()} on ' in capsys.readouterr().err
    assert (tmp_path / 'config.flags').read_text() == record


@dataclasses.dataclass(frozen=True)
class Resumed:
    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('steps',)

    steps: int = 3
    rate: float = 0.1
    data_dir: str = ''
    workdir: str = ''


@dataclasses.dataclass(frozen=True)
class Called:
    NOT_RECORDED: ClassVar[tuple[str, ...]] = ('say',)
    TRAINS_IN: ClassVar[tuple[str, ...]] = ('first', 'second')

    rate: float = 0.1
    say: str = ''
    workdir: str = ''


def test_what_one_call_is_to_do_is_not_recorded_and_trainings_in_folders_are_the_run(tmp_path, capsys):
    record = tmp_path / 'config.flags'
    (tmp_path / 'second' / 'checkpoints' / '100').mkdir(parents=True)
    app.run(lambda _: None, Called, [f'--workdir={tmp_path}', '--say=  this,\tnow '])
    assert '--rate=0.1' in record.read_text() and 'say' not in record.read_text()
    said = []
    app.run(said.append, Called, [f'--flagfile={record}'])
    app.run(said.append, Called, [f'--flagfile={record}', '--say=that'])
    assert [each.say for each in said] == ['', 'that']
    with pytest.raises(SystemExit):
        app.run(lambda _: pytest.fail('was called'), Called, [f'--flagfile={record}', '--rate=0.2'])
    assert 'holds a run with --rate=0.1 (got 0.2)' in capsys.readouterr().err and '--rate=0.1' in record.read_text()


def test_a_run_with_checkpoints_goes_on_with_the_flags_it_began_with(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = [f'--workdir={tmp_path}', f'--data_dir={tmp_path}/scene', '--rate=0.5']
    app.run(lambda _: None, Resumed, [f'--workdir={tmp_path}', '--rate=7'])
    app.run(lambda _: None, Resumed, first)  # nothing is learned yet: any flags will do
    (tmp_path / 'checkpoints' / '100').mkdir(parents=True)
    app.run(lambda _: None, Resumed, [*first, '--steps=9', '--data_dir=scene'])
    record = (tmp_path / 'config.flags').read_text()
    for change in (['--rate=0.4'], ['--data_dir=other', '--steps=12']):
        with pytest.raises(SystemExit) as exit_:
            app.run(lambda _: pytest.fail('was called'), Resumed, [*first, *change])
        assert exit_.value.code == 2
        name = change[0].partition('=')[0]
        assert f'holds a run with {name}=' in capsys.readouterr().err
        assert (tmp_path / 'config.flags').read_text() == record
    with pytest.raises(SystemExit):
        app.run(lambda _: None, Config, [f'--workdir={tmp_path}'])
    error = capsys.readouterr().err
    assert f'holds a run of {app.program_name()} with other flags than this program has' in error
    begun = (tmp_path / 'config.flags').read_text()
    (tmp_path / 'config.flags').write_text(begun.replace(app.program_name(), 'python -m experiments.other'))
    with pytest.raises(SystemExit):
        app.run(lambda _: None, Config, [f'--workdir={tmp_path}'])
    assert 'holds a run of python -m experiments.other; choose another --workdir' in capsys.readouterr().err


def test_a_launch_that_fails_leaves_the_record_of_the_run(tmp_path):
    begun = [f'--workdir={tmp_path}', '--rate=0.5']

    def fail(settings):
        (tmp_path / 'checkpoints' / '100').mkdir(parents=True, exist_ok=True)
        raise checks.InputError('the disk is full')

    app.run(lambda _: None, Resumed, [f'--workdir={tmp_path}'])
    with pytest.raises(SystemExit):  # what it learned before it failed belongs to its own flags
        app.run(fail, Resumed, begun)
    record = (tmp_path / 'config.flags').read_text()
    assert '--rate=0.5' in record
    with pytest.raises(SystemExit):
        app.run(fail, Resumed, [*begun, '--steps=-5'])
    assert (tmp_path / 'config.flags').read_text() == record


def test_an_interrupted_program_says_so_and_nothing_else(capsys):
    def interrupted(settings):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as exit_:
        app.run(interrupted, Config, [])
    assert exit_.value.code == 130
    assert capsys.readouterr().err.endswith('interrupted\n')


@pytest.mark.parametrize(
    ('launch', 'message'),
    [
        (app.Launch(processes=2), 'got no --coordinator'),
        (app.Launch('host', 2, 0), "--coordinator: got 'host', expected host:port or auto"),
        (app.Launch('host:1', 2), 'got 2 and None, expected'),
        (app.Launch('host:1', 2, 2), 'got 2 and 2, expected'),
    ],
)
def test_contradicting_cluster_flags_are_refused(launch, message):
    with pytest.raises(checks.InputError, match=message):
        app.initialize_cluster(launch)


def test_a_configuration_may_not_shadow_the_launch_flags():
    @dataclasses.dataclass(frozen=True)
    class Shadowing:
        process: int = 0

    with pytest.raises(TypeError, match='--process exists already'):
        app.run(lambda _: None, Shadowing, [])
