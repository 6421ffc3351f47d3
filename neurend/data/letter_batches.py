"""Speech with its text, packed into rows of one length, for recognisers of letters."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.typing import Array, Key, Source


@flax.struct.dataclass
class LetterBatch:
    """Speech and its letters.

    Attributes:
        rows: float32 `[n t c]`, features, 50 rows a second.
        count: int32 `[n]`, rows that count; those behind are silence.
        labels: int32 `[n l]`, classes of letters.
        letters: int32 `[n]`, labels that count.
        spoken: int32 `[n t]`, class of the letter that is spoken in a row, -1 where that is not known.
    """

    rows: Array
    count: Array
    labels: Array
    letters: Array
    spoken: Array


class Utterance(NamedTuple):
    """Something said.

    Attributes:
        samples: float32 [s].
        classes: int32 [k], of its letters.
        places: float [k], samples at which they are spoken, or None where that is not known.
    """

    samples: np.ndarray
    classes: np.ndarray
    places: np.ndarray | None = None


class Packed(NamedTuple):
    """Arrays as in `LetterBatch`, of all m stretches; rows are float16.

    Attributes:
        left_out: how many utterances were longer than a stretch, or faster than letters can follow.
    """

    rows: np.ndarray
    count: np.ndarray
    labels: np.ndarray
    letters: np.ndarray
    spoken: np.ndarray
    left_out: int = 0


def pack(
    utterances: Iterable[Utterance],
    heard: Callable[[np.ndarray], np.ndarray],
    *,
    rows: int,
    samples: int,
    tail: int,
) -> Packed:
    """Joins utterances, with a space between, to stretches of one length, so that little is computed in vain.

    Args:
        utterances: drawn one by one.
        heard: `[rows samples + tail] -> [rows c]`, the features of a stretch.
        rows: of a stretch.
        samples: of a row.
        tail: samples beyond the last row's.

    Raises:
        InputError: no utterance fits.
    """
    found: list[tuple[np.ndarray, int, np.ndarray, np.ndarray]] = []
    waiting: list[Utterance] = []
    length = left_out = 0

    def close() -> None:
        sound, spoken = np.zeros(rows * samples + tail, np.float32), np.full(rows, -1, np.int8)
        place, texts = 0, []
        for each in waiting:
            sound[place : place + len(each.samples)] = each.samples
            if each.places is not None:
                there = np.clip((place + each.places) // samples, 0, rows - 1).astype(int)
                # The letter nearest to each row from the first to the last.
                inside = np.arange(there[0], there[-1] + 1)
                nearest = np.abs(inside[:, None] - there[None]).argmin(1)
                spoken[inside] = each.classes[nearest]
            place += len(each.samples)
            texts += [[0], each.classes]
        text = np.concatenate(texts[1:]).astype(np.int32)
        found.append((np.asarray(heard(sound), np.float16), -(-place // samples), text, spoken))

    for each in utterances:
        said, classes = each.samples, each.classes
        repeated = int((classes[1:] == classes[:-1]).sum())
        # Each letter takes a row, and a blank comes between two of the same.
        if len(said) > rows * samples or len(classes) + repeated + 2 > len(said) // samples:
            left_out += 1
            continue
        if length + len(said) > rows * samples:
            close()
            waiting, length = [], 0
        waiting.append(each)
        length += len(said)
    if not waiting:
        raise checks.InputError(
            f'utterances: none fits, {left_out} are longer than {rows} rows or have more letters than rows. Cut them'
        )
    close()
    longest = -(-max(len(text) for _, _, text, _ in found) // 8) * 8
    labels = np.stack([np.pad(text, (0, longest - len(text))) for _, _, text, _ in found])
    return Packed(
        np.stack([each for each, *_ in found]),
        np.array([count for _, count, *_ in found], np.int32),
        labels.astype(np.int32),
        np.array([len(text) for _, _, text, _ in found], np.int32),
        np.stack([spoken for *_, spoken in found]),
        left_out,
    )


def letter_source(packed: Packed, *, batch: int, change: Callable[[Key, Array], Array] | None = None) -> Source:
    """A source of `LetterBatch`es of stretches drawn uniformly.

    Args:
        packed: the stretches.
        batch: n.
        change: `(key, rows) -> rows`, applied to each batch's rows.

    Raises:
        InputError: a batch without stretches.
    """
    if batch < 1:
        raise checks.InputError(f'batch: got {batch}, expected at least 1')
    total = len(packed.rows)

    def draw(key: Key, data: Any) -> LetterBatch:
        place_key, change_key = jax.random.split(key)
        places = jax.random.randint(place_key, (batch,), 0, total)
        rows, count, labels, letters, spoken = (jnp.asarray(each)[places] for each in data)
        rows = rows.astype(jnp.float32)
        rows = rows if change is None else change(change_key, rows)
        return LetterBatch(rows, count, labels, letters, spoken.astype(jnp.int32))

    return Source(data=packed[:5], draw=draw)
