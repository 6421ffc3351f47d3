r"""Learns to write down speech, from recordings with their text or from sentences that espeak-ng speaks.

    python -m experiments.recognizer --flagfile=configs/recognizer_espeak.flags --workdir=out/recognizer
    python -m experiments.recognizer --data_dir=recordings --workdir=out/recognizer

A folder holds `name.wav` (or .flac) and `name.txt` with what is said, anywhere below it; every twentieth is held out.
Without --data_dir sentences are synthesised, those held out being others. A causal network of convolutions with a
fifth of a second of look-ahead gives 50 logits of letters a second; `load` gives it to others.

Writes to the workdir, beside checkpoints, metrics and pictures: `stretches.npz`, the features that were learned from,
which a second call reads again; `evaluation.txt` with the letter error rate of what was held out; `transcripts.txt`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments import sentences, trained
from experiments.prepare_speech import utterances
from experiments.translation import RUN_MAY_CHANGE, RunConfig
from neurend import app, checks
from neurend.data import letter_batches
from neurend.data.letter_batches import Packed, Utterance
from neurend.images import statedict
from neurend.models.letter_recognizer import Spoken, letter_recognizer, whole_seconds
from neurend.models.method import Method
from neurend.models.state import State
from neurend.speech import audio, ctc, features, text
from neurend.speech.augment import AugmentConfig, augment
from neurend.speech.letters import LetterModel
from neurend.speech.recognizer import COLUMNS, SAMPLES, TAIL, LetterNetwork, Recognizer, rows_of
from neurend.speech.streaming import Listener
from neurend.train import evaluate as evaluation
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer

_EVERY = 20
_ARRAYS = ('rows', 'count', 'labels', 'letters', 'spoken')
_READ = 20000  # sentences of the grammar that the beam's model of letters has read


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network; see `neurend.speech.recognizer.LetterNetwork`."""

    width: int = 160
    hidden: int = 320
    taps: int = 5
    dilations: tuple[int, ...] = (1, 1, 2, 1, 2, 1, 2, 1)
    ahead: tuple[int, ...] = (1, 1, 0, 1, 0, 1, 0, 1)


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder of recordings and texts; empty for synthesised sentences.
        workdir: where results go.
        sentences: to synthesise.
        held_out: sentences to synthesise and evaluate.
        seconds: of the stretches into which speech is joined; longer recordings are left out.
        batch: stretches in a batch.
        beam: width of the beam with which transcripts are written; 0 for greedy ones alone.
        network: its shape.
        timing: weight of the times of letters, where they are known; see `letter_recognizer`.
        augment: how speech is changed.
        optimizer: its rates.
        clip_norm: see `neurend.train.step.stepper`.
        ema: decay of the running average of weights that is evaluated.
        run: length and records.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (*RUN_MAY_CHANGE, 'beam')

    data_dir: str = ''
    workdir: str = 'out/recognizer'
    sentences: int = 6000
    held_out: int = 100
    seconds: float = 5.0
    batch: int = 4
    beam: int = 8
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    timing: float = 1.0
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(
            name='adam', learning_rate=3e-3, final_learning_rate=3e-4, delay_steps=100, b2=0.99
        )
    )
    clip_norm: float = 1.0
    ema: float = 0.99
    run: RunConfig = dataclasses.field(
        default_factory=lambda: RunConfig(steps=3000, log_every=50, evaluate_every=500, checkpoint_every=250)
    )

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.seconds < 1 or min(self.sentences, self.held_out) < 1:
            raise checks.InputError(
                f'--seconds, --sentences, --held_out: got {self.seconds}, {self.sentences} and {self.held_out}, '
                'expected at least 1 of each'
            )


