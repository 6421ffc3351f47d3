"""Neural textures on meshes right and wrong, beside what the same geometry gives without a network that looks around.

    python -m benchmarks.neural_texture

The cow of `spot_views`, 256x256, all 32 test views: on its true mesh, on a coarse and disturbed one, on a ball and on
a box about it. Two classical renderings of each, by the same code and with the same edges: a plain texture under
harmonic light (`experiments.fit_appearance`), and one whose colours depend on the view, with a small network that sees
normal and mirrored direction at single pixels ('view_dependent'). `pix2pix_views` stands beside them, and on the coarse
mesh a classical rendering that may move its vertices ('coarse_moved', `experiments.inverse_render`), and a neural
texture on the mesh that this leaves ('coarse_found'). Milliseconds of a step and of a picture, whole and fast, are
taken alone, after compilation. The last line printed is JSON.

`--minutes` of steps for each row with a network (20 by default); a trial of 30 steps says how many steps that is.
`--only` runs some rows, of which 'table' is that of channels, levels, harmonics and what the network sees, 500 steps
each. `--quick` takes a few steps only.
"""

import argparse
import dataclasses
import functools
import json
import shutil
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments import fit_appearance, inverse_render, neural_texture, pix2pix_views, proxy_meshes
from experiments.neural_texture import Shot
from neurend import allocation, config
from neurend.data import photographs
from neurend.models.state import State
from neurend.scenes import mesh_files
from neurend.typing import Key

CONFIGS = Path(__file__).parents[1] / 'configs'
_CLASSICAL = (
    '--model.network.unet=0',
    '--model.network.surfaces=1',
    '--model.network.normals=true',
    '--model.network.reflection=3',
    '--model.opacity=mesh',
    '--model.shells.count=1',
    '--model.texture.side=256',
    '--model.texture.channels=16',
    '--background=white',
    '--margin=0',
)
# Flag file, and what differs from it.
ROWS = {
    'true': ('spot', ()),
    'fast': ('spot_fast', ()),
    'true_view_dependent': ('spot', _CLASSICAL),
    'coarse': ('spot_coarse', ()),
    'coarse_view_dependent': ('spot_coarse', _CLASSICAL),
    'sphere': ('spot_sphere', ()),
    'sphere_view_dependent': ('spot_sphere', _CLASSICAL),
    'box': ('spot_sphere', ('--proxy=box',)),
    'box_view_dependent': ('spot_sphere', ('--proxy=box', *_CLASSICAL)),
}
# What differs from the flag file of the true mesh; all are trained for as many steps.
TABLE = {
    'as it is': (),
    '32 channels': ('--model.texture.channels=32',),
    '1 level': ('--model.texture.levels=1',),
    'no harmonics': ('--model.texture.harmonics=-1',),
    'harmonics of degree 3': ('--model.texture.harmonics=3', '--model.texture.channels=20'),
    'without normals': ('--model.network.normals=false',),
    'without mirrored views': ('--model.network.reflection=0',),
    'without views': ('--model.network.views=false',),
    'features alone': (
        '--model.network.normals=false',
        '--model.network.reflection=0',
        '--model.network.views=false',
        '--model.texture.harmonics=-1',
    ),
    'no U-Net': ('--model.network.unet=0',),
}
_TABLE_STEPS = 500

