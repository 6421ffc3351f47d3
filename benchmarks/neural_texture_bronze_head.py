"""Neural textures on real photographs: the bronze head within its masks, beside the field and two baselines.

    python -m benchmarks.neural_texture_bronze_head

The flag file's visual hull whose outline a network draws ('hull'), shells inside the hull whose texture is opaque where
the head is ('shells'), and the hash method of `nerf_bronze_head` ('field') learn the same photographs at the same size,
each for `--minutes` of steps (8 by default); a trial of 30 steps says how many steps that is, and the field's schedule
is made as much shorter. Every 8th photograph is held out; it is also answered with the photograph whose camera is
nearest and with the mean of all. PSNR counts pixels within the masks. `--only` runs some rows, `--quick` takes a few
steps. The last line printed is JSON.
"""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np

from benchmarks import nerf_bronze_head
from benchmarks.neural_texture import measure, show
from experiments import nerf, neural_texture
from neurend import allocation, config
from neurend.models.nerf.evaluation import UNSEEN
from neurend.render.tiled import Tiler

CONFIGS = Path(__file__).parents[1] / 'configs'
_SHELLS = (
    '--margin=0',
    '--model.opacity=texture',
    '--model.shells.count=4',
    '--model.shells.depth=0.04',
    '--model.network.surfaces=4',
    '--model.texture.channels=16',
    '--model.texture.harmonics=2',
)
ROWS = {'hull': (), 'shells': _SHELLS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/bronze_texture_benchmark')
    parser.add_argument('--minutes', type=float, default=8.0)
    parser.add_argument('--only', nargs='*', choices=[*ROWS, 'field'], default=[*ROWS, 'field'])
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    folder, result = Path(options.workdir), {}
    shutil.rmtree(folder, ignore_errors=True)
    data_dir = f'--data_dir={Path(options.data_root) / "llff" / "bronze_head"}'
    field = config.parse(nerf.Config, f'--flagfile={nerf_bronze_head.FLAGS}', data_dir, f'--workdir={folder / "field"}')
    reference = nerf_bronze_head.baselines(nerf.read(field, 'train'), nerf.read(field, 'test'))
    show('baselines', reference)
    for name in [row for row in ROWS if row in options.only]:
        flags = (f'--flagfile={CONFIGS / "neural_texture_bronze_head.flags"}', data_dir, *ROWS[name])
        flags += ('--evaluate_every=0', '--checkpoint_every=0', '--frames=0', f'--workdir={folder / name}')
        times = measure(config.parse(neural_texture.Config, *flags, '--steps=1000'))
        steps = 5 if options.quick else max(1, round(options.minutes * 60 / times['step_s']))
        table = neural_texture.main(config.parse(neural_texture.Config, *flags, f'--steps={steps}'))
        result |= {f'{name}_psnr_masked': table.mean['psnr_masked'], f'{name}_psnr': table.mean['psnr']}
        result[f'{name}_steps'] = steps
        show(name, {'psnr_masked': table.mean['psnr_masked'], 'steps': steps, **times})
    if 'field' in options.only:
        share = 0.01 if options.quick else options.minutes / nerf_bronze_head.MINUTES
        field = dataclasses.replace(field, steps=max(1, int(share * field.steps)))
        result['field_psnr_masked'] = of_field(field, 1 if options.quick else None)
        show('field', {'psnr_masked': result['field_psnr_masked'], 'steps': field.steps})
    result |= {f'{name}_psnr_masked': value for name, value in reference.items()}
    numbers = {name: float(f'{value:.4g}') for name, value in result.items()}
    print(json.dumps({**numbers, 'device': jax.devices()[0].device_kind}))


def of_field(settings: nerf.Config, count: int | None) -> float:
    """Masked PSNR of the field once it is trained, over `count` photographs that are held out."""
    setup, state, _ = nerf_bronze_head.train(settings)
    tiler, test = Tiler(setup.method.render, memory_mb=settings.memory_mb), nerf.read(settings, 'test')
    values = []
    for i in range(len(test) if count is None else count):
        image = np.clip(tiler(state, test.camera(i), index=UNSEEN).rgb, 0, 1)
        truth = test.images[i][..., :3].astype(np.float32) / 255
        values.append(nerf_bronze_head.masked_psnr(image, truth, test.masks[i]))
    return float(np.mean(values))


if __name__ == '__main__':
    main()
