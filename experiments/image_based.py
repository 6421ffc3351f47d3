r"""Draws a scene from photographs of it: those near a view, warped by a proxy's depth, blended and finished by nets.

    python -m experiments.image_based --flagfile=configs/image_based_bronze_head.flags --data_dir=bronze_head \
        --workdir=out/image_based_bronze

Unstructured lumigraph rendering (Buehler et al., 2001) on the mesh of a file or on the visual hull of masks, or on the
depth of a field that `experiments.nerf` learned; what is learned is how photographs are blended and what is between
them (Hedman et al., 2018). Without --data_dir the embedded procedural scene is rendered and learned.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, what simpler guesses reach, the protocol, and pictures of some; `turntable.mp4`; and `page.html`, which shows it
all in a browser. `load` gives back what was trained.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures, mesh_views, proxy_meshes, trained
from experiments.captures import ObjectConfig
from experiments.translation import RunConfig
from neurend import app
from neurend.checks import InputError
from neurend.data import photographs, posed
from neurend.data.posed import PosedImages
from neurend.geometry.cameras import Camera
from neurend.models.image_based import proxies, views
from neurend.models.image_based.config import ImageBasedConfig
from neurend.models.image_based.method import Example, image_based, plain
from neurend.models.image_based.views import Bank, View
from neurend.models.method import Method
from neurend.models.nerf import evaluation as comparison
from neurend.models.state import State
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.render.tiled import Tiler
from neurend.render.warps import ProxyFn
from neurend.scenes import remesh
from neurend.train import evaluate as evaluation
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer

_FACES = 10000  # of a visual hull
_MEMORY = 500  # MB that a field's depth is drawn in


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs; empty for the embedded scene.
        scene: how they are read.
        mesh: file with the proxy, in the world of their files; empty for the visual hull of masks or alpha.
        field: workdir of a run of `experiments.nerf` on the same photographs, whose depth is the proxy in place of a
            mesh.
        margin: by which the mesh grows along its normals, in parts of its size; below 0 for one that is too large.
        workdir: where results go.
        model: what is learned.
        optimizer: of the networks.
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
    mesh: str = ''
    field: str = ''
    margin: float = 0.0
    workdir: str = 'out/image_based'
    # Windows that the embedded scene's photographs hold.
    model: ImageBasedConfig = dataclasses.field(default_factory=lambda: ImageBasedConfig(crop=96))
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, final_learning_rate=1e-4)
    )
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=1500, checkpoint_every=500))
    frames: int = 60

    def __post_init__(self):
        """Raises `InputError` for two proxies."""
        if self.mesh and self.field:
            raise InputError(f'--mesh, --field: got {self.mesh} and {self.field}, expected one of them, or neither')


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train, test: photographs with their cameras.
        proxy: where surfaces are.
        bank: the former with their depths.
        method: to train, or to draw with.
    """

    train: PosedImages
    test: PosedImages
    proxy: ProxyFn
    bank: Bank
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, makes the proxy and draws its depth in each, and makes the method.

    Raises:
        InputError: something cannot be read, or photographs do not see the proxy.
    """
    folder = captures.folder_of(config.data_dir, config.workdir)
    train, test = (captures.read(config.scene, folder, split) for split in ('train', 'test'))
    if config.scene.masks == 'background':
        train, test = posed.cut_out(train), posed.cut_out(test)
    size = photographs.size_of(train)
    if config.model.crop > min(size):
        raise InputError(f'--model.crop: got {config.model.crop}, expected at most {min(size)}, a side of photographs')
    proxy = proxy_of(config, train, size)
    bank = views.bank(train.images, train.cameras, proxy, beyond=config.model.beyond)
    optimizer = make_optimizer(config.optimizer, steps=config.run.steps)
    return Setup(train, test, proxy, bank, image_based(config.model, stepper=step.stepper(optimizer)))


def proxy_of(config: Config, train: PosedImages, size: tuple[int, int]) -> ProxyFn:
    """Where surfaces are.

    Raises:
        InputError: a file or run cannot be read, or there is nothing to make a hull of.
    """
    if config.field:
        _, setup, state = trained.load(config.field)
        tiler = Tiler(setup.method.render, memory_mb=_MEMORY)

        def of_field(camera: Camera) -> Rendering:
            found = tiler(state, jax.device_get(camera))
            return dataclasses.replace(found, depth=np.where(found.alpha > 0.5, found.depth, 0))

        return of_field
    if config.mesh:
        mesh = proxy_meshes.placed(config.mesh, train.scene_from_source)
    else:
        mesh = remesh.decimate(proxy_meshes.hull(train), _FACES)
    mesh = proxy_meshes.grown(mesh, config.margin)
    return proxies.of_mesh(jnp.asarray(mesh.vertices), jnp.asarray(mesh.faces), size)


def proxy_name(config: Config) -> str:
    """Of the proxy, for tables."""
    if config.field:
        return f'depth of the field {config.field}'
    base = Path(config.mesh).name if config.mesh else f'visual hull, {_FACES} faces'
    return f'{base}, grown by {config.margin} of its size' if config.margin else base


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    given = config.data_dir or 'embedded scene, no --data_dir given'
    app.say(
        f'{given}: {len(setup.train)} photographs to draw from, {len(setup.test)} held out (test), '
        f'{config.model.neighbors} for each view'
    )
    examples = examples_of(config, setup)
    state = loop.fit(
        setup.method,
        views.source(setup.bank, neighbors=config.model.neighbors, crop=config.model.crop),
        workdir=config.workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        evaluation=examples[:: max(1, len(examples) // 4)],
        log_every=config.run.log_every,
        evaluate_every=config.run.evaluate_every,
        checkpoint_every=config.run.checkpoint_every,
    )
    return report(config, setup, jax.device_get(state), examples)


def examples_of(config: Config, setup: Setup) -> list[Example]:
    """The held-out views, each with the photographs that it is drawn from.

    Raises:
        InputError: one that sees nothing that photographs see.
    """
    masks = setup.test.masks or [None] * len(setup.test)
    found = [
        Example(name, view_of(config, setup, setup.test.camera(k)), image, mask)
        for k, (name, image, mask) in enumerate(zip(setup.test.names, setup.test.images, masks))
    ]
    for example in found:
        views.check(example.view, f'held-out view {example.name}')
    return found


def view_of(config: Config, setup: Setup, camera: Camera) -> View:
    """What a view from any camera is drawn from; its pictures have the photographs' size."""
    camera = jax.tree.map(jnp.asarray, camera)
    chosen = views.nearest(setup.bank, camera, config.model.neighbors)
    depth = views.continued(jnp.asarray(setup.proxy(camera).depth), config.model.beyond)
    return views.view(setup.bank, camera, depth, chosen)


