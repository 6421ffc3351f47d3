r"""Inverse rendering: albedo, light, the shape of a mesh and the poses of cameras, learned together from photographs.

    python -m experiments.inverse_render --flagfile=configs/inverse_render_spot.flags --data_dir=spot_views \
        --mesh=meshes/spot_triangulated.obj --workdir=out/inverse

`--inverse.parts` says which of albedo, light, vertices and poses are learned; `--proxy` takes a coarse and disturbed
mesh, a ball or a box to begin with, and without a file the mesh is the visual hull of the photographs' masks.
`--perturb.degrees` and `--perturb.percent` disturb the cameras of the training views, and how far they are off is told
before and after. Without --data_dir the embedded procedural scene is rendered and learned on its hull.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the protocol, and pictures of some; the albedo as `texture.png`; `mesh.glb` with the vertices where they went and
the albedo; `turntable.mp4`; `page.html`, which shows it all in a browser; and `poses.json` where poses are learned.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures, fit_appearance, mesh_views, proxy_meshes, refine_poses
from experiments.captures import CaptureConfig
from experiments.proxy_meshes import Proxy
from experiments.refine_poses import PerturbConfig
from neurend import app
from neurend.data import photographs
from neurend.data.posed import PosedImages
from neurend.models.mesh.inverse import InverseConfig, cameras_of, inverse, mesh_of, source
from neurend.models.method import Method
from neurend.models.nerf.evaluation import Example
from neurend.models.state import State
from neurend.scenes import remesh
from neurend.scenes.meshes import Mesh
from neurend.train import evaluate as evaluation
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig, by_name
from neurend.train.optimizers import make as make_optimizer

_WHITE = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs, put on white where they are transparent; empty for the embedded scene.
        scene: how it is read.
        mesh: file with what they show, in the world of their files; empty for the visual hull of masks or alpha.
        proxy: 'mesh' as it is, 'coarse' for it decimated and disturbed, 'sphere' or 'box' for one about it, or 'points'
            for the surface of those that structure from motion found.
        divide: how often each face becomes four before anything is learned, so that there are vertices to move.
        perturb: what is done to the cameras of the training views.
        workdir: where results go.
        inverse: what is learned.
        views: photographs in the batch of a step.
        optimizer: of albedo, light and coat.
        vertices_optimizer: of vertices, in the world's units.
        poses_optimizer: of cameras, see `neurend.models.nerf.poses`.
        steps: of training.
        seed: of all randomness.
        log_every: steps between lines of metrics.
        evaluate_every: steps between pictures of a few held-out views; 0 for the end alone.
        checkpoint_every: steps between checkpoints; 0 for the end alone.
        frames: of the turntable; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('steps', 'log_every', 'evaluate_every', 'checkpoint_every', 'frames')

    data_dir: str = ''
    scene: CaptureConfig = dataclasses.field(default_factory=CaptureConfig)
    mesh: str = ''
    proxy: Proxy = 'mesh'
    divide: int = 0
    perturb: PerturbConfig = dataclasses.field(default_factory=lambda: PerturbConfig(degrees=0.0, percent=0.0))
    workdir: str = 'out/inverse_render'
    inverse: InverseConfig = dataclasses.field(default_factory=InverseConfig)
    views: int = 2
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=0.05, final_learning_rate=1.5e-3)
    )
    vertices_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig('uniform_adam', learning_rate=0.1, final_learning_rate=2e-3, b2=0.9)
    )
    poses_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, final_learning_rate=2e-5, delay_steps=200, b2=0.99)
    )
    steps: int = 1000
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 500
    checkpoint_every: int = 0
    frames: int = 60


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train: photographs with their cameras, disturbed if so configured.
        truth: with their cameras as they are.
        test: held-out views.
        mesh: to begin with, in the world of the cameras.
        method: to train, or to draw with.
    """

    train: PosedImages
    truth: PosedImages
    test: PosedImages
    mesh: Mesh
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, makes the mesh and the method.

    Raises:
        InputError: something cannot be read.
    """
    folder = captures.folder_of(config.data_dir, config.workdir)
    truth, test = (captures.read(config.scene, folder, split) for split in ('train', 'test'))
    given = refine_poses.perturb(jax.random.key(config.seed), truth.cameras, config.perturb)
    train = dataclasses.replace(truth, cameras=jax.tree.map(np.asarray, given)) if disturbed(config) else truth
    mesh = proxy_meshes.make(config.proxy, config.mesh, truth, texture=config.inverse.appearance.texture)
    mesh = remesh.subdivide(mesh, config.divide)
    optimizers = {'^differential': config.vertices_optimizer, '^pose': config.poses_optimizer, '': config.optimizer}
    optimizer = by_name({name: make_optimizer(each, steps=config.steps) for name, each in optimizers.items()})
    method = inverse(
        config.inverse,
        mesh,
        cameras=train.cameras,
        size=photographs.size_of(train),
        stepper=step.stepper(optimizer),
        background=_WHITE,
    )
    return Setup(train, truth, test, mesh, method)


def main(config: Config) -> evaluation.Table:
    """Learns, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    test = setup.test
    examples = [Example(test.names[k], test.camera(k), test.images[k]) for k in range(len(test))]
    state = loop.fit(
        setup.method,
        source(setup.train.cameras, setup.train.images, views=config.views, background=_WHITE),
        workdir=config.workdir,
        steps=config.steps,
        seed=config.seed,
        evaluation=examples[:: max(1, len(examples) // 4)],
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
        checkpoint_every=config.checkpoint_every,
    )
    # One device is enough for what remains.
    state = jax.tree.map(jnp.asarray, jax.device_get(state))
    folder = Path(config.workdir)
    if 'poses' in config.inverse.parts:
        report_poses(config, setup, state)
    moved = mesh_of(config.inverse, setup.mesh, state)
    fit_appearance.write_mesh(folder, proxy_meshes.in_source(moved, setup.train.scene_from_source), state)
    return mesh_views.report(
        folder,
        setup.method,
        state,
        examples,
        draw=functools.partial(jax.jit(setup.method.render), state),
        train=setup.train,
        test=test,
        title=f'{Path(config.data_dir).name or "embedded scene"}, inverse rendering, {int(state.step)} steps',
        protocol=describe(config, setup, state),
        frames=config.frames,
    )


def disturbed(config: Config) -> bool:
    """Whether the cameras are not those that were read."""
    return config.perturb != PerturbConfig(0.0, 0.0, 0.0)


def describe(config: Config, setup: Setup, state: State) -> dict[str, Any]:
    """The protocol."""
    geometry = f'{proxy_meshes.name(config.proxy, config.mesh)}, {len(setup.mesh.faces)} faces'
    factor = config.scene.factor
    return {
        'scene': f'{config.data_dir or "embedded"}, {len(setup.train)} training views',
        'method': f'inverse rendering, {int(state.step)} steps, {dataclasses.asdict(config.inverse)}',
        'geometry': geometry + (f', each divided {config.divide} times' if config.divide else ''),
        'cameras': f'disturbed, {dataclasses.asdict(config.perturb)}' if disturbed(config) else 'as given',
        'split': 'test, all views',
        'size': '{} x {}'.format(*photographs.size_of(setup.train)),
        'downscaling': 'none' if factor == 1 else f'means over {factor} x {factor} pixels, or copies of the data set',
        'background': 'white',
        'crop': 'none, all pixels',
    }


def report_poses(config: Config, setup: Setup, state: State) -> None:
    """Writes the cameras' poses, and where they were disturbed how far they are off, before and after; prints that.

    Errors are those that the similarity which takes centres nearest to the true ones leaves.
    """
    refined, report = cameras_of(setup.mesh, setup.train.cameras, state), {}
    if disturbed(config):
        for name, cameras in (('before', setup.train.cameras), ('after', refined)):
            report[name] = found = refine_poses.errors(cameras, setup.truth.cameras)
            turned, moved = found['rotation_degrees'], found['translation_percent']
            print(f'cameras {name}: median errors {turned:.3f} degrees, {moved:.3f} % of the distance', flush=True)
    path = Path(config.workdir) / 'poses.json'
    refine_poses.write(path, setup.train.names, refined.world_from_camera, report)


if __name__ == '__main__':
    app.run(main, Config)
