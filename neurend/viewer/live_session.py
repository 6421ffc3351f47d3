"""A talk between a page and a program: sound comes in, pictures go out, and nothing piles up on the way.

Two threads: one hears, one draws. Between them and after them are short queues that lose their oldest when they are
full, so that a slow machine shows fewer frames rather than late ones.
"""

import collections
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from neurend.checks import InputError
from neurend.images import io

T = TypeVar('T')
Hearing = Callable[[np.ndarray], Iterable[tuple[int, Any]]]
_PIECES = 50  # of sound that wait to be heard
_FRAMES = 2  # that wait to be drawn, and to be sent
_DRAWING = 2  # at a time: one leaves a core idle in many of its operations


class Show(NamedTuple):
    """What a page shows.

    Attributes:
        name: of whoever is seen.
        fps: frames per second.
        size: width and height of the pictures, in pixels.
        wait: seconds of sound that a frame waits for, beyond its own time.
        hear: given samples per second, makes a function of samples `[n]` in [-1, 1], that follow each other. It returns
            the frames that are complete by them: their numbers, from 0, and what they show.
        draw: makes the picture, uint8 `[h w 3]`, of a frame's number and what it shows.
    """

    name: str
    fps: float
    size: tuple[int, int]
    wait: float
    hear: Callable[[int], Hearing]
    draw: Callable[[int, Any], np.ndarray]


class Sent(NamedTuple):
    """A frame for the page.

    Attributes:
        frame: its number; its sound is at frame / fps.
        picture: JPEG.
        dropped: how many before it were left out.
        seconds: between the sound that completed it and its picture.
    """

    frame: int
    picture: bytes
    dropped: int
    seconds: float


class Queue(Generic[T]):
    """The newest few of what was put, in order; `take` waits for the next one. Ends by `close`."""

    def __init__(self, size: int):
        self._items: collections.deque[T] = collections.deque(maxlen=size)
        self._change = threading.Condition()
        self._closed = False

    def put(self, item: T) -> None:
        """Puts one; the oldest is lost if there are too many."""
        with self._change:
            self._items.append(item)
            self._change.notify()

    def take(self, seconds: float | None = None) -> T | None:
        """The oldest one; None if it is closed, or none comes in time."""
        with self._change:
            self._change.wait_for(lambda: self._items or self._closed, seconds)
            return None if self._closed or not self._items else self._items.popleft()

    def close(self) -> None:
        """Ends all waiting."""
        with self._change:
            self._closed = True
            self._change.notify_all()


class Session:
    """One talk.

    Args:
        show: what is shown.
        rate: samples per second that come.
        quality: of the JPEG.
    """

    def __init__(self, show: Show, rate: int, *, quality: int = 85):
        self._show, self.rate, self._quality = show, rate, quality
        self._first = show.hear(rate)
        self._sound: Queue[tuple[int, np.ndarray, float]] = Queue(_PIECES)
        self._heard: Queue[tuple[int, Any, float]] = Queue(_FRAMES)
        self._drawn: Queue[tuple[int, bytes, float]] = Queue(_FRAMES)
        self._next = self._missing = 0  # of frames
        self._closed, self._expected, self._lock = threading.Event(), 0, threading.Lock()
        self.touched = time.monotonic()
        self.problem: Exception | None = None
        self._threads = [threading.Thread(target=self._run, args=(part,), daemon=True) for part in ('hear', 'draw')]
        for each in self._threads:
            each.start()

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed.is_set()

    def push(self, start: int, samples: np.ndarray) -> None:
        """Takes a piece of sound, of which `start` samples came before. What is missing between pieces is left out.

        Raises:
            InputError: a piece that begins before the last one's end.
        """
        with self._lock:
            if start < self._expected:
                raise InputError(f'start: got {start}, expected {self._expected} samples or more, which have come')
            self._expected = start + len(samples)
            self.touched = time.monotonic()
            self._sound.put((start, samples, self.touched))

    def take(self, seconds: float | None = None) -> Sent | None:
        """The next frame; None if the session has ended, or none comes in time."""
        drawn = self._drawn.take(seconds)
        if drawn is None:
            return None
        frame, picture, took = drawn
        self._missing += frame - self._next
        self._next = frame + 1
        return Sent(frame, picture, self._missing, took)

    def close(self) -> None:
        """Ends it and waits for its threads."""
        self._closed.set()
        for each in (self._sound, self._heard, self._drawn):
            each.close()
        for each in self._threads:
            if each is not threading.current_thread():
                each.join()

    def _run(self, part: str) -> None:
        try:
            {'hear': self._hear, 'draw': self._draw}[part]()
        except Exception as error:
            self.problem = error
            self._closed.set()
            for each in (self._sound, self._heard, self._drawn):
                each.close()
            raise  # to be read where the program runs

    def _hear(self) -> None:
        hear, offset, begin, following = self._first, 0, 0, 0
        while (piece := self._sound.take()) is not None:
            start, samples, came = piece
            if start != following:
                # Sound is missing: hear anew from the next frame on, whose number tells its time still.
                hear, offset = self._show.hear(self.rate), int(np.ceil(start * self._show.fps / self.rate))
                begin = round(offset * self.rate / self._show.fps)
            following = start + len(samples)
            samples = samples[max(0, begin - start) :]
            for frame, shown in hear(samples) if len(samples) else ():
                self._heard.put((offset + frame, shown, came))

    def _draw(self) -> None:
        drawing: collections.deque[tuple[int, float, Future[bytes]]] = collections.deque()
        with ThreadPoolExecutor(_DRAWING) as pool:
            while not self.closed:
                # Wait for another to draw only while none is drawn.
                waiting = self._heard.take(0 if drawing else None)
                if waiting is not None:
                    frame, shown, came = waiting
                    drawing.append((frame, came, pool.submit(self._picture, frame, shown)))
                if drawing and (waiting is None or len(drawing) == _DRAWING):
                    frame, came, picture = drawing.popleft()
                    self._drawn.put((frame, picture.result(), time.monotonic() - came))

    def _picture(self, frame: int, shown: Any) -> bytes:
        return io.encode_jpeg(self._show.draw(frame, shown), quality=self._quality)
