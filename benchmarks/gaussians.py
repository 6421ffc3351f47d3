"""Gaussians on a CPU or GPU: how long splatting takes, and what the synthetic chair comes to against the clock.

    python -m benchmarks.gaussians --data_root=../shared/data

Speed: N Gaussians at random in a box before the camera, each as large as N of them need to be to fill it, opacities
from 0.05 to 0.95, three features; forward, and forward with the gradient by all arrays and the camera, of pictures of
256 and 512 pixels. Times, here and of training, are of the wall (`--clock=wall`) or of the process on all its cores
(`cpu`), for a machine that others use; here the median of some calls. By stage: projection, lists of tiles, blending.

Quality: `nerf_synthetic/chair` at 200x200 (box filter) on white, `configs/gaussians_chair.flags` for 2 minutes and
`configs/gaussians_chair_long.flags` for 10, by the method's own jitted step; the schedule's length is corrected as the
clock runs. Everything counts but reading the data and compilation, which is printed beside it. PSNR is the mean over
all 50 test views, none of which had a say in any option; points of the curve before the end are of 5 validation views.

A prototype on one core had 33.7 dB after 2 minutes and 36.4 after 9, and 46 to 68 ms forward and backward for 10k and
278 ms for 100k Gaussians at 256x256. The last line is one JSON object. `--minutes` is the length of the longer run
(10), the shorter one has a fifth; `--quick` sees that everything runs; `--parts` chooses.
"""

import argparse
import functools
import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import Clock, looped
from experiments import captures
from experiments import gaussians as experiment
from neurend import config
from neurend.data import photographs
from neurend.geometry import cameras
from neurend.models.gaussians import method as methods
from neurend.render import gaussians as splatting
from neurend.render import gaussians_blend, gaussians_tiles
from neurend.render.gaussians_project import project
from neurend.scenes import gaussians as scenes

COUNTS = {'1k': 1000, '10k': 10_000, '100k': 100_000, '1M': 1_000_000}
PROTOTYPE = {'1k_256': (6, 17), '10k_256': (23, 57), '100k_256': (115, 278)}
TIMERS = {'cpu': time.process_time, 'wall': time.perf_counter}


def cloud(count):
    """Gaussians in a box of side 2, and a camera that sees it whole."""
    rng = np.random.default_rng(0)
    means = rng.uniform(-1, 1, (count, 3)).astype(np.float32) + np.float32([0, 0, 3])
    scales = 0.5 * count ** (-1 / 3) * rng.uniform(0.5, 1.5, (count, 3)).astype(np.float32)
    turned = rng.normal(size=(count, 4)).astype(np.float32)
    made = scenes.make(means, scales, rotations=turned, opacities=rng.uniform(0.05, 0.95, count))
    covariances = jax.jit(lambda scene: scene.covariances)(made)
    return made.means, covariances, made.opacities, jnp.asarray(rng.uniform(size=(count, 3)), jnp.float32)


def timed(run, *args, timer, seconds):
    """Milliseconds of a call: the median of as many as fit the seconds, 3 at least."""
    jax.block_until_ready(run(*args))
    took, begun = [], time.perf_counter()
    while len(took) < 3 or (time.perf_counter() - begun < seconds and len(took) < 50):
        before = timer()
        jax.block_until_ready(run(*args))
        took.append(1e3 * (timer() - before))
    return float(np.median(took))


def speed(names, sides, *, timer, seconds):
    forward, both = {}, {}
    for name in names:
        for side in sides:
            label = f'{name}_{side}'
            forward[label], both[label], stages = case(COUNTS[name], side, timer=timer, seconds=seconds)
            known = PROTOTYPE.get(label)
            print(
                f'{label:>9}: forward {forward[label]:7.1f} ms, with gradients {both[label]:7.1f} ms'
                + (f' (prototype {known[0]}, {known[1]})' if known else '')
                + f'; {stages}',
                flush=True,
            )
    return {'forward_ms': forward, 'forward_backward_ms': both}


