"""Peak growth of resident memory while an 800x800 image is rendered under a budget.

    python -m benchmarks.render_memory --data_root=../shared/data

For each method and budget a fresh process renders one test view of the synthetic chair at 800x800 with parameters as
they are before training, which for `fast` is dearer than after it. Growth is counted from before the first call, so
that compilation is part of it. The last line is one JSON object of the growths in MB; `--quick` renders 200x200.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments import nerf
from neurend import config
from neurend.models.nerf.evaluation import UNSEEN
from neurend.render.tiled import Tiler

FLAGS = {'fast': 'nerf_chair_fast', 'hash': 'nerf_bronze_head'}
BUDGETS = (1500, 500)


def resident_mb() -> float:
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6


def growth(method: str, memory_mb: int, data_root: str, side: int) -> tuple[float, float]:
    """MB, and seconds."""
    folder = f'{data_root}/nerf_synthetic/chair'
    scene_flags = ['--scene.format=blender', '--scene.masks=ignore', '--scene.object_rays=1', f'--data_dir={folder}']
    scene_flags.append('--hash.hull_cells=0')  # the chair has no masks to carve from
    settings = config.parse(nerf.Config, f'--flagfile=configs/{FLAGS[method]}.flags', *scene_flags)
    scene = nerf.read(settings, 'train')
    built, _ = nerf.METHODS[method](settings, scene)
    state = jax.block_until_ready(jax.jit(built.init)(jax.random.key(0)))
    camera = scene.camera(0)
    scale = side / float(camera.size[0])
    camera = camera.replace(focal=scale * camera.focal, center=scale * camera.center, size=jnp.array([side, side]))
    before, done = resident_mb(), threading.Event()
    seen = [before]

    def watch():
        while not done.is_set():
            seen.append(max(seen.pop(), resident_mb()))
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    image = Tiler(built.render, memory_mb=memory_mb)(state, camera, index=UNSEEN)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    assert image.rgb.shape == (side, side, 3)
    return seen[0] - before, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--one', default='', help='method,budget: measure in this process')
    args = parser.parse_args()
    side = 200 if args.quick else 800
    if args.one:
        method, budget = args.one.split(',')
        print(json.dumps(growth(method, int(budget), args.data_root, side)))
        return
    result = {}
    for method in FLAGS:
        for budget in BUDGETS:
            command = [sys.executable, '-m', 'benchmarks.render_memory', f'--data_root={args.data_root}']
            command += [f'--one={method},{budget}', *(['--quick'] if args.quick else [])]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            grown, seconds = json.loads(output.splitlines()[-1])
            print(f'{method} {side}x{side}: budget {budget} MB, grown by {grown:.0f} MB, {seconds:.0f} s', flush=True)
            result[f'{method}_{budget}'] = round(grown)
    print(json.dumps(result))


if __name__ == '__main__':
    main()
