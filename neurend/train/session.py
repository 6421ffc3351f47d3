"""Steps in order, with the data and the updates of the method that belong to them: a run without its reports."""

import time
from collections.abc import Iterator
from typing import Any

import jax

from neurend import trees
from neurend.checks import InputError
from neurend.models.method import Method
from neurend.models.state import State
from neurend.train import mesh as meshes
from neurend.train.feed import Feed
from neurend.train.runner import Runner, Totals
from neurend.train.schedule import Schedule
from neurend.typing import Array, PyTree, Source


class Session:
    """A run from some state on; `advance` goes on by one chunk.

    Attributes:
        step: number of finished steps.
        state: after these, once the device is done with them; see `settle`.
        iterator_state: state of the source's iterator after these, None without one.
        seconds: time the steps took, since `begin`.
    """

    def __init__(self, method: Method, source: Source, runner: Runner, schedule: Schedule):
        self._method = method
        self._source = source
        self._runner = runner
        self._schedule = schedule
        self._feed: Feed | None = None
        self._totals: Totals | None = None
        self._before: Array | None = None
        self._started: float | None = None
        self._chunks: Iterator[int] | None = None
        self._longest: int | None = None
        self._batch: PyTree = None
        self.step = 0
        self.seconds = 0.0
        self.state: Any = None
        self.iterator_state: Any = None

    def begin(self, state: State, iterator_state: Any, *, longest: int | None = None) -> None:
        """Takes up a run.

        Args:
            state: placed; it will be used up.
            iterator_state: of the source's iterator at that state.
            longest: greatest number of steps in a chunk; None for as many as the runner fuses.
        """
        self.close()
        self.step, self.state, self.iterator_state = int(state.step), state, iterator_state
        self._totals = self._before = self._started = self._chunks = None
        self._longest = longest

    def advance(self) -> None:
        """Runs the next chunk; returns when the chunk before is done, so that the device always has work."""
        if self._chunks is None:
            self._chunks = self._open()
        self._runner.prepare(self.state, self._batch)
        count = next(self._chunks)
        batches: PyTree = None
        if self._feed is not None:
            batches, self.iterator_state = self._feed.next()
        if self._started is None:
            self._started = time.perf_counter()
        totals = self._runner.totals() if self._totals is None else self._totals
        self.state, self._totals, done = self._runner.run(self.state, totals, batches, count)
        if self._before is not None:
            self._before.block_until_ready()
        self._before = done
        self.step += count

    def settle(self) -> Totals:
        """Waits for the device and returns what was summed, on the host; time stands still until the next chunk."""
        assert self._totals is not None and self._before is not None
        self._before.block_until_ready()
        if self._started is not None:
            self.seconds += time.perf_counter() - self._started
            self._started = None
        return jax.device_get(self._totals)

    def forget(self) -> None:
        """Starts the sums anew."""
        self._totals = None

    def update(self) -> None:
        """Calls `Method.update` where the schedule says so."""
        if self._method.update is None or not self._schedule.updates(self.step):
            return
        mesh = self._runner.mesh
        updated = self._method.update(meshes.local(self.state, mesh))
        if jax.tree.structure(updated) != jax.tree.structure(self.state):
            names = {name for name, _ in trees.named_leaves(updated)} ^ {n for n, _ in trees.named_leaves(self.state)}
            raise InputError(
                f'Method.update: changed the structure of the state at {sorted(names)[:4]}, expected only new values '
                'or shapes'
            )
        if int(updated.step) != self.step:
            raise InputError(f'Method.update: got step {int(updated.step)}, expected it left at {self.step}')
        self.state = meshes.place(updated, self._runner.shardings(updated))

    def _open(self) -> Iterator[int]:
        iterator = self._source.iterator
        if iterator is not None:
            iterator.set_state(self.iterator_state)
            self._batch = jax.eval_shape(lambda x: x, next(iterator))
            iterator.set_state(self.iterator_state)
        self._runner.prepare(self.state, self._batch)
        fused = self._runner.fused_steps
        assert fused is not None
        longest = fused if self._longest is None else min(self._longest, fused)
        if iterator is not None:
            counts = self._schedule.chunks(self.step, longest)
            self._feed = Feed(iterator, counts, length=fused, mesh=self._runner.mesh)
        return self._schedule.chunks(self.step, longest)

    def close(self) -> None:
        """Stops reading ahead."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None
