"""The hash method on real photographs: masked PSNR on every 8th photograph of the bronze head, beside two baselines.

    python -m benchmarks.nerf_bronze_head --data_root=../shared/data

Trains by its flag file, which takes about a quarter of an hour on two cores; `--minutes` (15) makes its schedule longer
or shorter in proportion. Training time counts without compilation. The baselines answer a held-out view with the
training photograph whose camera is nearest, and with the mean of all training photographs. Everything is compared
within the object's mask.

A video, a contact sheet and `result.json` go to the workdir; the last line printed is that JSON. `--quick` trains for a
few steps and renders one view, to see that everything runs.
"""

import argparse
import dataclasses
import json
import shutil
import time
from pathlib import Path

import jax
import numpy as np

from experiments import nerf
from neurend import config
from neurend.data.posed import PosedImages
from neurend.geometry import paths
from neurend.images import io, show, video
from neurend.models.nerf.evaluation import UNSEEN
from neurend.render.tiled import Tiler
from neurend.train import loop

FLAGS = Path(__file__).parents[1] / 'configs' / 'nerf_bronze_head.flags'
MINUTES = 15.0


def masked_psnr(image, truth, mask):
    return float(-10 * np.log10(np.mean(np.square(image - truth)[mask > 127])))


def baselines(train: PosedImages, test: PosedImages) -> dict[str, float]:
    photos = np.stack(train.images)[..., :3].astype(np.float32) / 255
    centers = np.asarray(train.cameras.world_from_camera)[:, :3, 3]
    mean = photos.mean(0)
    values = {'nearest_view': [], 'mean_image': []}
    for i in range(len(test)):
        truth = test.images[i][..., :3].astype(np.float32) / 255
        center = np.asarray(test.cameras.world_from_camera)[i, :3, 3]
        nearest = photos[np.linalg.norm(centers - center, axis=-1).argmin()]
        for name, image in (('nearest_view', nearest), ('mean_image', mean)):
            values[name].append(masked_psnr(image, truth, test.masks[i]))
    return {name: float(np.mean(value)) for name, value in values.items()}


def train(settings: nerf.Config):
    """The trained state, and the seconds of its steps as the loop records them."""
    setup = nerf.build(settings)
    workdir = Path(settings.workdir) / 'run'
    state = loop.fit(
        setup.method,
        setup.source,
        workdir=workdir,
        steps=settings.steps,
        log_every=max(settings.steps // 20, 1),
        checkpoint_every=0,
    )
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return setup, state, max(line.get('train_seconds', 0.0) for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/bronze_head')
    parser.add_argument('--minutes', type=float, default=MINUTES)
    parser.add_argument('--frames', type=int, default=90)
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    share, frames = (0.02, 2) if options.quick else (options.minutes / MINUTES, options.frames)
    folder = Path(options.workdir)
    shutil.rmtree(folder / 'run', ignore_errors=True)
    data_dir = Path(options.data_root) / 'llff' / 'bronze_head'
    settings = config.parse(nerf.Config, f'--flagfile={FLAGS}', f'--data_dir={data_dir}', f'--workdir={folder}')
    settings = dataclasses.replace(settings, steps=int(share * settings.steps))
    began = time.perf_counter()
    setup, state, seconds = train(settings)
    test = nerf.read(settings, 'test')
    tiler = Tiler(setup.method.render, memory_mb=settings.memory_mb)
    rows, labels, values, rendering_seconds = [], [], [], []
    for i in range(1 if options.quick else len(test)):
        started = time.perf_counter()
        rendering = tiler(state, test.camera(i), index=UNSEEN)
        rendering_seconds.append(time.perf_counter() - started)
        truth = test.images[i][..., :3].astype(np.float32) / 255
        image = np.clip(rendering.rgb, 0, 1)
        values.append(masked_psnr(image, truth, test.masks[i]))
        rows.append(show.comparison(truth, image, rendering.depth, rendering.alpha))
        labels.append(f'{test.names[i]}: {values[-1]:.2f} dB inside the mask')
    io.write(folder / 'contact_sheet.png', show.contact_sheet(rows, columns=show.COMPARISON, labels=labels))
    first = test.camera(0)
    poses = np.asarray(paths.ellipse(np.asarray(setup.scene.cameras.world_from_camera), num=frames))
    pictures = (np.clip(tiler(state, first.replace(world_from_camera=pose), index=UNSEEN).rgb, 0, 1) for pose in poses)
    video.write(folder / 'video.mp4', pictures, fps=30)
    reference = baselines(setup.scene, test)
    result = {
        'psnr_masked': round(float(np.mean(values)), 3),
        'nearest_view_psnr_masked': round(reference['nearest_view'], 3),
        'mean_image_psnr_masked': round(reference['mean_image'], 3),
        'gain_db': round(float(np.mean(values)) - max(reference.values()), 3),
        'train_seconds': round(seconds, 1),
        'steps': settings.steps,
        'render_seconds': round(float(np.median(rendering_seconds)), 2),
        'total_seconds': round(time.perf_counter() - began, 1),
        'views': len(values),
        'device': jax.devices()[0].device_kind,
    }
    (folder / 'result.json').write_text(json.dumps(result, indent=1))
    print(json.dumps(result))


if __name__ == '__main__':
    main()
