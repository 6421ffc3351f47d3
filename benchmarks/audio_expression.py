"""How much of a real speaker's expressions can be heard: Neural Voice Puppetry's network beside ridge regression.

    python -m benchmarks.audio_expression --data_root=../shared/data

Frames 0 to 2559 of `audio_expressions/speaker_a.npz` are to learn from, 2560 to 3199 are held out. The network is that
of `configs/audio_expression_speaker_a.flags`. How long it is trained is chosen on frames 2048 to 2559, with a network
that learns from the frames before them; the one that is tested then learns from all for as many epochs. Strengths of
the ridge regressions are chosen on the same frames. All else of the flag file was chosen there as well.

What counts are the ten expressions of largest variance in the frames to learn from, without those that the data's
makers set to zero, of brows and eyes (32, 41, 71 to 74): those that move a speaking mouth most. Explained variance is
1 - squared error / that of the mean of the frames to learn from, over the ten. The ridge regressions hear letters of
the frame's window, 16 rows, or of 16 windows around it, standardised. Sixteen windows overlap: what they hear is
31 rows, of which row r is in so many windows, and to repeat a number m times in a ridge regression is to multiply it by
sqrt(m). Jitter is the root mean square of second differences in time, over the true one.

`--minutes` bounds the time for further seeds, three at most, of which the spread and the mean's explained variance are
printed; figures of the last line, which is JSON, are of the first. `--quick` trains for a few steps. `--pictures` is a
folder for curves.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments import audio_expression
from neurend import config
from neurend.data import expression_batches, spoken_films
from neurend.data.expression_batches import Spoken
from neurend.data.spoken_films import Film
from neurend.images import curves, io
from neurend.models.puppetry import measures
from neurend.models.puppetry import method as puppetry
from neurend.train import optimizers
from neurend.train import step as steps

FLAGS = Path(__file__).parents[1] / 'configs' / 'audio_expression_speaker_a.flags'
LEARNED, FIRST_LEARNED = 2560, 2048
STRENGTHS = 10.0 ** np.arange(1.0, 6.1, 0.25)
EACH = 5  # epochs between two looks at the validation frames


class Network:
    """The network on its way; `film` is what it learns from."""

    def __init__(self, settings, film: Spoken, epochs: float, seed: int):
        count = len(film.windows)
        self.per_epoch = count / (settings.batch * settings.moments)
        speech = audio_expression.speech_of(settings, [Film('speaker_a', film)], [count])
        falls = dataclasses.replace(settings.optimizer, decay_steps=round(epochs * self.per_epoch))
        optimizer = optimizers.make(falls, steps=falls.decay_steps)
        sizes = puppetry.scale([film.windows], [film.expressions], [0])
        method = puppetry.puppetry(
            settings.model, speech.space, sizes, stepper=steps.stepper(optimizer, ema_decay=settings.ema_decay)
        )
        beside = {'before': settings.model.before, 'after': settings.model.after}
        source = expression_batches.source([film], batch=settings.batch, moments=settings.moments, **beside)
        data, key = jax.tree.map(jnp.asarray, source.data), jax.random.key(seed)
        self._state = jax.jit(method.init)(key)

        def one(_, state):
            draw_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
            return method.step(step_key, state, source.draw(draw_key, data))[0]

        self._run = jax.jit(lambda state, count: jax.lax.fori_loop(0, count, one, state), donate_argnums=0)
        self._hear = jax.jit(lambda state, heard: method.render(state, puppetry.Inputs(heard)).extras['expressions'])

    def advance(self, epochs: float) -> None:
        self._state = self._run(self._state, round(epochs * self.per_epoch))

    def hear(self, windows) -> np.ndarray:
        return np.asarray(self._hear(self._state, jnp.asarray(windows)))


def explained(predicted, truth, learned) -> float:
    return measures.explained_variance(predicted, truth, learned.mean(0))


def rows_of(windows, before: int, after: int) -> np.ndarray:
    """Letters `t (before + 1 + after) 29` of rows around each frame, beyond the ends those at the ends."""
    rows = np.concatenate([windows[0, :8], windows[:, 8], windows[-1, 9:]])
    places = 8 + np.arange(len(windows))[:, None] + np.arange(-before, after + 1)[None]
    return rows[np.clip(places, 0, len(rows) - 1)].astype(np.float64)


def ridge(inputs, outputs, learned: slice, asked: slice, strengths, weights) -> list[np.ndarray]:
    """What ridge regressions of these strengths say of the frames asked; inputs `t k`, `weights` of them `k`."""
    known = inputs[learned]
    mean, deviation = known.mean(0), np.maximum(known.std(0), 1e-9)
    standard = (inputs - mean) / deviation * np.sqrt(weights)
    left, values, right = np.linalg.svd(standard[learned], full_matrices=False)
    rest = outputs[learned].mean(0)
    turned = left.T @ (outputs[learned] - rest)
    asked_inputs = standard[asked] @ right.T
    return [asked_inputs @ ((values / (values**2 + each))[:, None] * turned) + rest for each in strengths]


def baseline(inputs, outputs, weights) -> tuple[np.ndarray, float]:
    """What the best ridge regression says of the frames held out, and its strength."""
    first, validation = slice(FIRST_LEARNED), slice(FIRST_LEARNED, LEARNED)
    tried = ridge(inputs, outputs, first, validation, STRENGTHS, weights)
    scores = [explained(each, outputs[validation], outputs[first]) for each in tried]
    best = STRENGTHS[int(np.argmax(scores))]
    return ridge(inputs, outputs, slice(LEARNED), slice(LEARNED, None), [best], weights)[0], best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--minutes', type=float, default=4.0)
    parser.add_argument('--epochs', type=float, default=150.0, help='tried at most')
    parser.add_argument('--pictures', default='', help='folder for curves')
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    begun = time.monotonic()
    epochs = 2 * EACH if options.quick else options.epochs
    settings = config.parse(audio_expression.Config, f'--flagfile={FLAGS}')
    (film,) = spoken_films.read(Path(options.data_root) / 'audio_expressions' / 'speaker_a.npz')
    windows, expressions = film.spoken.windows, film.spoken.expressions
    chosen = audio_expression.strongest(settings, expressions[:LEARNED])
    outputs = expressions[:, chosen].astype(np.float64)
    learned, truth = outputs[:LEARNED], outputs[LEARNED:]
    print(f'expressions {", ".join(map(str, chosen))}', flush=True)

    said = {'mean': np.broadcast_to(learned.mean(0), truth.shape)}
    for name, rows, counts in (
        ('ridge, current window', rows_of(windows, 8, 7), np.ones(16)),
        ('ridge, 16 windows', rows_of(windows, 16, 14), 16.0 - np.abs(np.arange(31) - 15)),
    ):
        inputs = rows.reshape(len(rows), -1)
        said[name], strength = baseline(inputs, outputs, np.repeat(counts, rows.shape[2]))
        print(f'{name}: strength {strength:.3g}', flush=True)

    def cut(frames: slice) -> Spoken:
        return Spoken(windows[frames], expressions[frames])

    validated = slice(FIRST_LEARNED, LEARNED)
    trial, scores = Network(settings, cut(slice(FIRST_LEARNED)), epochs, seed=0), []
    while len(scores) * EACH < epochs:
        trial.advance(EACH)
        found = trial.hear(windows[:LEARNED])[validated, chosen]
        scores.append(explained(found, outputs[validated], outputs[:FIRST_LEARNED]))
    best = EACH * (1 + int(np.argmax(scores)))
    print(f'{best} epochs: explained variance {max(scores):.4f} of the validation frames', flush=True)

    several, took = [], []
    for seed in range(1 if options.quick else 3):
        if seed and (time.monotonic() - begun) + 1.5 * max(took) > 60 * options.minutes:
            break
        started, processor = time.monotonic(), time.process_time()
        network = Network(settings, cut(slice(LEARNED)), epochs, seed)
        network.advance(best)
        several.append(network.hear(windows)[LEARNED:, chosen])
        took.append(time.monotonic() - started)
        print(f'seed {seed}: {time.process_time() - processor:.0f} s of a core', flush=True)
    said['network'] = several[0]
    if len(several) > 1:
        said[f'mean of {len(several)} networks'] = np.mean(several, 0)
        spread = [explained(each, truth, learned) for each in several]
        print(f'explained variance by seed: {", ".join(f"{value:.4f}" for value in spread)}')

    print(f'{"":24}explained  jitter  correlation of each, and mean')
    for name, found in said.items():
        told = measures.correlations(found, truth)
        numbers = ' '.join(f'{value:.2f}' for value in (*told, told.mean()))
        jitter = measures.jitter_ratio(found, truth)
        print(f'{name:24}{explained(found, truth, learned):9.4f}  {jitter:6.2f}  {numbers}', flush=True)
    if options.pictures:
        shown = slice(0, 250)
        lines = [truth[shown, :6], said['network'][shown, :6], said['ridge, current window'][shown, :6]]
        titles = [f'expression {k}' for k in chosen[:6]]
        folder = Path(options.pictures)
        folder.mkdir(parents=True, exist_ok=True)
        io.write(folder / 'audio_expression.png', curves.curves(lines, titles=titles, names=('true', 'heard', 'ridge')))
    result = {
        'explained_variance': explained(said['network'], truth, learned),
        'explained_variance_ridge': explained(said['ridge, current window'], truth, learned),
        'explained_variance_ridge16': explained(said['ridge, 16 windows'], truth, learned),
        'jitter_ratio': measures.jitter_ratio(said['network'], truth),
        'correlation': float(measures.correlations(said['network'], truth).mean()),
        'epochs': best,
    }
    print(json.dumps({name: round(value, 4) for name, value in result.items()}))


if __name__ == '__main__':
    main()
