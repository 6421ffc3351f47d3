"""What the experiments of image translation share: training, the table of what was held out, sheets and videos."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neurend import app, checks
from neurend.data.pairs import Pairs
from neurend.images import backbones, io, lpips, show, video
from neurend.models.method import Method
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.method import Example, frames_of
from neurend.models.state import State
from neurend.train import evaluate as evaluation
from neurend.train import loop
from neurend.typing import Source

RUN_MAY_CHANGE = ('run.steps', 'run.log_every', 'run.evaluate_every', 'run.checkpoint_every')
"""Flags of `RunConfig` that may differ when a run goes on; for a configuration's variable of that name."""
_SHOWN = ('condition', 'prediction', 'truth')


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Flags of a run.

    Attributes:
        steps: of training.
        seed: of the order of pictures, crops and dropout.
        log_every: steps between lines of metrics.
        evaluate_every: steps between pictures of a few examples held out; 0 for the end alone.
        checkpoint_every: steps between checkpoints; 0 for the end alone.
    """

    steps: int = 10000
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 1000
    checkpoint_every: int = 1000


def vgg(settings: Pix2PixConfig | NeuralTextureConfig) -> backbones.Weights | None:
    """VGG19's weights, where the losses want them.

    Raises:
        InputError: the file cannot be read, or lacks something.
    """
    return backbones.load(settings.vgg, 'vgg19') if settings.perceptual else None


def train(method: Method, source: Source, examples: Sequence[Example], *, workdir: str, run: RunConfig) -> State:
    """Trains, or goes on with an earlier run in the workdir, showing four examples; returns the state on the host."""
    state = loop.fit(
        method,
        source,
        workdir=workdir,
        steps=run.steps,
        seed=run.seed,
        evaluation=examples[:: max(1, len(examples) // 4)][:4],
        log_every=run.log_every,
        evaluate_every=run.evaluate_every,
        checkpoint_every=run.checkpoint_every,
    )
    return jax.device_get(state)


def examples_of(pairs: Pairs) -> list[Example]:
    """The pairs as examples to evaluate."""
    return [Example(*pair) for pair in zip(*pairs)]


def report(
    method: Method,
    state: State,
    examples: Sequence[Example],
    *,
    folder: str | Path,
    protocol: Mapping[str, Any],
    baselines: Mapping[str, dict[str, float]],
    sheet: int = 16,
    perceptual: Sequence[lpips.Weights] = (),
) -> evaluation.Table:
    """Evaluates all examples, prints the table and writes it with a contact sheet of some, evenly spread.

    Args:
        method, state: what was trained.
        examples: held out.
        folder: where `evaluation.txt`, `evaluation.json` and `contact_sheet.png` go.
        protocol: what a reader must know to compare the numbers.
        baselines: mean metrics of simple guesses, by their names.
        sheet: rows of the contact sheet.
        perceptual: LPIPS measures to add.
    """
    chosen = np.linspace(0, len(examples) - 1, min(sheet, len(examples))).round().astype(int)
    shown = {examples[k].name for k in chosen}
    rows: list[list[np.ndarray]] = []
    labels: list[str] = []

    def each(name: str, values: dict[str, float], pictures: dict[str, np.ndarray]) -> None:
        if name in shown:
            rows.append([pictures[kind] for kind in _SHOWN])
            labels.append(f'{name}   {values["psnr"]:.2f} dB')

    protocol = {'method': f'pix2pix, {int(state.step)} steps', **protocol}
    table = evaluation.evaluate(method, state, examples, protocol=protocol, perceptual=perceptual, each=each)
    table = dataclasses.replace(table, baselines=dict(baselines))
    table.write(folder)
    print(table.text(), end='')
    io.write(Path(folder) / 'contact_sheet.png', show.contact_sheet(rows, columns=_SHOWN, labels=labels))
    app.say(f'{folder}: evaluation.txt, evaluation.json, contact_sheet.png')
    return table


def draw(method: Method, state: State, conditions: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields pictures `h w 3` in [0, 1] for uint8 conditions `h w c` of consecutive frames, in the channels learned.

    Raises:
        InputError: a condition of another type or shape.
    """
    drawn = jax.jit(lambda state, inputs: method.render(state, inputs).rgb)
    return frames_of(drawn, state, (_unit(k, condition) for k, condition in enumerate(conditions)))


def write_video(path: str | Path, columns: Sequence[Sequence[np.ndarray]], *, fps: float = 25) -> None:
    """Writes a video of several sequences of pictures beside each other: [0, 1] or uint8, `h w 3`, of one size."""
    video.write(path, (np.concatenate([_bytes(picture) for picture in row], axis=1) for row in zip(*columns)), fps=fps)
    app.say(str(path))


def _unit(k: int, condition: np.ndarray) -> np.ndarray:
    condition = np.asarray(condition)
    if condition.dtype != np.uint8 or condition.ndim != 3:
        raise checks.InputError(
            f'condition {k}: got {condition.dtype} of shape {condition.shape}, expected uint8 of shape (h, w, c), '
            '0 to 255, as in training'
        )
    return condition.astype(np.float32) / 255


def _bytes(picture: np.ndarray) -> np.ndarray:
    return picture if picture.dtype == np.uint8 else (255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8)
