"""How the process gets memory for large temporaries of programs on a CPU."""

import ctypes
import sys

# Names of parameters in glibc's malloc.h, which takes them as integers of 32 bits.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE = 1 << 30
_EVERYTHING = -1


def keep_freed_memory(*, everything: bool = False) -> bool:
    """Asks the C library to keep large blocks that are freed, instead of returning them to the system at once.

    XLA on a CPU allocates the temporaries of a program anew in every call. Beyond 32 MB glibc fetches them from the
    system each time, and each page then costs a fault: more than half the time of rasterizing a million triangles. The
    price is that memory once used stays with the process. `neurend.app.run` calls this; a program or notebook of your
    own may, at its start, before other threads have memory of their own: all share one pool from then on, since XLA's
    have none large enough.

    Args:
        everything: keep blocks beyond a gigabyte as well. A step that needs 9 GB of temporaries spent a quarter of its
            time on faults. Blocks of changing sizes may then need twice the memory, as they do not fit where others
            were.

    Returns:
        Whether it was possible: it is with glibc, on Linux.
    """
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    wanted = {
        _ARENA_MAX: 1,
        _MMAP_THRESHOLD: _EVERYTHING if everything else _LARGE,
        _TRIM_THRESHOLD: _EVERYTHING if everything else 2 * _LARGE - 1,
    }
    taken = [mallopt is not None and bool(mallopt(name, value)) for name, value in wanted.items()]
    return all(taken)
