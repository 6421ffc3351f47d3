"""Learns multi-plane images of a scene from posed photographs, one for each of some views, and blends them.

    python -m experiments.mpi --flagfile=configs/mpi_bronze_head.flags --data_dir=bronze_head --workdir=out/mpi_bronze

Each image begins with what the photographs nearest to it agree on and is improved by drawing photographs near it
(Zhou et al., 2018; Mildenhall et al., "Local light field fusion", 2019, without its network). Without --data_dir the
embedded procedural scene is rendered and learned.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the protocol, and pictures of some; the images in LLFF's format in `mpis/`; one of them with parallax as
`planes.html`; `turntable.mp4`; and `page.html`, which shows the rest in a browser. `load` gives back what was trained.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures, mesh_views, trained
from experiments.captures import ObjectConfig
from experiments.translation import RUN_MAY_CHANGE, RunConfig
from neurend import app
from neurend.checks import InputError
from neurend.data import photographs
from neurend.data.posed import PosedImages
from neurend.geometry.cameras import Camera
from neurend.models.deepvoxels import cubes
from neurend.models.method import Method
from neurend.models.mpi import places as places_lib
from neurend.models.mpi import start
from neurend.models.mpi.config import MpiConfig
from neurend.models.mpi.method import learned, mpi
from neurend.models.mpi.places import Places
from neurend.models.nerf.evaluation import Example
from neurend.models.state import State
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.scenes import planes_files
from neurend.train import evaluate as evaluation
from neurend.train import loop
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer
from neurend.viewer import planes as planes_page


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs; empty for the embedded scene.
        scene: how they are read.
        workdir: where results go.
        images: multi-plane images, each at one of the photographs, as far apart as these can be; 0 for one at each.
        neighbors: photographs that an image begins with.
        model: what is learned.
        optimizer: of planes, and of the functions of the direction of view.
        run: length and records.
        frames: of the video; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (*RUN_MAY_CHANGE, 'frames')

    data_dir: str = ''
    scene: ObjectConfig = dataclasses.field(default_factory=ObjectConfig)
    workdir: str = 'out/mpi'
    images: int = 40
    neighbors: int = 4
    model: MpiConfig = dataclasses.field(
        default_factory=lambda: MpiConfig(planes=20, border=0.05, backdrop=False, blended=3)
    )
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=0.15, final_learning_rate=0.05, b2=0.99, eps=1e-8)
    )
    run: RunConfig = dataclasses.field(
        default_factory=lambda: RunConfig(steps=1000, evaluate_every=0, checkpoint_every=0)
    )
    frames: int = 60

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.images < 0 or self.neighbors < 1:
            raise InputError(f'--images, --neighbors: got {self.images} and {self.neighbors}, expected 0 and 1 or more')


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train, test: photographs with their cameras.
        places: where the images lie.
        method: to train, or to draw with.
    """

    train: PosedImages
    test: PosedImages
    places: Places
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, places the images and makes the method.

    Raises:
        InputError: something cannot be read, or does not fit.
    """
    train, test = captures.train_and_test(config.scene, config.data_dir, config.workdir)
    size = photographs.size_of(train)
    eyes = np.asarray(train.cameras.world_from_camera)[:, :3, 3]
    chosen = places_lib.spread(eyes, config.images or len(train))
    cameras = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], train.cameras)
    if train.has_alpha and not config.model.backdrop:
        shows = [image[..., 3] > 0 for image in train.images]
        cube = cubes.around(train.cameras, shows, near=train.near, far=train.far)
        places = places_lib.through(config.model, cameras, size, cube)
    else:
        places = places_lib.between(config.model, cameras, size, near=train.near, far=train.far)
    places_lib.check_overlap(places, train.names, train.cameras)
    method = mpi(
        config.model,
        places,
        size=size,
        optimizer=make_optimizer(config.optimizer, steps=config.run.steps),
        start=start.from_photographs(
            config.model, places, train.images, train.cameras, neighbors=min(config.neighbors, len(train))
        ),
    )
    return Setup(train, test, places, method)


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    given = config.data_dir or 'embedded scene, no --data_dir given'
    count, planes = setup.places.depths.shape
    app.say(
        f'{given}: {len(setup.train)} photographs to learn from, {len(setup.test)} held out (test); {count} multi-'
        f'plane images of {planes} planes of {setup.places.size[0]} x {setup.places.size[1]}'
    )
    examples = captures.examples(setup.test)
    transparent = setup.train.has_alpha and not config.model.backdrop
    state = loop.fit(
        setup.method,
        photographs.photograph_source(setup.train, background=None if transparent else (1.0, 1.0, 1.0)),
        workdir=config.workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        evaluation=examples[:: max(1, len(examples) // 4)],
        log_every=config.run.log_every,
        evaluate_every=config.run.evaluate_every,
        checkpoint_every=config.run.checkpoint_every,
        # Older ones of so many planes are not worth their place.
        keep=1,
    )
    return report(config, setup, state, examples)


def report(config: Config, setup: Setup, state: State, examples: list[Example]) -> evaluation.Table:
    """Evaluates all held-out views and writes table, pictures, images, video and pages; returns the table."""
    folder = Path(config.workdir)
    draw = drawer(setup.method, state)
    camera = jax.tree.map(jnp.asarray, setup.test.camera(0))
    jax.block_until_ready(draw(camera))
    begin = time.perf_counter()
    jax.block_until_ready(draw(camera))
    seconds = time.perf_counter() - begin
    made = f'{len(setup.places.depths)} multi-plane images, {int(state.step)} steps'
    protocol = {
        **captures.protocol(
            config.scene, config.data_dir, setup.train, method=f'{made}, {dataclasses.asdict(config.model)}'
        ),
        'seconds per frame': f'{seconds:.3f}',
    }
    write_planes(folder, config, setup, state)
    title = f'{Path(config.data_dir).name or "embedded scene"}, multi-plane images, {int(state.step)} steps'
    return mesh_views.report(
        folder,
        setup.method,
        state,
        examples,
        draw=draw,
        train=setup.train,
        test=setup.test,
        title=title,
        protocol=protocol,
        frames=config.frames,
    )


def write_planes(folder: Path, config: Config, setup: Setup, state: State) -> None:
    """Writes the images in LLFF's format, where it can hold their cameras, and the first as a page."""
    size = photographs.size_of(setup.train)
    images = [learned(config.model, setup.places, state, k) for k in range(len(setup.places.depths))]
    try:
        planes_files.write(folder / 'mpis', images)
        app.say(str(folder / 'mpis'))
    except InputError as error:
        app.say(f'mpis/ not written: {error}')
    eyes = np.asarray(setup.train.cameras.world_from_camera)[:, :3, 3]
    own = np.asarray(setup.places.cameras.world_from_camera)[0, :3, 3]
    away = np.sort(np.linalg.norm(eyes - own, axis=-1))[1 : 1 + config.neighbors]
    planes_page.write(
        folder / 'planes.html',
        images[0],
        title=f'{Path(config.data_dir).name or "embedded scene"}: a multi-plane image',
        travel=float(away.mean()) if len(away) else 0.1 * float(setup.places.depths[0, 0]),
        border=places_lib.border_of(config.model, size),
    )
    app.say(str(folder / 'planes.html'))


def drawer(method: Method, state: State) -> Callable[[Camera], Rendering]:
    """Draws what was learned on white, from any camera whose pictures have the photographs' size."""

    @jax.jit
    def drawn(state: State, camera: Camera) -> Rendering:
        found = method.render(state, camera)
        return dataclasses.replace(found, rgb=compositing.on_background(found.rgb, found.alpha, jnp.ones(3)))

    return lambda camera: drawn(state, camera)


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its scene; `drawer(setup.method, state)(camera)` draws views.

    Raises:
        InputError: no run there, no checkpoint, or the scene is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.mpi')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


if __name__ == '__main__':
    app.run(main, Config)
