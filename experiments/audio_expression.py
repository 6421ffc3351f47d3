r"""Learns from tracked films of people who speak how their faces move with what they say.

    python -m experiments.audio_expression --flagfile=configs/audio_expression_speaker_a.flags \
        --data_dir=audio_expressions/speaker_a.npz --workdir=out/expressions

Neural Voice Puppetry's network (Thies et al., 2020): windows of a speech recogniser's letters to a face model's
expressions, one network for all speakers with a matrix for each. The data is films in files (see
`neurend.data.spoken_films`), or a tracked head that speaks (`tracking.npz` with `logits`), whose vertices then are what
the loss compares; without --data_dir it is a procedural head. The last part of each film is held out. With
--released=20_netG.pth the published network hears the films, and only a matrix for each is fitted.

Writes to the workdir, beside the run: `evaluation.txt` with the table of the parts held out, `curves.png`, heard beside
true, and `expressions.npz` with `NAME` [t e], what is heard of each whole film.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import spoken_face, translation
from experiments.toy_head import toy_head
from experiments.translation import RUN_MAY_CHANGE, RunConfig
from neurend import app, checks
from neurend.data import expression_batches, spoken_films, tracked_head
from neurend.data.expression_batches import Spoken
from neurend.data.spoken_films import Film
from neurend.data.tracked_head import FaceMesh
from neurend.images import curves, io, statedict
from neurend.models.method import Method
from neurend.models.puppetry import measures
from neurend.models.puppetry import method as puppetry
from neurend.models.puppetry.config import PuppetryConfig
from neurend.models.puppetry.method import Example
from neurend.models.state import State
from neurend.speech import expression, expression_losses, mapping, released
from neurend.speech.expression_losses import LossConfig, Space
from neurend.speech.mapping import Mapping
from neurend.train import evaluate as evaluation
from neurend.train import optimizers
from neurend.train import step as steps
from neurend.train.optimizers import OptimizerConfig

_METRES = 0.01  # the face models here are in centimetres
_LIPS = slice(48, 68)
_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: films, see above; empty for a procedural head.
        face: file of the face model of a tracked head; '' for ../ict_face/ict_face.npz beside the folder.
        released: a published checkpoint to hear with; '' to train a network.
        workdir: where results go.
        held_out: the part of each film, its last, that is held out; of a tracked head its own split counts.
        ignored: expressions that count nothing: in Neural Voice Puppetry's data those of brows and eyes.
        batch: stretches of a batch.
        moments: frames of a stretch, at least 3.
        model: the network and its losses.
        optimizer: see `OptimizerConfig`.
        ema_decay: of the running average of parameters that is evaluated; 0 for none.
        run: its length and records.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = RUN_MAY_CHANGE

    data_dir: str = ''
    face: str = ''
    released: str = ''
    workdir: str = 'out/audio_expression'
    held_out: float = 0.2
    ignored: tuple[int, ...] = ()
    batch: int = 16
    moments: int = 16
    model: PuppetryConfig = dataclasses.field(
        default_factory=lambda: PuppetryConfig(spread=0.01, loss=LossConfig('rms', 1000, 0, 1000))
    )
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig('adamw', 3e-3, 1e-3, weight_decay=0.3)
    )
    ema_decay: float = 0.99
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=400, evaluate_every=0))

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if not 0 < self.held_out < 1:
            raise checks.InputError(f'--held_out: got {self.held_out}, expected a part of 1')
        if self.moments < 3:
            raise checks.InputError(f'--moments: got {self.moments}, expected at least 3')


class Speech(NamedTuple):
    """Films to learn from and to be heard.

    Attributes:
        films: whole, one for each speaker.
        train: how many frames of each, the first ones, are to learn from.
        space: where expressions are compared.
    """

    films: list[Film]
    train: list[int]
    space: Space

    def learned(self) -> list[Spoken]:
        """The parts to learn from."""
        return [_cut(film.spoken, slice(count)) for film, count in zip(self.films, self.train)]

    def held_out(self) -> list[Example]:
        """The parts held out."""
        cut = [_cut(film.spoken, slice(count, None)) for film, count in zip(self.films, self.train)]
        return [Example(film.name, *part) for film, part in zip(self.films, cut)]


def main(config: Config) -> evaluation.Table:
    """Learns, evaluates, writes; returns the table of the parts held out."""
    speech = read(config)
    if config.released:
        params = released.read(config.released)
        look_ahead, name = True, f'{Path(config.released).name}, matrices fitted'
        maps = fitted(params, speech)
    else:
        _, state = train(config, speech)
        params, look_ahead = puppetry.network(state), config.model.look_ahead
        name = f'Audio2Expression, {int(state.step)} steps'
        maps = [puppetry.speaker(state, k, look_ahead=look_ahead) for k in range(len(speech.films))]
    heard = [hear(params, film.spoken.windows, person, look_ahead) for film, person in zip(speech.films, maps)]
    return report(config, speech, heard, name)


def read(config: Config) -> Speech:
    """The films of a configuration.

    Raises:
        InputError: they cannot be read, or nothing of one is held out or left to learn from.
    """
    place = Path(config.data_dir)
    if not config.data_dir or (place / 'tracking.npz').is_file():
        return _head(config)
    films = spoken_films.read(place)
    train = [round(len(film.spoken.windows) * (1 - config.held_out)) for film in films]
    for film, count in zip(films, train):
        if not config.moments <= count < len(film.spoken.windows):
            raise checks.InputError(
                f'film {film.name}: got {len(film.spoken.windows)} frames, expected at least {config.moments} beside '
                f'the {config.held_out:.0%} held out'
            )
    return speech_of(config, films, train)


def speech_of(config: Config, films: list[Film], train: list[int]) -> Speech:
    """Films of which the first frames, so many of each, are to learn from, compared by their coefficients."""
    learned = [film.spoken.expressions[:count] for film, count in zip(films, train)]
    # As coordinates have no unit, a difference as large as expressions vary is 1.
    weights = _counted(config, learned[0].shape[1])
    variance = np.mean([np.var(each, axis=0, dtype=np.float64) @ weights / weights.sum() for each in learned])
    return Speech(films, train, expression_losses.coefficient_space(weights / max(variance, 1e-12)))


def train(config: Config, speech: Speech) -> tuple[Method, State]:
    """Trains, or goes on with an earlier run in the workdir."""
    learned = speech.learned()
    optimizer = optimizers.make(config.optimizer, steps=config.run.steps)
    sizes = puppetry.scale(*map(list, zip(*learned)))
    stepper = steps.stepper(optimizer, ema_decay=config.ema_decay or None)
    method = puppetry.puppetry(config.model, speech.space, sizes, stepper=stepper)
    source = expression_batches.source(
        learned, batch=config.batch, moments=config.moments, before=config.model.before, after=config.model.after
    )
    examples: list[Any] = speech.held_out()
    state = translation.train(method, source, examples, workdir=config.workdir, run=config.run)
    return method, state


def hear(params: Any, windows: np.ndarray, person: Mapping, look_ahead: bool = True) -> np.ndarray:
    """Expressions `t e` of a person, float32, for windows `t 16 l` of anybody's speech."""
    found = jax.jit(lambda windows: person(expression.audio_expressions(params, windows, look_ahead=look_ahead)))
    return np.asarray(found(jnp.asarray(windows)))


