"""The alphabet of speech recognition: space, a to z, apostrophe; and texts brought to it."""

import re
import unicodedata

import numpy as np

from neurend.checks import InputError

LETTERS = " abcdefghijklmnopqrstuvwxyz'"
"""Classes 0 to 27 of a recogniser's logits."""
BLANK = 28
"""The class that means no letter (Graves et al., 2006)."""
CLASSES = 29

_APOSTROPHES = '’‘ʼ`´'
_STOPS = re.compile(r'[\s.,;:!?"“”„«»()\[\]{}…–—\-_/]+')


def normalize(text: str) -> str:
    """Small letters, one space between words, no punctuation and no accents.

    Raises:
        InputError: characters outside the alphabet, such as digits, or nothing left.

    >>> normalize('“She’s late”, he said: a café -')
    "she's late he said a cafe"
    """
    plain = text.translate({ord(each): "'" for each in _APOSTROPHES})
    decomposed = unicodedata.normalize('NFKD', plain)
    plain = ''.join(each for each in decomposed if not unicodedata.combining(each)).lower()
    plain = _STOPS.sub(' ', plain).strip()
    others = sorted(set(plain) - set(LETTERS))
    if others:
        raise InputError(
            f'text: got characters outside the alphabet, {" ".join(map(repr, others[:8]))}, expected letters a to z, '
            'apostrophe, spaces and punctuation. Write numbers and signs as words'
        )
    if not plain:
        raise InputError(f'text: got {text!r}, expected at least one letter')
    return plain


def encode(text: str) -> np.ndarray:
    """Classes int32 [n] of a text, normalised first.

    Raises:
        InputError: see `normalize`.
    """
    return np.array([LETTERS.index(letter) for letter in normalize(text)], np.int32)


def decode(classes: np.ndarray) -> str:
    """The text of classes [n], each 0 to 27."""
    return ''.join(LETTERS[int(each)] for each in classes)
