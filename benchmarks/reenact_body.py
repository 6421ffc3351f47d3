"""One body driven by another's key points: frame by frame, and with the frame before as a further condition.

    python -m benchmarks.reenact_body

The embedded figure a is learned from a minute of film at 128x128 and driven by figure b, as
`configs/reenact_body_figure.flags` and `configs/reenact_body_figure_temporal.flags` say. Both variants get about
the same time, since a step of the temporal one, which draws two frames, takes longer. Measured are the frames of a that
were held out and the driven ones, whose truth is known; key points are found again by a detector that was trained on a,
whose own error on true frames stands beside. The last line printed is JSON. `--minutes` scales the number of steps (5
for each variant by default: those of the flag files), `--quick` takes a few steps of small pictures only.
"""

import argparse
import json
import shutil
from pathlib import Path

import jax

from experiments import reenact_body
from neurend import config

CONFIGS = Path(__file__).parents[1] / 'configs'
VARIANTS = {'single': 'reenact_body_figure', 'temporal': 'reenact_body_figure_temporal'}
_MINUTES = 5.0
_QUICK = (
    '--size=32,32', '--target_frames=40', '--source_frames=12', '--held_out=8', '--detector_steps=20',
    '--pix2pix.generator.width=8', '--pix2pix.generator.depth=5', '--pix2pix.discriminator.width=8', '--run.steps=20',
)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data', help='not needed: the figure is embedded')
    parser.add_argument('--workdir', default='out/reenact_body_benchmark')
    parser.add_argument('--minutes', type=float, default=_MINUTES)
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    shutil.rmtree(options.workdir, ignore_errors=True)
    folder, rows, result = Path(options.workdir), {}, {}
    for variant, flags in VARIANTS.items():
        file = f'--flagfile={CONFIGS / f"{flags}.flags"}'
        steps = config.parse(reenact_body.Config, file).run.steps
        scaled = _QUICK if options.quick else (f'--run.steps={max(1, round(steps * options.minutes / _MINUTES))}',)
        settings = config.parse(reenact_body.Config, file, f'--workdir={folder / variant}', *scaled)
        if variant != 'single':  # the same detector for both
            shutil.copytree(folder / 'single' / 'detector', folder / variant / 'detector')
        for scene, row in reenact_body.main(settings).items():
            # True frames are the same for both: 'driven, truth' is 'driven_truth'.
            rows[scene.replace(', ', '_') if 'truth' in scene else f'{variant}_{scene}'] = row
        lines = [json.loads(line) for line in (folder / variant / 'metrics.jsonl').read_text().splitlines()]
        result[f'{variant}_train_seconds'] = max(line.get('train_seconds', 0.0) for line in lines)
    compare(rows)
    result |= {f'{scene}_{name}': value for scene, row in rows.items() for name, value in row.items()}
    numbers = {name: float(f'{value:.4g}') for name, value in result.items()}
    print(json.dumps({**numbers, 'device': jax.devices()[0].device_kind}))


def compare(rows):
    """Both variants side by side, and what true frames have."""
    print(f'{"":28}{"single":>12}{"temporal":>12}{"truth":>12}')
    for scene in ('held_out', 'driven'):
        columns = [rows[f'single_{scene}'], rows[f'temporal_{scene}'], rows[f'{scene}_truth']]
        for name in columns[0]:
            cells = [f'{column[name]:12.4f}' if name in column else f'{"-":>12}' for column in columns]
            print(f'{scene + " " + name:28}' + ''.join(cells))


if __name__ == '__main__':
    main()
