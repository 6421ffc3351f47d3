"""Meshes fitted to pictures: the Stanford bunny from 24 silhouettes, and the pose of spot in one path-traced view.

    python -m benchmarks.mesh_fitting --data_root=../shared/data

The bunny is fitted from a sphere, as `configs/fit_shape_bunny.flags` says; its Chamfer distance is the mean squared
distance of 20000 points on one surface from as many on the other, both ways added, with the longest side of the bunny's
box as 1. The pose starts 20 degrees and 4 percent of the distance off, `--starts` times at random, as
`configs/fit_pose_spot.flags` says; errors are medians, beside the worst. The last line printed is JSON. `--minutes`
scales the number of steps of the bunny (1 by default: those of the flag file), `--quick` takes a few steps only, to see
that everything runs.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import jax

from experiments import fit_pose, fit_shape
from neurend import config

CONFIGS = Path(__file__).parents[1] / 'configs'
_STEPS = 400


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/mesh_fitting')
    parser.add_argument('--minutes', type=float, default=1.0)
    parser.add_argument('--starts', type=int, default=10)
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    shutil.rmtree(options.workdir, ignore_errors=True)
    root, folder = Path(options.data_root), Path(options.workdir)
    steps = 20 if options.quick else round(_STEPS * options.minutes)
    shape = config.parse(
        fit_shape.Config,
        f'--flagfile={CONFIGS / "fit_shape_bunny.flags"}',
        f'--mesh={root / "meshes" / "stanford-bunny.obj"}',
        f'--workdir={folder / "bunny"}',
        f'--steps={steps}',
        *(['--samples=2000', '--frames=0'] if options.quick else []),
    )
    began = time.perf_counter()
    fitted = fit_shape.main(shape)
    shape_seconds = time.perf_counter() - began
    lines = [json.loads(line) for line in (folder / 'bunny' / 'metrics.jsonl').read_text().splitlines()]
    pose = config.parse(
        fit_pose.Config,
        f'--flagfile={CONFIGS / "fit_pose_spot.flags"}',
        f'--mesh={root / "meshes" / "spot_triangulated.obj"}',
        f'--data_dir={root / "spot_views"}',
        f'--workdir={folder / "pose"}',
        f'--starts={1 if options.quick else options.starts}',
    )
    found = fit_pose.main(pose)
    result = {f'bunny_{name}': float(f'{value:.4g}') for name, value in fitted.items()}
    result['bunny_train_seconds'] = round(max(line.get('train_seconds', 0) for line in lines), 1)
    result['bunny_total_seconds'] = round(shape_seconds, 1)
    result |= {f'pose_{name}': float(f'{value:.4g}') for name, value in found.items()}
    print(json.dumps({**result, 'device': jax.devices()[0].device_kind}))


if __name__ == '__main__':
    main()
