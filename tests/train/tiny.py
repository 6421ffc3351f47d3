"""The smallest method that has all a run can have, and the script that trains it in a process of its own."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend.models import state as states
from neurend.models.method import Method
from neurend.train import loop
from neurend.train.step import stepper
from neurend.typing import Source

WIDTH = 8


def method(*, update_steps=(), traces=None, accumulate=1, poison=None, learning_rate=1e-2, optimizer=None) -> Method:
    """A two-layer network; `update` grows `aux` and scales parameters; `poison` makes the loss NaN at that step."""
    stepping = stepper(optimizer or optax.adam(learning_rate), accumulate=accumulate, clip_norm=1.0, ema_decay=0.9)

    def init(key):
        keys = jax.random.split(key)
        params = {
            'hidden': {'kernel': jax.random.normal(keys[0], (3, WIDTH)) / 2, 'bias': jnp.zeros(WIDTH)},
            'out': jax.random.normal(keys[1], (WIDTH, 1)) / 2,
        }
        return states.create(params, stepping, aux={'seen': jnp.zeros(4), 'none': jnp.zeros((0, 2))})

    def apply(params, x):
        return jnp.tanh(jnp.matmul(x, params['hidden']['kernel']) + params['hidden']['bias'][None]) @ params['out']

    def loss_fn(key, params, aux, batch, step):
        if traces is not None:
            traces.append(aux['seen'].shape)
        noise = 0.01 * jax.random.normal(key, batch['y'].shape)
        error = jnp.mean((apply(params, batch['x']) - batch['y'] + noise) ** 2)
        if poison is not None:
            error += jnp.where(step == poison, jnp.nan, 0.0) * jnp.sum(params['out'])
        return error, {'psnr': -10 * jnp.log10(error), 'seen': jnp.sum(aux['seen'])}

    def update(state):
        params = jax.tree.map(lambda x: x * 1.01, state.params)
        return state.replace(params=params, aux={**state.aux, 'seen': jnp.append(state.aux['seen'], 1.0)})

    def evaluate(state, example):
        y = apply(state.weights, jnp.asarray(example['x']))
        picture = np.full((4, 4, 3), 0.5, np.float32)
        return {'mse': float(jnp.mean((y - example['y']) ** 2))}, {'gray': picture}

    return Method(init, stepping.step(loss_fn), None, evaluate, update, tuple(update_steps))


def make_batch(key, size=16):
    x = jax.random.normal(key, (size, 3))
    return {'x': x, 'y': jnp.sin(jnp.sum(x, axis=1, keepdims=True))}


def device_source() -> Source:
    table = make_batch(jax.random.key(7), 64)

    def draw(key, data):
        rows = jax.random.randint(key, (16,), 0, 64)
        return {name: values[rows] for name, values in data.items()}

    return Source(data=jax.tree.map(np.asarray, table), draw=draw)


class Numbers:
    """An endless iterator whose batch is a function of its position."""

    def __init__(self, end=None):
        self.position = 0
        self.end = end

    def __next__(self):
        if self.position == self.end:
            raise StopIteration
        x = np.random.default_rng(self.position).normal(size=(16, 3))
        self.position += 1
        return {'x': x.astype(np.float32), 'y': np.sin(x.sum(1, keepdims=True))}

    def get_state(self):
        return {'position': self.position}

    def set_state(self, state):
        self.position = state['position']


def host_source(end=None) -> Source:
    return Source(iterator=Numbers(end))


def run(workdir, *, steps=50, host=False, kind=None, **options):
    """Trains quietly; `kind` holds arguments of `method`."""
    settings = {'log_every': 10, 'checkpoint_every': 20, 'tensorboard': False, 'fused_steps': 4} | options
    settings.setdefault('devices', jax.devices() if jax.process_count() > 1 else jax.devices()[:1])
    source = host_source() if host else device_source()
    return loop.fit(method(**(kind or {})), source, workdir=workdir, steps=steps, **settings)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--workdir')
    parser.add_argument('--steps', type=int)
    parser.add_argument('--every', type=int, default=20)
    parser.add_argument('--cpus', type=int, default=1)
    parser.add_argument('--shard_above', type=int)
    parser.add_argument('--process', type=int)
    parser.add_argument('--port', type=int)
    parser.add_argument('--host', action='store_true')
    parser.add_argument('--result')
    args = parser.parse_args()
    jax.config.update('jax_num_cpu_devices', args.cpus)
    if args.port:
        jax.distributed.initialize(f'localhost:{args.port}', 2, args.process)
    state = run(
        args.workdir, steps=args.steps, host=args.host, checkpoint_every=args.every, shard_above=args.shard_above,
        kind={'update_steps': (15, 35)},
    )  # fmt: skip
    if args.result and jax.process_index() == 0:
        leaves = [np.asarray(leaf.addressable_data(0)).tolist() for leaf in jax.tree.leaves(state)]
        with open(args.result, 'w', encoding='utf-8') as file:
            json.dump(leaves, file)


if __name__ == '__main__':
    main()
