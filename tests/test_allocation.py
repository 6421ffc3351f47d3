import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, resource, sys, threading
from neurend import allocation
kept = allocation.keep_freed_memory(everything=sys.argv[1] == 'everything')
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.create_string_buffer(int(sys.argv[2]) << 20)
    del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
found = []
def twice():
    faults()
    found.append(faults())
twice()
thread = threading.Thread(target=twice)
thread.start()
thread.join()
print(int(kept), *found)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
@pytest.mark.parametrize(('which', 'megabytes'), [('large', 64), ('everything', 64), ('everything', 1100)])
def test_a_large_block_is_fetched_from_the_system_once(which, megabytes):
    """By the first thread and by others."""
    kept, *faults = map(
        int, subprocess.check_output([sys.executable, '-c', _PROGRAM, which, str(megabytes)], text=True).split()
    )
    assert kept
    assert len(faults) == 2 and max(faults) < 100  # of the 16384 pages of 64 MB
