import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from neurend.checks import InputError
from neurend.images import io
from neurend.models import state as states
from neurend.models.method import Method
from neurend.train import loop, runner
from neurend.train.diagnosis import NonFiniteError
from neurend.train.step import stepper
from neurend.typing import Source
from tests.train import tiny

UPDATES = {'update_steps': (15, 35)}


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def numbers(workdir, kind):
    lines = (workdir / 'metrics.jsonl').read_text().splitlines()
    return [line for line in map(json.loads, lines) if line['kind'] == kind]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """An uninterrupted run on one device."""
    return tiny.run(tmp_path_factory.mktemp('whole'), kind=UPDATES)


def test_training_lowers_the_loss(whole, tmp_path):
    assert int(whole.step) == 50 and whole.aux['seen'].shape == (6,)
    tiny.run(tmp_path, kind={'learning_rate': 0.05})
    lines = numbers(tmp_path, 'train')
    assert [line['step'] for line in lines] == [10, 20, 30, 40, 50]
    assert lines[-1]['loss'] < 0.5 * lines[0]['loss']


def test_resumed_is_uninterrupted_bit_for_bit(whole, tmp_path):
    for steps in (13, 15, 38, 50):
        resumed = tiny.run(tmp_path, steps=steps, kind=UPDATES)
    same(resumed, whole)
    assert [line['step'] for line in numbers(tmp_path, 'train')] == [10, 13, 15, 20, 30, 38, 40, 50]


def test_resuming_keeps_the_iterator(tmp_path):
    uninterrupted = tiny.run(tmp_path / 'whole', host=True, kind=UPDATES)
    for steps in (17, 30, 50):
        resumed = tiny.run(tmp_path / 'parts', steps=steps, host=True, kind=UPDATES)
    same(resumed, uninterrupted)


def test_resuming_on_another_number_of_devices(whole, tmp_path):
    tiny.run(tmp_path, steps=22, kind=UPDATES, shard_above=8, devices=jax.devices())
    one = tiny.run(tmp_path, kind=UPDATES)
    assert one.params['out'].devices() == {jax.devices()[0]}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one.params, whole.params)


@pytest.mark.parametrize('host', [False, True])
def test_one_trace_whatever_the_chunks(tmp_path, host, capsys):
    traces = []
    tiny.run(tmp_path, host=host, kind={'traces': traces}, log_every=7, checkpoint_every=11, fused_steps=5)
    assert traces == [(4,)]
    assert capsys.readouterr().out.count('compiled in') == 1


def test_one_trace_for_each_shape(tmp_path):
    traces = []
    tiny.run(tmp_path, kind=UPDATES | {'traces': traces})
    assert traces == [(4,), (5,), (6,)]


def test_single_steps_are_fused_steps(whole, tmp_path):
    single = tiny.run(tmp_path, kind=UPDATES, fused_steps=1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), single, whole)


@pytest.mark.parametrize(('layer', 'fused'), [(nn.Conv(2, (3,)), 1), (nn.Dense(2), 20)])
def test_convolutions_are_not_looped_on_a_cpu(layer, fused):
    stepping = stepper(optax.sgd(0.1))

    def init(key):
        return states.create(layer.init(key, jnp.zeros((1, 8, 3))), stepping)

    def loss_fn(key, params, aux, batch, step):
        return jnp.mean(layer.apply(params, batch) ** 2), {}

    method = Method(init, stepping.step(loss_fn), None, None)
    draw = Source(draw=lambda key, data: jax.random.normal(key, (4, 8, 3)))
    mesh = loop.meshes.make(jax.devices()[:1])

    def shardings(tree):
        return loop.meshes.state_shardings(tree, mesh)

    chosen = runner.Runner(
        method, draw, key=jax.random.key(0), mesh=mesh, fused_steps=None, shardings=shardings, say=print
    )
    chosen.prepare(chosen.init(jax.random.key(1)))
    assert chosen.fused_steps == fused


def test_evaluation_averages_and_writes_pictures(tmp_path):
    examples = [tiny.make_batch(jax.random.key(number)) for number in range(3)]
    state = tiny.run(tmp_path, evaluation=examples, evaluate_every=30, num_pictures=2)
    lines = numbers(tmp_path, 'evaluation')
    assert [line['step'] for line in lines] == [30, 50]
    expected = [tiny.method().evaluate(state, example)[0]['mse'] for example in examples]
    np.testing.assert_allclose(lines[-1]['mse'], np.mean(expected), rtol=1e-6)
    written = sorted(path.name for path in (tmp_path / 'pictures' / 'step_00000050').iterdir())
    assert written == ['0_gray.png', '1_gray.png']
    assert np.all(io.read(tmp_path / 'pictures' / 'step_00000030' / '0_gray.png') == 128)


def test_a_finished_run_is_not_run_again(whole, tmp_path, capsys):
    tiny.run(tmp_path, kind=UPDATES)
    capsys.readouterr()
    again = tiny.run(tmp_path, kind=UPDATES)
    same(again, whole)
    assert 'nothing to do' in capsys.readouterr().out


