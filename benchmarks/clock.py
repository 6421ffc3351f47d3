"""Training against the clock: what counts is what a user waits for again and again, not what is compiled once."""

import time
from typing import Any

import jax
import jax.numpy as jnp

CHUNK = 25


class Clock:
    """Seconds of training: stopped while evaluating and compiling, also where JAX compiles of its own accord.

    `timer` is that of the wall; with `time.process_time` seconds of the process on all its cores count, which others on
    them hardly change, and those in which JAX compiles of its own accord count as well.
    """

    def __init__(self, timer=time.perf_counter):
        self.compile_seconds, self._timer = 0.0, timer
        self._total, self._running, self._since = 0.0, False, 0.0
        self._intervals: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._event)

    def _event(self, name, seconds, **_):
        """Is told of each tracing, lowering and compilation as it ends; those of inner functions end first."""
        if not name.startswith('/jax/core/compile'):
            return
        begun, new = time.perf_counter() - seconds, seconds
        while self._intervals and self._intervals[-1][0] >= begun:
            new -= self._intervals.pop()[1]
        self._intervals.append((begun, seconds))
        self.compile_seconds += new
        self._total -= new if self._running and self._timer is time.perf_counter else 0.0

    def start(self):
        self._running, self._since = True, self._timer()

    def stop(self):
        self._total, self._running = self.seconds(), False

    def seconds(self):
        return self._total + (self._timer() - self._since if self._running else 0.0)

    def compile(self, jitted, *args):
        """The program for these arguments; none of the time it takes counts."""
        self.stop()
        program = jitted.lower(*args).compile()
        self.start()
        return program


def looped(method, source, key):
    """`count` steps of the method in one program, as `neurend.train.runner` makes it; sums of the metrics."""

    def one(state, data):
        draw_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        return method.step(step_key, state, source.draw(draw_key, data))

    def run(state, data, count):
        zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), jax.eval_shape(one, state, data)[1])

        def body(_, carry):
            state, metrics = one(carry[0], data)
            return state, jax.tree.map(jnp.add, carry[1], metrics)

        return jax.lax.fori_loop(0, count, body, (state, zeros))

    return jax.jit(run, donate_argnums=0)


class Trainer:
    """Trains a method of which `update` may change shapes, a few steps at a time.

    Attributes:
        state: of the method.
        steps: done.
        seconds_per_step: of the last call of `advance`.
        complete: part of the rays that counted in it.
    """

    def __init__(self, method, source, clock: Clock):
        self.clock, self._method = clock, method
        key = jax.random.key(0)
        self.state = jax.jit(method.init)(key)
        self.steps, self.seconds_per_step, self.complete = 0, float('nan'), 0.0
        self._data = jax.tree.map(jnp.asarray, source.data)
        self._looped, self._grids = looped(method, source, key), 0
        self._program: Any = None

    def advance(self, limit: int, length: float) -> None:
        """Some steps of a schedule of `length`, at most until `limit`, and the update that is due after them."""
        method = self._method
        count = min([CHUNK, *(step - self.steps for step in (*method.update_steps, limit) if step > self.steps)])
        self.state = self.state.replace(aux={**self.state.aux, 'steps': jnp.float32(length)})
        if self._grids != len(self.state.aux['grids']):
            self._grids = len(self.state.aux['grids'])
            self._program = self.clock.compile(self._looped, self.state, self._data, jnp.int32(count))
        begun = self.clock.seconds()
        self.state, sums = jax.block_until_ready(self._program(self.state, self._data, jnp.int32(count)))
        self.seconds_per_step = (self.clock.seconds() - begun) / count
        self.complete = float(sums['complete']) / count
        self.steps += count
        if self.steps in method.update_steps:
            self.state = jax.block_until_ready(method.update(self.state))