def fitted(params: Any, speech: Speech, *, look_ahead: bool = True) -> list[Mapping]:
    """Matrices for the speakers of films, who are new to the network, from the parts to learn from."""
    name = mapping.fingerprint(params, look_ahead=look_ahead)
    listen = jax.jit(lambda windows: expression.audio_expressions(params, windows, look_ahead=look_ahead))
    found = []
    for part in speech.learned():
        audio = np.asarray(listen(jnp.asarray(part.windows)))
        rest = part.expressions.mean(0)
        found.append(mapping.ridge(audio, part.expressions, space=speech.space, rest=rest, network=name))
    return found


def report(config: Config, speech: Speech, heard: list[np.ndarray], name: str) -> evaluation.Table:
    """Evaluates what was heard of the parts held out; prints and writes the table, curves and expressions."""
    folder, root = Path(config.workdir), speech.space.root
    rows: dict[str, dict[str, float]] = {}
    for film, count, found in zip(speech.films, speech.train, heard):
        truth, predicted = film.spoken.expressions[count:], found[count:]
        mean = film.spoken.expressions[:count].mean(0)
        chosen = strongest(config, film.spoken.expressions[:count])
        rows[film.name] = {
            'explained_variance': measures.explained_variance(predicted, truth, mean, root=root),
            'strongest': measures.explained_variance(predicted[:, chosen], truth[:, chosen], mean[chosen]),
            'correlation': float(measures.correlations(predicted[:, chosen], truth[:, chosen]).mean()),
            'jitter_ratio': measures.jitter_ratio(predicted[:, chosen], truth[:, chosen]),
        }
    frames = sum(len(film.spoken.windows) - count for film, count in zip(speech.films, speech.train))
    protocol = {
        'method': name,
        'films': f'{config.data_dir or "procedural head"}, the last {frames} frames of {len(speech.films)} film(s)',
        'explained_variance': "1 - squared error / that of the mean of the frames learned from, in the loss's space",
        'strongest': f'the same of the {_SHOWN} coefficients of largest variance in the frames learned from; '
        'correlation (mean) and jitter_ratio (second difference over the true one) are of these as well',
    }
    table = evaluation.Table(rows, protocol)
    table.write(folder)
    print(table.text(), end='')
    film, count, found = speech.films[0], speech.train[0], heard[0]
    chosen = strongest(config, film.spoken.expressions[:count])
    lines = [values[count : count + 250, chosen] for values in (film.spoken.expressions, found)]
    titles = [f'{film.name}, expression {k}' for k in chosen]
    io.write(folder / 'curves.png', curves.curves(lines, titles=titles, names=('true', 'heard')))
    named: dict[str, Any] = {film.name: values for film, values in zip(speech.films, heard)}
    np.savez(folder / 'expressions.npz', **named)
    app.say(f'{folder}: evaluation.txt, evaluation.json, curves.png, expressions.npz')
    return table