def report(config: Config, setup: Setup, state: State, examples: list[Example]) -> evaluation.Table:
    """Evaluates all held-out views and writes table, pictures, video and page; returns the table."""
    draw = drawer(config, setup, state)
    camera = setup.test.camera(0)
    jax.block_until_ready(draw(camera).rgb)
    begin = time.perf_counter()
    jax.block_until_ready(draw(camera).rgb)
    seconds = time.perf_counter() - begin
    analysis = jax.jit(setup.method.render).lower(state, examples[0].view).compile().memory_analysis()
    told = {
        'method': f'image-based rendering, {int(state.step)} steps, {dataclasses.asdict(config.model)}',
        'proxy': proxy_name(config),
        'seconds per frame': f'{seconds:.3f}',
        'memory per frame': f'{getattr(analysis, "temp_size_in_bytes", 0) / 1e6:.0f} MB, and '
        f'{sum(leaf.nbytes for leaf in jax.tree.leaves(setup.bank)) / 1e6:.0f} MB of photographs and depths',
    }
    title = f'{Path(config.data_dir).name or "embedded scene"}, image-based rendering, {int(state.step)} steps'
    return mesh_views.report(
        Path(config.workdir),
        setup.method,
        state,
        examples,
        draw=draw,
        train=setup.train,
        test=setup.test,
        title=title,
        protocol=captures.protocol(config.scene, config.data_dir, setup.train, **told),
        frames=config.frames,
        guesses=unlearned(config, examples),
    )


def unlearned(config: Config, examples: list[Example]) -> dict[str, dict[str, float]]:
    """What the nearest photograph warped, and all of them by their penalties alone, reach: means of metrics."""
    found = {}
    for name, keep in (('nearest photograph, warped', 1), (f'{config.model.neighbors} photographs, not learned', None)):
        drawn = jax.jit(lambda view, keep=keep: plain(config.model, view, keep=keep))
        rows: list[dict[str, Any]] = []
        for example in examples:
            shown = drawn(example.view)
            on_white = compositing.on_background(shown.rgb, shown.alpha, jnp.ones(3))
            shown = jax.device_get(dataclasses.replace(shown, rgb=on_white))
            held = comparison.Example(example.name, example.view.camera, example.image, example.mask)
            rows.append(comparison.compare(shown, held, background=np.ones(3, np.float32))[0])
        found[name] = {metric: float(np.mean([row[metric] for row in rows])) for metric in rows[0]}
    return found


def drawer(config: Config, setup: Setup, state: State) -> Callable[[Camera], Rendering]:
    """Draws on white, from any camera, whose pictures have the photographs' size."""

    @jax.jit
    def drawn(state: State, view: View) -> Rendering:
        found = setup.method.render(state, view)
        return dataclasses.replace(found, rgb=compositing.on_background(found.rgb, found.alpha, jnp.ones(3)))

    return lambda camera: drawn(state, view_of(config, setup, camera))


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its scene; `drawer(config, setup, state)(camera)` draws views.

    Raises:
        InputError: no run there, no checkpoint, or the scene is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.image_based')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


if __name__ == '__main__':
    app.run(main, Config)
