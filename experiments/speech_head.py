r"""Learns from a film of somebody who speaks how speech moves a face, and draws the face that is heard.

    python -m experiments.speech_head --flagfile=configs/speech_head_talking_head.flags --data_dir=talking_head \
        --workdir=out/speech

Two networks are trained apart (ATVG, Chen et al., 2019): speech to landmarks, and landmarks to frames over one example
frame. Speech does not tell how the head moves: landmarks are learned of a head that holds still, and what is heard is
brought to the tracked pose of each frame. Frames are crops of the face in which nose and eyes hold still. Without
--data_dir the head is a procedural one (`experiments.toy_head`), and its speech follows its mouth.

Writes to the workdir, beside the runs in `speech/` and `face/`: `evaluation.txt` with the table of the frames held out,
`contact_sheet.png`, and `speech.mp4`: the example, the landmarks heard, the face drawn by them, and the truth.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import spoken_face, translation
from experiments.spoken_face import SpokenFace
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import talking_batches
from neurend.images import io, show
from neurend.models.method import Method
from neurend.models.pix2pix.parts import bytes_of, measure
from neurend.models.reenactment.atvg_method import FaceExample, FaceInputs, TalkingFaceConfig, talking_face
from neurend.models.reenactment.atvg_speech import (
    SpeechConfig,
    SpeechExample,
    SpeechInputs,
    distances,
    landmark_basis,
    speech_to_landmarks,
)
from neurend.models.reenactment.landmark_picture import landmark_picture
from neurend.models.state import State
from neurend.train import evaluate as evaluation

_COLUMNS = ('example', 'heard', 'drawn by it', 'by tracking', 'truth')
_SHOWN = 8
_LEGIBLE = 128  # pixels across a picture of the sheet, at least


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder of a tracked head that speaks, see `spoken_face.read`; empty for the procedural one.
        face: file of the face model; '' for ../ict_face/ict_face.npz beside the folder.
        workdir: where results go.
        size: side of the crops in pixels, a multiple of 16.
        speech_moments: consecutive moments of a stretch of speech in a batch.
        speech_batch: stretches of speech in a batch.
        moments: consecutive frames of a stretch, in a batch and when frames held out are drawn.
        batch: stretches of frames in a batch.
        speech: the first network and its rate.
        speech_run: its length and records.
        model: the second network, its losses and rate.
        run: its length and records.
    """

    TRAINS_IN: ClassVar[tuple[str, ...]] = ('speech', 'face')
    MAY_CHANGE: ClassVar[tuple[str, ...]] = tuple(
        f'{run}.{name}'
        for run in ('speech_run', 'run')
        for name in ('steps', 'log_every', 'evaluate_every', 'checkpoint_every')
    )

    data_dir: str = ''
    face: str = ''
    workdir: str = 'out/speech_head'
    size: int = 64
    speech_moments: int = 16
    speech_batch: int = 4
    moments: int = 3
    batch: int = 4
    speech: SpeechConfig = dataclasses.field(
        default_factory=lambda: SpeechConfig(width=8, hidden=32, learning_rate=1e-3)
    )
    speech_run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=300, evaluate_every=0))
    model: TalkingFaceConfig = dataclasses.field(
        default_factory=lambda: TalkingFaceConfig(
            width=16,
            blocks=2,
            discriminator_width=16,
            hidden=64,
            adversarial=0.05,
            landmarks=0.1,
            learning_rate=1e-3,
            constant=0.5,
        )
    )
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=1000))

    def __post_init__(self):
        """Raises `InputError` for sizes that the networks do not take."""
        if self.size < 16 or self.size % 16:
            raise checks.InputError(f'--size: got {self.size}, expected a multiple of 16')


