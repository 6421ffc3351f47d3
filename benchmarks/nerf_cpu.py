"""`fast` and `classic` on the synthetic chair against the clock, on a CPU.

    python -m benchmarks.nerf_cpu --data_root=../shared/data

Four runs of `fast`: 1 minute and 5 minutes at 200x200, 5 minutes at 400x400, and 3 minutes at 200x200 with masks and
background unknown; then 5 minutes of `classic` at 200x200. Each trains by the method's own jitted step, for as many
steps as fit the time: the schedule's length is corrected as the clock runs. The clock counts everything but
compilation, which is printed beside it: carving, steps, pruning and subdivision. Images are 400x400, reduced by box
filter to 200x200 where it says so, and put on white. PSNR is the mean over all 50 test views, none of which had a say
in any option; the curve's points before the end are of 5 validation views. `classic` renders some hundred rays a
second on a CPU, so its figure is of random pixels of all test views instead: the PSNR of their mean squared error.

Unknown background: every training image is an opaque photograph of the chair before a random crop of one textured wall
(noise of six octaves, no two crops alike), without alpha or mask; which cells are empty and what lies behind each
image are learned. Test views are rendered on white and compared with the chair on white, so that opacity counts as
much as colour.

The last line is one JSON object. `--minutes` scales the budgets (5 by default), `--quick` trains for seconds to see
that everything runs, `--parts` chooses among the five runs.
"""

import argparse
import dataclasses
import json
import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import nerf
from neurend import config
from neurend.data import batches, scenes
from neurend.data.posed import PosedImages, composite
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.fast import fast
from neurend.models.nerf.fast_config import FastConfig
from neurend.models.nerf.fast_start import prepare

CHUNK = 25
PARTS = ('fast_1min', 'fast_5min', 'fast_400', 'fast_unmasked', 'classic')


class Clock:
    """Seconds of training: stopped while evaluating and compiling, also where JAX compiles of its own accord."""

    def __init__(self):
        self.compile_seconds = 0.0
        self._total, self._running, self._since = 0.0, False, 0.0
        self._intervals: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._event)

    def _event(self, name, seconds, **_):
        """Is told of each tracing, lowering and compilation as it ends; those of inner functions end first."""
        if not name.startswith('/jax/core/compile'):
            return
        begun, new = time.perf_counter() - seconds, seconds
        while self._intervals and self._intervals[-1][0] >= begun:
            new -= self._intervals.pop()[1]
        self._intervals.append((begun, seconds))
        self.compile_seconds += new
        self._total -= new if self._running else 0.0

    def start(self):
        self._running, self._since = True, time.perf_counter()

    def stop(self):
        self._total, self._running = self.seconds(), False

    def seconds(self):
        return self._total + (time.perf_counter() - self._since if self._running else 0.0)

    def compile(self, jitted, *args):
        """The program for these arguments; none of the time it takes counts."""
        self.stop()
        program = jitted.lower(*args).compile()
        self.start()
        return program


def textured_wall(rng: np.random.Generator, size: int) -> np.ndarray:
    """Coloured noise [size size 3] in [0, 1], half an amplitude less for each doubling of frequency."""
    wall = np.full((size, size, 3), 0.45)
    for octave in range(1, 7):
        cells = 2**octave
        knots = rng.random((cells + 1, cells + 1, 3)) - 0.5
        where = np.linspace(0, cells, size, endpoint=False)
        low, share = where.astype(int), (where % 1)[:, None]
        rows = knots[low] * (1 - share[..., None]) + knots[low + 1] * share[..., None]
        wall += 1.1 * 0.7**octave * (rows[:, low] * (1 - share) + rows[:, low + 1] * share)
    return np.clip(wall, 0, 1)


def before_a_wall(scene: PosedImages) -> PosedImages:
    """Opaque photographs before random crops of a wall."""
    rng = np.random.default_rng(0)
    height, width = scene.images[0].shape[:2]
    wall = textured_wall(rng, 2 * max(height, width) + height // 4)
    images = []
    for image in scene.images:
        top, left = rng.integers(0, len(wall) - height), rng.integers(0, len(wall) - width)
        photo = composite(image, wall[top : top + height, left : left + width])
        images.append(np.round(255 * photo).astype(np.uint8))
    return dataclasses.replace(scene, images=tuple(images))


def looped(method, source, key):
    """`count` steps of the method in one program, as `neurend.train.runner` makes it; sums of the metrics."""

    def one(state, data):
        draw_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        return method.step(step_key, state, source.draw(draw_key, data))

    def run(state, data, count):
        zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), jax.eval_shape(one, state, data)[1])

        def body(_, carry):
            state, metrics = one(carry[0], data)
            return state, jax.tree.map(jnp.add, carry[1], metrics)

        return jax.lax.fori_loop(0, count, body, (state, zeros))

    return jax.jit(run, donate_argnums=0)


def mean_psnr(method, state, scene: PosedImages, indices) -> float:
    views = [Example(scene.names[i], scene.camera(i), scene.images[i]) for i in indices]
    return float(np.mean([method.evaluate(state, view)[0]['psnr'] for view in views]))


