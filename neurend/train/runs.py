"""A workdir belongs to one run: what is resumed there must be what was begun."""

import os
import re
from pathlib import Path
from typing import Any

from neurend import checks, config

# Names of flags of one call alone and of folders with trainings, as class variables of configurations.
_NOT_RECORDED, _TRAINS_IN = 'NOT_RECORDED', 'TRAINS_IN'
# Fields of any configuration that say where a run is, not what it is.
_PLACE = 'workdir'


def check_same(settings: Any, record: Path, ours: str) -> None:
    """Checks that a run with checkpoints beside its record would go on with the same flags.

    Args:
        settings: configuration to go on with; its class variable `MAY_CHANGE` names the flags that may differ, beside
            those that are not recorded, see `recorded`.
        record: flag file of the run, which need not exist.
        ours: the running program, as records name it.

    Raises:
        InputError: other flags differ, or the record is of another program.
    """
    folder = record.parent
    if kept(settings, record) is None:
        return
    try:
        before = config.leaves(config.parse(type(settings), f'--flagfile={record}'))
    except checks.InputError as error:
        whose = program(record)
        if whose not in (None, ours):
            raise checks.InputError(f'workdir {folder}: holds a run of {whose}; choose another --workdir') from error
        raise checks.InputError(
            f'workdir {folder}: holds a run{f" of {whose}" if whose else ""} with other flags than this program has '
            f'({error}); choose another --workdir'
        ) from error
    free = {_PLACE, *getattr(settings, 'MAY_CHANGE', ()), *getattr(settings, _NOT_RECORDED, ())}
    now = config.leaves(settings)
    other = [name for name in now if name not in free and not _equal(name, before[name], now[name])]
    if other:
        listed = ', '.join(f'--{name}={config.text(before[name])} (got {config.text(now[name])})' for name in other[:4])
        more = f' and {len(other) - 4} more' if len(other) > 4 else ''
        raise checks.InputError(
            f'workdir {folder}: holds a run with {listed}{more}; choose another --workdir, or give the same flags'
        )


def recorded(settings: Any) -> str:
    """What a record says of a configuration: all flags but those of one call, which its class's `NOT_RECORDED` names.

    Raises:
        InputError: see `config.to_flags`.
    """
    return config.to_flags(settings, without=getattr(settings, _NOT_RECORDED, ()))


def kept(settings: Any, record: Path) -> str | None:
    """What the record of a run with checkpoints says; None where nothing was learned yet, or nothing is recorded.

    Checkpoints lie in the record's folder, or in those of it that the class variable `TRAINS_IN` of the configuration
    names.
    """
    folders = [record.parent / each / 'checkpoints' for each in getattr(settings, _TRAINS_IN, ('',))]
    if not any(path.name.isdigit() for folder in folders for path in folder.glob('*')):
        return None
    try:
        return record.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError):
        return None


def header(program: str, record: Path) -> str:
    """The first line of a record, which says whose it is."""
    return f'# Resolved flags of {program}; reproduce with --flagfile={record}\n'


def program(record: Path) -> str | None:
    """The program that wrote a record, such as 'python -m experiments.nerf'; None where it does not say."""
    try:
        first = record.read_text(encoding='utf-8').partition('\n')[0]
    except (OSError, UnicodeDecodeError):
        first = ''
    found = re.match('# Resolved flags of (.*?); ', first)
    return found[1] if found else None


def write(record: Path, text: str) -> None:
    """Writes a record whole or not at all.

    Raises:
        OSError: it cannot be written; the one before is as it was.
    """
    partial = record.with_name(f'{record.name}.partial')
    partial.write_text(text, encoding='utf-8')
    partial.replace(record)


def put_back(record: Path, before: str | None) -> None:
    """Restores a record that `kept` read, if it did."""
    if before is not None:
        try:
            write(record, before)
        except OSError as error:
            print(f'{record}: cannot be written ({error.strerror}); it now has the flags of the run that failed')


def _equal(name: str, before: Any, now: Any) -> bool:
    if before == now or before != before:
        return True
    if not name.endswith('_dir') or not before or not now:
        return False
    return os.path.realpath(before) == os.path.realpath(now)
