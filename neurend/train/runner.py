"""Steps on the device: one compiled program that runs any number of them."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from neurend import draws
from neurend.checks import InputError
from neurend.models.method import Method
from neurend.models.state import State
from neurend.train import mesh as meshes
from neurend.typing import Array, Key, PyTree, Source

_FUSED = 20


@struct.dataclass
class Totals:
    """Sums over steps, kept on the device so that the host need not wait for each.

    Attributes:
      count: steps summed, int32.
      sums: by name, float32 scalars.
      bad_step: number of finished steps after the first one whose loss was not finite, -1 while all were.
      bad: the metrics of that step.
    """

    count: Array
    sums: dict[str, Array]
    bad_step: Array
    bad: dict[str, Array]

    def add(self, step: Array, metrics: dict[str, Array]) -> 'Totals':
        """With one more step; `step` counts it."""
        first = (self.bad_step < 0) & ~jnp.isfinite(metrics['loss'])
        return Totals(
            count=self.count + 1,
            sums={name: total + metrics[name] for name, total in self.sums.items()},
            bad_step=jnp.where(first, step, self.bad_step),
            bad={name: jnp.where(first, metrics[name], old) for name, old in self.bad.items()},
        )


class Runner:
    """Runs steps of a method, compiled once for each set of shapes of its state.

    Several steps are fused into one program with a loop whose length is an argument: the host then is no limit, and
    chunks of any length (between two checkpoints, say) use the same program. XLA's CPU compiler runs convolutions
    inside loops on one thread and many times slower, so methods with convolutions get one step per call there.

    Attributes:
      mesh, shardings: as given.
      fused_steps: greatest number of steps in a call; known after the first compilation.
      compilations: how often the program was compiled.
      compile_seconds: time this took, tracing included.
    """

    def __init__(
        self,
        method: Method,
        source: Source,
        *,
        key: Key,
        mesh: Mesh,
        fused_steps: int | None,
        shardings: Callable[[PyTree], PyTree],
        say: Callable[[str], None],
    ):
        """Places the source's data on the devices. See `fit` for the arguments."""
        self.fused_steps = fused_steps
        self.compilations = 0
        self.compile_seconds = 0.0
        self._method = method
        self._source = source
        self.mesh = mesh
        self.shardings = shardings
        self._say = say
        everywhere = meshes.replicated(mesh)
        wrap = jax.jit(lambda data: draws.in_a_row(jax.random.wrap_key_data(data)), out_shardings=everywhere)
        self._key = wrap(np.asarray(jax.random.key_data(key)))
        self._data = meshes.place(source.data, jax.tree.map(lambda _: everywhere, source.data))
        self._programs: dict[Any, Any] = {}
        self._metrics: dict[str, Any] = {}
        # Jitted by itself so that its one trace serves both the shapes of the metrics and the program.
        self._one = jax.jit(self._draw_and_step, inline=True)

    def init(self, key: Key) -> State:
        """The state before the first step, born where it will live."""
        # As plain numbers, which may enter a program that runs on the devices of several processes.
        data = np.asarray(jax.random.key_data(key))

        def init(data):
            return self._method.init(jax.random.wrap_key_data(data))

        return jax.jit(init, out_shardings=self.shardings(jax.eval_shape(init, data)))(data)

    def totals(self) -> Totals:
        """Sums over no steps."""
        zeros = {name: jnp.zeros(()) for name in self._metrics}
        empty = Totals(count=jnp.int32(0), sums=zeros, bad_step=jnp.int32(-1), bad=zeros)
        return meshes.place(empty, jax.tree.map(lambda _: meshes.replicated(self.mesh), empty))

    def prepare(self, state: State, batch: PyTree = None) -> None:
        """Compiles for this state's shapes if that was not done; says so, and how long it took.

        Args:
            state: placed.
            batch: shapes of one batch where the host makes them, always the same; None where the device draws.
        """
        signature = _signature(state)
        if signature in self._programs:
            return
        self._say('compiling the training step ...')
        start = time.perf_counter()
        batch = _with(batch, meshes.batch_shardings(batch, self.mesh))
        traced = self._one.trace(self._key, self._data, state, batch)
        _, metrics = traced.out_info
        self._check(metrics)
        self._metrics = metrics
        if self.fused_steps is None:
            on_cpu = self.mesh.devices.flat[0].platform == 'cpu'
            self.fused_steps = 1 if on_cpu and 'conv_general_dilated' in str(traced.jaxpr) else _FUSED
        stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((self.fused_steps, *leaf.shape), leaf.dtype), batch)
        stacked = _with(stacked, meshes.batch_shardings(stacked, self.mesh, axis=1))
        totals = self.totals()
        everywhere = meshes.replicated(self.mesh)
        outputs = (self.shardings(state), jax.tree.map(lambda _: everywhere, totals), everywhere)
        program = jax.jit(self._run, donate_argnums=(0, 1), out_shardings=outputs)
        self._programs[signature] = program.lower(
            state, totals, self._key, self._data, stacked, np.int32(1)
        ).compile()  # fmt: skip
        took = time.perf_counter() - start
        self.compilations += 1
        self.compile_seconds += took
        self._say(f'compiled in {took:.1f} s')

    def run(self, state: State, totals: Totals, batches: PyTree, count: int) -> tuple[State, Totals, Array]:
        """Runs `count` steps of a state that was prepared; the arrays passed are used up.

        Args:
            state: placed.
            totals: of `totals()` or the call before.
            batches: None, or the host's batches stacked along a new first axis of `fused_steps`.
            count: 1 to `fused_steps`.

        Returns:
            The state, the totals, and an array that is ready when both are.
        """
        program = self._programs[_signature(state)]
        return program(state, totals, self._key, self._data, batches, np.int32(count))

    def _draw_and_step(self, key, data, state, batch):
        draw_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        if self._source.draw is not None:
            batch = self._source.draw(draw_key, data)
        batch = jax.lax.with_sharding_constraint(batch, meshes.batch_shardings(batch, self.mesh))
        state, metrics = self._method.step(step_key, state, batch)
        return state, {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()}

    def _run(self, state, totals, key, data, batches, count):
        def body(index, carry):
            state, totals = carry
            batch = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False), batches)
            state, metrics = self._one(key, data, state, batch)
            state = jax.lax.with_sharding_constraint(state, self.shardings(state))
            return state, totals.add(state.step, metrics)

        if self.fused_steps == 1:
            state, totals = body(0, (state, totals))
        else:
            state, totals = jax.lax.fori_loop(0, count, body, (state, totals))
        return state, totals, state.step + 0  # a copy: the state's own is donated to the next call

    def _check(self, metrics) -> None:
        shapes = {name: value.shape for name, value in metrics.items() if value.shape}
        if 'loss' not in metrics or shapes:
            raise InputError(
                f'Method.step: got metrics {sorted(metrics)}'
                + (f' of shapes {shapes}' if shapes else '')
                + ', expected scalars with "loss" among them'
            )


def _with(shapes: PyTree, shardings: PyTree) -> PyTree:
    return jax.tree.map(lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, shardings)


def _signature(state: State) -> tuple[Any, ...]:
    return tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state))
