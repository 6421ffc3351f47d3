r"""Novel views by image translation: from where a picture is seen, or a rough mesh seen from there, to the picture.

    python -m experiments.pix2pix_views --flagfile=configs/pix2pix_views_spot.flags --data_dir=spot_views \
        --workdir=out/spot_views

The baseline for methods that know about space: nothing ties the pictures of one view to those of the next. Without
--data_dir the embedded procedural scene is rendered and learned.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, the nearest training photograph's figures below them, and a contact sheet; `turntable.mp4`. `load` gives
back what was trained.
"""

import dataclasses
import functools
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import mesh_views, trained, translation, view_conditions
from experiments.translation import RUN_MAY_CHANGE, RunConfig
from experiments.view_conditions import CHANNELS, ConditionFn
from neurend import app, checks
from neurend.data import photographs, scenes, synthetic
from neurend.data.pair_batches import pair_source
from neurend.data.pairs import Pairs
from neurend.data.posed import PosedImages, composite
from neurend.geometry.cameras import Camera
from neurend.images import io, metrics, video
from neurend.models.method import Method
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.method import Inputs, pix2pix
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.train import evaluate as evaluation


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed photographs, put on white where they are transparent; empty for the embedded scene.
        workdir: where results go.
        factor: whole number by which photographs are made smaller, by means over areas.
        condition: 'camera' for the view direction at each pixel and the camera's position; 'proxy' for normals,
            positions and outline of a mesh.
        mesh: file with that mesh, in the world of the photographs' files; empty for their visual hull.
        batch: views in a step.
        model: networks, losses and rates.
        run: length and records.
        frames: of the turntable; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (*RUN_MAY_CHANGE, 'frames')

    data_dir: str = ''
    workdir: str = 'out/pix2pix_views'
    factor: int = 1
    condition: Literal['camera', 'proxy'] = 'camera'
    mesh: str = ''
    batch: int = 4
    model: Pix2PixConfig = dataclasses.field(default_factory=Pix2PixConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    frames: int = 60

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        if self.mesh and self.condition != 'proxy':
            raise checks.InputError('--mesh: given with --condition=camera, expected --condition=proxy')
        if self.model.frames != 1:
            raise checks.InputError(f'--model.frames: got {self.model.frames}, expected 1; photographs are no clip')


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        train, test: photographs with their cameras.
        condition: from one of their cameras to what the generator sees.
        method: to train, or to draw with.
    """

    train: PosedImages
    test: PosedImages
    condition: ConditionFn
    method: Method


def build(config: Config) -> Setup:
    """Reads the photographs, makes the proxy and the method.

    Raises:
        InputError: something cannot be read.
    """
    folder = config.data_dir or synthetic.write_scene(Path(config.workdir) / 'scene')
    train, test = (scenes.read(folder, split=split, factor=config.factor) for split in ('train', 'test'))
    size = photographs.size_of(train)
    if config.condition == 'camera':
        condition = view_conditions.from_camera(train)
    else:
        condition = view_conditions.from_mesh(view_conditions.proxy(train, config.mesh), size)
    method = pix2pix(
        config.model,
        channels=CHANNELS[config.condition],
        size=size,
        steps=config.run.steps,
        vgg=translation.vgg(config.model),
    )
    return Setup(train, test, condition, method)


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    given = config.data_dir or 'embedded scene, no --data_dir given'
    app.say(f'{given}: {len(setup.train)} photographs to learn from, {len(setup.test)} held out (test)')
    train, test = (pairs_of(setup.condition, views) for views in (setup.train, setup.test))
    source = pair_source(train, batch=config.batch, load_size=None, crop=None, flip=False)
    examples = translation.examples_of(test)
    state = translation.train(setup.method, source, examples, workdir=config.workdir, run=config.run)
    conditions = f'hull of {len(setup.train)} outlines' if config.condition == 'proxy' else 'rays and position'
    protocol = {
        'scene': f'{config.data_dir or "embedded"}, {len(setup.train)} training views, all test views',
        'condition': f'{config.condition}: {config.mesh or conditions}',
        'size': '{} x {}'.format(*photographs.size_of(setup.train)),
        'downscaling': 'none' if config.factor == 1 else f'means over {config.factor} x {config.factor} pixels',
        'background': 'white',
        'l1': 'mean absolute difference of colours in [0, 1]',
    }
    folder = Path(config.workdir) / 'evaluation_test'
    guesses = {'nearest photograph': nearest_photograph(setup.train, setup.test)}
    table = translation.report(setup.method, state, examples, folder=folder, protocol=protocol, baselines=guesses)
    if config.frames:
        target = Path(config.workdir) / 'turntable.mp4'
        draw = functools.partial(jax.jit(seen(setup).render), state)
        video.write(target, mesh_views.turntable(draw, setup.train, config.frames), fps=30)
        app.say(str(target))
    return table


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its scene; `seen(setup).render(state, camera)` draws views.

    Raises:
        InputError: no run there, no checkpoint, or the scene is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.pix2pix_views')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


def seen(setup: Setup) -> Method:
    """The method with a `render` that takes a camera, of the training photographs' size, in place of a condition."""

    def render(state: State, camera: Camera) -> Rendering:
        rendering = setup.method.render(state, Inputs(setup.condition(camera)[None]))
        return jax.tree.map(lambda leaf: leaf[0], rendering)

    return setup.method._replace(render=render)


def pairs_of(condition: ConditionFn, views: PosedImages) -> Pairs:
    """Conditions and photographs, on white."""
    images = tuple(io.to_uint8(composite(image, 1.0)) for image in views.images)
    return Pairs(views.names, view_conditions.drawn(condition, views), images)


def nearest_photograph(train: PosedImages, test: PosedImages) -> dict[str, float]:
    """Mean 'psnr' and 'ssim' of the training photographs from nearest to where the test photographs are from."""
    centers, others = (np.asarray(views.cameras.world_from_camera)[:, :3, 3] for views in (train, test))
    values = []
    for center, image in zip(others, test.images):
        near = int(np.argmin(np.linalg.norm(centers - center, axis=-1)))
        pair = [jnp.asarray(composite(picture, 1.0)) for picture in (train.images[near], image)]
        values.append([float(measure(*pair)) for measure in (metrics.psnr, metrics.ssim)])
    psnr, ssim = np.mean(values, axis=0).tolist()
    return {'psnr': round(psnr, 2), 'ssim': round(ssim, 4)}


if __name__ == '__main__':
    app.run(main, Config)
