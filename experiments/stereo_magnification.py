r"""Stereo magnification (Zhou et al., 2018): a network makes a multi-plane image of two photographs near each other.

    python -m experiments.stereo_magnification --flagfile=configs/stereo_magnification.flags --data_dir=spot_views \
        --workdir=out/stereo

It learns from random still lifes filmed along lines, which need no data; from posed photographs, with --data_dir; and
from clips in RealEstate10K's format, with --clips_dir. What it is tried on it never saw: the embedded duck, other still
lifes, every fourth of the clips. Views are drawn from as far as three times the distance between the two photographs.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of all held-out
views, figures of simpler guesses beside them, means by distance, and pictures; the multi-plane images of the held-out
pairs in LLFF's format in `mpis/`; the first of them with parallax as `planes.html`; `sway.mp4`, to and fro; and
`page.html`, which shows the rest in a browser. `load` gives back what was trained.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import stereo_clips, trained
from experiments.captures import CaptureConfig
from experiments.stereo_clips import Clips
from experiments.translation import RUN_MAY_CHANGE, RunConfig
from neurend import app
from neurend.checks import InputError
from neurend.data.posed import PosedImages
from neurend.data.stereo import stereo_source
from neurend.images import io, show, video
from neurend.models.method import Method
from neurend.models.mpi.stereo import StereoConfig, StereoExample, planes_of, stereo
from neurend.models.state import State
from neurend.scenes import planes_files
from neurend.scenes.planes import Planes
from neurend.train import evaluate as evaluation
from neurend.train import loop
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer
from neurend.train.step import stepper
from neurend.viewer import page
from neurend.viewer import planes as planes_page

_SHOWN = ('reference', 'truth', 'prediction', 'plane sweep', 'depth', 'error')


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder of posed photographs to learn from as well, any near each other being a clip; empty for none.
        scene: how they are read.
        clips_dir: folder of clips in RealEstate10K's format, camera files and frames; empty for none.
        stride: of frames of these.
        workdir: where results go.
        scenes: random still lifes to learn from.
        held_out: still lifes, and clips of the duck, to try it on.
        size: width and height of frames, in pixels.
        model: what is learned.
        batch: multi-plane images in a step.
        optimizer: of the network.
        run: length and records.
        frames: of the video; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (*RUN_MAY_CHANGE, 'held_out', 'frames')

    data_dir: str = ''
    scene: CaptureConfig = dataclasses.field(default_factory=CaptureConfig)
    clips_dir: str = ''
    stride: int = 5
    workdir: str = 'out/stereo_magnification'
    scenes: int = 400
    held_out: int = 4
    size: int = 80
    model: StereoConfig = dataclasses.field(
        default_factory=lambda: StereoConfig(planes=16, width=12, output='views', border=8, guided=True)
    )
    batch: int = 1
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=2e-3, final_learning_rate=2e-4, b1=0.9, eps=1e-8)
    )
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=2000))
    frames: int = 60

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.scenes < 0 or self.held_out < 1 or min(self.size, self.batch, self.stride) < 1:
            raise InputError(
                f'--scenes, --held_out, --size, --batch, --stride: got {self.scenes}, {self.held_out}, {self.size}, '
                f'{self.batch} and {self.stride}, expected 1 or more, of the first 0'
            )


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        clips: to learn from, and held out.
        examples: views of the latter.
        method: to train, or to draw with.
    """

    clips: Clips
    examples: list[StereoExample]
    method: Method


