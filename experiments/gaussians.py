r"""3-D Gaussians (Kerbl et al., 2023): a scene that is learned in minutes and drawn in milliseconds.

    python -m experiments.gaussians --flagfile=configs/gaussians_chair.flags --data_dir=chair --workdir=out/gaussians

Begins with Gaussians in the visual hull of photographs with transparent surroundings or masks, else at the points that
came with them, as COLMAP's do, or at those of a PLY file of Gaussians (`--init`). Without --data_dir the embedded
procedural scene is rendered and learned.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the protocol, and pictures of some; `scene.ply`, which public viewers read; `turntable.mp4`; and `page.html`,
which shows it all in a browser. `load` gives back what was trained.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures, mesh_views, trained
from experiments.captures import ObjectConfig
from neurend import app, checks
from neurend.data import photographs
from neurend.data.posed import PosedImages
from neurend.geometry import poses
from neurend.geometry.cameras import Camera
from neurend.models.gaussians import picture
from neurend.models.gaussians.config import GaussiansConfig
from neurend.models.gaussians.method import gaussians, of_state
from neurend.models.method import Method
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.scenes import gaussians as scenes
from neurend.scenes import gaussians_ply, hull
from neurend.scenes.gaussians import Gaussians
from neurend.train import evaluate as evaluation
from neurend.train import loop

_WHITE = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs, put on white where they are transparent; empty for the embedded scene.
        scene: how they are read.
        init: PLY file of Gaussians to begin with; empty for hull or points.
        hull_cells: along a side of the hull's box.
        start_opacity, start_size: of what is begun with in a hull or at points; sizes are in parts of the distance
            between neighbours. Small ones are in half as many tiles, and learn as much in a step.
        background: behind transparent photographs while they are learned, 'white' or a 'random' colour each time, from
            which it is learned how opaque things are. Results are on white.
        workdir: where results go.
        model: what is learned.
        views: photographs in the batch of a step.
        steps: of training.
        seed: of all randomness.
        log_every: steps between lines of metrics.
        evaluate_every: steps between pictures of a few held-out views; 0 for the end alone.
        checkpoint_every: steps between checkpoints; 0 for the end alone.
        frames: of the turntable; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('steps', 'log_every', 'evaluate_every', 'checkpoint_every', 'frames')

    data_dir: str = ''
    scene: ObjectConfig = dataclasses.field(default_factory=ObjectConfig)
    init: str = ''
    hull_cells: int = 64
    start_opacity: float = 0.2
    start_size: float = 0.5
    background: Literal['white', 'random'] = 'white'
    workdir: str = 'out/gaussians'
    model: GaussiansConfig = dataclasses.field(default_factory=GaussiansConfig)
    views: int = 1
    steps: int = 3000
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 0
    checkpoint_every: int = 1000
    frames: int = 60


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train, test: photographs with their cameras.
        method: to train, or to draw with.
    """

    train: PosedImages
    test: PosedImages
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, finds where to begin, and makes the method.

    Raises:
        InputError: something cannot be read, or nothing says where to begin.
    """
    train, test = captures.train_and_test(config.scene, config.data_dir, config.workdir)
    method = gaussians(
        config.model, beginning(config, train), size=photographs.size_of(train), steps=config.steps, background=_WHITE
    )
    return Setup(train, test, method)


def beginning(config: Config, train: PosedImages) -> Gaussians:
    """Gaussians to begin with: those of a file, or grey ones in the hull or at the points of the photographs.

    Raises:
        InputError: there is neither.
    """
    model = config.model
    begun = {
        'count': model.count,
        'degree': model.degree,
        'opacity': config.start_opacity,
        'size': config.start_size,
    }
    if config.init:
        found = gaussians_ply.read(config.init)
        if found.degree != model.degree:
            raise checks.InputError(
                f'init {config.init}: has harmonics of degree {found.degree}, expected model.degree={model.degree}'
            )
        return scenes.padded(found, model.count)
    outlines = _outlines(train)
    if outlines is not None:
        centers = np.asarray(train.cameras.world_from_camera)[:, :3, 3]
        middle = np.asarray(poses.focus_point(jnp.asarray(train.cameras.world_from_camera)))
        # What all cameras see whole is within the nearest camera's distance.
        radius = float(np.linalg.norm(centers - middle, axis=-1).min())
        moved = np.array(train.cameras.world_from_camera)
        moved[:, :3, 3] -= middle
        found = hull.carve(
            dataclasses.replace(train.cameras, world_from_camera=moved),
            outlines,
            radius=radius,
            cells=config.hull_cells,
            nearest=train.near,
        )
        found = dataclasses.replace(found, low=found.low + jnp.asarray(middle, jnp.float32))
        return scenes.in_hull(jax.random.key(config.seed), found, **begun)
    if train.points is not None:
        return scenes.from_points(train.points, **begun)
    raise checks.InputError(
        'photographs: have neither transparent surroundings, masks nor points, expected one of them to begin with. '
        'Prepare them with COLMAP (experiments.prepare_data), or give Gaussians with --init'
    )


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    examples = captures.examples(setup.test)
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
    folder = Path(config.workdir)
    gaussians_ply.write(folder / 'scene.ply', of_state(state))
    app.say(str(folder / 'scene.ply'))
    made = f'Gaussians, {int(state.step)} steps, {dataclasses.asdict(config.model)}'
    return mesh_views.report(
        folder,
        setup.method,
        state,
        examples,
        draw=drawer(config, state),
        train=setup.train,
        test=setup.test,
        title=f'{Path(config.data_dir).name or "embedded scene"}, Gaussians, {int(state.step)} steps',
        protocol=captures.protocol(config.scene, config.data_dir, setup.train, method=made),
        frames=config.frames,
    )


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its scene; `drawer(config, state)(camera)` draws views.

    Raises:
        InputError: no run there, no checkpoint, or the scene is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.gaussians')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


def drawer(config: Config, state: State) -> Callable[[Camera], Rendering]:
    """Draws what was learned from any pinhole camera, on white."""
    scene, behind = jax.tree.map(jnp.asarray, of_state(state)), jnp.array(_WHITE)
    return lambda camera: picture.draw(scene, camera, background=behind, antialiased=config.model.antialiased)


def _outlines(images: PosedImages) -> list[np.ndarray] | None:
    if all(image.shape[-1] == 4 for image in images.images):
        return [image[..., 3] > 0 for image in images.images]
    return None if images.masks is None else [mask > 0 for mask in images.masks]


if __name__ == '__main__':
    app.run(main, Config)
