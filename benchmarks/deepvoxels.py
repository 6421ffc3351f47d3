"""DeepVoxels beside what it is compared with: itself without an occlusion network, image translation, photographs.

    python -m benchmarks.deepvoxels

The cow of `spot_views` at 128x128, all 32 test views, after `--minutes` of steps for each row (60 by default; a trial
says how many steps that is): `configs/deepvoxels_spot.flags`, the same with `--model.occlusion=none`, the same with a
volume that is integrated from four views a step, `configs/pix2pix_views_spot.flags`, and the nearest photograph. Soft
depth is correlated with that of the true mesh, drawn by the rasterizer, on the pixels that it covers. The warp error is
that of successive frames on a way along which there are no photographs, carried along by the true mesh.

Then seconds of a training step of the paper's networks at 128x128, here and in PyTorch (extra `benchmarks`; see
`benchmarks.deepvoxels_torch`), one after the other; with `--large` also at 512x512. The last line printed is JSON.
`--only` runs some rows, `--quick` takes a few steps only.
"""

import argparse
import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import deepvoxels_torch, spot_views
from benchmarks.neural_texture import clocked, show
from experiments import deepvoxels, pix2pix_views, trained
from neurend import allocation, config
from neurend.data.nearest_views import nearest_view_source
from neurend.data.pair_batches import pair_source
from neurend.data.posed import PosedImages
from neurend.geometry import cameras, grids, paths
from neurend.geometry.cameras import Camera
from neurend.losses import temporal
from neurend.models.method import Method
from neurend.models.state import State
from neurend.typing import Key, Source

CONFIGS = Path(__file__).parents[1] / 'configs'
ROWS = {
    'deepvoxels': (),
    'no_occlusion': ('--model.occlusion=none', '--model.compact=0', '--model.silhouette=0'),
    'integrated': ('--model.volume=integrated', '--model.sources=4', '--nearest=16', '--model.norm=batch'),
}
_FRAMES = 40
_TRIAL = 30


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/deepvoxels_benchmark')
    names = [*ROWS, 'pix2pix', 'steps']
    parser.add_argument('--minutes', type=float, default=60.0)
    parser.add_argument('--only', nargs='*', choices=names, default=names)
    parser.add_argument('--large', action='store_true', help='time steps at 512x512 too, which takes minutes')
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    shutil.rmtree(options.workdir, ignore_errors=True)
    root, folder, result = Path(options.data_root), Path(options.workdir), {}
    places = (f'--data_dir={root / "spot_views"}', '--run.evaluate_every=0', '--run.checkpoint_every=0', '--frames=0')
    _, mesh = spot_views.load(root)
    truth = spot_views.renderer(mesh, 128, 128)
    for name in [row for row in ROWS if row in options.only]:
        common = (f'--flagfile={CONFIGS / "deepvoxels_spot.flags"}', *places, *ROWS[name])
        common += (f'--workdir={folder / name}',)
        step_s = step_of(config.parse(deepvoxels.Config, *common))
        steps = 4 if options.quick else max(1, round(options.minutes * 60 / step_s))
        settings = config.parse(deepvoxels.Config, *common, f'--run.steps={steps}')
        table = deepvoxels.main(settings)
        setup = deepvoxels.build(settings)
        state = trained.restore(setup.method, Path(settings.workdir))
        draw = deepvoxels.drawer(setup.method, state)
        values = {'psnr': table.mean['psnr'], 'ssim': table.mean['ssim'], 'steps': steps, 'small_step_s': step_s}
        values['warp_error'] = warp_error(lambda camera, draw=draw: draw(camera).rgb, truth, setup.test)
        if settings.model.occlusion != 'none':
            values['depth_correlation'] = correlation(draw, truth, setup.test)
        result |= {f'{name}_{key}': value for key, value in values.items()}
        result['nearest_psnr'] = table.baselines['nearest photograph']['psnr']
        show(name, values)
    if 'pix2pix' in options.only:
        result |= translated(places, folder / 'pix2pix', truth, 4 if options.quick else 60 * options.minutes)
    if 'steps' in options.only:
        result |= deepvoxels_torch.steps_alone(128, repetitions=1 if options.quick else 5)
        if options.large:
            found = deepvoxels_torch.steps_alone(512, repetitions=3)
            result |= {f'{name}_512': value for name, value in found.items()}
    result |= summary(result)
    numbers = {name: float(f'{value:.4g}') for name, value in result.items()}
    print(json.dumps({**numbers, 'device': jax.devices()[0].device_kind}))