def train_fast(name, settings: FastConfig, data, seconds: float, *, unmasked=False, marks=()) -> tuple[float, float]:
    """Trains against the clock. Returns PSNR on all test views, and rays a second at the end."""
    train, val, test = data
    foreground = None if unmasked else [image[..., 3] > 0 for image in train.images]
    photos = before_a_wall(train) if unmasked else train
    clock = Clock()
    clock.start()
    start = prepare(settings, photos.cameras, foreground, near=train.near, far=train.far, images=photos.images)
    method = fast(settings, start=start, steps=int(1e9), background='white')
    source = batches.device_source(photos, num_rays=max(settings.rays), active=start.active)
    key = jax.random.key(0)
    state = jax.jit(method.init)(key)
    placed = jax.tree.map(jnp.asarray, source.data)
    jitted, grids = looped(method, source, key), 0
    program: Any = None
    # A first guess, corrected as soon as steps on the finest grid can be timed.
    last = max((0, *settings.subdivide_steps))
    length = last + seconds / 0.06
    history, rate, marks = [], 0.0, list(marks)
    while clock.seconds() < seconds:
        done = int(state.step)
        stops = [step for step in method.update_steps if step > done]
        count = min([CHUNK, *(step - done for step in stops)])
        state = state.replace(aux={**state.aux, 'steps': jnp.float32(length)})
        if grids != len(state.aux['grids']):
            grids = len(state.aux['grids'])
            program = clock.compile(jitted, state, placed, jnp.int32(count))
        begun = clock.seconds()
        state, sums = jax.block_until_ready(program(state, placed, jnp.int32(count)))
        took = clock.seconds() - begun
        rate = float(sums['complete']) * settings.rays[grids - 1] / took
        if done + count in method.update_steps:
            state = jax.block_until_ready(method.update(state))
        if done >= last:
            history.append(took / count)
            per_step = float(np.median(history[-8:]))
            length = done + count + max(seconds - clock.seconds(), 0) / per_step
        while marks and clock.seconds() >= marks[0] and clock.seconds() < seconds:
            clock.stop()
            value = mean_psnr(method, state, val, range(0, len(val), 5))
            print(f'{name}: {marks.pop(0):4.0f} s  step {int(state.step):5d}  val (5 views) {value:.2f} dB', flush=True)
            clock.start()
    clock.stop()
    value = mean_psnr(method, state, test, range(len(test)))
    print(
        f'{name}: {clock.seconds():4.0f} s  step {int(state.step):5d}  test (all views) {value:.2f} dB; '
        f'{rate:.0f} rays/s; compilation {clock.compile_seconds:.1f} s beside it',
        flush=True,
    )
    return value, rate


def train_classic(data, seconds: float, pixels: int) -> tuple[float, float]:
    """Trains against the clock. Returns PSNR over random test pixels, and rays a second."""
    train, _, test = data
    settings = config.parse(nerf.Config, '--flagfile=configs/nerf_chair_classic.flags')
    method, source = nerf.METHODS['classic'](settings, train)
    key = jax.random.key(0)
    state = jax.jit(method.init)(key)
    placed = jax.tree.map(jnp.asarray, source.data)
    clock = Clock()
    clock.start()
    program = clock.compile(looped(method, source, key), state, placed, jnp.int32(1))
    while clock.seconds() < seconds:
        state, _ = jax.block_until_ready(program(state, placed, jnp.int32(1)))
        print(f'classic: {clock.seconds():4.0f} s  step {int(state.step)}', flush=True)
    clock.stop()
    rate = int(state.step) * settings.rays / clock.seconds()
    held_out = batches.device_source(test, num_rays=256)
    render = jax.jit(method.render)
    squares = []
    for k in range(max(pixels // 256, 1)):
        batch = held_out.draw(jax.random.key(k + 1), held_out.data)
        squares.append(np.mean(np.square(np.clip(render(state, batch.rays).rgb, 0, 1) - batch.rgb)))
    value = float(-10 * np.log10(np.mean(squares)))
    print(
        f'classic: {clock.seconds():4.0f} s  step {int(state.step)}  random test pixels {value:.2f} dB; '
        f'{rate:.0f} rays/s; compilation {clock.compile_seconds:.1f} s beside it',
        flush=True,
    )
    return value, rate


def fast_config(name: str) -> FastConfig:
    return config.parse(nerf.Config, f'--flagfile=configs/{name}.flags').fast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--minutes', type=float, default=5.0)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--parts', default=','.join(PARTS))
    args = parser.parse_args()
    minute = 12.0 * args.minutes
    if args.quick:
        minute = 2.0
    print(f'devices: {jax.devices()}; cores: {os.cpu_count()}', flush=True)

    def load(factor):
        folder = f'{args.data_root}/nerf_synthetic/chair'
        data = [scenes.read(folder, split=split, factor=factor) for split in ('train', 'val', 'test')]
        return (data[0], data[1].subset([0]), data[2].subset([0])) if args.quick else tuple(data)

    small, parts, result = load(2), args.parts.split(','), {}
    if 'fast_1min' in parts:
        result['fast_psnr_1min'], result['fast_rays_per_s'] = train_fast(
            'fast 200x200',
            fast_config('nerf_chair_fast'),
            small,
            minute,
            marks=np.array([1 / 6, 1 / 3, 1 / 2]) * minute,
        )
    if 'fast_5min' in parts:
        result['fast_psnr_5min'], result['fast_rays_per_s'] = train_fast(
            'fast 200x200', fast_config('nerf_chair_fast_long'), small, 5 * minute, marks=np.arange(1, 5) * minute
        )
    if 'fast_400' in parts:
        result['fast_400_psnr_5min'], _ = train_fast(
            'fast 400x400', fast_config('nerf_chair_fast_400'), load(1), 5 * minute, marks=np.arange(1, 5) * minute
        )
    if 'fast_unmasked' in parts:
        result['fast_unmasked_psnr_3min'], _ = train_fast(
            'fast 200x200 unmasked',
            fast_config('nerf_chair_fast_unmasked'),
            small,
            3 * minute,
            unmasked=True,
            marks=np.arange(1, 3) * minute,
        )
    if 'classic' in parts:
        result['classic_psnr_5min'], result['classic_rays_per_s'] = train_classic(
            small, 5 * minute, 256 if args.quick else 4096
        )
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


if __name__ == '__main__':
    main()
