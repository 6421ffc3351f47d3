r"""DeepVoxels (Sitzmann et al., 2019): a volume of features, and networks that draw what a camera sees of it.

    python -m experiments.deepvoxels --flagfile=configs/deepvoxels_spot.flags --data_dir=spot_views \
        --workdir=out/deepvoxels

Without --data_dir the embedded procedural scene is rendered and learned.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the nearest training photograph's figures below them, and pictures of some; `turntable.mp4`; `path.mp4`, the
pictures and their soft depth on a way along which there are no photographs; and `page.html`, which shows it all in a
browser. `load` gives back what was trained.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures, mesh_views, pix2pix_views, trained
from experiments.captures import CaptureConfig
from experiments.translation import RUN_MAY_CHANGE, RunConfig
from neurend import app, checks
from neurend.data import photographs
from neurend.data.nearest_views import nearest_view_source, opacities
from neurend.data.posed import PosedImages
from neurend.geometry import paths
from neurend.geometry.cameras import Camera
from neurend.images import io, show, statedict, video
from neurend.models.deepvoxels import cubes, published
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from neurend.models.deepvoxels.method import deepvoxels
from neurend.models.method import Method
from neurend.models.nerf.evaluation import Example
from neurend.models.state import State
from neurend.render.lift import Cube
from neurend.render.rendering import Rendering
from neurend.train import evaluate as evaluation
from neurend.train import loop
from neurend.train.optimizers import OptimizerConfig, by_name
from neurend.train.optimizers import make as make_optimizer
from neurend.viewer import page

_SHOWN = ('truth', 'prediction', 'depth', 'error')
_KEYS = 12  # held-out cameras that the path goes by


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs, put on white where they are transparent; empty for the embedded scene.
        scene: how they are read.
        workdir: where results go.
        center, side: of the cube that the volume fills, in the world of the cameras; a side of 0 for a cube around the
            visual hull of masks or alpha, and without those around what the scene's near and far enclose.
        model: what is learned.
        checkpoint: file of the authors' that it begins with, for a model of the same sizes.
        targets: views that a step draws.
        nearest: of how many views near the first of them the lifted ones are chosen.
        optimizer: of the networks.
        volume_optimizer: of the volume, where it is learned itself.
        run: length and records.
        frames: of each video; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (*RUN_MAY_CHANGE, 'frames')

    data_dir: str = ''
    scene: CaptureConfig = dataclasses.field(default_factory=CaptureConfig)
    workdir: str = 'out/deepvoxels'
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    side: float = 0.0
    model: DeepVoxelsConfig = dataclasses.field(
        default_factory=lambda: DeepVoxelsConfig(
            features=16,
            width=16,
            halvings=1,
            depth=2,
            refined=False,
            taps=1,
            volume='learned',
            inpainting=0,
            planes=32,
            span=1.2,
            occlusion='rays',
            occlusion_width=16,
            occlusion_depth=1,
            norm='none',
            dropout=0.0,
            adversarial=0.0,
            compact=30.0,
            border=0,
        )
    )
    checkpoint: str = ''
    targets: int = 1
    nearest: int = 4
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=2e-3, final_learning_rate=1e-4, eps=1e-8)
    )
    volume_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=3e-2, final_learning_rate=1.5e-3, eps=1e-8)
    )
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=2000))
    frames: int = 60

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.side < 0:
            raise checks.InputError(f'--side: got {self.side}, expected a length in the world, or 0 to find one')
        if self.targets < 1 or self.nearest < 1:
            raise checks.InputError(f'--targets, --nearest: got {self.targets} and {self.nearest}, expected 1 or more')


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train, test: photographs with their cameras.
        cube: where the volume lies.
        method: to train, or to draw with.
    """

    train: PosedImages
    test: PosedImages
    cube: Cube
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, finds the cube and makes the method.

    Raises:
        InputError: something cannot be read, or does not fit.
    """
    train, test = captures.train_and_test(config.scene, config.data_dir, config.workdir)
    size = photographs.size_of(train)
    if config.model.silhouette and opacities(train) is None:
        raise checks.InputError(
            f'--model.silhouette: got {config.model.silhouette}, but no photograph has alpha or a mask, expected 0'
        )
    cube = _cube(config, train)
    optimizers = {'^volume': config.volume_optimizer, '': config.optimizer}
    optimizer = by_name({name: make_optimizer(each, steps=config.run.steps) for name, each in optimizers.items()})
    method = deepvoxels(config.model, cube, size=size, optimizer=optimizer)
    if config.checkpoint:
        read = statedict.read(config.checkpoint, what='checkpoint')
        method = published.begun(method, config.model, read)
    return Setup(train, test, cube, method)


def _cube(config: Config, train: PosedImages) -> Cube:
    shows = train.masks or ([image[..., 3] for image in train.images] if train.has_alpha else None)
    foreground = None if shows is None else [each > 0 for each in shows]
    if config.side:
        cube = Cube(jnp.asarray(config.center, jnp.float32), jnp.float32(config.side))
    else:
        cube = cubes.around(train.cameras, foreground, near=train.near, far=train.far)
    part = cubes.held(cube, train.cameras, foreground, sizes=np.asarray(train.cameras.size))
    center = ', '.join(f'{x:.3g}' for x in np.asarray(cube.center))
    app.say(f'volume: a cube of side {float(cube.side):.3g} around ({center})')
    if part < 0.99:
        what = 'pixels' if foreground is None else 'pixels that show something'
        app.say(
            f'warning: only {100 * part:.0f} % of the {what} see the cube, the rest cannot be drawn from it; give '
            '--center and a larger --side, or leave them out'
        )
    return cube


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    given = config.data_dir or 'embedded scene, no --data_dir given'
    app.say(f'{given}: {len(setup.train)} photographs to learn from, {len(setup.test)} held out (test)')
    examples = [
        Example(name, setup.test.camera(k), image)
        for k, (name, image) in enumerate(zip(setup.test.names, setup.test.images))
    ]
    source = nearest_view_source(
        setup.train, targets=config.targets, sources=config.model.sources, nearest=config.nearest
    )
    state = loop.fit(
        setup.method,
        source,
        workdir=config.workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        evaluation=examples[:: max(1, len(examples) // 4)],
        log_every=config.run.log_every,
        evaluate_every=config.run.evaluate_every,
        checkpoint_every=config.run.checkpoint_every,
    )
    return report(config, setup, jax.device_get(state), examples)


def report(config: Config, setup: Setup, state: State, examples: list[Example]) -> evaluation.Table:
    """Evaluates all held-out views and writes the table, pictures, videos and page; returns the table."""
    shown = {examples[k].name for k in np.linspace(0, len(examples) - 1, min(3, len(examples))).round().astype(int)}
    views: list[page.View] = []

    def each(name: str, values: dict[str, float], pictures: dict[str, np.ndarray]) -> None:
        if name in shown:
            views.append(page.View(name, pictures, values))

    made = f'DeepVoxels, {int(state.step)} steps, {dataclasses.asdict(config.model)}'
    protocol = captures.protocol(config.scene, config.data_dir, setup.train, method=made)
    folder = Path(config.workdir)
    table = evaluation.evaluate(setup.method, state, examples, protocol=protocol, each=each)
    nearest = pix2pix_views.nearest_photograph(setup.train, setup.test)
    table = dataclasses.replace(table, baselines={'nearest photograph': nearest})
    table.write(folder / 'evaluation_test')
    for view in views:
        row, label = [view.pictures[kind] for kind in _SHOWN], f'{view.name}   {view.metrics["psnr"]:.2f} dB'
        sheet = show.contact_sheet([row], columns=_SHOWN, labels=[label])
        io.write(folder / 'evaluation_test' / f'{view.name.replace("/", "_")}.png', sheet)
    print(table.text(), end='')
    draw = drawer(setup.method, state)
    around = list(mesh_views.turntable(draw, setup.train, config.frames)) if config.frames else []
    title = f'{Path(config.data_dir).name or "embedded scene"}, DeepVoxels, {int(state.step)} steps'
    rows = {**table.rows, **table.baselines}
    page.write(
        folder / 'page.html', title=title, views=views, metrics=table.mean, rows=rows, orbit=around, details=protocol
    )
    app.say(str(folder / 'page.html'))
    if config.frames:
        on_the_way = setup.test if len(setup.test) > 1 else setup.train
        for name, frames in (('turntable', iter(around)), ('path', along(draw, on_the_way, config.frames))):
            video.write(folder / f'{name}.mp4', frames, fps=30)
            app.say(str(folder / f'{name}.mp4'))
    return table


def drawer(method: Method, state: State) -> Callable[[Camera], Rendering]:
    """Draws what was learned from any camera whose pictures have the photographs' size."""
    drawn = jax.jit(method.render)
    return lambda camera: drawn(state, camera)


