"""Where arrays live: one mesh over all devices, parameters replicated or sharded by size, batches sharded.

Every function takes and gives whole arrays, the same on each process; the mesh decides which process holds what. The
numbers do not depend on the mesh beyond rounding: a batch is a function of the step, and random numbers do not depend
on how an array is sharded.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from neurend.typing import PyTree

DATA_AXIS = 'data'


def make(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh with the one axis 'data' over the given devices (all devices of all processes if None)."""
    devices = jax.devices() if devices is None else devices
    # JAX's default is explicit axes, under which gather, scatter and sort of sharded arrays raise.
    return jax.make_mesh((len(devices),), (DATA_AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(tree: PyTree, mesh: Mesh, *, shard_above: int | None = None) -> PyTree:
    """Shardings of a training state: replicated, or large leaves cut along their longest axis.

    The rule looks at shapes alone, so an optimizer's moments and an average of the parameters lie as the parameters do.

    Args:
        tree: arrays or `jax.ShapeDtypeStruct`s.
        mesh: of `make`.
        shard_above: leaves of more bytes are sharded along their longest axis that the mesh divides (fully sharded data
            parallelism, Rajbhandari et al., "ZeRO", 2020); None replicates everything.
    """
    count = mesh.shape[DATA_AXIS]

    def one(leaf):
        size = np.prod(leaf.shape, dtype=np.int64) * np.dtype(leaf.dtype).itemsize
        axes = [axis for axis, length in enumerate(leaf.shape) if length and length % count == 0]
        if shard_above is None or size <= shard_above or not axes:
            return replicated(mesh)
        axis = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*(None,) * axis, DATA_AXIS))

    return jax.tree.map(one, tree)


def batch_shardings(tree: PyTree, mesh: Mesh, *, axis: int = 0) -> PyTree:
    """Shardings of a batch: each leaf cut along `axis` where the mesh divides it, else replicated."""

    def one(leaf):
        if len(leaf.shape) <= axis or leaf.shape[axis] % mesh.shape[DATA_AXIS]:
            return replicated(mesh)
        return NamedSharding(mesh, PartitionSpec(*(None,) * axis, DATA_AXIS))

    return jax.tree.map(one, tree)


def place(tree: PyTree, shardings: PyTree) -> PyTree:
    """Puts whole arrays (NumPy or on one device, the same on every process) where the shardings say, as copies."""

    def one(leaf, sharding):
        # NumPy's float64 becomes float32 unless JAX was told otherwise.
        array = np.array(leaf, dtype=jax.dtypes.canonicalize_dtype(np.asarray(leaf).dtype))
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(one, tree, shardings)


def local(tree: PyTree, mesh: Mesh) -> PyTree:
    """The whole arrays on this process's first device of the mesh, for work on the host; sharded leaves are gathered.

    All processes must call it. Leaves may share memory with the originals.
    """
    if mesh.size == 1:
        return tree  # whole already; placed anew it would be compiled for anew, after training once more
    everywhere = replicated(mesh)
    if any(not leaf.is_fully_replicated for leaf in jax.tree.leaves(tree)):
        tree = jax.jit(lambda x: x, out_shardings=everywhere)(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