class Drawn(NamedTuple):
    """What was heard and drawn of the frames held out, t of them; landmarks in [-1, 1], pictures in [0, 1].

    Attributes:
        landmarks: [t 68 2], heard, in the poses of the frames.
        heard: [t s s 3], drawn by them.
        tracked: [t s s 3], drawn by true landmarks.
    """

    landmarks: np.ndarray
    heard: np.ndarray
    tracked: np.ndarray


def main(config: Config) -> evaluation.Table:
    """Learns, evaluates, writes; returns the table of the frames held out."""
    face = spoken_face.read(config.data_dir, config.face, config.size)
    if face.train == len(face.images):
        raise checks.InputError(f'{config.data_dir}: all frames are to learn from, expected some held out')
    known = middle_frame(face)
    heard = face.place(hear(config, face, known), face.train)
    method, state = learn_to_draw(config, face, known)
    pictures = [draw(config, method, state, face, known, each) for each in (heard, face.landmarks[face.train :])]
    return report(config, face, known, Drawn(heard, *pictures), state)


def middle_frame(face: SpokenFace) -> int:
    """The frame to learn from whose landmarks are nearest to the mean: the example."""
    learned = face.landmarks[: face.train]
    return int(np.linalg.norm(learned - learned.mean(0, keepdims=True), axis=-1).mean(-1).argmin())


def hear(config: Config, face: SpokenFace, known: int) -> np.ndarray:
    """Trains the first network; returns landmarks [t 68 2] of the frames held out, of a head that does not move."""
    split = face.train
    windows, spoken = face.windows[:split], face.spoken[:split]
    steps = config.speech_run.steps
    basis = landmark_basis(spoken, config.speech.components)
    rows, coefficients = windows.shape[1:]
    method = speech_to_landmarks(config.speech, basis, rows=rows, coefficients=coefficients, steps=steps)
    source = talking_batches.speech_source(
        windows, spoken, batch=config.speech_batch, moments=config.speech_moments
    )  # fmt: skip
    held_out: list[Any] = [SpeechExample('held_out', face.windows[split:], face.spoken[split:], face.spoken[known])]
    workdir = str(Path(config.workdir) / 'speech')
    state = translation.train(method, source, held_out, workdir=workdir, run=config.speech_run)
    inputs = SpeechInputs(jnp.asarray(face.windows[split:])[None], jnp.asarray(face.spoken[known])[None])
    return np.asarray(jax.jit(lambda state: method.render(state, inputs).extras['landmarks'])(state))[0]


def learn_to_draw(config: Config, face: SpokenFace, known: int) -> tuple[Method, State]:
    """Trains the second network."""
    split, size = face.train, (config.size, config.size)
    mean = face.landmarks[:split].mean(0)
    method = talking_face(config.model, mean, size=size, steps=config.run.steps)
    source = talking_batches.face_source(
        face.images[:split], face.landmarks[:split], batch=config.batch, moments=config.moments
    )
    parts = (stretches(part[split:], config.moments) for part in (face.landmarks, face.images))
    held_out: list[Any] = [FaceExample('held_out', face.images[known], face.landmarks[known], *parts)]
    workdir = str(Path(config.workdir) / 'face')
    return method, translation.train(method, source, held_out, workdir=workdir, run=config.run)


def draw(
    config: Config, method: Method, state: State, face: SpokenFace, known: int, landmarks: np.ndarray
) -> np.ndarray:
    """Frames [t s s 3] in [0, 1] by landmarks [t 68 2], all stretches in one batch, see `FaceExample`."""
    parts = stretches(landmarks, config.moments)
    example = np.repeat(_unit(face.images[known])[None], len(parts), axis=0)
    points = np.repeat(face.landmarks[known][None], len(parts), axis=0)
    inputs = FaceInputs(*map(jnp.asarray, (example, points, parts)))
    frames = np.asarray(jax.jit(lambda state: method.render(state, inputs).rgb)(state))
    return np.clip(frames.reshape(-1, *frames.shape[2:])[: len(landmarks)], 0, 1)