def test_the_seed_matters_and_may_not_change(whole, tmp_path):
    other = tiny.run(tmp_path, seed=1, kind=UPDATES)
    assert not np.allclose(other.params['out'], whole.params['out'])
    with pytest.raises(InputError, match='holds a run with seed 1, got seed 0'):
        tiny.run(tmp_path, steps=60)


@pytest.mark.parametrize('host', [False, True])
def test_nan_stops_with_the_step_the_terms_and_the_names(tmp_path, host, capsys):
    with pytest.raises(NonFiniteError) as error:
        tiny.run(tmp_path, host=host, kind={'poison': 32})
    message = str(error.value)
    assert message.startswith('step 33: the loss is not finite (')
    assert 'loss nan' in message and 'psnr nan' in message and 'seen 0' in message
    assert 'First non-finite gradients, in step 33: out. The' in message
    assert 'last good checkpoint is step 20' in message
    assert 'running again from step 20' in capsys.readouterr().out
    good = tiny.run(tmp_path, host=host, steps=20)
    same(good, tiny.run(tmp_path / 'clean', host=host, steps=20))


def test_nan_gradients_of_a_finite_loss_name_their_leaf(tmp_path):
    stepping = stepper(optax.adam(0.1), clip_norm=1.0)
    params = {'good': jnp.ones(2), 'bad': jnp.zeros(2)}

    def loss_fn(key, params, aux, batch, step):
        # The norm of a zero vector has no gradient; `where` does not save it.
        length = jnp.linalg.norm(params['bad'])
        return jnp.sum(params['good'] ** 2) + jnp.where(step == 6, length, 0.0), {}

    method = Method(lambda key: states.create(params, stepping), stepping.step(loss_fn), None, None)
    source = Source(draw=lambda key, data: ())
    with pytest.raises(NonFiniteError, match=r'in step 1: bad\. There is no checkpoint'):
        loop.fit(method, source, workdir=tmp_path, steps=10, tensorboard=False)


@pytest.mark.parametrize(
    ('number', 'name', 'error'), [(signal.SIGTERM, 'SIGTERM', SystemExit), (signal.SIGINT, 'Ctrl-C', KeyboardInterrupt)]
)
def test_a_signal_saves_and_exits_cleanly(whole, tmp_path, capsys, number, name, error):
    method = tiny.method(**UPDATES)

    def evaluate(state, example):
        os.kill(os.getpid(), number)
        return {}, {}

    options = {'workdir': tmp_path, 'steps': 50, 'tensorboard': False, 'fused_steps': 4, 'devices': jax.devices()[:1]}
    before = signal.getsignal(number)
    with pytest.raises(error) as stop:
        loop.fit(method._replace(evaluate=evaluate), tiny.device_source(), evaluation=[0], evaluate_every=18, **options)
    assert error is KeyboardInterrupt or stop.value.code == 0
    assert signal.getsignal(number) is before
    assert f'stopped by {name}; step 22 of 50 is saved' in capsys.readouterr().out
    same(loop.fit(method, tiny.device_source(), **options), whole)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'steps': 0}, 'steps: got 0'),
        ({'fused_steps': 0}, 'fused_steps: got 0'),
        ({'kind': {'update_steps': (0,)}}, 'update_steps'),
    ],
)
def test_bad_options(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        tiny.run(tmp_path, **change)


def test_an_iterator_that_ends(tmp_path):
    with pytest.raises(InputError, match='ended before the run did'):
        loop.fit(tiny.method(), tiny.host_source(end=24), workdir=tmp_path, steps=50, tensorboard=False, fused_steps=4)


def test_a_method_without_a_loss(tmp_path):
    method = tiny.method()._replace(step=lambda key, state, batch: (state, {'mse': jnp.zeros(2)}))
    with pytest.raises(InputError, match=r"got metrics \['mse'\] of shapes"):
        loop.fit(method, tiny.device_source(), workdir=tmp_path, steps=5, tensorboard=False)


def test_an_update_that_changes_the_structure(tmp_path):
    method = tiny.method(update_steps=(5,))._replace(update=lambda state: state.replace(aux={'other': jnp.zeros(2)}))
    with pytest.raises(InputError, match='Method.update: changed the structure of the state at'):
        loop.fit(method, tiny.device_source(), workdir=tmp_path, steps=10, tensorboard=False)


def test_an_unwritable_workdir(tmp_path):
    (tmp_path / 'file').write_text('not a folder')
    with pytest.raises(InputError, match='cannot be made'):
        tiny.run(tmp_path / 'file' / 'run')


def test_tensorboard_files(tmp_path):
    pytest.importorskip('tensorboardX')
    tiny.run(tmp_path, steps=10, tensorboard=True)
    assert list((tmp_path / 'tensorboard').iterdir())
