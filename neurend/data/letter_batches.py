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
    """

    rows: Array
    count: Array
    labels: Array
    letters: Array


class Packed(NamedTuple):
    """Arrays as in `LetterBatch`, of all m stretches; rows are float16.

    Attributes:
        left_out: how many utterances were longer than a stretch, or faster than letters can follow.
    """

    rows: np.ndarray
    count: np.ndarray
    labels: np.ndarray
    letters: np.ndarray
    left_out: int = 0


def pack(
    spoken: Iterable[tuple[np.ndarray, np.ndarray]],
    heard: Callable[[np.ndarray], np.ndarray],
    *,
    rows: int,
    samples: int,
    tail: int,
) -> Packed:
    """Joins utterances, with a space between, to stretches of one length, so that little is computed in vain.

    Args:
        spoken: samples float32 `[s]` and classes of letters int32 `[k]` of each utterance; drawn one by one.
        heard: `[rows samples + tail] -> [rows c]`, the features of a stretch.
        rows: of a stretch.
        samples: of a row.
        tail: samples beyond the last row's.

    Raises:
        InputError: no utterance fits.
    """
    found: list[tuple[np.ndarray, int, np.ndarray]] = []
    sound, text, left_out = np.zeros(0, np.float32), np.zeros(0, np.int32), 0

    def close() -> None:
        padded = np.zeros(rows * samples + tail, np.float32)
        padded[: len(sound)] = sound
        found.append((np.asarray(heard(padded), np.float16), -(-len(sound) // samples), text))

    for said, classes in spoken:
        repeated = int((classes[1:] == classes[:-1]).sum())
        # Each letter takes a row, and a blank comes between two of the same.
        if len(said) > rows * samples or len(classes) + repeated + 2 > len(said) // samples:
            left_out += 1
            continue
        if len(sound) + len(said) > rows * samples:
            close()
            sound, text = said, classes
            continue
        text = np.concatenate([text, [0], classes]).astype(np.int32) if len(text) else classes
        sound = np.concatenate([sound, said])
    if not len(sound):
        raise checks.InputError(
            f'utterances: none fits, {left_out} are longer than {rows} rows or have more letters than rows. Cut them'
        )
    close()
    longest = -(-max(len(text) for *_, text in found) // 8) * 8
    labels = np.stack([np.pad(text, (0, longest - len(text))) for *_, text in found]).astype(np.int32)
    counts, letters = (np.array(values, np.int32) for values in zip(*((c, len(text)) for _, c, text in found)))
    return Packed(np.stack([each for each, *_ in found]), counts, labels, letters, left_out)


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
        rows, *others = (jnp.asarray(each)[places] for each in data)
        rows = rows.astype(jnp.float32)
        return LetterBatch(rows if change is None else change(change_key, rows), *others)

    return Source(data=packed[:4], draw=draw)
