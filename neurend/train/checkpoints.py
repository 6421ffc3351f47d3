"""Checkpoints of a run: asynchronous, atomic, verified when read. The only file that knows orbax."""

import base64
import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from neurend import trees
from neurend.checks import InputError
from neurend.models.state import State
from neurend.typing import PyTree

# What a checkpoint takes beside its arrays, in bytes.
_OVERHEAD = 100_000


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint held.

    Attributes:
      state: placed by the shardings asked for.
      iterator: state of the data iterator, as `save` was given it; None if none.
      notes: the JSON-able numbers `save` was given.
    """

    state: State
    iterator: Any
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints in one folder. Every process of a run calls every method; each writes the pieces it holds.

    A checkpoint has the state's leaves by name, and a JSON record of their shapes, types and checksums (sums of their
    bits: storage does not notice a flipped bit in an array), of the data iterator and of the run.
    """

    def __init__(self, folder: Path, *, keep: int = 3):
        """Opens or makes the folder, where the newest `keep` checkpoints stay.

        Raises:
            InputError: the folder cannot be made or read.
        """
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=True)
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except Exception as error:
            raise InputError(
                f'checkpoints {folder}: cannot be opened ({_reason(error)}); choose another --workdir'
            ) from error

    def latest(self) -> int | None:
        """Number of steps of the newest complete checkpoint."""
        return self._manager.latest_step()

    def save(self, state: State, *, iterator: Any = None, notes: dict[str, Any] | None = None) -> None:
        """Starts writing; returns when the arrays may be changed. It becomes a checkpoint when all of it is written.

        Args:
            state: arrays, placed.
            iterator: JSON-able or bytes.
            notes: JSON-able.

        Raises:
            InputError: this or the save before could not be written (a full disk); older checkpoints are untouched.
        """
        step = int(state.step)
        self._attempt(lambda: self._check_room(trees.size_bytes(state)), step)
        named = dict(trees.named_leaves(state))
        sums = {name: int(value) for name, value in jax.device_get(_checksums(named)).items()}
        leaves = {
            name: {'shape': list(leaf.shape), 'dtype': str(leaf.dtype), 'sum': sums[name]}
            for name, leaf in named.items()
        }
        record = {'leaves': leaves, 'iterator': _pack(iterator), 'notes': notes or {}}
        arrays = {name: leaf for name, leaf in named.items() if leaf.size}  # orbax refuses empty arrays
        items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), run=ocp.args.JsonSave(record))
        self._attempt(lambda: self._manager.save(step, args=items), step)

    def wait(self) -> None:
        """Waits for the save that is under way.

        Raises:
            InputError: as `save`.
        """
        self._attempt(self._manager.wait_until_finished, None)

    def restore(self, template: PyTree, shardings: Callable[[PyTree], PyTree]) -> Restored | None:
        """Reads the newest checkpoint that can be read, or None if there is none at all.

        Damaged ones are named, moved to `<folder>_damaged` and passed over.

        Args:
            template: a state of arrays or shapes; only its structure counts, since training may have changed shapes.
            shardings: gives a tree of shapes its shardings; the number of devices need not be that of the writer.

        Raises:
            InputError: there are checkpoints and none can be read, or they are of a state with other leaves.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                restored = self._read(step, template, shardings)
            except InputError:
                raise
            except Exception as error:  # storage, decoding and JSON libraries each have their own
                _say(f'checkpoint {self.folder / str(step)}: cannot be read ({_reason(error)}); trying the one before')
                self._set_aside(step)
                continue
            return restored
        if steps:
            raise InputError(
                f'checkpoints {self.folder}: none of steps {steps} can be read; see the messages above, restore the '
                'folder from a copy, or start in another --workdir'
            )
        return None

    def close(self) -> None:
        """Waits, and ends the writing threads.

        Raises:
            InputError: as `save`.
        """
        try:
            self.wait()
        finally:
            self._manager.close()
            if jax.process_index() == 0:
                for part in self.folder.glob('*.orbax-checkpoint-tmp*'):  # what was not finished takes room
                    shutil.rmtree(part, ignore_errors=True)

    def _read(self, step: int, template: PyTree, shardings: Callable[[PyTree], PyTree]) -> Restored:
        record = self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))['run']
        stored = record['leaves']
        names = [name for name, _ in trees.named_leaves(template)]
        if set(names) != set(stored):
            odd = sorted(set(names) ^ set(stored))[:4]
            raise InputError(
                f'checkpoint {self.folder / str(step)}: was written by another method or configuration (it differs at '
                f'{", ".join(odd)}); use that configuration, or another --workdir'
            )
        shapes = [jax.ShapeDtypeStruct(tuple(stored[n]['shape']), jnp.dtype(stored[n]['dtype'])) for n in names]
        tree = jax.tree.unflatten(jax.tree.structure(template), shapes)
        targets = {
            name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
            for name, leaf, sharding in zip(names, shapes, jax.tree.leaves(shardings(tree)))
        }
        wanted = {name: leaf for name, leaf in targets.items() if np.prod(leaf.shape)}
        args = ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
        arrays = dict(self._manager.restore(step, args=args)['state'])
        for name, leaf in targets.items():
            if name not in arrays:
                arrays[name] = jax.device_put(np.zeros(leaf.shape, leaf.dtype), leaf.sharding)
        sums = jax.device_get(_checksums(arrays))
        wrong = [name for name in names if int(sums[name]) != stored[name]['sum']]
        if wrong:
            raise ValueError(f'bits of {", ".join(wrong[:3])} have changed since it was written')
        state = jax.tree.unflatten(jax.tree.structure(template), [arrays[name] for name in names])
        return Restored(state=state, iterator=_unpack(record['iterator']), notes=record['notes'])

    def _set_aside(self, step: int) -> None:
        if jax.process_index() == 0:
            target = self.folder.with_name(f'{self.folder.name}_damaged') / f'{step}_{int(time.time())}'
            target.parent.mkdir(exist_ok=True)
            shutil.move(self.folder / str(step), target)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f'set aside {step}')
        self._manager.reload()

    def _check_room(self, size: int) -> None:
        # Asked beforehand, since a write that fails half-way costs time and a page of the writers' own complaints.
        free = shutil.disk_usage(self.folder).free
        if free < size + _OVERHEAD:
            raise OSError(f'it needs {(size + _OVERHEAD) / 1e6:.1f} MB, the disk has {free / 1e6:.1f} MB free')

    def _attempt(self, action: Callable[[], Any], step: int | None) -> None:
        try:
            action()
            self._manager.check_for_errors()
        except Exception as error:  # writers fail in threads and in libraries, each in its own way
            good = max((int(path.name) for path in self.folder.glob('*') if path.name.isdigit()), default=None)
            last = 'there is no older one' if good is None else f'the last good one is step {good}'
            which = 'a checkpoint' if step is None else f'the checkpoint of step {step}'
            raise InputError(
                f'{which} cannot be written to {self.folder} ({_reason(error)}); {last}. Make room or check the '
                'folder, then start the same command again: it goes on from there'
            ) from error


@jax.jit
def _checksums(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
    def one(leaf):
        if leaf.dtype == jnp.bool_:
            leaf = leaf.astype(jnp.uint8)
        bits = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}[leaf.dtype.itemsize]
        return jnp.sum(jax.lax.bitcast_convert_type(leaf, bits), dtype=jnp.uint32)

    return jax.tree.map(one, leaves)


def _pack(iterator: Any) -> Any:
    return {'base64': base64.b64encode(iterator).decode()} if isinstance(iterator, bytes) else {'json': iterator}


def _unpack(packed: dict[str, Any]) -> Any:
    return base64.b64decode(packed['base64']) if 'base64' in packed else packed['json']


def _reason(error: BaseException) -> str:
    """The first line of the innermost error: what the operating system said, below the libraries' own words."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0][:300]}' if lines else type(error).__name__


def _say(message: str) -> None:
    if jax.process_index() == 0:
        print(message, flush=True)