def main(config: Config) -> evaluation.Table:
    """Learns, evaluates, writes; returns the table of what was held out."""
    learned, held_out = stretches(config)
    hours = learned.count.sum() * SAMPLES / audio.RATE / 3600
    app.say(f'{len(learned.rows)} stretches, {hours:.2f} hours of speech, {len(held_out)} recordings held out')
    if learned.left_out:
        app.say(f'{learned.left_out} left out: longer than {config.seconds} s, or faster than letters can follow')
    method = build(config)

    def change(key: Any, rows: Any) -> Any:
        bands = rows.reshape(len(rows), -1, features.BANDS)
        return augment(key, bands, config.augment).reshape(rows.shape)

    state = loop.fit(
        method,
        letter_batches.letter_source(learned, batch=config.batch, change=change),
        workdir=config.workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        evaluation=held_out[:: max(1, len(held_out) // 20)][:20],
        log_every=config.run.log_every,
        evaluate_every=config.run.evaluate_every,
        checkpoint_every=config.run.checkpoint_every,
        main_metric='letter_error_rate',
    )
    return report(config, jax.device_get(state), held_out)


def load(workdir: str) -> Listener:
    """The recogniser that a run left in its workdir.

    Raises:
        InputError: no run there, or it has no checkpoint yet.
    """
    config = trained.configuration(Config, workdir, 'experiments.recognizer')
    state = jax.device_get(trained.restore(build(config), Path(workdir)))
    return Listener(Recognizer(_network(config), state.weights))


def build(config: Config) -> Method:
    """The method of a run."""
    optimizer = make_optimizer(config.optimizer, steps=config.run.steps)
    stepper = step.stepper(optimizer, clip_norm=config.clip_norm or None, ema_decay=config.ema or None)
    return letter_recognizer(_network(config), stepper, timing=config.timing)


def stretches(config: Config) -> tuple[Packed, list[Spoken]]:
    """What is learned, and what is held out; of a run before, if the workdir has it.

    Raises:
        InputError: recordings cannot be read, or espeak-ng is not installed.
    """
    cache = Path(config.workdir) / 'stretches.npz'
    made_of = f'{config.data_dir} {config.sentences} {config.held_out} {config.seconds} {config.run.seed}'
    if cache.is_file():
        found = statedict.read(cache, what='stretches')
        if str(found.get('made_of')) == made_of:
            packed = Packed(*(found[name] for name in _ARRAYS), left_out=int(found['left_out']))
            return packed, _unpacked(found)
    if config.data_dir:
        pairs = recordings(config.data_dir)
        kept = [pair for k, pair in enumerate(pairs) if k % _EVERY != _EVERY - 1]
        others = pairs[_EVERY - 1 :: _EVERY]
        learned, held_out, total = _read(kept), _read(others), len(kept)
        names = [path.stem for path, _ in others]
    else:
        learned, held_out = (
            _spoken(count, config.run.seed, held_out=held_out)
            for count, held_out in ((config.sentences, False), (config.held_out, True))
        )
        total, names = config.sentences, [f'sentence {k:03d}' for k in range(config.held_out)]
    rows = round(config.seconds * audio.RATE / SAMPLES)
    heard = _heard()
    packed = letter_batches.pack(
        tqdm(learned, total=total, desc='listening', unit='clip'),
        heard, rows=rows, samples=SAMPLES, tail=TAIL,
    )  # fmt: skip
    examples = [
        Spoken(name, _rows(heard, each.samples, rows), text.decode(each.classes)) for name, each in zip(names, held_out)
    ]
    counts = [len(each.rows) for each in examples]
    arrays: dict[str, Any] = packed._asdict() | {
        'made_of': made_of,
        'names': [each.name for each in examples],
        'texts': [each.text for each in examples],
        'counts': counts,
        'held_out': np.concatenate([each.rows for each in examples]).astype(np.float16),
    }
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, **arrays)
    return packed, _unpacked({name: np.asarray(values) for name, values in arrays.items()})


def recordings(folder: str) -> list[tuple[Path, str]]:
    """Sound files below a folder that have a text beside them, and what is said; those of TIMIT too.

    Raises:
        InputError: there are fewer than twenty, or a text cannot be read or has characters outside the alphabet.
    """
    sounds = sorted(path for kind in ('*.wav', '*.flac', '*.WAV') for path in Path(folder).rglob(kind))
    found = []
    for path in sounds:
        if not path.with_suffix('.txt').is_file():
            continue
        try:
            said = path.with_suffix('.txt').read_text(encoding='utf-8').split(maxsplit=2)
        except (OSError, UnicodeDecodeError) as error:
            raise checks.InputError(f'text {path.with_suffix(".txt")}: cannot be read ({error})') from error
        # TIMIT's texts begin with the samples at which they begin and end.
        timed = len(said) == 3 and said[0].isdigit() and said[1].isdigit()
        try:
            found.append((path, text.normalize(said[2] if timed else ' '.join(said))))
        except checks.InputError as error:
            raise checks.InputError(f'text {path.with_suffix(".txt")}: {error}') from error
    if len(found) < _EVERY:
        raise checks.InputError(
            f'--data_dir={folder}: got {len(found)} recordings with a text beside them, expected at least {_EVERY}: '
            'name.wav and name.txt'
        )
    return found


def report(config: Config, state: State, held_out: list[Spoken]) -> evaluation.Table:
    """Writes down what was held out; prints and writes the table and the transcripts."""
    method, model = build(config), None
    hear = jax.jit(lambda state, rows: method.render(state, rows).extras['logits'])
    if not config.data_dir and config.beam:
        model = LetterModel(sentences.sentences(_READ, seed=config.run.seed + 1))
    rows: dict[str, dict[str, float]] = {}
    lines, wrong, letters = [], {'greedy': 0, 'beam': 0}, 0
    for each in held_out:
        logits = np.asarray(hear(state, jnp.asarray(whole_seconds(each.rows))[None]))[0, : len(each.rows)]
        heard = {'greedy': ctc.greedy(logits)}
        if config.beam:
            heard['beam'] = ctc.beam(logits, width=config.beam, model=model)
        letters += len(each.text)
        rows[each.name] = {}
        lines.append(f'{each.name}\n  said    {each.text}')
        for name, written in heard.items():
            count = ctc.errors(each.text, written)
            wrong[name] += count
            rows[each.name][name] = count / len(each.text)
            lines.append(f'  {name:7} {written}')
    rates = {name: wrong[name] / letters for name in ('greedy', 'beam')[: 1 + bool(config.beam)]}
    protocol = {
        'method': f'letter recogniser, {int(state.step)} steps, look-ahead {_network(config).delay * 20} ms',
        'recordings': f'{config.data_dir or "sentences by espeak-ng"}, {len(held_out)} held out',
        'greedy, beam': 'letters wrong (inserted, left out, replaced) by letters said; '
        + ', '.join(f'{name} {rate:.4f} of all letters' for name, rate in rates.items()),
        'beam': f'width {config.beam}, ' + ('letters of the grammar known' if model else 'no model of letters'),
    }
    table = evaluation.Table(rows, protocol, {'all letters': rates})
    folder = Path(config.workdir)
    table.write(folder)
    (folder / 'transcripts.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    print(table.text(), end='')
    app.say(f'{folder}: evaluation.txt, evaluation.json, transcripts.txt')
    return table


def _network(config: Config) -> LetterNetwork:
    return LetterNetwork(**dataclasses.asdict(config.network))


def _spoken(count: int, seed: int, *, held_out: bool) -> Iterator[Utterance]:
    for each in utterances(count, seed=seed, held_out=held_out):
        yield Utterance(each.sound.samples, text.encode(each.text), audio.RATE * each.times)


def _read(pairs: Iterable[tuple[Path, str]]) -> Iterator[Utterance]:
    for path, said in pairs:
        yield Utterance(audio.resample(audio.read(path)).samples, text.encode(said))


def _heard() -> Callable[[np.ndarray], np.ndarray]:
    listened = jax.jit(rows_of)
    return lambda samples: np.asarray(listened(jnp.asarray(samples)))


def _rows(heard: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, rows: int) -> np.ndarray:
    """Features of a recording of any length, in pieces of one length."""
    count = -(-len(samples) // SAMPLES)
    pieces = -(-count // rows)
    padded = np.zeros(pieces * rows * SAMPLES + TAIL, np.float32)
    padded[: len(samples)] = samples
    found = [heard(padded[k * rows * SAMPLES : (k + 1) * rows * SAMPLES + TAIL]) for k in range(pieces)]
    return np.concatenate(found)[:count]


def _unpacked(arrays: dict[str, np.ndarray]) -> list[Spoken]:
    ends = np.cumsum(arrays['counts'])
    parts = np.split(arrays['held_out'].astype(np.float32).reshape(-1, COLUMNS), ends[:-1])
    return [Spoken(str(n), rows, str(t)) for n, rows, t in zip(arrays['names'], parts, arrays['texts'])]


if __name__ == '__main__':
    app.run(main, Config)