def strongest(config: Config, expressions: np.ndarray, count: int = _SHOWN) -> np.ndarray:
    """The expressions of largest variance among `t e`, the largest first, without those ignored."""
    variance = np.var(expressions, axis=0, dtype=np.float64) * _counted(config, expressions.shape[1])
    return np.argsort(-variance)[: min(count, np.count_nonzero(variance))]


def mouth(mesh: FaceMesh) -> np.ndarray:
    """1 at vertices `v` less than half the mouth's width from a landmark of the lips, 0 elsewhere."""
    lips = mesh.vertices[mesh.landmarks[_LIPS]]
    reach = np.linalg.norm(lips[0] - lips[6]) / 2
    apart = np.min([np.linalg.norm(mesh.vertices - lip[None], axis=-1) for lip in lips], axis=0)
    return (apart < reach).astype(np.float32)


def _head(config: Config) -> Speech:
    if config.data_dir:
        head = tracked_head.read(config.data_dir, face=config.face or None, size=16)
        tracking = statedict.read(Path(config.data_dir) / 'tracking.npz')
        if 'logits' not in tracking:
            raise checks.InputError(f"{config.data_dir}/tracking.npz: lacks logits, expected the speech recogniser's")
        windows = tracking['logits']
    else:
        head = toy_head(400, 16)
        windows = spoken_face.babble(head)
    if not config.moments <= head.train < len(head):
        raise checks.InputError(f'{config.data_dir}: got {head.train} of {len(head)} frames to learn from')
    spoken = Spoken(np.asarray(windows, np.float32), head.performance.expressions)
    deltas = head.mesh.deltas * _counted(config, len(head.mesh.deltas))[:, None, None].astype(np.float32)
    space = expression_losses.vertex_space(_METRES * deltas, mouth(head.mesh))
    return Speech([Film(Path(config.data_dir).name or 'procedural', spoken)], [head.train], space)


def _counted(config: Config, count: int) -> np.ndarray:
    """1 for each of `count` expressions that counts, 0 for one ignored."""
    if config.ignored and not 0 <= min(config.ignored) <= max(config.ignored) < count:
        raise checks.InputError(f'--ignored: got {config.ignored}, expected numbers from 0 to {count - 1}')
    counted = np.ones(count)
    counted[list(config.ignored)] = 0
    return counted


def _cut(film: Spoken, frames: slice) -> Spoken:
    return Spoken(film.windows[frames], film.expressions[frames], film.speaker)


if __name__ == '__main__':
    app.run(main, Config)
