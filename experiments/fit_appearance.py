r"""Learns how a known mesh looks from posed photographs: its texture, the light, and a glossy coat.

    python -m experiments.fit_appearance --flagfile=configs/fit_appearance_spot.flags --data_dir=spot_views \
        --mesh=meshes/spot_triangulated.obj --workdir=out/spot

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the protocol, and pictures of some; the albedo as `texture.png` and on the mesh as `mesh.glb`; `turntable.mp4`;
and `page.html`, which shows it all in a browser.
"""

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np

from experiments import mesh_views, proxy_meshes
from experiments.mesh_views import DrawFn
from neurend import app, checks
from neurend.data import photographs, scenes
from neurend.data.posed import PosedImages
from neurend.images import color, io
from neurend.models.appearance import AppearanceConfig, albedo_of, appearance, roughness_of
from neurend.models.method import Method
from neurend.models.nerf.evaluation import Example
from neurend.models.state import State
from neurend.scenes import mesh_files
from neurend.scenes.meshes import Material, Mesh
from neurend.train import evaluate as evaluation
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer

_WHITE = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs, on white where they are transparent.
        mesh: file with what they show, in the world of their files, with UVs.
        workdir: where results go.
        appearance: what is learned.
        views: photographs in the batch of a step.
        optimizer: of all of it.
        steps: of training.
        seed: of the order of photographs.
        log_every: steps between lines of metrics.
        evaluate_every: steps between pictures of a few held-out views; 0 for the end alone.
        checkpoint_every: steps between checkpoints; 0 for the end alone.
        frames: of the turntable; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('steps', 'log_every', 'evaluate_every', 'checkpoint_every', 'frames')

    data_dir: str
    mesh: str
    workdir: str = 'out/fit_appearance'
    appearance: AppearanceConfig = dataclasses.field(default_factory=AppearanceConfig)
    views: int = 1
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=0.05, final_learning_rate=1.5e-3)
    )
    steps: int = 1500
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 500
    checkpoint_every: int = 0
    frames: int = 60


def main(config: Config) -> evaluation.Table:
    """Learns, evaluates, writes; returns the table of the held-out views."""
    train, test = (scenes.read(config.data_dir, split=split) for split in ('train', 'test'))
    size = photographs.size_of(train)
    mesh = mesh_files.read(config.mesh)
    placed = proxy_meshes.placed(config.mesh, train.scene_from_source)
    stepper = step.stepper(make_optimizer(config.optimizer, steps=config.steps))
    method = appearance(config.appearance, placed, size=size, stepper=stepper, background=_WHITE)
    views = [Example(test.names[k], test.camera(k), test.images[k]) for k in range(len(test))]
    state = loop.fit(
        method,
        photographs.photograph_source(train, views=config.views, background=_WHITE),
        workdir=config.workdir,
        steps=config.steps,
        seed=config.seed,
        evaluation=views[:: max(1, len(views) // 4)],
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
        checkpoint_every=config.checkpoint_every,
    )
    state = jax.device_get(state)
    draw = functools.partial(jax.jit(method.render), state)
    write_mesh(Path(config.workdir), mesh, state)
    return report(config, method, state, draw, test, train)


def report(
    config: Config, method: Method, state: State, draw: DrawFn, test: PosedImages, train: PosedImages
) -> evaluation.Table:
    """Evaluates all held-out views beside two baselines; prints and writes what `mesh_views.report` does."""
    what = dataclasses.asdict(config.appearance)
    protocol = {
        'scene': config.data_dir,
        'method': f'appearance of {config.mesh}, {int(state.step)} steps, {what}',
        'split': 'test, all views',
        'size': '{} x {}'.format(*photographs.size_of(train)),
        'downscaling': 'none',
        'background': 'white',
        'crop': 'none, all pixels',
    }
    examples = [Example(test.names[k], test.camera(k), test.images[k]) for k in range(len(test))]
    table = mesh_views.report(
        Path(config.workdir),
        method,
        state,
        examples,
        draw=draw,
        train=train,
        test=test,
        title=f'{Path(config.data_dir).name}, texture and light, {int(state.step)} steps',
        protocol=protocol,
        frames=config.frames,
    )
    if config.appearance.coat:
        print(f'roughness of the coat: {float(roughness_of(state.weights)):.3f}')
    return table


def write_mesh(folder: Path, mesh: Mesh, state: State) -> None:
    """Writes the albedo as a picture and on the mesh."""
    albedo = np.clip(np.asarray(color.srgb_from_linear(albedo_of(state.weights))), 0, 1)
    io.write(folder / 'texture.png', albedo)
    roughness = np.float32(roughness_of(state.weights)) if 'roughness' in state.weights else np.float32(1)
    material = Material(np.ones(3, np.float32), np.float32(0), roughness, albedo, 'learned')
    path = folder / 'mesh.glb'
    try:
        mesh_files.write(path, dataclasses.replace(mesh, material=None, materials=(material,)))
    except checks.InputError as error:
        app.say(f'{path}: not written ({error})')


if __name__ == '__main__':
    app.run(main, Config)
