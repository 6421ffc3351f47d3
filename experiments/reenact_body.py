r"""Makes one person move like another: a picture for every pose, learned from a film of the one, driven by the other's.

    python -m experiments.reenact_body --flagfile=configs/reenact_body_figure.flags --workdir=out/body

Without data the target is the embedded figure a, and the source its figure b, who is smaller and stands elsewhere. For
people on film give --target and --source, folders of frames or videos, and OpenPose's JSON of every frame beside them.

Writes to the workdir, beside checkpoints, metrics and pictures: `norm_params.txt`, how source poses are placed;
`evaluation/` with the table and pictures of the target's frames held out and of those that were driven; `driven.mp4`:
source, condition, result, and the truth where it is known.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from experiments import body_scenes, footage, translation
from experiments.body_scenes import Locate, Scene
from experiments.footage import Footage
from neurend import app
from neurend.checks import InputError
from neurend.data import pair_batches
from neurend.data.clips import Clip
from neurend.data.pairs import Pairs
from neurend.geometry import skeletons
from neurend.geometry.skeletons import Person
from neurend.images import io
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.method import Example, pix2pix
from neurend.models.reenactment import conditions, detection, normalization
from neurend.models.reenactment.detection import DetectorConfig
from neurend.train import loop
from neurend.typing import Source

_FOLDER = 'evaluation'
_CLIP = 8  # frames of the clips that are looked at during training


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        target: frames or video of who is to be seen; the embedded figure a if empty.
        target_keypoints: folder with OpenPose's JSON of its frames.
        source: frames or video of who drives; the embedded figure b if empty.
        source_keypoints: folder with OpenPose's JSON of its frames.
        size: width and height that frames are stretched to.
        target_frames: of the embedded figure a.
        source_frames: of the embedded figure b.
        held_out: frames at the end of the target's film that are not learned from.
        smoothing: frames of the window over which the source's key points are smoothed, odd; 1 for none. With it the
            picture that is known for the embedded figures is that of the unsmoothed poses.
        align: move the source's poses sideways, so that its middle is that of the target. Without it they stay where
            the source stood, as in the paper, and the generator must draw the target where it may never have been.
        condition: what the generator sees of a pose.
        batch: pictures, or windows of frames, in a step.
        pix2pix: networks and losses.
        detector: of key points in results.
        detector_steps: of its training; 0 for no detector.
        run: steps and what happens between them.
        workdir: where results go.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'source',
        'source_keypoints',
        'source_frames',
        'smoothing',
        'align',
        'detector_steps',
        'run.steps',
        'run.log_every',
        'run.evaluate_every',
        'run.checkpoint_every',
    )

    target: str = ''
    target_keypoints: str = ''
    source: str = ''
    source_keypoints: str = ''
    size: tuple[int, int] = (128, 128)
    target_frames: int = 1600
    source_frames: int = 250
    held_out: int = 100
    smoothing: int = 1
    align: bool = True
    condition: conditions.Kind = 'sticks'
    batch: int = 1
    pix2pix: Pix2PixConfig = dataclasses.field(default_factory=Pix2PixConfig)
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    detector_steps: int = 1000
    run: translation.RunConfig = dataclasses.field(default_factory=translation.RunConfig)
    workdir: str = 'out/reenact_body'


def main(config: Config) -> dict[str, dict[str, float]]:
    """Learns the target, drives it, evaluates both; returns the numbers of each scene, and of the truth of it."""
    target = _footage(config.target, config.target_keypoints, 'a', config.target_frames, config)
    source = _footage(config.source, config.source_keypoints, 'b', config.source_frames, config)
    count = len(target.people)
    if not 1 < config.held_out < count - 1:
        raise InputError(f'--held_out: got {config.held_out}, expected 2 to {count - 2} of the {count} frames')
    learned = target.part(0, count - config.held_out)
    app.say(
        f'{config.target or "embedded figure a, no --target given"}: {len(learned.people)} frames to learn from, '
        f'{config.held_out} held out; driven by {config.source or "embedded figure b, no --source given"}: '
        f'{len(source.people)} frames'
    )
    clips = _clips(learned, config)
    scenes = [_held_out(target.part(count - config.held_out, count), config)]
    scene, frames = _driven(learned, source, config)
    scenes.append(scene)
    method = pix2pix(
        config.pix2pix,
        channels=scene.conditions.shape[-1],
        size=config.size,
        steps=config.run.steps,
        vgg=translation.vgg(config.pix2pix),
    )
    examples = _examples(scenes[0], config.pix2pix.frames)
    state = translation.train(method, _source(clips, config), examples, workdir=config.workdir, run=config.run)
    locate = _detector(learned, config)
    folder = Path(config.workdir) / _FOLDER
    rows, drawn = {}, {}
    for each in scenes:
        drawn[each.name] = np.stack(list(translation.draw(method, state, each.conditions)))
        rows[each.name] = body_scenes.measure(each, drawn[each.name], locate)
        if each.truth is not None:
            known = each.truth.images.astype(np.float32) / 255
            rows[f'{each.name}, truth'] = body_scenes.steadiness(each, known, locate)
    folder.mkdir(exist_ok=True)
    for each in scenes:
        io.write(folder / f'{each.name}.png', body_scenes.sheet(each, drawn[each.name]))
    body_scenes.write(folder, rows, _protocol(config, int(state.step)))
    columns = [frames, scene.pictures, drawn[scene.name], *([] if scene.truth is None else [scene.truth.images])]
    translation.write_video(Path(config.workdir) / 'driven.mp4', columns, fps=source.fps)
    return rows


def _footage(frames: str, keypoints: str, name: Literal['a', 'b'], count: int, config: Config) -> Footage:
    if keypoints and not frames:
        raise InputError(f'got key points {keypoints}, but no frames that they are of')
    return footage.read(frames, keypoints, config.size) if frames else footage.embedded(name, count, config.size)


def _draw(people: Sequence[Person], config: Config) -> np.ndarray:
    return conditions.draw(people, *config.size, frame=config.size, kind=config.condition)


def _scene(name: str, people: Sequence[Person], truth: Footage | None, config: Config) -> Scene:
    maps = _draw(people, config)
    pictures = maps[..., :3] if config.condition != 'limbs' else np.repeat(maps.max(-1, keepdims=True), 3, axis=-1)
    return Scene(name, people, maps, pictures, truth)


def _held_out(film: Footage, config: Config) -> Scene:
    """The longest stretch in which somebody was found."""
    runs = footage.runs(film.people)
    if not runs:
        raise InputError(f'--held_out: nobody in the last {config.held_out} frames of the target, expected somebody')
    film = film.part(*max(runs, key=lambda run: run[1] - run[0]))
    return _scene('held_out', [person for person in film.people if person is not None], film, config)


def _driven(learned: Footage, source: Footage, config: Config) -> tuple[Scene, np.ndarray]:
    """The source's poses placed as the target would stand, and the frames they are of."""
    layouts = {person.layout.name for person in (*learned.people, *source.people) if person is not None}
    if len(layouts) > 1:
        raise InputError(
            f'--target, --source: key points of {" and ".join(sorted(layouts))}, expected one layout for both'
        )
    placement = normalization.fit(source.people, learned.people)
    Path(config.workdir).mkdir(parents=True, exist_ok=True)
    normalization.write(Path(config.workdir) / 'norm_params.txt', placement)
    if config.smoothing > 1:
        source = footage.smoothed(source, config.smoothing)
    placed = placement.apply(source.people, width=config.size[0])
    sideways = footage.middle(learned.people) - footage.middle(placed) if config.align else 0.0
    placed = [None if person is None else skeletons.moved(person, shift=(sideways, 0)) for person in placed]
    truth = None
    if learned.film is not None and source.film is not None:
        truth = footage.driven(learned.film, source.film, placement, sideways=sideways)
    here = [k for k, person in enumerate(placed) if person is not None]
    people = [person for person in placed if person is not None]
    return _scene('driven', people, truth, config), source.images[here]


