"""A strict environment for every test: four host devices, no silent rank promotion, one compilation cache."""

import os
from pathlib import Path

import jax
import pytest
from absl import flags

ROOT = Path(__file__).resolve().parents[1]
_MOST_MAPPINGS = 30000

# Before the first operation: the number of host devices is fixed from then on.
jax.config.update('jax_num_cpu_devices', 4)
jax.config.update('jax_numpy_rank_promotion', 'raise')
# Compilation dominates the suite; subprocesses find the cache by the same environment variable.
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(ROOT / '.cache' / 'jax'))
jax.config.update('jax_compilation_cache_dir', os.environ['JAX_COMPILATION_CACHE_DIR'])
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
# grain's workers read absl flags and refuse to before they are parsed.
flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope='module', autouse=True)
def programs_given_back():
    """Forgets compiled programs once there are many: each takes mappings of memory, of which a process has 65530."""
    yield
    maps = Path('/proc/self/maps')
    if maps.exists() and maps.read_text().count('\n') > _MOST_MAPPINGS:
        jax.clear_caches()


@pytest.fixture(scope='session')
def data_root() -> Path:
    """Folder with the real datasets; tests that need one are skipped where it is absent."""
    root = Path(os.environ.get('NEUREND_DATA_ROOT', ROOT.parent / 'shared' / 'data'))
    if not root.is_dir():
        pytest.skip(f'no data at {root}: set NEUREND_DATA_ROOT to the folder that holds nerf_synthetic, llff, ...')
    return root
