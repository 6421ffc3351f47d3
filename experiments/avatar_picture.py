"""Pictures of an avatar: as many a second as two cores give, over any background, or in place of a film's mouth."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from experiments import spoken_face
from experiments.face_drawing import unit
from neurend import checks
from neurend.data import tracked_shots
from neurend.data.pairs import resize
from neurend.data.tracked_head import Performance, TrackedHead
from neurend.images import io
from neurend.models.method import Method
from neurend.models.neural_texture.deferred import Shot
from neurend.models.state import State
from neurend.typing import Array

_THREADS = 2
_AHEAD = 4  # frames drawn before they are asked for
# Of the 68 landmarks: the jaw but for its ends, and the nostrils, around which the mouth lies.
_JAW, _NOSTRILS = np.arange(2, 15), np.arange(31, 36)
_SOFT = 0.06  # of the width of the jaw: how soft the border between film and picture is


def drawer(head: TrackedHead, method: Method, state: State) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    """Makes a function that draws an expression `e` in a pose `4 4` over what is behind a frame: uint8 `[h w 3]`."""
    camera = jax.tree.map(jnp.asarray, head.camera)

    @jax.jit
    def drawn(state: State, expression: Array, pose: Array, behind: Array) -> Array:
        rgb = method.render(state, Shot(camera, unit(behind), (expression, pose))).rgb
        return jnp.round(255 * jnp.clip(rgb, 0, 1)).astype(jnp.uint8)

    state = jax.device_put(state)

    def draw(expression: np.ndarray, pose: np.ndarray, place: int) -> np.ndarray:
        return np.asarray(drawn(state, expression, pose, tracked_shots.behind(head, np.array([place]))[0]))

    return draw


def frames(
    head: TrackedHead, method: Method, state: State, performance: Performance, places: np.ndarray
) -> Iterator[np.ndarray]:
    """Draws a performance over what is behind frames `places` `[t]`: uint8 `[h w 3]` each, as they are asked for."""
    draw = drawer(head, method, state)
    # One frame leaves a core idle in many of its operations; two at a time do not.
    waiting: collections.deque[Future[np.ndarray]] = collections.deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for frame in zip(*performance, places):
            waiting.append(pool.submit(draw, *frame))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def over(head: TrackedHead, background: str) -> TrackedHead:
    """The head before another background, a picture file, the middle of which fills the frame.

    Raises:
        InputError: the picture cannot be read, or the head was learned among the frames themselves.
    """
    if not background:
        return head
    keeps_film(head, 'background')
    height, width = head.background.shape[:2]
    picture = io.read(Path(background), channels=3)
    rows, columns = picture.shape[:2]
    share = min(rows / height, columns / width)  # of its pixels to one of the frame's
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    top, left = (rows - tall) // 2, (columns - wide) // 2
    cut = picture[top : top + tall, left : left + wide]
    return dataclasses.replace(head, background=resize(cut, (width, height)))


def keeps_film(head: TrackedHead, flag: str) -> None:
    """Raises `InputError` where the head is drawn into its own frames, which another motion or background denies."""
    if head.surroundings is not None:
        raise checks.InputError(
            f'--{flag}: the avatar is drawn into the frames of its film, expected none; train one without --hole'
        )


def dubbed(
    head: TrackedHead, performance: Performance, places: np.ndarray, pictures: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Puts the lower faces of pictures into frames of the head's film: uint8 `[h w 3]` each.

    Args:
        head: whose film.
        performance: of the pictures.
        places: `[t]`, the film's frames whose poses and upper faces the pictures have.
        pictures: uint8 `[h w 3]`.
    """
    own = Performance(*(each[places] for each in head.performance))
    marks = [spoken_face.project(head, *each) for each in (performance, own)]
    height, width = head.background.shape[:2]
    for k, (place, picture) in enumerate(zip(places, pictures)):
        mask = np.maximum(*(lower_face(each[k], width, height) for each in marks))[..., None]
        film = head.images[place].astype(np.float32)
        yield np.round(film + mask * (picture - film)).astype(np.uint8)


def lower_face(landmarks: np.ndarray, width: int, height: int) -> np.ndarray:
    """Where the mouth of a face with landmarks `[68 2]`, in pixels, moves what is seen: `[h w]`, 1 there, 0 elsewhere.

    The hull of jaw and nostrils, a little larger than these, with a soft border.
    """
    ring = np.concatenate([landmarks[_JAW], landmarks[_NOSTRILS][::-1]])
    middle, across = ring.mean(0), np.ptp(landmarks[_JAW, 0])
    ring = middle + (ring - middle) * 1.1
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), bool)
    # A ray to the right crosses the outline an odd number of times from within.
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0)):
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide='ignore', invalid='ignore'):
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return ndimage.gaussian_filter(inside.astype(np.float32), _SOFT * across)
