r"""Learns to draw a head from its tracking, and lets others drive it (Kim et al., "Deep Video Portraits", 2018).

    python -m experiments.reenact_face --flagfile=configs/reenact_face_talking_head.flags --data_dir=talking_head \
        --workdir=out/face

Without --data_dir the head is a procedural one (`experiments.toy_head`).

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of the frames held
out, drawn from their own tracking, baselines below them, and a contact sheet; `driven.mp4`, for these frames the
condition, the result and the truth; `reenacted.mp4`, the condition and the result of another performance.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from experiments import translation
from experiments.face_drawing import Drawn, Kind, artist, unit
from experiments.toy_head import tracked_or_toy
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import tracked_head
from neurend.data.clips import Clip
from neurend.data.pair_batches import PairBatch, clip_source
from neurend.data.tracked_head import Performance, TrackedHead
from neurend.images import metrics
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.method import Example, pix2pix
from neurend.models.reenactment import window
from neurend.train import evaluate as evaluation
from neurend.typing import Array, Key, Source


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder of a tracked head, see `neurend.data.tracked_head.read`; empty for the procedural one.
        face: file of the face model; '' for ../ict_face/ict_face.npz beside the folder.
        driver: tracking.npz of whoever drives the second video, or the folder with it; '' for the frames held out,
            mirrored and exaggerated.
        workdir: where results go.
        size: side of the pictures in pixels, to which frames are brought.
        condition: 'mesh' renders the tracked mesh (colour, correspondence, normal, depth, gaze), 'landmarks' draws the
            lines through 68 points, 'both' does both.
        background: whether conditions show the known background behind the face; black otherwise.
        texture: side in texels, a power of two, of the texture that is averaged from the frames to learn from.
        window: frames whose conditions are seen: the current one and those before; 11 in Deep Video Portraits.
        exaggeration: factor of the expressions that drive the second video, if nobody else does.
        batch: pictures in a step.
        model: networks, losses and rates.
        run: length and records.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'driver',
        'exaggeration',
        'run.steps',
        'run.log_every',
        'run.evaluate_every',
        'run.checkpoint_every',
    )

    data_dir: str = ''
    face: str = ''
    driver: str = ''
    workdir: str = 'out/reenact_face'
    size: int = 256
    condition: Kind = 'mesh'
    background: bool = True
    texture: int = 512
    window: int = 3
    exaggeration: float = 1.5
    batch: int = 1
    model: Pix2PixConfig = dataclasses.field(default_factory=Pix2PixConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.size < 16 or self.window < 1:
            raise checks.InputError(f'--size, --window: got {self.size} and {self.window}, expected 16 and 1 at least')
        if self.texture < 2 or self.texture & (self.texture - 1):
            raise checks.InputError(f'--texture: got {self.texture}, expected a power of two')


def main(config: Config) -> evaluation.Table:
    """Learns, evaluates, writes; returns the table of the frames held out."""
    head = read(config)
    split, count = head.train, len(head)
    if split == count:
        raise checks.InputError(f'{config.data_dir}: all {count} frames are to learn from, expected some held out')
    given = config.data_dir or 'procedural head, no --data_dir given'
    app.say(f'{given}: {split} frames to learn from, {count - split} held out')
    other = driver(config, head)
    draw = artist(head, config.condition, background=config.background, texels=config.texture)
    drawn = draw(head.performance)
    channels = config.window * drawn.conditions.shape[-1]
    size = (config.size, config.size)
    method = pix2pix(
        config.model, channels=channels, size=size, steps=config.run.steps, vgg=translation.vgg(config.model)
    )
    seen = window.windows(window.padded(drawn.conditions, config.window)[split:], config.window)
    examples = _examples(config, seen, head.images[split:], drawn.masks[split:], split)
    learn = Clip('frames', head.images[:split], drawn.conditions[:split])
    state = translation.train(method, source(config, learn), examples, workdir=config.workdir, run=config.run)
    protocol = {
        'frames': f'{config.data_dir or "procedural head"}, the last {count - split} of {count}, by their own tracking',
        'condition': f'{config.condition}, {config.window} frames, {"known" if config.background else "no"} background',
        'size': f'{config.size} x {config.size}',
        'training': f'{split} frames, batch {config.batch}',
        'mask': 'the rendered face',
        'l1': 'mean absolute difference of colours in [0, 1]',
    }
    folder = Path(config.workdir)
    guesses = baselines(head, drawn, colored=config.condition != 'landmarks')
    table = translation.report(
        method, state, examples, folder=folder / 'evaluation_test', protocol=protocol, baselines=guesses
    )

    def film(name: str, conditions: np.ndarray, *others: np.ndarray) -> None:
        results = list(translation.draw(method, state, conditions))
        columns = [list(conditions[..., :3]), results, *map(list, others)]
        translation.write_video(folder / f'{name}.mp4', columns, fps=head.fps)

    film('driven', seen, head.images[split:])
    moved = draw(other).conditions
    film('reenacted', window.windows(window.padded(moved, config.window), config.window))
    return table


def read(config: Config) -> TrackedHead:
    """The head of a run.

    Raises:
        InputError: it cannot be read.
    """
    return tracked_or_toy(config.data_dir, face=config.face, size=config.size)


def source(config: Config, clip: Clip) -> Source:
    """Batches of pictures, or of clips of `config.model.frames`, with the conditions of their windows."""
    images, conditions = (window.padded(x, config.window) for x in (clip.images, clip.conditions))
    padded = dataclasses.replace(clip, images=images, conditions=conditions)
    frames = config.model.frames
    clips = clip_source(padded, batch=config.batch, frames=frames + config.window - 1)
    draw_clip = clips.draw
    assert draw_clip is not None

    def draw(key: Key, data: Any) -> PairBatch:
        batch = draw_clip(key, data)
        conditions, images = window.windows(batch.condition, config.window), batch.image[:, config.window - 1 :]
        if frames == 1:
            conditions, images = conditions[:, 0], images[:, 0]
        return batch.replace(condition=conditions, image=images)

    return Source(data=clips.data, draw=draw)


def driver(config: Config, head: TrackedHead) -> Performance:
    """Who drives the second video."""
    if config.driver:
        return tracked_head.read_performance(config.driver, head.names)
    own = Performance(*(x[head.train :] for x in head.performance))
    other = tracked_head.mirrored(own, head.names)
    return other._replace(expressions=np.clip(config.exaggeration * other.expressions, 0, 1))


def baselines(head: TrackedHead, drawn: Drawn, *, colored: bool) -> dict[str, dict[str, float]]:
    """Mean 'psnr' and 'ssim' of the mean frame, of the frame with the nearest landmarks, and of the mesh alone."""
    learned, split = head.images[: head.train], head.train
    mean = np.asarray(unit(learned.mean(0, dtype=np.float64).astype(np.float32)))
    guesses: dict[str, list[tuple[float, float]]] = {}
    for k in range(split, len(head)):
        distances = np.linalg.norm(drawn.landmarks[:split] - drawn.landmarks[k][None], axis=-1).mean(-1)
        pictures = {'mean frame': mean, 'nearest frame by landmarks': unit(learned[distances.argmin()])}
        if colored:
            pictures['colour of the condition'] = unit(drawn.conditions[k, ..., :3])
        for name, picture in pictures.items():
            psnr, ssim = _measure(picture, unit(head.images[k]))
            guesses.setdefault(name, []).append((float(psnr), float(ssim)))
    means = {name: np.mean(values, axis=0) for name, values in guesses.items()}
    return {
        name: {'psnr': round(float(psnr), 2), 'ssim': round(float(ssim), 4)} for name, (psnr, ssim) in means.items()
    }


def _examples(
    config: Config, conditions: np.ndarray, images: np.ndarray, masks: np.ndarray, first: int
) -> list[Example]:
    if config.model.frames > 1:
        return [Example('held_out', conditions, images)]
    return [Example(f'{first + k:04d}', *frame) for k, frame in enumerate(zip(conditions, images, masks))]


@jax.jit
def _measure(a: Array, b: Array) -> tuple[Array, Array]:
    return metrics.psnr(a, b), metrics.ssim(a, b, convention='gaussian')


if __name__ == '__main__':
    app.run(main, Config)
