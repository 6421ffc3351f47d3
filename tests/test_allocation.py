import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, resource
from neurend import allocation
kept = allocation.keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.create_string_buffer(64 << 20)
    del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(int(kept), faults())
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc only')
def test_a_large_block_is_fetched_from_the_system_once():
    kept, faults = map(int, subprocess.check_output([sys.executable, '-c', _PROGRAM], text=True).split())
    assert kept
    assert faults < 100  # of the 16384 pages of the block