GEOMETRIES = {
    'true': (),
    'coarse': ('--proxy=coarse',),
    'sphere': ('--proxy=sphere',),
    'box': ('--proxy=box',),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/neural_texture_benchmark')
    names = [*ROWS, *(f'{name}_rgb' for name in GEOMETRIES), 'coarse_moved', 'pix2pix', 'table']
    parser.add_argument('--minutes', type=float, default=20.0)
    parser.add_argument('--only', nargs='*', choices=names, default=names)
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    shutil.rmtree(options.workdir, ignore_errors=True)
    folder, result = Path(options.workdir), {}
    places = (
        f'--data_dir={Path(options.data_root) / "spot_views"}',
        '--evaluate_every=0',
        '--checkpoint_every=0',
        '--frames=0',
    )
    mesh = f'--mesh={Path(options.data_root) / "meshes" / "spot_triangulated.obj"}'

    def learn(name: str, *common: str):
        settings = config.parse(neural_texture.Config, *common, f'--workdir={folder / name}', '--steps=1000')
        times = measure(settings)
        steps = 5 if options.quick else max(1, round(options.minutes * 60 / times['step_s']))
        settings = config.parse(neural_texture.Config, *common, f'--workdir={folder / name}', f'--steps={steps}')
        table = neural_texture.main(settings)
        values = {'psnr': table.mean['psnr'], 'steps': steps, **times}
        result.update({f'{name}_{key}': value for key, value in values.items()})
        show(name, values)

    for name in [row for row in ROWS if row in options.only]:
        file, flags = ROWS[name]
        learn(name, f'--flagfile={CONFIGS / f"neural_texture_{file}.flags"}', *places, mesh, *flags)
    for name in [row for row in GEOMETRIES if f'{row}_rgb' in options.only]:
        flags = (f'--flagfile={CONFIGS / "fit_appearance_spot.flags"}', *places, f'--workdir={folder / f"{name}_rgb"}')
        flags += ('--steps=5',) if options.quick else ()
        file = written(config.parse(neural_texture.Config, *places, mesh, *GEOMETRIES[name]), folder / f'{name}.obj')
        table = fit_appearance.main(config.parse(fit_appearance.Config, *flags, f'--mesh={file}'))
        result[f'{name}_rgb_psnr'] = table.mean['psnr']
    if 'coarse_moved' in options.only:
        flags = [f'--flagfile={CONFIGS / "inverse_render_spot.flags"}', *places, mesh]
        flags += ['--steps=5'] if options.quick else []
        settings = config.parse(inverse_render.Config, *flags, f'--workdir={folder / "coarse_moved"}')
        result['coarse_moved_psnr'] = inverse_render.main(settings).mean['psnr']
        found = f'--mesh={folder / "coarse_moved" / "mesh.glb"}'
        learn('coarse_found', f'--flagfile={CONFIGS / "neural_texture_spot.flags"}', *places, found)
    if 'table' in options.only:
        common = (f'--flagfile={CONFIGS / "neural_texture_spot.flags"}', *places, mesh)
        common += (f'--steps={5 if options.quick else _TABLE_STEPS}',)
        for number, (name, flags) in enumerate(TABLE.items()):
            settings = config.parse(neural_texture.Config, *common, *flags, f'--workdir={folder / f"table_{number}"}')
            result[f'table: {name}'] = neural_texture.main(settings).mean['psnr']
            show(name, {'psnr': result[f'table: {name}']})
    if 'pix2pix' in options.only:
        flags = [f'--flagfile={CONFIGS / "pix2pix_views_spot.flags"}', places[0], '--frames=0', '--condition=proxy']
        flags += [f'--run.steps={5 if options.quick else 1500}']
        result['pix2pix_psnr'] = pix2pix_views.main(
            config.parse(pix2pix_views.Config, *flags, f'--workdir={folder / "pix2pix"}')
        ).mean['psnr']
    result |= summary(result)
    numbers = {name: float(f'{value:.4g}') for name, value in result.items()}
    print(json.dumps({**numbers, 'device': jax.devices()[0].device_kind}))


def written(settings: neural_texture.Config, path: Path) -> Path:
    """The mesh of a configuration as a file, in the world of the scene's files."""
    setup = neural_texture.build(settings)
    back = proxy_meshes.in_source(setup.mesh, setup.train.scene_from_source)
    mesh_files.write(path, dataclasses.replace(back, material=None, materials=()))
    return path


def summary(result: dict[str, float]) -> dict[str, float]:
    """The figures that are asked for, by the names that they go by, as far as they were measured."""
    found = {'psnr': result.get('true_psnr'), 'psnr_rgb': result.get('true_rgb_psnr')}
    found['psnr_view_dependent'] = result.get('true_view_dependent_psnr')
    for name in ('coarse', 'sphere', 'box'):
        classical = [result.get(f'{name}_{kind}_psnr') for kind in ('rgb', 'view_dependent')]
        known = [value for value in classical if value is not None]
        found |= {f'psnr_{name}': result.get(f'{name}_psnr'), f'psnr_best_classical_{name}': max(known, default=None)}
    found |= {'fast_psnr': result.get('fast_psnr'), 'fast_fps_256': result.get('fast_fps')}
    found['psnr_pix2pix'] = result.get('pix2pix_psnr')
    return {name: value for name, value in found.items() if value is not None}


def measure(settings: neural_texture.Config) -> dict[str, float]:
    """Seconds of a step and of a picture, the least of many."""
    setup = neural_texture.build(settings)
    source = photographs.photograph_source(setup.train, views=settings.views)
    data, key = jax.tree.map(jnp.asarray, source.data), jax.random.key(0)
    state = jax.jit(setup.method.init)(key)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: State, key: Key) -> State:
        assert source.draw is not None
        return setup.method.step(key, state, source.draw(key, data))[0]

    render, shot = jax.jit(setup.method.render), Shot(jax.tree.map(jnp.asarray, setup.test.camera(0)), jnp.ones(3))
    step_s, render_s = [], []
    for number in range(30):
        seconds, state = clocked(step, state, jax.random.key(number))
        step_s.append(seconds)
    for _ in range(30):
        render_s.append(clocked(render, state, shot)[0])
    return {'step_s': min(step_s), 'render_s': min(render_s), 'fps': 1 / min(render_s)}


def clocked(function: Any, *arguments: Any) -> tuple[float, Any]:
    """Seconds that a call takes, and what it gives."""
    began = time.perf_counter()
    out = jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began, out


def show(name: str, values: dict[str, float]):
    """One row."""
    print(f'{name:24}' + '  '.join(f'{key} {value:.4g}' for key, value in values.items()), flush=True)


if __name__ == '__main__':
    main()
