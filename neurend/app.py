"""The launch of a program: flags from its configuration, the cluster, a banner, and errors a user can act on.

An experiment ends with

    if __name__ == '__main__':
        app.run(main, Config)

and starts as `python -m experiments.nerf --flagfile=configs/nerf_chair_fast.flags --workdir=out/chair`; on several
hosts every process adds `--coordinator=host0:1234 --processes=4 --process=$RANK`, or `--coordinator=auto` where JAX
knows the cluster (TPU pods, Slurm, Kubernetes). Nothing is defined or parsed when an experiment is imported.
"""

import contextlib
import dataclasses
import inspect
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
from absl import flags

import neurend
from neurend import allocation, checks, config
from neurend.train import lock, runs
from neurend.train.diagnosis import NonFiniteError

C = TypeVar('C')
RECORD = 'config.flags'


@dataclasses.dataclass(frozen=True)
class Launch:
    """Flags that every program has beside those of its configuration.

    Attributes:
        coordinator: address host:port of process 0, the same for all processes, or auto to let JAX find the cluster.
        processes: number of processes, one per host (or per group of devices).
        process: number of this process, from 0.
        keep_memory: on a CPU, keep freed blocks beyond a gigabyte too, see `neurend.allocation`: large steps take a
            quarter less time, and the process may need twice the memory.
        traceback: show where an error about your input or a loss that is not finite was raised, not just its message.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    keep_memory: bool = False
    traceback: bool = False


def run(
    main: Callable[[C], Any],
    config_class: type[C],
    argv: Sequence[str] | None = None,
    *,
    record: str | None = RECORD,
) -> None:
    """Parses the command line into a configuration, announces the machine and calls `main(config)`.

    Ctrl-C ends it with code 130. After an error about the user's input the record of an earlier run with checkpoints in
    the workdir is what it was before.

    Args:
        main: the program; the docstring of its module is what `--help` shows.
        config_class: frozen dataclass, see `neurend.config`. Its class variables may be `MAY_CHANGE`, names of the
            flags that a run may be resumed with other values of, `NOT_RECORDED`, of those that are of one call and not
            of the run, and `TRAINS_IN`, of the folders in the workdir that have the checkpoints.
        argv: arguments without the program's name; `sys.argv[1:]` if None.
        record: name of the flag file with the resolved configuration, written to `config.workdir` where the
            configuration has one. The default name belongs to the run that trains there; a program that reads another's
            workdir gives a name of its own, or None.

    Raises:
        SystemExit: with code 0 after `--help`; with one message on stderr and code 2 after an `InputError`, from the
            flags or from `main`, and code 1 after a `NonFiniteError`.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if {'--help', '-h', '--helpfull'} & set(argv):
        _print(_usage(main, config_class))
        raise SystemExit(0)
    show_traceback = False
    with contextlib.ExitStack() as undo:
        try:
            launch, settings = _parse(config_class, argv)
            show_traceback = launch.traceback
            allocation.keep_freed_memory(everything=launch.keep_memory)
            initialize_cluster(launch)
            say(banner())
            workdir = getattr(settings, 'workdir', None)
            if workdir and record and jax.process_index() == 0:
                before = runs.kept(settings, Path(workdir) / record)
                say(f'config: {write_record(settings, Path(workdir), record)}')
                undo.callback(runs.put_back, Path(workdir) / record, before)
            main(settings)
            undo.pop_all()
        except (checks.InputError, NonFiniteError) as error:
            if isinstance(error, NonFiniteError):
                undo.pop_all()
            if show_traceback:
                raise
            say(f'error: {error}')
            raise SystemExit(2 if isinstance(error, checks.InputError) else 1) from None
        except KeyboardInterrupt:
            undo.pop_all()
            say('interrupted')
            raise SystemExit(130) from None


def initialize_cluster(launch: Launch) -> None:
    """Joins this process to the others, before JAX touches a device; nothing to do for a single process.

    Raises:
        checks.InputError: the flags contradict each other, or JAX finds no cluster.
    """
    numbers = (launch.processes, launch.process)
    if launch.coordinator is None:
        if numbers != (None, None):
            raise checks.InputError('--processes, --process: got no --coordinator; add --coordinator=host:port')
        return
    try:
        if launch.coordinator == 'auto':
            jax.distributed.initialize(num_processes=launch.processes, process_id=launch.process)
            return
        host, _, port = launch.coordinator.rpartition(':')
        if not host or not port.isdigit():
            raise checks.InputError(f'--coordinator: got {launch.coordinator!r}, expected host:port or auto')
        if launch.processes is None or launch.process is None or not 0 <= launch.process < launch.processes:
            raise checks.InputError(
                f'--processes, --process: got {launch.processes} and {launch.process}, expected the number of '
                'processes and the number of this one, from 0'
            )
        jax.distributed.initialize(launch.coordinator, launch.processes, launch.process)
    except checks.InputError:
        raise
    except (ValueError, RuntimeError) as error:
        raise checks.InputError(
            f'--coordinator={launch.coordinator}: cannot join the cluster ({error}). Check that process 0 runs and the '
            'address is reachable, or give --coordinator=host:port --processes --process'
        ) from error


