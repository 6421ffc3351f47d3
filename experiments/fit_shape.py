"""Fits the vertices of a mesh, at first a sphere, to silhouettes.

    python -m experiments.fit_shape --flagfile=configs/fit_shape_bunny.flags --mesh=bunny.obj --workdir=out/bunny
    python -m experiments.fit_shape --flagfile=configs/fit_shape_spot.flags --data_dir=spot_views --workdir=out/spot

With --mesh the silhouettes are drawn of that mesh, scaled to a longest side of 1, and the Chamfer distance from it is
measured; with --data_dir they are the masks or alpha channels of posed images; with neither, those of a box. Leaves in
the workdir pictures of target, fit and difference as it goes, `fit.obj`, `shape.png`, and `turntable.mp4` where the
extra `video` is installed.
"""

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import app, checks
from neurend.data import scenes
from neurend.data.posed import PosedImages
from neurend.geometry import cameras, paths, surface, triangles
from neurend.geometry.cameras import Camera
from neurend.images import io, video
from neurend.models.mesh import pictures, silhouettes
from neurend.models.mesh.fit import FitConfig, Surface, fit, mesh_of
from neurend.models.mesh.silhouettes import Silhouettes
from neurend.models.method import Method
from neurend.models.state import State
from neurend.scenes import mesh_files, primitives
from neurend.scenes.meshes import Mesh
from neurend.train import loop, optimizers, step
from neurend.train.optimizers import OptimizerConfig

