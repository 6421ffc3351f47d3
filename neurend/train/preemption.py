"""SIGTERM, as sent to a job that must make room: heard, and answered between two steps."""

import signal
import threading
from types import TracebackType

import jax
import numpy as np
from jax.experimental import multihost_utils


class Preemption:
    """Context in which the first SIGTERM only sets a mark; the second acts as it did outside.

    Outside the main thread of a program, where Python allows no handlers, it does nothing.
    """

    def __init__(self):
        self._heard = False
        self._before = None

    def __enter__(self) -> 'Preemption':
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def requested(self, *, together: bool) -> bool:
        """Whether to stop. With several processes, only where all ask at the same step (`together`), and all agree."""
        if jax.process_count() == 1:
            return self._heard
        return together and bool(np.any(multihost_utils.process_allgather(np.asarray(self._heard))))

    def _hear(self, number, frame) -> None:
        del number, frame
        self._heard = True
        signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)
