"""Batches for faces that talk: stretches of a film with what is heard or seen, and an example from elsewhere in it."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.typing import Array, Key, Source


@flax.struct.dataclass
class SpeechBatch:
    """Speech and landmarks at t consecutive moments.

    Landmarks are in [-1, 1] across the picture, x to the right and y down.

    Attributes:
        windows: `[n t rows coefficients]`, features of speech around each moment.
        landmarks: `[n t 68 2]`.
        example: `[n 68 2]`, landmarks of another moment.
    """

    windows: Array
    landmarks: Array
    example: Array


@flax.struct.dataclass
class FaceBatch:
    """Frames in [0, 1] and their landmarks at t consecutive moments; landmarks as in `SpeechBatch`.

    Attributes:
        images: `[n t h w 3]`.
        landmarks: `[n t 68 2]`.
        example: `[n h w 3]`, the frame of another moment.
        example_landmarks: `[n 68 2]`.
    """

    images: Array
    landmarks: Array
    example: Array
    example_landmarks: Array


def speech_source(windows: np.ndarray, landmarks: np.ndarray, *, batch: int, moments: int) -> Source:
    """A source of `SpeechBatch`es from one film of m frames.

    Stretches and examples are drawn uniformly and independently. ATVG (Chen et al., 2019) takes the frame before the
    stretch as its example; a film that is drawn by one example needs any distance between them.

    Args:
        windows: `[m rows coefficients]` float.
        landmarks: `[m 68 2]`.
        batch: n.
        moments: t.

    Raises:
        InputError: shapes that do not fit, numbers below 1, or a film shorter than t.
    """
    count = _count(landmarks, batch, moments)
    checks.shape('windows', windows, f'{count} rows coefficients', 'One for each frame')

    def draw(key: Key, data: Any) -> SpeechBatch:
        taken, example = _places(key, count, batch, moments)
        features, points = map(jnp.asarray, data)
        return SpeechBatch(windows=features[taken], landmarks=points[taken], example=points[example])

    return Source(data=(np.asarray(windows, np.float32), np.asarray(landmarks, np.float32)), draw=draw)


def face_source(images: np.ndarray, landmarks: np.ndarray, *, batch: int, moments: int) -> Source:
    """A source of `FaceBatch`es from one film of m frames, drawn as by `speech_source`.

    Args:
        images: `[m h w 3]` uint8.
        landmarks: `[m 68 2]`.
        batch: n.
        moments: t.

    Raises:
        InputError: see `speech_source`.
    """
    count = _count(landmarks, batch, moments)
    checks.shape('images', images, f'{count} h w 3', 'One for each frame')
    if images.dtype != np.uint8:
        raise checks.InputError(f'images: got dtype {images.dtype}, expected uint8')

    def draw(key: Key, data: Any) -> FaceBatch:
        taken, example = _places(key, count, batch, moments)
        pictures, points = map(jnp.asarray, data)
        seen, known = (pictures[places].astype(jnp.float32) / 255 for places in (taken, example))
        return FaceBatch(images=seen, landmarks=points[taken], example=known, example_landmarks=points[example])

    return Source(data=(images, np.asarray(landmarks, np.float32)), draw=draw)


def _places(key: Key, count: int, batch: int, moments: int) -> tuple[Array, Array]:
    """Frames `[n t]` of stretches and `[n]` of examples."""
    start_key, example_key = jax.random.split(key)
    starts = jax.random.randint(start_key, (batch, 1), 0, count - moments + 1)
    return starts + jnp.arange(moments)[None], jax.random.randint(example_key, (batch,), 0, count)


def _count(landmarks: np.ndarray, batch: int, moments: int) -> int:
    if min(batch, moments) < 1:
        raise checks.InputError(f'batch, moments: got {batch} and {moments}, expected at least 1 of each')
    count = checks.shape('landmarks', landmarks, 'm 68 2')['m']
    checks.finite('landmarks', landmarks)
    if count < moments:
        raise checks.InputError(f'landmarks: got {count} frames, expected at least {moments}, the moments of a stretch')
    return count