def _clips(film: Footage, config: Config) -> list[Clip]:
    """The stretches that are long enough for a window, with conditions."""
    clips = []
    for start, stop in footage.runs(film.people):
        if stop - start >= config.pix2pix.frames:
            people = [person for person in film.people[start:stop] if person is not None]
            clips.append(Clip(f'frames {start} to {stop}', film.images[start:stop], _draw(people, config), film.fps))
    if not clips:
        raise InputError(
            f'--target: nobody in {config.pix2pix.frames} consecutive frames to learn from, expected somebody'
        )
    return clips


def _source(clips: list[Clip], config: Config) -> Source:
    if config.pix2pix.frames > 1:
        return pair_batches.clip_source(clips, batch=config.batch, frames=config.pix2pix.frames)
    maps, images = [], []
    for clip in clips:
        assert clip.conditions is not None
        maps.extend(clip.conditions)
        images.extend(clip.images)
    names = tuple(str(k) for k in range(len(images)))
    pairs = Pairs(names, tuple(maps), tuple(images))
    return pair_batches.pair_source(pairs, batch=config.batch, load_size=None, crop=None, flip=False)


def _examples(scene: Scene, frames: int) -> list[Example]:
    """What is looked at during training: pictures, or short clips."""
    assert scene.truth is not None
    images, length = scene.truth.images, _CLIP if frames > 1 else 1
    starts = range(0, max(len(images) - length, 0) + 1, length)
    parts = [slice(k, k + length) if frames > 1 else k for k in starts]
    return [Example(str(k), scene.conditions[part], images[part]) for k, part in zip(starts, parts)]


def _detector(film: Footage, config: Config) -> Locate | None:
    """A detector of the target's key points, trained now, or before."""
    steps = config.detector_steps
    if not steps:
        return None
    here = [k for k, person in enumerate(film.people) if person is not None]
    points = np.stack([person.body for person in film.people if person is not None])
    method = detection.detector(config.detector, joints=points.shape[1], steps=steps)
    samples = detection.samples(film.images[here], points, config=config.detector)
    folder = Path(config.workdir) / 'detector'
    app.say('a detector of key points, to measure with:')
    state = loop.fit(method, samples, workdir=folder, steps=steps, checkpoint_every=0, main_metric='pixels')
    locate = detection.locator(config.detector, joints=points.shape[1])
    return lambda images: detection.detect(locate, state.weights, images)


def _protocol(config: Config, steps: int) -> dict[str, Any]:
    return {
        'method': f'pix2pix, {steps} steps, windows of {config.pix2pix.frames}, {config.condition}',
        'target': config.target or 'the embedded figure a',
        'source': config.source or 'the embedded figure b',
        'size': f'{config.size[0]} x {config.size[1]}',
        'held out': f'the last {config.held_out} frames of the target',
    }


if __name__ == '__main__':
    app.run(main, Config)