def case(count, side, *, timer, seconds):
    """Milliseconds forward and with gradients, and a line about the stages."""
    given, size = cloud(count), (side, side)
    camera = cameras.make(jnp.eye(4), 0.9 * side, size=size)
    probe = jax.jit(functools.partial(splatting.splat, width=side, height=side, capacity=1024))(*given, camera)
    capacity = gaussians_tiles.suggested(int(probe.extras['pairs']))
    draw = functools.partial(splatting.splat, width=side, height=side, capacity=capacity)

    def loss(parts, focal, pose):
        seen = draw(*parts, camera.replace(focal=focal, world_from_camera=pose))
        return jnp.mean(jnp.square(seen.rgb)) + jnp.mean(seen.alpha)

    shown, slope = jax.jit(lambda *parts: draw(*parts, camera).rgb), jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    forward = timed(shown, *given, timer=timer, seconds=seconds)
    both = timed(slope, given, camera.focal, camera.world_from_camera, timer=timer, seconds=seconds)
    limits = {'near': 0.01, 'far': 1e6}
    options = {'live': None, 'blur': 0.3, 'antialiased': False, **limits}
    flatten = jax.jit(functools.partial(project, **options))
    listed = jax.jit(functools.partial(gaussians_tiles.lists, size=size, capacity=capacity, **limits))
    blended = jax.jit(functools.partial(gaussians_blend.blend, columns=gaussians_tiles.grid(*size)[0]))
    screen = flatten(*given[:3], camera)
    lists = listed(screen)
    rows = jnp.stack([screen.x, screen.y, *screen.conic, screen.opacity, screen.depth], axis=-1)
    rows = jnp.concatenate([rows, given[3]], axis=-1)
    stages = ((flatten, (*given[:3], camera)), (listed, (screen,)), (blended, (rows, lists)))
    took = [timed(run, *args, timer=timer, seconds=seconds / 2) for run, args in stages]
    line = (
        'projection {:.1f}, lists {:.1f}, blending {:.1f} ms'.format(*took)
        + f'; {int(lists.needed)} pairs, {int(jnp.sum(lists.count))} after the exact test'
    )
    return round(forward, 1), round(both, 1), line


def mean_psnr(method, state, views, indices):
    examples = captures.examples(views)
    return float(np.mean([method.evaluate(state, examples[k])[0]['psnr'] for k in indices]))


def train(flag_file, folder, seconds, *, marks, timer):
    """Trains against the clock; the PSNR over all test views."""
    settings = config.parse(experiment.Config, f'--flagfile=configs/{flag_file}.flags', f'--data_dir={folder}')
    scene, val, test = (experiment.captures.read(settings.scene, folder, split) for split in ('train', 'val', 'test'))
    clock = Clock(timer)
    clock.start()
    begun = experiment.beginning(settings, scene)
    method = methods.gaussians(settings.model, begun, size=photographs.size_of(scene), steps=settings.steps)
    source, key = photographs.photograph_source(scene, views=settings.views), jax.random.key(0)
    state, data = jax.jit(method.init)(key), jax.tree.map(jnp.asarray, source.data)
    program = clock.compile(looped(method, source, key), state, data, jnp.int32(1))
    marks, length, done, rate = list(marks), settings.steps, 0, float('nan')
    while clock.seconds() < seconds:
        before, count = clock.seconds(), 5 if not done else 20
        state = state.replace(aux={**state.aux, 'steps': jnp.float32(length)})
        state, sums = jax.block_until_ready(program(state, data, jnp.int32(count)))
        done, rate = done + count, (clock.seconds() - before) / count
        length = done + max(seconds - clock.seconds(), 0) / (clock.seconds() / done)
        if float(sums['missing']):
            print(f'{flag_file}: {float(sums["missing"]) / count:.0f} pairs a step found no room; raise the capacity')
        if marks and clock.seconds() >= marks[0]:
            clock.stop()
            value = mean_psnr(method, state, val, range(0, len(val), max(len(val) // 5, 1)))
            print(
                f'{flag_file}: {marks.pop(0):4.0f} s  step {done:5d}  train {float(sums["psnr"]) / count:.2f}, val (5 '
                f'views) {value:.2f} dB, {1e3 * rate:.0f} ms a step, lists {float(sums["pairs"]) / count:.2f} full',
                flush=True,
            )
            clock.start()
    clock.stop()
    value = mean_psnr(method, state, test, range(len(test)))
    print(
        f'{flag_file}: {clock.seconds():4.0f} s  step {done:5d}  test (all {len(test)} views) {value:.2f} dB; '
        f'{int(methods.of_state(state).live.sum())} Gaussians; compilation {clock.compile_seconds:.1f} s beside it',
        flush=True,
    )
    return round(value, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--parts', default='speed,2min,10min')
    parser.add_argument('--counts', default=','.join(COUNTS))
    parser.add_argument('--sides', default='256,512')
    parser.add_argument('--clock', choices=TIMERS, default='wall')
    args = parser.parse_args()
    print(
        f'devices: {jax.devices()}; cores: {os.cpu_count()}, {len(os.sched_getaffinity(0))} of them for this',
        flush=True,
    )
    timer = TIMERS[args.clock]
    parts, result, folder = args.parts.split(','), {}, f'{args.data_root}/nerf_synthetic/chair'
    if 'speed' in parts:
        names, sides = args.counts.split(','), [int(side) for side in args.sides.split(',')]
        names, sides = (names[:1], sides[:1]) if args.quick else (names, sides)
        result.update(speed(names, sides, timer=timer, seconds=0.1 if args.quick else 3))
    minutes = 0.1 if args.quick else args.minutes
    for part, flag_file, share in (('2min', 'gaussians_chair', 0.2), ('10min', 'gaussians_chair_long', 1.0)):
        if part in parts:
            seconds = 60 * minutes * share
            result[f'psnr_{part}'] = train(
                flag_file, folder, seconds, marks=np.array([0.25, 0.5, 0.75]) * seconds, timer=timer
            )
    print(json.dumps(result))


if __name__ == '__main__':
    main()
