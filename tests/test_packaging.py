import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import neurend

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(path.stem for path in (ROOT / 'experiments').glob('*.py') if path.stem != '__init__')


def test_importing_the_package_alone_loads_no_jax():
    code = 'import sys, neurend; print(neurend.__version__, "jax" in sys.modules, "numpy" in sys.modules)'
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [neurend.__version__, 'False', 'False']


def test_importing_experiments_defines_no_flags():
    code = """
import importlib, sys
from absl import flags, logging
import grain, tensorflow_datasets  # define flags of their own
before = set(flags.FLAGS)
for name in sys.argv[1:]:
    importlib.import_module('experiments.' + name)
print(sorted(set(flags.FLAGS) - before))"""
    if not EXPERIMENTS:
        pytest.skip('there are no experiments')
    command = [sys.executable, '-c', code, *EXPERIMENTS]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == '[]'


def test_no_module_and_no_test_is_too_long_to_read():
    files = [path for folder in ('neurend', 'experiments', 'tests') for path in (ROOT / folder).rglob('*.py')]
    assert len(files) > 10
    assert [str(path) for path in files if len(path.read_text().splitlines()) > 400] == []


def test_flags_of_the_process_count_as_parsed_for_grain():
    assert flags.FLAGS.is_parsed()
