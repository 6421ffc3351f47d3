r"""Deferred neural rendering (Thies et al., 2019): a mesh with a texture of features, and a network that finishes.

    python -m experiments.neural_texture --flagfile=configs/neural_texture_spot.flags --data_dir=spot_views \
        --mesh=meshes/spot_triangulated.obj --workdir=out/texture

The mesh may be coarse, wrong, or a ball or box about what is seen (`--proxy`), and without a file it is the visual hull
of the photographs' masks. Without --data_dir the embedded procedural scene is rendered and learned on its hull.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the protocol, and pictures of some; the texture's colours as `texture.png` and on the mesh as `mesh.glb`;
`turntable.mp4`; and `page.html`, which shows it all in a browser. `load` gives back what was trained.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures, mesh_views, proxy_meshes, trained, translation
from experiments.captures import ObjectConfig
from experiments.proxy_meshes import Proxy
from neurend import app, checks
from neurend.data import photographs
from neurend.data.posed import PosedImages
from neurend.geometry.cameras import Camera
from neurend.images import io
from neurend.models.method import Method
from neurend.models.neural_texture import deferred, shells
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.models.neural_texture.method import Example, check_size, neural_texture
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.scenes import mesh_files, remesh
from neurend.scenes.meshes import Material, Mesh
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
        scene: how they are read.
        mesh: file with what they show, in the world of their files; empty for the visual hull of masks or alpha.
        proxy: 'mesh' as it is, 'coarse' for it decimated and disturbed, 'sphere' or 'box' for one about it; or 'points'
            for the surface of those that came with the photographs, as COLMAP's do.
        coarse_faces: of 'coarse', in parts of the mesh's.
        coarse_noise: of 'coarse', the standard deviation of vertices in parts of the mesh's size.
        margin: by which the mesh grows along its normals, in parts of its size, so that it holds what it stands for;
            for `--model.opacity=network` and `texture`.
        background: behind transparent photographs while they are learned, 'white' or a 'random' colour each time, from
            which models that draw outlines themselves learn how opaque things are. Results are on white.
        workdir: where results go.
        model: what is learned.
        views: photographs in the batch of a step.
        texture_optimizer, network_optimizer: of each.
        steps: of training.
        seed: of the order of photographs.
        log_every: steps between lines of metrics.
        evaluate_every: steps between pictures of a few held-out views; 0 for the end alone.
        checkpoint_every: steps between checkpoints; 0 for the end alone.
        frames: of the turntable; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('steps', 'log_every', 'evaluate_every', 'checkpoint_every', 'frames')

    data_dir: str = ''
    scene: ObjectConfig = dataclasses.field(default_factory=ObjectConfig)
    mesh: str = ''
    proxy: Proxy = 'mesh'
    coarse_faces: float = 0.05
    coarse_noise: float = 0.02
    margin: float = 0.0
    background: Literal['white', 'random'] = 'white'
    workdir: str = 'out/neural_texture'
    model: NeuralTextureConfig = dataclasses.field(default_factory=NeuralTextureConfig)
    views: int = 1
    texture_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-2, final_learning_rate=1e-3)
    )
    network_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, final_learning_rate=1e-4)
    )
    steps: int = 5000
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    frames: int = 60


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train, test: photographs with their cameras.
        mesh: with UVs, in the world of the cameras.
        method: to train, or to draw with.
    """

    train: PosedImages
    test: PosedImages
    mesh: Mesh
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, makes the mesh and the method.

    Raises:
        InputError: something cannot be read.
    """
    train, test = captures.train_and_test(config.scene, config.data_dir, config.workdir)
    size = photographs.size_of(train)
    check_size(config.model, size)
    mesh = proxy_meshes.make(
        config.proxy,
        config.mesh,
        train,
        texture=config.model.texture.side,
        faces=config.coarse_faces,
        noise=config.coarse_noise,
        margin=config.margin,
    )
    if config.model.shells.count > 1 and not shells.fits(mesh):
        app.say('the UVs of the mesh lie beyond [0, 1], where shells cannot have them: it is unwrapped')
        mesh = remesh.unwrap(mesh, resolution=config.model.texture.side)
    optimizers = {'^texture/': config.texture_optimizer, '': config.network_optimizer}
    optimizer = by_name({name: make_optimizer(each, steps=config.steps) for name, each in optimizers.items()})
    method = neural_texture(
        config.model,
        mesh,
        size=size,
        stepper=step.stepper(optimizer),
        vgg=translation.vgg(config.model),
    )
    return Setup(train, test, mesh, method)


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    examples = examples_of(setup.test)
    state = loop.fit(
        setup.method,
        photographs.photograph_source(
            setup.train, views=config.views, background=_WHITE if config.background == 'white' else None
        ),
        workdir=config.workdir,
        steps=config.steps,
        seed=config.seed,
        evaluation=examples[:: max(1, len(examples) // 4)],
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
        checkpoint_every=config.checkpoint_every,
    )
    state = jax.device_get(state)
    draw = drawer(setup.method, state)
    protocol = captures.protocol(
        config.scene,
        config.data_dir,
        setup.train,
        method=f'neural texture, {int(state.step)} steps, {dataclasses.asdict(config.model)}',
        geometry=f'{proxy_meshes.name(config.proxy, config.mesh)}, {len(setup.mesh.faces)} faces',
    )
    folder = Path(config.workdir)
    write_mesh(folder, config.model, setup, state)
    return mesh_views.report(
        folder,
        setup.method,
        state,
        examples,
        draw=draw,
        train=setup.train,
        test=setup.test,
        title=f'{Path(config.data_dir).name or "embedded scene"}, neural texture, {int(state.step)} steps',
        protocol=protocol,
        frames=config.frames,
    )


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its scene; `drawer(setup.method, state)(camera)` draws views.

    Raises:
        InputError: no run there, no checkpoint, or the scene is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.neural_texture')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


def drawer(method: Method, state: State) -> Callable[[Camera], Rendering]:
    """Draws what was learned from any camera whose pictures have the photographs' size, on white."""
    drawn = jax.jit(method.render)
    return lambda camera: drawn(state, Shot(camera, jnp.array(_WHITE)))


def examples_of(views: PosedImages) -> list[Example]:
    """The views as examples, on white."""
    behind = jnp.array(_WHITE)
    shots = [Shot(views.camera(k), behind) for k in range(len(views))]
    masks = views.masks or [None] * len(views)
    return [Example(*each) for each in zip(views.names, shots, views.images, masks)]


def write_mesh(folder: Path, model: NeuralTextureConfig, setup: Setup, state: State) -> None:
    """Writes the texture's colours as a picture and on the mesh or its shells, in the world of the scene's files."""
    colors = np.asarray(deferred.colors(model, [jnp.asarray(level) for level in state.weights['texture']]))
    io.write(folder / 'texture.png', colors)
    material = Material(np.ones(3, np.float32), np.float32(0), np.float32(1), colors, 'learned')
    path = folder / 'mesh.glb'
    try:
        shown = proxy_meshes.in_source(shells.moved(model.shells, setup.mesh), setup.train.scene_from_source)
        shown = dataclasses.replace(shown, material=None, materials=(material,))
        mesh_files.write(path, shown)
    except checks.InputError as error:
        app.say(f'{path}: not written ({error})')


if __name__ == '__main__':
    app.run(main, Config)
