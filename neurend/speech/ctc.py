"""Connectionist temporal classification (Graves et al., 2006): the loss, greedy and beam decoding, letter errors."""

import math
from collections import defaultdict
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import optax
from scipy import special

from neurend import checks
from neurend.speech.letters import LetterModel
from neurend.speech.text import BLANK, CLASSES, LETTERS
from neurend.typing import Array

_UNLIKELY = math.log(1e-3)  # letters less probable than this are not tried


def loss(logits: Array, rows: Array, labels: Array, letters: Array) -> Array:
    """The negative logarithm of the probability of each text, `[n]`.

    Args:
        logits: `[n t 29]`.
        rows: int `[n]`, how many of the t count.
        labels: int `[n l]`, classes of letters.
        letters: int `[n]`, how many of the l count.
    """
    sizes = checks.shape('logits', logits, f'n t {CLASSES}')
    sizes = checks.shape('labels', labels, 'n l', 'They must match logits', sizes=sizes)
    outside = jnp.arange(sizes['t'])[None] >= rows[:, None]
    without = jnp.arange(sizes['l'])[None] >= letters[:, None]
    return optax.ctc_loss(
        logits, outside.astype(logits.dtype), labels, without.astype(logits.dtype), blank_id=BLANK
    )  # fmt: skip


def greedy(logits: np.ndarray) -> str:
    """The text of the most probable class of each row of logits `[t 29]`, without repetitions and blanks."""
    checks.shape('logits', logits, f't {CLASSES}')
    best = np.asarray(logits).argmax(-1)
    changed = np.concatenate([[True], best[1:] != best[:-1]]) if len(best) else np.zeros(0, bool)
    return _tidy(''.join(LETTERS[each] for each in best[changed] if each != BLANK))


def beam(logits: np.ndarray, *, width: int = 16, model: LetterModel | None = None, weight: float = 0.5) -> str:
    """The most probable text among the prefixes that a beam keeps (Hannun et al., 2014).

    Args:
        logits: `[t 29]`.
        width: number of prefixes kept after each row.
        model: of texts; none treats them all alike.
        weight: power of the probabilities of `model`.

    Raises:
        InputError: logits of another shape or not finite.
    """
    checks.shape('logits', logits, f't {CLASSES}')
    checks.finite('logits', logits)
    rows = special.log_softmax(np.asarray(logits, np.float64), axis=-1)
    # Of each prefix the logarithms of the probabilities that it ends in a blank and in its letter.
    kept: dict[str, tuple[float, float]] = {'': (0.0, -math.inf)}
    language: dict[str, float] = {'': 0.0}
    for row in rows:
        found: dict[str, list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        likely = [k for k in np.flatnonzero(row > _UNLIKELY) if k != BLANK]
        for prefix, (blank, letter) in kept.items():
            either = np.logaddexp(blank, letter)
            entry = found[prefix]
            entry[0] = np.logaddexp(entry[0], either + row[BLANK])
            if prefix:
                entry[1] = np.logaddexp(entry[1], letter + row[LETTERS.index(prefix[-1])])
            for k in likely:
                longer = prefix + LETTERS[k]
                # A letter after itself is a second one only where a blank lies between.
                before = blank if prefix.endswith(LETTERS[k]) else either
                entry = found[longer]
                entry[1] = np.logaddexp(entry[1], before + row[k])
                if longer not in language:
                    learned = model.log_probability(prefix, LETTERS[k]) if model else 0.0
                    language[longer] = language[prefix] + weight * learned
        scores = {prefix: np.logaddexp(ends[0], ends[1]) + language[prefix] for prefix, ends in found.items()}
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:width]
        kept = {prefix: (found[prefix][0], found[prefix][1]) for prefix in best}
    return _tidy(next(iter(kept)))


def errors(truth: str, heard: str) -> int:
    """Letters to insert, delete and replace to make one text of the other (Levenshtein, 1966)."""
    row = list(range(len(heard) + 1))
    for i, letter in enumerate(truth, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (letter != other))
    return row[-1]


def letter_error_rate(truths: Sequence[str], heard: Sequence[str]) -> float:
    """Errors of all texts by the letters of the true ones, spaces among them."""
    return sum(map(errors, truths, heard)) / max(1, sum(map(len, truths)))


def _tidy(text: str) -> str:
    return ' '.join(text.split())