def stretches(values: np.ndarray, moments: int) -> np.ndarray:
    """Stretches `[n t ...]` of values `[m ...]` of consecutive moments, the last value repeated to fill the last."""
    places = np.arange(-(-len(values) // moments) * moments).reshape(-1, moments)
    return values[np.minimum(places, len(values) - 1)]


def report(config: Config, face: SpokenFace, known: int, drawn: Drawn, state: State) -> evaluation.Table:
    """Evaluates the frames held out beside baselines; prints and writes the table, a sheet and a video."""
    split, half = face.train, config.size / 2
    learned, truths = face.landmarks[:split], face.landmarks[split:]
    images = face.images[split:]
    mean_picture = face.images[:split].mean(0, dtype=np.float64).astype(np.float32) / 255
    mean_spoken = np.broadcast_to(face.spoken[:split].mean(0)[None], truths.shape)
    guessed = face.place(mean_spoken, split)
    rows: dict[str, dict[str, float]] = {}
    for k, truth in enumerate(truths):
        nearest = np.linalg.norm(learned - truth[None], axis=-1).mean(-1).argmin()
        pictures = {
            '': drawn.tracked[k],
            '_heard': drawn.heard[k],
            '_nearest': _unit(face.images[nearest]),
            '_mean': mean_picture,
        }
        row: dict[str, float] = {}
        for name, landmarks in (('heard', drawn.landmarks[k]), ('mean', guessed[k])):
            apart = distances(jnp.asarray(landmarks), jnp.asarray(truth))
            row |= {f'landmarks_{name}': half * float(apart['distance']), f'lips_{name}': half * float(apart['lips'])}
        for name, picture in pictures.items():
            values = measure(_unit(images[k]), picture)
            row |= {f'psnr{name}': values['psnr'], f'ssim{name}': values['ssim']}
        rows[f'{split + k:04d}'] = row
    protocol = {
        'method': f'ATVG, {config.speech_run.steps} steps for speech, {int(state.step)} for frames',
        'frames': f'{config.data_dir or "procedural head"}, the last {len(images)} of {len(face.images)}, in its poses',
        'size': f'{config.size} x {config.size}, the face with nose and eyes held still',
        'example': f'frame {known}',
        'landmarks, lips': 'mean distance from the tracked ones in pixels; heard, and of the mean expression',
        'psnr, ssim': 'of frames drawn by true landmarks; by those heard; of the learned frame whose landmarks are '
        'nearest to the true ones; of the mean frame',
    }
    table = evaluation.Table(rows, protocol)
    folder = Path(config.workdir)
    table.write(folder)
    print(table.text(), end='')
    side = config.size
    pixels = half * (drawn.landmarks + 1)
    lines = [landmark_picture(points, side, side, frame=(side, side)) for points in pixels]
    example = face.images[known]
    columns = [[example] * len(images), lines, list(drawn.heard), list(drawn.tracked), list(images)]
    shown = np.linspace(0, len(images) - 1, min(_SHOWN, len(images))).round().astype(int)
    enlarged = -(-_LEGIBLE // side)
    sheet = [
        [np.kron(_bytes(column[k]), np.ones((enlarged, enlarged, 1), np.uint8)) for column in columns] for k in shown
    ]
    labels = [f'{split + k:04d}   {rows[f"{split + k:04d}"]["psnr_heard"]:.2f} dB' for k in shown]
    io.write(folder / 'contact_sheet.png', show.contact_sheet(sheet, columns=_COLUMNS, labels=labels))
    app.say(f'{folder}: evaluation.txt, evaluation.json, contact_sheet.png')
    translation.write_video(folder / 'speech.mp4', [columns[0], columns[1], columns[2], columns[4]], fps=face.fps)
    return table


def _bytes(picture: np.ndarray) -> np.ndarray:
    return picture if picture.dtype == np.uint8 else bytes_of(picture)


def _unit(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / 255


if __name__ == '__main__':
    app.run(main, Config)
