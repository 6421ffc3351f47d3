"""SIGTERM, as sent to a job that must make room, and Ctrl-C: heard, and answered between two steps."""

import signal
import threading
from types import FrameType, TracebackType

import jax
import numpy as np
from jax.experimental import multihost_utils


class Preemption:
    """Context in which the first SIGTERM or SIGINT only sets a mark; the second acts as it did outside.

    Outside the main thread of a program, where Python allows no handlers, it does nothing.

    Attributes:
        interrupted: whether it was SIGINT that was heard.
    """

    def __init__(self):
        self.interrupted = False
        self._heard = False
        self._before = {}

    def __enter__(self) -> 'Preemption':
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def requested(self, *, together: bool) -> bool:
        """Whether to stop. With several processes, only where all ask at the same step (`together`), and all agree."""
        if jax.process_count() == 1:
            return self._heard
        return together and bool(np.any(multihost_utils.process_allgather(np.asarray(self._heard))))

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._heard = True
        self.interrupted = number == signal.SIGINT
        signal.signal(number, self._before.get(signal.Signals(number)) or signal.SIG_DFL)
        if self.interrupted:
            print('\nsaving and stopping after this step, or its compilation; Ctrl-C again stops at once', flush=True)
