r"""Learns from many people's heads how a few frames say how somebody looks, then animates heads it has never seen.

    python -m experiments.few_shot_head --flagfile=configs/few_shot_head_ict.flags --faces=ict_face/ict_face.npz \
        --workdir=out/heads

Heads and their landmarks are rendered: those of the ICT face model, or without it ellipsoids with painted faces. First
all networks learn from `people` persons (Zakharov et al., 2019), then they are tuned to `shots` frames of each of
`held_out` others, whose other frames are the test. Beside checkpoints, metrics and pictures, the workdir gets
`evaluation.txt` with the table of these frames, before and after tuning and for the shot whose landmarks are nearest;
`contact_sheet.png`; and `person_k.mp4`, landmarks, prediction and truth of a moving head.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import ict_heads, translation
from experiments.ict_heads import FilmFn
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import head_batches, head_looks, heads, pair_batches
from neurend.data.heads import HeadClip
from neurend.data.pairs import Pairs
from neurend.images import backbones, io, metrics, show
from neurend.models.method import Method
from neurend.models.pix2pix.method import Example as Frame
from neurend.models.reenactment.few_shot import Example, few_shot
from neurend.models.reenactment.few_shot_config import FewShotConfig
from neurend.models.reenactment.few_shot_tuning import fine_tuning
from neurend.models.reenactment.landmark_picture import landmark_picture
from neurend.models.state import State
from neurend.train import evaluate as evaluation

_SECONDS = 60.0  # over which the frames of a person are scattered
_UNSEEN = 100_000  # seed of the first person held out
_COLUMNS = ('landmarks', 'nearest', 'before tuning', 'prediction', 'truth')


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        faces: the ICT face model's `ict_face.npz`; empty for the embedded heads.
        workdir: where results go.
        size: width and height of pictures, in pixels.
        people: to learn from.
        frames: of each of them.
        held_out: people to adapt to.
        shots: frames to adapt from.
        test_frames: other frames of each person held out.
        batch: people in the batch of a step.
        references: frames by which it knows each of them.
        targets: others to draw.
        model: networks, losses and rates.
        run: steps of the first stage, and what it reports.
        tuning_steps: of the second stage, for each person held out.
        tuning_learning_rate: of generator and discriminator in the second stage; both fall to zero from its middle on.
        seconds: of the videos; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'held_out',
        'test_frames',
        'run.steps',
        'run.log_every',
        'run.evaluate_every',
        'run.checkpoint_every',
        'tuning_steps',
        'seconds',
    )

    faces: str = ''
    workdir: str = 'out/few_shot_head'
    size: int = 64
    people: int = 64
    frames: int = 24
    held_out: int = 2
    shots: int = 8
    test_frames: int = 24
    batch: int = 4
    references: int = 4
    targets: int = 2
    model: FewShotConfig = dataclasses.field(
        default_factory=lambda: FewShotConfig(halvings=3, blocks=3, attention=2, encoder_halvings=5)
    )
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    tuning_steps: int = 200
    tuning_learning_rate: float = 2e-4
    seconds: float = 4.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if min(self.people, self.held_out, self.shots, self.test_frames) < 1:
            raise checks.InputError('--people, --held_out, --shots, --test_frames: expected at least 1 of each')
        if self.frames < self.references + self.targets:
            raise checks.InputError(
                f'--frames: got {self.frames}, expected at least {self.references + self.targets}, the --references '
                'and --targets that a batch has of each person'
            )


class Person(NamedTuple):
    """Somebody held out: frames to adapt from and frames to test with, and their landmark pictures."""

    name: str
    shots: HeadClip
    shot_conditions: np.ndarray
    test: HeadClip
    test_conditions: np.ndarray


def main(config: Config) -> evaluation.Table:
    """Learns, adapts, evaluates, writes; returns the table of the frames of people held out."""
    film = filming(config)
    app.say(
        f'{config.faces or "embedded heads, no --faces given"}: {config.people} people to learn from, {config.frames} '
        f'frames of each; {config.held_out} held out, {config.shots} frames of each to tune to and '
        f'{config.test_frames} to test with'
    )
    clips = [film(seed, scattered(seed, config.frames)) for seed in range(config.people)]
    conditions = [drawn(clip, config.size) for clip in clips]
    unseen = [person(config, film, k) for k in range(config.held_out)]
    source = head_batches.head_source(
        [clip.images for clip in clips],
        conditions,
        people=config.batch,
        references=config.references,
        targets=config.targets,
    )
    vgg = backbones.load(config.model.vgg, 'vgg19') if config.model.perceptual else None
    size = (config.size, config.size)
    method = few_shot(config.model, people=config.people, size=size, steps=config.run.steps, vgg=vgg)
    held_out: list[Any] = [each for one in unseen for each in examples(one)]
    state = translation.train(method, source, held_out, workdir=config.workdir, run=config.run)
    tuned = [adapt(config, state, one, vgg) for one in unseen]
    table = report(config, method, state, unseen, tuned)
    if config.seconds:
        for k, (adapted, learned) in enumerate(tuned):
            times = np.arange(math.ceil(25 * config.seconds)) / 25
            clip = film(_UNSEEN + k, head_looks.motion(_UNSEEN + k, times))
            pictures = drawn(clip, config.size)
            columns = [pictures, list(translation.draw(adapted, learned, pictures)), clip.images]
            translation.write_video(Path(config.workdir) / f'{unseen[k].name}.mp4', columns)
    return table


def filming(config: Config) -> FilmFn:
    """What films a head by its seed and motion: the ICT face model, or the embedded heads."""
    if config.faces:
        return ict_heads.filming(config.faces, size=config.size)
    return lambda seed, moving: heads.ellipsoid_clip(seed, moving, size=config.size)


def scattered(seed: int, count: int) -> head_looks.Motion:
    """A person's motion at random times."""
    return head_looks.motion(seed, np.random.default_rng((seed, 5)).uniform(0, _SECONDS, count))


