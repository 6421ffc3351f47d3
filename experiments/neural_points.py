r"""Neural points (Aliev et al., 2020): a cloud of learned descriptors, and a network that makes pictures of it.

    python -m experiments.neural_points --flagfile=configs/neural_points_bronze_head.flags --data_dir=bronze_head \
        --workdir=out/bronze_points

Points come from a PLY file (`--points`), or else from the visual hull of masks or alpha, or else are those of the
capture itself, as COLMAP's. Without --data_dir the embedded procedural scene is rendered and learned on its hull.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the protocol, and pictures of some; the points in their own colours as `points.ply`; `turntable.mp4`; and
`page.html`, which shows it all in a browser. `load` gives back what was trained.
"""

import dataclasses
import time
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures, mesh_views, neural_texture, proxy_meshes, trained
from experiments.captures import ObjectConfig
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import photographs, posed
from neurend.data.posed import PosedImages
from neurend.models.method import Method
from neurend.models.points.config import PointsConfig
from neurend.models.points.method import check_seen, learned, neural_points
from neurend.models.state import State
from neurend.scenes import points, points_ply
from neurend.scenes.points import Points
from neurend.train import evaluate as evaluation
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig, by_name
from neurend.train.optimizers import make as make_optimizer

_WHITE = (1.0, 1.0, 1.0)
_GREY = 0.5


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs, put on white where they are transparent; empty for the embedded scene.
        scene: how they are read.
        points: PLY file of coloured points, in the world of the scene's files; empty for the hull or the capture's own.
        count: points on the hull.
        margin: by which the hull grows along its normals, in parts of its size.
        background: behind transparent photographs while they are learned, 'white' or a 'random' colour each time, from
            which it is learned how opaque things are. Results are on white.
        workdir: where results go.
        model: what is learned.
        views: photographs in the batch of a step.
        descriptor_optimizer, network_optimizer: of each.
        run: length and records.
        frames: of the turntable; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'run.steps',
        'run.log_every',
        'run.evaluate_every',
        'run.checkpoint_every',
        'frames',
    )

    data_dir: str = ''
    scene: ObjectConfig = dataclasses.field(default_factory=ObjectConfig)
    points: str = ''
    count: int = 50000
    margin: float = 0.0
    background: Literal['white', 'random'] = 'white'
    workdir: str = 'out/neural_points'
    model: PointsConfig = dataclasses.field(default_factory=PointsConfig)
    views: int = 1
    descriptor_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-2, final_learning_rate=1e-3)
    )
    network_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, final_learning_rate=1e-4)
    )
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=2000))
    frames: int = 60

    def __post_init__(self):
        """Raises `InputError` for a number out of range."""
        if self.count < 1:
            raise checks.InputError(f'--count: got {self.count}, expected at least 1')


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train, test: photographs with their cameras.
        cloud: in the world of the cameras.
        method: to train, or to draw with.
    """

    train: PosedImages
    test: PosedImages
    cloud: Points
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, finds points, and makes the method.

    Raises:
        InputError: something cannot be read, there are no points, or a view sees none.
    """
    folder = captures.folder_of(config.data_dir, config.workdir)
    train, test = (captures.read(config.scene, folder, split) for split in ('train', 'test'))
    if config.scene.masks == 'background':
        train, test = posed.cut_out(train), posed.cut_out(test)
    cloud = beginning(config, train)
    check_seen(cloud, train.cameras, train.names)
    optimizers = {'^descriptors': config.descriptor_optimizer, '': config.network_optimizer}
    optimizer = by_name({name: make_optimizer(each, steps=config.run.steps) for name, each in optimizers.items()})
    method = neural_points(config.model, cloud, size=photographs.size_of(train), stepper=step.stepper(optimizer))
    return Setup(train, test, cloud, method)


def beginning(config: Config, train: PosedImages) -> Points:
    """Points in the world of the cameras: those of a file, grey ones on the hull, or grey ones of the capture.

    Raises:
        InputError: there are none.
    """
    if config.points:
        return points.moved(points_ply.read(config.points), train.scene_from_source)
    if train.masks is not None or all(image.shape[-1] == 4 for image in train.images):
        hull = proxy_meshes.grown(proxy_meshes.hull(train), config.margin)
        return points.on_mesh(jax.random.key(config.run.seed), hull, config.count)
    if train.points is not None and len(train.points):
        places = proxy_meshes.subject_points(train)
        return points.make(places, np.full_like(places, _GREY))
    raise checks.InputError(
        'photographs: have neither transparent surroundings, masks nor points, expected one of them to begin with. '
        'Prepare them with COLMAP (experiments.prepare_data), or give --points'
    )


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    given, size = config.data_dir or 'embedded scene, no --data_dir given', photographs.size_of(setup.train)
    app.say(
        f'{given}: {len(setup.train)} photographs of {size[0]} x {size[1]} to learn from, {len(setup.test)} held out '
        f'(test); {len(setup.cloud.positions)} points'
    )
    examples = neural_texture.examples_of(setup.test)
    state = loop.fit(
        setup.method,
        photographs.photograph_source(
            setup.train, views=config.views, background=_WHITE if config.background == 'white' else None
        ),
        workdir=config.workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        evaluation=examples[:: max(1, len(examples) // 4)],
        log_every=config.run.log_every,
        evaluate_every=config.run.evaluate_every,
        checkpoint_every=config.run.checkpoint_every,
    )
    state = jax.device_get(state)
    folder, draw = Path(config.workdir), neural_texture.drawer(setup.method, state)
    path = folder / 'points.ply'
    back = np.linalg.inv(np.asarray(setup.train.scene_from_source, np.float64))
    points_ply.write(path, points.moved(learned(config.model, setup.cloud, state), back))
    app.say(str(path))
    camera = jax.tree.map(jnp.asarray, setup.test.camera(0))
    jax.block_until_ready(draw(camera))
    begin = time.perf_counter()
    jax.block_until_ready(draw(camera))
    seconds = time.perf_counter() - begin
    told = {
        'method': f'neural points, {int(state.step)} steps, {dataclasses.asdict(config.model)}',
        'geometry': f'{len(setup.cloud.positions)} points{f" of {Path(config.points).name}" if config.points else ""}',
        'seconds per frame': f'{seconds:.3f}',
    }
    return mesh_views.report(
        folder,
        setup.method,
        state,
        examples,
        draw=draw,
        train=setup.train,
        test=setup.test,
        title=f'{Path(config.data_dir).name or "embedded scene"}, neural points, {int(state.step)} steps',
        protocol=captures.protocol(config.scene, config.data_dir, setup.train, **told),
        frames=config.frames,
    )


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its scene; `neural_texture.drawer(setup.method, state)(camera)` draws views.

    Raises:
        InputError: no run there, no checkpoint, or the scene is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.neural_points')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


if __name__ == '__main__':
    app.run(main, Config)