def build(config: Config) -> Setup:
    """Films or reads the clips and makes the method.

    Raises:
        InputError: something cannot be read, or does not fit.
    """
    clips = stereo_clips.read(
        size=config.size,
        scenes=config.scenes,
        held_out=config.held_out,
        data_dir=config.data_dir,
        capture=config.scene,
        clips_dir=config.clips_dir,
        stride=config.stride,
    )
    optimizer = make_optimizer(config.optimizer, steps=config.run.steps)
    method = stereo(config.model, size=(config.size, config.size), stepper=stepper(optimizer, clip_norm=1.0))
    return Setup(clips, stereo_clips.examples(clips.test), stereo_clips.compared(method, config.model))


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the held-out views."""
    setup = build(config)
    held = ', '.join(f'{len(several)} of {kind}' for kind, several in setup.clips.test.items())
    app.say(
        f'{len(setup.clips.train)} clips to learn from, {sum(map(len, setup.clips.train))} frames of '
        f'{config.size} x {config.size}; held out {held}'
    )
    farthest = [example for example in setup.examples if example.name.endswith('3x')]
    state = loop.fit(
        setup.method,
        stereo_source(setup.clips.train, batch=config.batch, sources=config.model.sources, within=stereo_clips.VIEWS),
        workdir=config.workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        evaluation=farthest[:: max(1, len(farthest) // 4)],
        log_every=config.run.log_every,
        evaluate_every=config.run.evaluate_every,
        checkpoint_every=config.run.checkpoint_every,
        keep=1,
    )
    return report(config, setup, state)


def report(config: Config, setup: Setup, state: State) -> evaluation.Table:
    """Evaluates all held-out views and writes table, pictures, images, video and pages; returns the table."""
    folder, farthest = Path(config.workdir), []

    def each(name: str, values: dict[str, float], pictures: dict[str, np.ndarray]) -> None:
        if name.endswith('3x'):
            farthest.append(page.View(name, pictures, values))

    protocol = {
        'trained on': f'{config.scenes} still lifes {config.data_dir} {config.clips_dir}'.strip(),
        'method': f'stereo magnification, {int(state.step)} steps, {dataclasses.asdict(config.model)}',
        'views': 'at so many times the distance of the two photographs, before the reference or beyond the other',
        'size': f'{config.size} x {config.size}, all pixels, white beside the planes',
        'guesses': 'PSNR of the reference, of the nearer photograph, and of planes without a network',
    }
    table = evaluation.evaluate(setup.method, state, setup.examples, protocol=protocol, each=each)
    table = dataclasses.replace(table, baselines=stereo_clips.by_distance(table.rows))
    table.write(folder / 'evaluation_test')
    rows = [[view.pictures[kind] for kind in _SHOWN] for view in farthest]
    labels = [f'{v.name}   {v.metrics["psnr"]:.1f} dB, reference {v.metrics["reference"]:.1f} dB' for v in farthest]
    io.write(folder / 'evaluation_test' / 'farthest.png', show.contact_sheet(rows, columns=_SHOWN, labels=labels))
    print(table.text(), end='')
    chosen = [clip for several in setup.clips.test.values() for clip in several]
    made = maker(config.model, state)
    images = [made(clip) for clip in chosen]
    planes_files.write(folder / 'mpis', images)
    app.say(str(folder / 'mpis'))
    eyes = np.asarray(chosen[0].cameras.world_from_camera)[:, :3, 3]
    planes_page.write(
        folder / 'planes.html',
        images[0],
        title=f'Two photographs of {chosen[0].names[0].split("_")[0]}, {int(state.step)} steps',
        travel=float(np.linalg.norm(eyes[-1] - eyes[len(eyes) // 2])),
        border=config.model.border,
    )
    app.say(str(folder / 'planes.html'))
    if config.frames:
        sway = list(swaying(images[:: max(1, len(images) // 4)], chosen[:: max(1, len(images) // 4)], config))
        video.write(folder / 'sway.mp4', sway, fps=30)
        app.say(str(folder / 'sway.mp4'))
    page.write(
        folder / 'page.html',
        title=f'Stereo magnification, {int(state.step)} steps',
        views=farthest[:6],
        metrics=table.mean,
        rows={**table.rows, **table.baselines},
        details=table.protocol,
    )
    app.say(str(folder / 'page.html'))
    return table


def maker(config: StereoConfig, state: State) -> Callable[[PosedImages], Planes]:
    """Makes the multi-plane image of a clip's pair."""
    made = jax.jit(lambda params, sources, near, far: planes_of(config, params, sources, near, far))

    def of(clip: PosedImages) -> Planes:
        given: Any = jax.tree.map(jnp.asarray, stereo_clips.pair(clip))
        return made(state.weights, given, jnp.float32(clip.near), jnp.float32(clip.far))

    return of


def swaying(images: list[Planes], clips: list[PosedImages], config: Config) -> Iterator[np.ndarray]:
    """Frames beside each other of a camera that goes three distances of the photographs to either side."""
    draw = jax.jit(lambda made, camera: stereo_clips.drawn(made, camera, (config.size, config.size)))
    for turn in np.sin(2 * np.pi * np.arange(config.frames) / config.frames):
        shown = []
        for made, clip in zip(images, clips):
            pose = np.array(clip.camera(len(clip) // 2).world_from_camera)
            step = np.asarray(clip.camera(len(clip) // 2 + 1).world_from_camera)[:3, 3] - pose[:3, 3]
            pose[:3, 3] += 3 * turn * step
            camera = dataclasses.replace(clip.camera(len(clip) // 2), world_from_camera=pose)
            shown.append(np.clip(np.asarray(draw(made, jax.tree.map(jnp.asarray, camera))), 0, 1))
        yield np.kron(np.concatenate(shown, axis=1), np.ones((2, 2, 1)))


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its clips; `maker(config.model, state)(clip)` gives multi-plane images.

    Raises:
        InputError: no run there, no checkpoint, or what it learned from is gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.stereo_magnification')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


if __name__ == '__main__':
    app.run(main, Config)
