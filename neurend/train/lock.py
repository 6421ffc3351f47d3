"""One run per workdir."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from neurend.checks import InputError


@contextlib.contextmanager
def hold(workdir: Path) -> Iterator[None]:
    """Holds `workdir/lock` while the body runs.

    The lock is the kernel's (or the file server's), so it goes with the process that held it, however that ended; a
    file left by a dead process is taken over. The file says who holds it.

    Raises:
        InputError: another run holds it, or the folder cannot be written.
    """
    path = workdir / 'lock'
    try:
        file = open(path, 'a+', encoding='utf-8')  # noqa: SIM115  closed below
    except OSError as error:
        raise InputError(
            f'workdir {workdir}: cannot be written ({error.strerror}); choose another --workdir'
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f'workdir {workdir}: {_holder(file)} trains in it; wait for it, stop it, or choose another --workdir'
            ) from None
        except OSError as error:
            print(f'workdir {workdir}: its file system has no locks ({error.strerror}); start no second run in it')
        try:
            file.seek(0)
            file.truncate()
            json.dump({'pid': os.getpid(), 'host': socket.gethostname()}, file)
            file.flush()
        except OSError as error:
            raise InputError(
                f'workdir {workdir}: cannot be written ({error.strerror}); make room, or choose another'
            ) from error
        yield


def _holder(file) -> str:
    try:
        file.seek(0)
        owner = json.load(file)
        return f'process {int(owner["pid"])} on {owner["host"]}'
    except (ValueError, KeyError, TypeError, OSError):
        return 'another process'