def drawn(clip: HeadClip, size: int) -> np.ndarray:
    """The landmark pictures of a clip, uint8 `[t h w 3]`."""
    return np.stack([landmark_picture(each, size, size, frame=(size, size)) for each in clip.landmarks])


def person(config: Config, film: FilmFn, k: int) -> Person:
    """The k-th person held out, whose first frames are the shots."""
    clip = film(_UNSEEN + k, scattered(_UNSEEN + k, config.shots + config.test_frames))
    shots, test = (HeadClip(*(part[cut] for part in clip)) for cut in (slice(config.shots), slice(config.shots, None)))
    return Person(f'person_{k}', shots, drawn(shots, config.size), test, drawn(test, config.size))


def examples(one: Person) -> list[Example]:
    """The test frames for the first stage, which knows the person by the shots."""
    known = one.shots.images, one.shot_conditions
    pairs = zip(one.test_conditions, one.test.images)
    return [Example(f'{one.name}_{k:02d}', *known, *pair) for k, pair in enumerate(pairs)]


def adapt(config: Config, state: State, one: Person, vgg: backbones.Weights | None) -> tuple[Method, State]:
    """Tunes to a person's shots."""
    rate = config.tuning_learning_rate
    model = dataclasses.replace(config.model, learning_rate=rate, discriminator_learning_rate=rate, constant=0.5)
    known = (jnp.asarray(pictures, jnp.float32) / 255 for pictures in (one.shots.images, one.shot_conditions))
    method = fine_tuning(model, state, *known, steps=config.tuning_steps, vgg=vgg)
    names = tuple(f'shot_{k}' for k in range(config.shots))
    pairs = Pairs(names, tuple(one.shot_conditions), tuple(one.shots.images))
    source = pair_batches.pair_source(pairs, batch=config.shots, load_size=None, crop=None, flip=False)
    frames = [Frame(each.name, each.condition, each.image) for each in examples(one)]
    run = RunConfig(config.tuning_steps, log_every=50, evaluate_every=0, checkpoint_every=0)
    # A longer first stage is another start, from which earlier tuning must not go on.
    workdir = str(Path(config.workdir) / f'{one.name}_from_{int(state.step)}')
    return method, translation.train(method, source, frames, workdir=workdir, run=run)


def report(
    config: Config, method: Method, state: State, unseen: list[Person], tuned: list[tuple[Method, State]]
) -> evaluation.Table:
    """Evaluates the frames of people held out beside two baselines; prints and writes the table and a sheet."""
    rows: dict[str, dict[str, float]] = {}
    sheet: list[list[np.ndarray]] = []
    labels: list[str] = []
    for one, (adapted, learned) in zip(unseen, tuned):
        shown = np.linspace(0, config.test_frames - 1, min(6, config.test_frames)).round().astype(int)
        for k, example in enumerate(examples(one)):
            before, pictures_before = method.evaluate(state, example)
            values, pictures = adapted.evaluate(learned, Frame(example.name, example.condition, example.image))
            copied = one.shots.images[nearest(one.shots.landmarks, one.test.landmarks[k])]
            rows[example.name] = {
                **values,
                'psnr_before': before['psnr'],
                'psnr_nearest': float(_psnr(example.image.astype(np.float32) / 255, copied.astype(np.float32) / 255)),
                'ssim_before': before['ssim'],
                'ssim_nearest': _similarity(example.image, copied),
            }
            if k in shown:
                sheet.append(
                    [example.condition, copied, pictures_before['prediction'], pictures['prediction'], example.image]
                )
                labels.append(f'{example.name}   {values["psnr"]:.2f} dB')
    protocol = {
        'method': f'few-shot heads, {int(state.step)} steps, then {config.tuning_steps} for each person',
        'heads': config.faces or 'embedded',
        'size': f'{config.size} x {config.size}',
        'learned from': f'{config.people} people, {config.frames} frames each',
        'test': f'{config.held_out} others, {config.test_frames} frames each, known by {config.shots} other frames',
        'before': 'without tuning',
        'nearest': 'that of these frames whose landmarks are nearest, by their mean distance',
    }
    table = evaluation.Table(rows, protocol)
    folder = Path(config.workdir)
    table.write(folder)
    print(table.text(), end='')
    io.write(folder / 'contact_sheet.png', show.contact_sheet(sheet, columns=_COLUMNS, labels=labels))
    app.say(f'{folder}: evaluation.txt, evaluation.json, contact_sheet.png')
    return table


def nearest(shots: np.ndarray, landmarks: np.ndarray) -> int:
    """Which of the shots' landmarks `[k 68 2]` have the smallest mean distance from others `[68 2]`."""
    return int(np.argmin(np.linalg.norm(shots - landmarks, axis=-1).mean(-1)))


def _similarity(truth: np.ndarray, prediction: np.ndarray) -> float:
    return float(_ssim(*(x.astype(np.float32) / 255 for x in (truth, prediction)), convention='gaussian'))


_psnr = jax.jit(metrics.psnr)
_ssim = jax.jit(metrics.ssim, static_argnames='convention')


if __name__ == '__main__':
    app.run(main, Config)