def along(draw: Callable[[Camera], Rendering], views: PosedImages, frames: int) -> Iterator[np.ndarray]:
    """Pictures beside their soft depth, on a smooth way by some of the views, from each to the nearest that is left."""
    camera = jax.tree.map(jnp.asarray, views.camera(0))
    for pose in paths.spline(tour(np.asarray(views.cameras.world_from_camera)), frames):
        found = jax.device_get(draw(dataclasses.replace(camera, world_from_camera=pose)))
        planes = found.extras.get('planes', (0.0, 1.0))
        depth = show.depth_picture(found.depth, found.alpha, near=float(planes[0]), far=float(planes[-1]))
        yield np.concatenate([io.to_uint8(np.clip(found.rgb, 0, 1)), depth], axis=1)


def tour(poses: np.ndarray, most: int = _KEYS) -> np.ndarray:
    """Poses [k 4 4], each the nearest of those [n 4 4] that were not yet visited, the first one first."""
    left = list(range(1, len(poses)))
    order = [0]
    while left and len(order) < most:
        distance = np.linalg.norm(poses[left, :3, 3] - poses[order[-1], :3, 3], axis=-1)
        order.append(left.pop(int(np.argmin(distance))))
    return poses[order]


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its scene; `drawer(setup.method, state)(camera)` draws views.

    Raises:
        InputError: no run there, no checkpoint, or the scene is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.deepvoxels')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


if __name__ == '__main__':
    app.run(main, Config)
