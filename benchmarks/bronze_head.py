"""A real capture by planes, photographs, points, Gaussians and a field: the bronze head within its masks, in one table.

    python -m benchmarks.bronze_head

Each program learns from its flag file, in a process of its own: multi-plane images (`experiments.mpi`), image-based
rendering (`experiments.image_based`), neural points (`experiments.neural_points`), Gaussians (`experiments.gaussians`)
and the hash method (`experiments.nerf`). `--minutes` shortens all schedules alike, in proportion to the 15 that the
field's takes on two cores. For each: PSNR inside the masks and over all pixels and SSIM, on white, of the photographs
held out, side of the pictures, seconds of a picture, minutes of processor time and the most memory that the process
had. The photograph that is nearest answers as well. `--only` runs some rows, `--quick` takes a few steps. The last line
printed is JSON.
"""

import argparse
import dataclasses
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import nerf_bronze_head
from benchmarks.neural_texture import show
from benchmarks.pix2pix_step import peak
from experiments import gaussians, image_based, mpi, nerf, neural_texture
from neurend import allocation, app, config
from neurend.data import photographs
from neurend.models.nerf import evaluation
from neurend.models.nerf.evaluation import UNSEEN
from neurend.render.tiled import Tiler

CONFIGS = Path(__file__).parents[1] / 'configs'
# The program of each row, and what draws from any camera with what its `load` gives.
ROWS: dict[str, tuple[str, Callable[..., Any]]] = {
    'planes': ('mpi', lambda settings, setup, state: mpi.drawer(setup.method, state)),
    'image_based': ('image_based', image_based.drawer),
    'points': ('neural_points', lambda settings, setup, state: neural_texture.drawer(setup.method, state)),
    'gaussians': ('gaussians', lambda settings, setup, state: gaussians.drawer(settings, state)),
}
_PICTURES = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/bronze_head_table')
    parser.add_argument('--minutes', type=float, help='of steps of the field; all are shortened alike')
    parser.add_argument('--only', nargs='*', choices=[*ROWS, 'field'], default=[*ROWS, 'field'])
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--row', choices=[*ROWS, 'field'], help='run this row here, print its JSON and stop')
    options = parser.parse_args()
    share = 0.01 if options.quick else (options.minutes or nerf_bronze_head.MINUTES) / nerf_bronze_head.MINUTES
    if options.row:
        allocation.keep_freed_memory()
        run = field if options.row == 'field' else row
        print(json.dumps(run(options.row, options.data_root, Path(options.workdir) / options.row, share)))
        return
    result: dict[str, float] = {}
    for name in options.only:
        command = [sys.executable, '-m', 'benchmarks.bronze_head', *sys.argv[1:], f'--row={name}']
        lines = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
        values = json.loads(lines[-1])
        show(name, values)
        result |= {f'{name}_{key}': value for key, value in values.items()}
    numbers = {name: float(f'{value:.4g}') for name, value in result.items()}
    print(json.dumps({**numbers, 'device': jax.devices()[0].device_kind}))


def row(name: str, data_root: str, workdir: Path, share: float) -> dict[str, float]:
    """One program, from its flag file to its table."""
    program_name, drawer = ROWS[name]
    program = importlib.import_module(f'experiments.{program_name}')
    parts = (f'--flagfile={CONFIGS / f"{program_name}_bronze_head.flags"}', f'--workdir={workdir}', '--frames=0')
    parts += (f'--data_dir={Path(data_root) / "llff" / "bronze_head"}',)
    settings = config.parse(program.Config, *parts)
    steps = settings.steps if name == 'gaussians' else settings.run.steps
    option = '--steps' if name == 'gaussians' else '--run.steps'
    settings = config.parse(program.Config, *parts, f'{option}={max(1, round(share * steps))}')
    began = time.process_time()
    app.write_record(settings, workdir, app.RECORD)
    table = program.main(settings)
    minutes = (time.process_time() - began) / 60
    settings, setup, state = program.load(str(workdir))
    found = {key: table.mean[key] for key in ('psnr_masked', 'psnr', 'ssim')}
    nearest = table.baselines['nearest photograph']
    found |= {f'nearest_{key}': nearest[key] for key in ('psnr_masked', 'psnr')}
    draw, camera = drawer(settings, setup, state), jax.tree.map(jnp.asarray, setup.test.camera(0))
    seconds = []
    for _ in range(_PICTURES):
        began = time.perf_counter()
        jax.block_until_ready(draw(camera).rgb)
        seconds.append(time.perf_counter() - began)
    size = photographs.size_of(setup.test)[0]
    return found | {'side': size, 'frame_s': min(seconds), 'minutes': minutes, 'peak_mb': peak()}


def field(name: str, data_root: str, workdir: Path, share: float) -> dict[str, float]:
    """The hash method, drawn on white like the others."""
    data_dir = f'--data_dir={Path(data_root) / "llff" / "bronze_head"}'
    settings = config.parse(nerf.Config, f'--flagfile={nerf_bronze_head.FLAGS}', data_dir, f'--workdir={workdir}')
    settings = dataclasses.replace(settings, steps=max(1, round(share * settings.steps)))
    began = time.process_time()
    setup, state, _ = nerf_bronze_head.train(settings)
    tiler, test = Tiler(setup.method.render, memory_mb=settings.memory_mb), nerf.read(settings, 'test')
    assert test.masks is not None
    rows, seconds = [], []
    for k in range(len(test) if share == 1 else 1):
        start = time.perf_counter()
        drawn = tiler(state, test.camera(k), index=UNSEEN)
        seconds.append(time.perf_counter() - start)
        held = evaluation.Example(test.names[k], test.camera(k), test.images[k], test.masks[k])
        rows.append(evaluation.compare(drawn, held, background=np.ones(3, np.float32))[0])
    found = {key: float(np.mean([values[key] for values in rows])) for key in ('psnr_masked', 'psnr', 'ssim')}
    minutes = (time.process_time() - began) / 60
    size = photographs.size_of(test)[0]
    return found | {'side': size, 'frame_s': min(seconds), 'minutes': minutes, 'peak_mb': peak()}


if __name__ == '__main__':
    main()
