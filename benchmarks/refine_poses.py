"""Pose refinement: the chair's training poses, perturbed by 2 degrees and 2 percent of the distance, and recovered.

    python -m benchmarks.refine_poses --data_root=../shared/data

Errors are medians over the 100 cameras after the best similarity. The last line printed is JSON. `--quick` takes a few
steps only, to see that everything runs.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import jax

from experiments import refine_poses
from neurend import config

FLAGS = Path(__file__).parents[1] / 'configs' / 'refine_poses_chair.flags'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/refine_poses')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    shutil.rmtree(options.workdir, ignore_errors=True)
    settings = config.parse(
        refine_poses.Config,
        f'--flagfile={FLAGS}',
        f'--data_dir={Path(options.data_root) / "nerf_synthetic" / "chair"}',
        f'--workdir={options.workdir}',
        f'--seed={options.seed}',
        *(['--steps=20', '--log_every=10'] if options.quick else []),
    )
    Path(options.workdir).mkdir(parents=True)
    began = time.perf_counter()
    report = refine_poses.main(settings)
    lines = [json.loads(line) for line in (Path(options.workdir) / 'metrics.jsonl').read_text().splitlines()]
    result = {
        'rotation_before_degrees': round(report['before']['rotation_degrees'], 4),
        'rotation_after_degrees': round(report['after']['rotation_degrees'], 4),
        'translation_before_percent': round(report['before']['translation_percent'], 4),
        'translation_after_percent': round(report['after']['translation_percent'], 4),
        'train_seconds': round(max(line.get('train_seconds', 0) for line in lines), 1),
        'total_seconds': round(time.perf_counter() - began, 1),
        'steps': settings.steps,
        'device': jax.devices()[0].device_kind,
    }
    print(json.dumps(result))


if __name__ == '__main__':
    main()
