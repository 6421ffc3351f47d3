import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

from neurend import trees
from neurend.checks import InputError
from neurend.train import lock
from neurend.train import mesh as meshes
from neurend.train.checkpoints import Checkpoints
from tests.train import tiny

# Threads of the library that reads and writes complain on their own of work that failed.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


def shardings(tree):
    return meshes.state_shardings(tree, meshes.make())


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The workdir of a run with checkpoints at 20 and 40, and its state after 50 steps."""
    folder = tmp_path_factory.mktemp('trained')
    tiny.run(folder, steps=40)
    shutil.copytree(folder, folder / 'copy')
    return folder / 'copy', tiny.run(folder)


@pytest.fixture
def workdir(trained, tmp_path):
    """A workdir of one's own with checkpoints at 20 and 40."""
    shutil.copytree(trained[0], tmp_path / 'run')
    return tmp_path / 'run'


def damage_bits(folder: Path) -> None:
    """Flips one bit in each data file."""
    for path in (folder / 'state').rglob('d/*'):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(bytes(data))


def truncate_arrays(folder: Path) -> None:
    for path in (folder / 'state').rglob('d/*'):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove_record(folder: Path) -> None:
    (folder / 'run' / 'metadata').unlink()


def garble_record(folder: Path) -> None:
    (folder / 'run' / 'metadata').write_text('{"leaves": {"step"')


@pytest.mark.parametrize('damage', [damage_bits, truncate_arrays, remove_record, garble_record])
def test_a_damaged_newest_checkpoint_is_passed_over(workdir, trained, capsys, damage):
    damage(workdir / 'checkpoints' / '40')
    resumed = tiny.run(workdir)
    said = capsys.readouterr().out
    assert 'checkpoints/40: cannot be read (' in said and 'trying the one before' in said
    assert 'resuming after step 20' in said
    assert [path.name.split('_')[0] for path in (workdir / 'checkpoints_damaged').iterdir()] == ['40']
    jax.tree.map(np.testing.assert_array_equal, resumed, trained[1])


def test_no_checkpoint_that_can_be_read(workdir):
    truncate_arrays(workdir / 'checkpoints' / '20')
    remove_record(workdir / 'checkpoints' / '40')
    with pytest.raises(InputError, match=r'none of steps \[40, 20\] can be read'):
        tiny.run(workdir)


def test_a_checkpoint_of_another_method(workdir):
    method = tiny.method()

    def init(key):
        state = method.init(key)
        return state.replace(params=state.params | {'more': state.params['out']})

    with pytest.raises(InputError, match=r'another method or configuration \(it differs at params/more\)'):
        tiny.loop.fit(method._replace(init=init), tiny.device_source(), workdir=workdir, steps=50, tensorboard=False)
    assert (workdir / 'checkpoints' / '40').is_dir()


def test_only_the_newest_stay(tmp_path):
    tiny.run(tmp_path, checkpoint_every=10, keep=2)
    assert sorted(path.name for path in (tmp_path / 'checkpoints').iterdir()) == ['40', '50']


def test_everything_comes_back(tmp_path):
    state = jax.device_put(tiny.method().init(jax.random.key(0)), meshes.replicated(meshes.make()))
    state = state.replace(aux={'flags': jax.numpy.array([True, False]), 'half': jax.numpy.ones(3, jax.numpy.bfloat16)})
    checkpoints = Checkpoints(tmp_path / 'c')
    assert checkpoints.latest() is None and checkpoints.restore(state, shardings) is None
    checkpoints.save(state, iterator=b'\x00\xff', notes={'seed': 3})
    checkpoints.close()
    restored = Checkpoints(tmp_path / 'c').restore(jax.eval_shape(lambda: state), shardings)
    assert restored is not None and restored.iterator == b'\x00\xff' and restored.notes == {'seed': 3}
    assert [name for name, _ in trees.named_leaves(restored.state)] == [name for name, _ in trees.named_leaves(state)]
    jax.tree.map(np.testing.assert_array_equal, restored.state, state)
    assert restored.state.aux['half'].dtype == jax.numpy.bfloat16


def test_a_save_that_fails_leaves_the_last_good_one(workdir, trained):
    """A limit on the size of files stands in for a full disk: the system refuses to write."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1900, limits[1]))
        with pytest.raises(InputError) as error:
            tiny.run(workdir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert 'cannot be written to' in str(error.value) and 'the last good one is step 40' in str(error.value)
    names = {path.name for path in (workdir / 'checkpoints').iterdir()}
    assert '40' in names and '50' not in names
    jax.tree.map(np.testing.assert_array_equal, tiny.run(workdir), trained[1])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 KiB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip('mounting a small file system is not allowed here')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


@pytest.mark.parametrize(
    ('left', 'message'),
    [
        (0, r'metrics.jsonl: cannot be written \(No space left on device\)'),
        (16_384, r'needs 0\.\d+ MB, the disk has 0\.0 MB free.*the last good one is step 40'),
    ],
)
def test_a_full_disk(small_disk, trained, left, message):
    shutil.copytree(trained[0], small_disk / 'run')
    (small_disk / 'ballast').write_bytes(b'')
    with open(small_disk / 'ballast', 'wb', buffering=0) as ballast, pytest.raises(OSError, match='No space left'):
        while True:
            ballast.write(bytes(4096))
    os.truncate(small_disk / 'ballast', (small_disk / 'ballast').stat().st_size - left)
    with pytest.raises(InputError, match=message):
        tiny.run(small_disk / 'run')
    os.remove(small_disk / 'ballast')
    jax.tree.map(np.testing.assert_array_equal, tiny.run(small_disk / 'run'), trained[1])


def test_two_runs_in_one_workdir(tmp_path):
    with lock.hold(tmp_path):
        with pytest.raises(InputError, match=rf'process {os.getpid()} on \S+ trains in it'):
            tiny.run(tmp_path, steps=10)
    assert int(tiny.run(tmp_path, steps=10).step) == 10


def _hold_and_die(folder: Path, ready) -> None:
    with lock.hold(folder):
        ready.set()
        signal.pause()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    context = multiprocessing.get_context('spawn')
    ready = context.Event()
    process = context.Process(target=_hold_and_die, args=(tmp_path, ready))
    process.start()
    assert ready.wait(120)
    with pytest.raises(InputError, match=f'process {process.pid} on'):
        lock.hold(tmp_path).__enter__()
    process.kill()
    process.join()
    assert (tmp_path / 'lock').exists()
    with lock.hold(tmp_path):
        pass