def translated(places: tuple[str, ...], workdir: Path, truth: Any, seconds: float) -> dict[str, float]:
    """Image translation from the rays of a camera, trained for as long."""
    common = (f'--flagfile={CONFIGS / "pix2pix_views_spot.flags"}', *places, f'--workdir={workdir}')
    setup = pix2pix_views.build(config.parse(pix2pix_views.Config, *common))
    pairs = pair_source(
        pix2pix_views.pairs_of(setup.condition, setup.train), batch=2, load_size=None, crop=None, flip=False
    )
    step_s = seconds_of(setup.method, pairs)
    steps = max(1, round(seconds / step_s))
    settings = config.parse(pix2pix_views.Config, *common, f'--run.steps={steps}')
    table = pix2pix_views.main(settings)
    state = trained.restore(setup.method, workdir)
    render = jax.jit(pix2pix_views.seen(setup).render)
    flicker = warp_error(lambda camera: render(state, camera).rgb, truth, setup.test)
    values = {'psnr': table.mean['psnr'], 'steps': steps, 'small_step_s': step_s, 'warp_error': flicker}
    show('pix2pix', values)
    nearest = {'nearest_psnr': table.baselines['nearest photograph']['psnr']}
    return {**{f'pix2pix_{key}': value for key, value in values.items()}, **nearest}


def summary(result: dict[str, float]) -> dict[str, float]:
    """The figures that are asked for, by the names that they go by, as far as they were measured."""
    found = {
        f'psnr_{name}': result.get(f'{name}_psnr') for name in ('deepvoxels', 'no_occlusion', 'pix2pix', 'nearest')
    }
    found['depth_correlation'] = result.get('deepvoxels_depth_correlation')
    return {name: value for name, value in found.items() if value is not None}


def step_of(settings: deepvoxels.Config) -> float:
    """Seconds of a step."""
    setup = deepvoxels.build(settings)
    sources = settings.model.sources
    source = nearest_view_source(setup.train, targets=settings.targets, sources=sources, nearest=settings.nearest)
    return seconds_of(setup.method, source)


def seconds_of(method: Method, source: Source) -> float:
    """Seconds of a step, the median of a few."""
    data, key = jax.tree.map(jnp.asarray, source.data), jax.random.key(0)
    state = jax.jit(method.init)(key)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: State, key: Key) -> State:
        assert source.draw is not None
        return method.step(key, state, source.draw(key, data))[0]

    step_s = []
    for number in range(_TRIAL):
        seconds, state = clocked(step, state, jax.random.key(number))
        step_s.append(seconds)
    return float(np.median(step_s[1:]))


def correlation(draw: Callable[[Camera], Any], truth: Any, views: PosedImages) -> float:
    """Of soft depth with that of the mesh, over the pixels of all views that it covers."""
    pairs = []
    for k in range(len(views)):
        camera = jax.tree.map(jnp.asarray, views.camera(k))
        covered, _, depth = (np.asarray(part) for part in truth(camera))
        pairs.append(np.stack([np.asarray(draw(camera).depth)[covered], depth[covered]]))
    return float(np.corrcoef(np.concatenate(pairs, axis=1))[0, 1])


def warp_error(draw: Callable[[Camera], Any], truth: Any, views: PosedImages) -> float:
    """Mean difference of frames from those before them, carried along by the mesh where both show the same of it."""
    camera = jax.tree.map(jnp.asarray, views.camera(0))
    way = paths.spline(deepvoxels.tour(np.asarray(views.cameras.world_from_camera), 3), _FRAMES)
    measure, errors, before = jax.jit(temporal.warp_error), [], None
    for pose in way:
        now = dataclasses.replace(camera, world_from_camera=pose)
        frame, (covered, _, depth) = jnp.clip(draw(now), 0, 1), truth(now)
        if before is not None:
            centers = cameras.pixel_centers(128, 128)
            points = cameras.unproject(now, centers, depth)
            there, its_depth = cameras.project(before[0], points)
            # What the frame before shows at that place must be as far away as the point is.
            found = grids.bilinear(before[2][..., None], there)[..., 0]
            valid = covered & (jnp.abs(found - its_depth) < 0.02)
            errors.append(float(measure(frame, before[1], there - centers, valid)))
        before = now, frame, depth
    return float(np.mean(errors))


if __name__ == '__main__':
    main()
