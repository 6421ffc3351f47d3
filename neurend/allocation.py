"""How the process gets memory for large temporaries of programs on a CPU."""

import ctypes
import sys

# Names of parameters in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30


def keep_freed_memory() -> bool:
    """Asks the C library to keep large blocks that are freed, instead of returning them to the system at once.

    XLA on a CPU allocates the temporaries of a program anew in every call. Beyond 32 MB glibc fetches them from the
    system each time, and each page then costs a fault: more than half the time of rasterizing a million triangles. The
    price is that memory once used stays with the process. `neurend.app.run` calls this; a program or notebook of your
    own may, at its start.

    Returns:
        Whether it was possible: it is with glibc, on Linux.
    """
    if not sys.platform.startswith('linux'):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    return (
        mallopt is not None
        and bool(mallopt(_MMAP_THRESHOLD, _LARGE))
        and bool(mallopt(_TRIM_THRESHOLD, 2 * _LARGE - 1))
    )
