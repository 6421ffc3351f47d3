"""What an avatar does, frame by frame: a mouth that is heard, on a head that moves as in a film."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from experiments import avatar_speech, espeak, head_motion, recognizer, spoken_face
from neurend import app, checks
from neurend.data import tracked_head
from neurend.data.tracked_head import Performance, TrackedHead
from neurend.speech import audio
from neurend.speech import text as letters
from neurend.speech import windows as letter_windows
from neurend.speech.audio import Waveform

_CLIPPED = 1e-3
_CLOSED = ('m', 'b', 'p')
_CLOSES = 0.08  # seconds in which lips close before such a sound, and open after it
_NEAREST = 20  # one in so many frames


class Heard(NamedTuple):
    """Speech.

    Attributes:
        windows: of logits, `[t 16 29]`, one for each frame.
        sound: to go with them, None where only logits are known.
        phonemes: with their times, of speech that was synthesised.
    """

    windows: np.ndarray
    sound: Waveform | None = None
    phonemes: tuple[espeak.Phoneme, ...] = ()


def listen(*, wav: str, logits: str, text: str, voice: espeak.Voice, listener: str, fps: float) -> Heard:
    """Hears a recording or a text, or reads what was heard of it.

    Args:
        wav: sound file, or ''.
        logits: file or folder of `neurend.speech.windows.read`, or ''; with `wav` it spares recognising.
        text: to be spoken by espeak-ng, or ''.
        voice: that speaks it.
        listener: workdir of the recogniser, see `experiments.recognizer.load`.
        fps: of the film.

    Raises:
        InputError: something cannot be read, the sound is shorter than a frame, or the logits last otherwise.
    """
    sound, said = None, ()
    if text:
        sound, found, _ = espeak.speak(text, voice)
        said = tuple(found)
    elif wav:
        sound = audio.read(wav)
        if sound.clipped > _CLIPPED:
            app.say(f'{wav}: {sound.clipped:.1%} of the samples are clipped; lips may be wrong. Record it more quietly')
    if sound is not None and round(sound.duration * fps) < 1:
        raise checks.InputError(
            f'{wav or "text"}: lasts {sound.duration:.3f} s, expected a frame of 1/{fps:g} s at least'
        )
    if not logits:
        assert sound is not None
        return Heard(recognizer.load(listener).windows(sound, fps), sound, said)
    windows = letter_windows.read(logits, fps=fps)
    if sound is not None and abs(len(windows) - sound.duration * fps) > fps / 5:
        raise checks.InputError(
            f'{logits}: {len(windows)} frames at {fps:g} per second, {wav} lasts {sound.duration:.2f} s, expected the '
            'same. Give the logits of this recording'
        )
    return Heard(windows, sound, said)


def turning(count: int, length: int, *, start: int = 0) -> np.ndarray:
    """Numbers `[length]` of the frames of a film of `count`, forwards and backwards in turn, so that nothing jumps.

    >>> turning(3, 7)
    array([0, 1, 2, 1, 0, 1, 2])
    """
    if count < 1:
        raise checks.InputError(f'count: got {count} frames, expected at least 1')
    place = (start + np.arange(length)) % max(2 * count - 2, 1)
    return np.where(place < count, place, 2 * count - 2 - place)


def motion(head: TrackedHead, path: str = '') -> Performance:
    """How the head moves and what its upper face does: as in the frames to learn from, or in those of another tracking.

    Poses of another are taken as they differ from its mean, and brought to the mean of the head's own.

    Args:
        head: the person.
        path: of a `tracking.npz`, see `neurend.data.tracked_head.read_performance`; '' for the head's own film.

    Raises:
        InputError: it cannot be read, or tells of expressions that the head's model lacks.
    """
    own = Performance(*(each[: head.train] for each in head.performance))
    if not path:
        return own
    other = tracked_head.read_performance(path, head.names, fps=head.fps)
    here, there = (spoken_face.mean_pose(each.world_from_head).astype(np.float64) for each in (own, other))
    return other._replace(world_from_head=(here @ np.linalg.inv(there) @ other.world_from_head).astype(np.float32))


def speak(head: TrackedHead, lips: np.ndarray, base: Performance, places: np.ndarray) -> Performance:
    """Puts a mouth that speaks onto a head that moves.

    Args:
        head: the person.
        lips: expressions of the mouth, `[t m]`, see `avatar_speech.mouth`.
        base: the rest of the face and the poses.
        places: `[t]`, which frames of it.
    """
    expressions = base.expressions[places].copy()
    expressions[:, avatar_speech.mouth(head.names)] = lips
    return Performance(expressions, base.world_from_head[places])


def closing(heard: Heard, fps: float) -> np.ndarray:
    """How surely m, b or p is said in each frame, `[t]` in [0, 1]: by phonemes where they are known, or by letters."""
    count = len(heard.windows)
    if not heard.phonemes:
        said = avatar_speech.hear(heard.windows, 'probabilities')[:, letter_windows.CENTER]
        return ndimage.maximum_filter1d(said[:, [letters.LETTERS.index(each) for each in _CLOSED]].sum(1), 3)
    time, weights = np.arange(count) / fps, np.zeros(count, np.float32)
    for each in heard.phonemes:
        if each.symbol in _CLOSED:
            away = np.maximum(np.maximum(each.start - time, time - each.end), 0)
            weights = np.maximum(weights, 0.5 + 0.5 * np.cos(np.pi * np.minimum(away / _CLOSES, 1)))
    return weights


def close(head: TrackedHead, lips: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Brings expressions of the mouth `[t m]` by parts `[t]` towards the mean of those of the film that close it."""
    gaps = head_motion.gap(head.mesh, motion(head))
    nearest = np.argsort(gaps)[: max(1, len(gaps) // _NEAREST)]
    closed = head.performance.expressions[nearest][:, avatar_speech.mouth(head.names)].mean(0)
    return lips + weights[:, None] * (closed[None] - lips)


def reenact(head: TrackedHead, path: str, base: Performance, *, relative: bool = False) -> Performance:
    """The expressions of another's tracked film, in poses of `base` in turn.

    Args:
        head: the person.
        path: of a `tracking.npz`.
        base: whose poses.
        relative: whether they are as far from the mean of the person's film as from their own, within [0, 1], not what
            they are: what a face does at rest cannot be told from how it is made.

    Raises:
        InputError: see `motion`.
    """
    expressions = tracked_head.read_performance(path, head.names, fps=head.fps).expressions
    if relative:
        rest = head.performance.expressions[: head.train].mean(0)
        expressions = np.clip(expressions + (rest - expressions.mean(0))[None], 0, 1)
    return Performance(expressions, base.world_from_head[turning(len(base.expressions), len(expressions))])
