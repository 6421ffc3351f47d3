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
(noise of six octaves, no two crops alike), without alpha or mask. A first field tells object and background apart, as
`--separate.steps` of `experiments.nerf` does; its time counts. Test views are rendered on white and compared with the
chair on white, so that opacity counts as much as colour.

The last line is one JSON object. `--minutes` scales the budgets (5 by default), `--quick` trains for seconds to see
that everything runs, `--parts` chooses among the five runs.
"""

import argparse
import json
import os

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import Clock, Trainer, looped
from benchmarks.walls import before_a_wall
from experiments import nerf
from experiments.separation import SeparateConfig
from neurend import config
from neurend.data import batches, scenes
from neurend.data.posed import PosedImages
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.fast import fast
from neurend.models.nerf.fast_separate import Separation
from neurend.models.nerf.fast_separate import separate as separate_images
from neurend.models.nerf.fast_start import prepare

PARTS = ('fast_1min', 'fast_5min', 'fast_400', 'fast_unmasked', 'classic')


def mean_psnr(method, state, scene: PosedImages, indices) -> float:
    views = [Example(scene.names[i], scene.camera(i), scene.images[i]) for i in indices]
    return float(np.mean([method.evaluate(state, view)[0]['psnr'] for view in views]))


def separated(separate: SeparateConfig, photos: PosedImages, clock: Clock) -> Separation:
    """Masks and backgrounds, by the field that `experiments.nerf` would train for them."""
    start = prepare(separate.fast, photos.cameras, None, near=photos.near, far=photos.far, images=photos.images)
    method = fast(separate.fast, start=start, steps=separate.steps, background='none')
    source = batches.device_source(photos, num_rays=separate.fast.batch_rays, active=start.active)
    trainer = Trainer(method, source, clock)
    while trainer.steps < separate.steps:
        trainer.advance(separate.steps, separate.steps)
    found = separate_images(trainer.state, separate.fast, start, photos.images)
    print(f'separated after {clock.seconds():.0f} s', flush=True)
    return found


def train_fast(name, settings: nerf.Config, data, seconds: float, *, marks=()) -> tuple[float, float]:
    """Trains against the clock. Returns PSNR on all test views, and rays a second at the end."""
    train, val, test = data
    clock, options = Clock(), settings.fast
    clock.start()
    foreground, plates = [image[..., 3] > 0 for image in train.images], None
    if settings.separate.steps:
        train = before_a_wall(train)
        foreground, plates = separated(settings.separate, train, clock)
    start = prepare(options, train.cameras, foreground, near=train.near, far=train.far, plates=plates)
    method = fast(options, start=start, steps=int(1e9), background='white')
    source = batches.device_source(train, num_rays=options.batch_rays, active=start.active)
    trainer = Trainer(method, source, clock)
    # A first guess, corrected as soon as steps on the finest grid can be timed.
    last = max((0, *options.subdivide_steps))
    length = last + seconds / 0.06
    history, marks = [], list(marks)
    while clock.seconds() < seconds:
        trainer.advance(int(1e9), length)
        if trainer.steps > last:
            history.append(trainer.seconds_per_step)
            length = trainer.steps + max(seconds - clock.seconds(), 0) / float(np.median(history[-8:]))
        while marks and clock.seconds() >= marks[0] and clock.seconds() < seconds:
            clock.stop()
            value = mean_psnr(method, trainer.state, val, range(0, len(val), 5))
            print(f'{name}: {marks.pop(0):4.0f} s  step {trainer.steps:5d}  val (every 5th) {value:.2f} dB', flush=True)
            clock.start()
    clock.stop()
    value = mean_psnr(method, trainer.state, test, range(len(test)))
    rate = trainer.complete * options.fields * options.rays[-1] / trainer.seconds_per_step
    print(
        f'{name}: {clock.seconds():4.0f} s  step {trainer.steps:5d}  test (all views) {value:.2f} dB; '
        f'{rate:.0f} rays/s; compilation {clock.compile_seconds:.1f} s beside it',
        flush=True,
    )
    return value, rate


def train_classic(data, seconds: float, pixels: int) -> tuple[float, float]:
    """Trains against the clock. Returns PSNR over random test pixels, and rays a second."""
    train, _, test = data
    settings = settings_of('nerf_chair_classic')
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


def settings_of(name: str) -> nerf.Config:
    return config.parse(nerf.Config, f'--flagfile=configs/{name}.flags')


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
            settings_of('nerf_chair_fast'),
            small,
            minute,
            marks=np.array([1 / 6, 1 / 3, 1 / 2]) * minute,
        )
    if 'fast_5min' in parts:
        result['fast_psnr_5min'], result['fast_rays_per_s'] = train_fast(
            'fast 200x200', settings_of('nerf_chair_fast_long'), small, 5 * minute, marks=np.arange(1, 5) * minute
        )
    if 'fast_400' in parts:
        result['fast_400_psnr_5min'], _ = train_fast(
            'fast 400x400', settings_of('nerf_chair_fast_400'), load(1), 5 * minute, marks=np.arange(1, 5) * minute
        )
    if 'fast_unmasked' in parts:
        result['fast_unmasked_psnr_3min'], _ = train_fast(
            'fast 200x200 unmasked',
            settings_of('nerf_chair_fast_unmasked'),
            small,
            3 * minute,
            marks=np.arange(1, 3) * minute,
        )
    if 'classic' in parts:
        result['classic_psnr_5min'], result['classic_rays_per_s'] = train_classic(
            small, 5 * minute, 256 if args.quick else 4096
        )
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


if __name__ == '__main__':
    main()
