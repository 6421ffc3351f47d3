"""A procedural head that speaks: letters as a recogniser hears them, and the mouth that each of them makes."""

import numpy as np
from scipy import ndimage

from experiments.toy_head import toy_head
from neurend.data.tracked_head import TrackedHead
from neurend.faces import procedural
from neurend.speech import text
from neurend.speech import windows as letter_windows

_SAID = (
    'the quick brown fox jumps over the lazy dog my mother bought a big blue boat we move about and sing a song of '
    'apples pears and plums you hear what i say before you see how wide the mouth of a whale may open'
)
_ROWS = 4  # of the recogniser's, 50 a second, for each letter
_SURE = 12.0  # logit of the letter that is said
_SOFT = 1.5  # rows by which lips are slower than letters
_JAW = {'a': 1.0, 'e': 0.6, 'i': 0.5, 'o': 0.7, 'u': 0.3, 'h': 0.5, 'l': 0.4, 'y': 0.4, 'r': 0.3}
_ROUND = {'o': 0.6, 'u': 0.9, 'w': 0.9, 'q': 0.7}
_WIDE = {'e': 0.5, 'i': 0.6, 'y': 0.5, 's': 0.3}
_PRESSED = {'m': 0.8, 'b': 0.8, 'p': 0.8, 'f': 0.4, 'v': 0.4}
_OTHER = 0.2  # of the jaw, for letters that are not named above
_SPOKEN = procedural.NAMES[: procedural.SPOKEN]
_SHAPES = {
    'jawOpen': _JAW, 'mouthPucker': _ROUND, 'mouthSmile_L': _WIDE, 'mouthSmile_R': _WIDE, 'mouthPress_L': _PRESSED,
    'mouthPress_R': _PRESSED,
}  # fmt: skip


def speaking_head(frames: int = 400, size: int = 128) -> tuple[TrackedHead, np.ndarray]:
    """`toy_head` with a mouth that follows letters, and windows of their logits `[frames 16 29]`.

    Args:
        frames: how many.
        size: width and height of the pictures, in pixels.
    """
    seconds = frames / 25
    logits, moves = _letters(round(seconds * letter_windows.RATE) + _ROWS)
    lips = [letter_windows.interpolate(moves[name][:, None], 25, duration=seconds) for name in _SPOKEN]
    head = toy_head(frames, size, lips=np.concatenate(lips, axis=1))
    return head, letter_windows.windows(logits, 25, duration=seconds)


def _letters(rows: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits `[rows 29]`, 50 a second, and each expression of the mouth over the same time."""
    said = np.resize(text.encode(_SAID), -(-rows // _ROWS))
    classes = np.full((len(said), _ROWS), text.BLANK)
    classes[:, :2] = said[:, None]  # a letter, then a blank, as CTC has them
    logits = np.where(np.arange(text.CLASSES)[None] == classes.reshape(-1)[:rows, None], _SURE, 0.0)
    letters = [text.LETTERS[k] for k in np.repeat(said, _ROWS)[:rows]]
    lips = {name: np.zeros(rows, np.float32) for name in _SPOKEN}
    for name, shape in _SHAPES.items():
        rest = {'jawOpen': _OTHER}.get(name, 0.0)
        silent = dict.fromkeys(' mbpfvw', 0.0)
        values = np.array([shape.get(each, silent.get(each, rest)) for each in letters], np.float32)
        lips[name] = ndimage.gaussian_filter1d(values, _SOFT).astype(np.float32)
    noise = np.random.default_rng(0).normal(size=logits.shape)
    return (logits + 0.5 * noise).astype(np.float32), lips