def banner() -> str:
    """Lines that say what the program runs on: devices, memory policy, and that compiling comes first."""
    devices = jax.devices()
    kind = devices[0].platform
    processes = f', process {jax.process_index()} of {jax.process_count()}' if jax.process_count() > 1 else ''
    if kind == 'cpu':
        line = f'CPU ONLY, {len(devices)} device(s) on {os.cpu_count()} cores{processes}; no accelerator is in use'
        if Path('/dev/nvidia0').exists():
            line += ". This machine has an NVIDIA GPU: pip install 'neurend[cuda]' to use it"
    else:
        line = f'{len(devices)} x {devices[0].device_kind} ({kind}){processes}'
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    return '\n'.join(
        (
            f'neurend {neurend.__version__}, jax {jax.__version__}, python {platform.python_version()}',
            f'devices: {line}',
            f'memory: {_memory_policy(devices[0])}',
            'compiling: comes before the first step and is not progress; compiled programs are '
            + (f'kept in {cache}' if cache else 'not kept (set JAX_COMPILATION_CACHE_DIR to keep them)'),
        )
    )


def write_record(settings: Any, workdir: Path, name: str) -> Path:
    """Writes the flag file that reproduces a configuration to `workdir/name`, made if needed, and returns its path.

    Raises:
        checks.InputError: the folder cannot be made or written, the record is that of a run still training there, or
            that of a run with checkpoints and other flags.
    """
    path = workdir / name
    header = runs.header(program_name(), path)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with lock.hold(workdir) if name == RECORD else contextlib.nullcontext():
            if name == RECORD:
                runs.check_same(settings, path, program_name())
            runs.write(path, header + runs.recorded(settings))
    except OSError as error:
        raise checks.InputError(
            f'--workdir={workdir}: cannot be written ({error.strerror}); choose a folder you may write, with space left'
        ) from error
    return path


def program_name() -> str:
    """How the running program was started: `python -m experiments.nerf`, or its file."""
    spec = getattr(sys.modules['__main__'], '__spec__', None)
    return f'python -m {spec.name.removesuffix(".__main__")}' if spec else f'python {Path(sys.argv[0]).name}'


def say(text: str) -> None:
    """Prints to stderr at once, so that stdout stays free for results."""
    print(text, file=sys.stderr, flush=True)


def _print(text: str) -> None:
    """Prints to stdout; if its reader has left, as `head` does, that is all right."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(config_class: type[C], argv: Sequence[str]) -> tuple[Launch, C]:
    values = flags.FlagValues()
    config.define(Launch, values)
    config.define(config_class, values)
    config.assign(values, argv)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain's workers refuse to start before
    return config.read(Launch, values), config.read(config_class, values)


def _usage(main: Callable[..., Any], config_class: type) -> str:
    about = inspect.cleandoc(getattr(inspect.getmodule(main), '__doc__', None) or '')
    return '\n'.join(
        (
            f'usage: {program_name()} [--flagfile=path] [--name=value ...]\n',
            about + '\n' if about else '',
            'flags of the program:',
            config.help_text(config_class),
            '\nflags of every program:',
            config.help_text(Launch),
        )
    )


def _memory_policy(device: Any) -> str:
    if device.platform == 'cpu':
        return 'host memory, allocated as needed'
    if device.platform != 'gpu':
        return 'device memory, allocated as needed'
    if os.environ.get('XLA_PYTHON_CLIENT_PREALLOCATE', 'true').lower() in ('false', '0'):
        return 'device memory, allocated as needed (XLA_PYTHON_CLIENT_PREALLOCATE=false)'
    fraction = os.environ.get('XLA_PYTHON_CLIENT_MEM_FRACTION', '0.75')
    return f'XLA preallocates {fraction} of each device (XLA_PYTHON_CLIENT_PREALLOCATE=false to allocate as needed)'