# Cameras around a mesh: their distance from its centre, and their focal length in picture widths.
_DISTANCE, _FOCAL = 2.5, 1.9
_HELD_OUT = 4
# Pixels on a side of the pictures at the end, or about as many.
_PICTURE = 256
_RATES = OptimizerConfig(name='uniform_adam', learning_rate=0.05, final_learning_rate=0.005, b2=0.9)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        mesh: file whose silhouettes are fitted.
        data_dir: folder with posed images instead, with masks or alpha.
        workdir: where checkpoints, metrics, pictures and the mesh go.
        views: silhouettes to fit: drawn from all around a mesh, or evenly picked from the images; 0 for all images.
        size: width and height of silhouettes drawn of a mesh, in pixels.
        factor: whole number by which images are reduced.
        up: of the pictures, in the world.
        subdivisions: of the sphere to start from: 20 * 4^n faces.
        fit: how vertices move.
        steps: of fitting.
        optimizer: and its rates, in sizes of the differential coordinates.
        samples: points on surfaces for the Chamfer distance.
        seed: of all randomness.
        log_every: steps between lines of metrics.
        evaluate_every: steps between pictures; 0 for the end.
        checkpoint_every: steps between checkpoints; 0 for one at the end, or where the run is stopped.
        frames: of the turntable; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('steps', 'log_every', 'evaluate_every', 'checkpoint_every', 'frames')

    mesh: str = ''
    data_dir: str = ''
    workdir: str = 'out/fit_shape'
    views: int = 24
    size: int = 128
    factor: int = 1
    up: tuple[float, float, float] = (0.0, 1.0, 0.0)
    subdivisions: int = 3
    fit: FitConfig = dataclasses.field(default_factory=FitConfig)
    steps: int = 400
    optimizer: OptimizerConfig = _RATES
    samples: int = 10_000
    seed: int = 0
    log_every: int = 50
    evaluate_every: int = 200
    checkpoint_every: int = 0
    frames: int = 90


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        method: to fit with.
        silhouettes: to fit to.
        examples: held-out silhouettes, and the true surface where it is known.
    """

    method: Method
    silhouettes: Silhouettes
    examples: list[Any]


def build(config: Config) -> Setup:
    """Reads or draws the silhouettes and makes the method.

    Raises:
        InputError: the input cannot be read, or options that do not go together.
    """
    if config.mesh and config.data_dir:
        raise checks.InputError('--mesh, --data_dir: got both, expected one of them')
    if config.data_dir:
        train = evenly(from_images(scenes.read(config.data_dir, factor=config.factor)), config.views)
        held_out = evenly(from_images(scenes.read(config.data_dir, split='test', factor=config.factor)), _HELD_OUT)
        truth = []
    else:
        target = unit_size(mesh_files.read(config.mesh) if config.mesh else primitives.box((1.0, 0.7, 0.45)))
        size = (config.size, config.size)
        train = silhouettes.draw(target, around(config, config.views), size)
        held_out = silhouettes.draw(target, around(config, _HELD_OUT, start=1.0), size)
        points = surface.sample(jax.random.key(1), target.vertices, target.faces, config.samples).points
        truth = [Surface(points)]
    start = silhouettes.start_sphere(train, subdivisions=config.subdivisions)
    stepper = step.stepper(optimizers.make(config.optimizer, steps=config.steps))
    method = fit(config.fit, start=start, size=train.size, stepper=stepper)
    return Setup(method, train, [held_out[k] for k in range(len(held_out.mask))] + truth)


def main(config: Config) -> dict[str, float]:
    """Fits, writes, and returns the Chamfer distance before and after, where it is known."""
    setup = build(config)
    report = {}
    known = [example for example in setup.examples if isinstance(example, Surface)]
    if known:
        start = jax.jit(setup.method.init)(jax.random.key(0))
        report['chamfer_before'] = setup.method.evaluate(start, known[0])[0]['chamfer']
        print(f'the sphere: chamfer {report["chamfer_before"]:.4g}', flush=True)
    state = loop.fit(
        setup.method,
        silhouettes.source(setup.silhouettes, config.fit.views),
        workdir=config.workdir,
        steps=config.steps,
        seed=config.seed,
        evaluation=setup.examples,
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
        checkpoint_every=config.checkpoint_every,
        main_metric='iou',
    )
    # One device is enough for what remains.
    state = jax.tree.map(jnp.asarray, jax.device_get(state))
    if known:
        report['chamfer_after'] = setup.method.evaluate(state, known[0])[0]['chamfer']
        report['chamfer_ratio'] = report['chamfer_before'] / report['chamfer_after']
        print(f'chamfer {report["chamfer_after"]:.4g}: {report["chamfer_ratio"]:.1f} times less', flush=True)
    write(config, setup, state, report)
    return report


def write(config: Config, setup: Setup, state: State, report: dict[str, float]) -> None:
    """Writes the mesh, pictures and the report."""
    folder, mesh = Path(config.workdir), jax.device_get(mesh_of(state, config.fit))
    mesh_files.write(folder / 'fit.obj', mesh)
    (folder / 'report.json').write_text(json.dumps(report))
    enlarged = max(round(_PICTURE / setup.silhouettes.size[0]), 1)
    size = enlarged * setup.silhouettes.size[0], enlarged * setup.silhouettes.size[1]

    def drawing(mesh: Mesh) -> Callable[[Camera], np.ndarray]:
        faces, topology = jnp.asarray(mesh.faces), triangles.topology(mesh.faces)
        draw = jax.jit(lambda points, view: pictures.shaded(points, faces, topology, view, size).rgb)
        return lambda view: np.clip(draw(jnp.asarray(mesh.vertices), cameras.resize(view, enlarged)), 0, 1)

    first = jax.device_get(mesh_of(jax.jit(setup.method.init)(jax.random.key(0)), config.fit))
    drawn, rows = [drawing(each) for each in (first, mesh)], []
    for view in [example for example in setup.examples if isinstance(example, Silhouettes)][:2]:
        target = 1 - np.kron(view.mask, np.ones((enlarged, enlarged)))[..., None] / 255
        panels = [np.repeat(target, 3, axis=-1)] + [draw(jax.tree.map(jnp.asarray, view.camera)) for draw in drawn]
        rows.append(np.concatenate(panels, axis=1))
    io.write(folder / 'shape.png', np.concatenate(rows))
    if config.frames and importlib.util.find_spec('av'):
        way = turntable(config, setup.silhouettes.camera, mesh)
        frames = (drawn[1](jax.tree.map(lambda leaf, k=k: leaf[k], way)) for k in range(config.frames))
        video.write(folder / 'turntable.mp4', frames, 30)


def unit_size(mesh: Mesh) -> Mesh:
    """The mesh moved to the origin and scaled so that the longest side of its box is 1."""
    low, high = np.min(mesh.vertices, axis=0), np.max(mesh.vertices, axis=0)
    scaled = (np.asarray(mesh.vertices) - (low + high) / 2) / np.max(high - low)
    return Mesh(scaled.astype(np.float32), np.asarray(mesh.faces))


def around(config: Config, count: int, *, start: float = 0.0) -> Camera:
    """Cameras [count] all around a mesh of unit size."""
    if count < 1 or config.size < 8:
        raise checks.InputError(f'--views, --size: got {count} and {config.size}, expected at least 1 and 8')
    way = paths.sphere(count, radius=_DISTANCE, up=config.up, start=start)
    return cameras.make(way, _FOCAL * config.size, size=(config.size, config.size))


def turntable(config: Config, like: Camera, mesh: Mesh) -> Camera:
    """Cameras [frames] that go round a mesh, as far from it as the first of those it was fitted to."""
    center = (np.min(mesh.vertices, axis=0) + np.max(mesh.vertices, axis=0)) / 2
    radius = float(np.linalg.norm(np.asarray(like.world_from_camera)[0, :3, 3] - center))
    way = paths.orbit(config.frames, radius=radius, elevation=0.35, center=center, up=config.up)
    size = jnp.asarray(like.size)[0]
    return cameras.make(way, jnp.asarray(like.focal)[0], size=size, model='pinhole')


def from_images(images: PosedImages) -> Silhouettes:
    """Silhouettes of posed images: their masks, or else their alpha channels.

    Raises:
        InputError: an image has neither, or sizes differ.
    """
    if len({image.shape[:2] for image in images.images}) > 1:
        raise checks.InputError('images: got several sizes, expected one. Crop or resize them')
    if images.masks is None and not all(image.shape[-1] == 4 for image in images.images):
        raise checks.InputError('images: got neither masks nor alpha, expected one of them for every image')
    masks = images.masks or [image[..., 3] for image in images.images]
    return Silhouettes(images.cameras, np.stack(masks))


def evenly(views: Silhouettes, count: int) -> Silhouettes:
    """`count` of the silhouettes, evenly spread over their order; all of them if 0 or if there are no more."""
    total = len(views.mask)
    chosen = np.unique(np.linspace(0, total - 1, min(count or total, total)).round().astype(int))
    return views[chosen]


if __name__ == '__main__':
    app.run(main, Config)
