"""Weighted sums of the rows of a table, which is what looking up a texture comes to, with fast derivatives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from neurend.linear import linear
from neurend.typing import Array

# Places whose gradients are made at a time on a CPU, so that temporaries stay in its cache.
_CHUNK = 16384


@jax.custom_jvp
def weighted(table: Array, places: tuple[Array, ...], weights: tuple[Array, ...]) -> Array:
    """`sum_k weights[k] table[places[k]]`, differentiable in the table and in the weights, in both modes.

    Args:
        table: [m c]. Rows are read and added to whole: with 16 channels that is more than ten times
            faster than one channel after the other.
        places: int32 [n] each, 0 to m - 1, which is not checked.
        weights: [n] each.

    Returns:
        [n c].
    """
    return _sum((places, weights), table)


def _weighted_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    table, places, weights = primals
    by_table, _, by_weights = tangents
    out = weighted(*primals)
    # What is not differentiated costs nothing.
    change = jnp.zeros_like(out)
    if not isinstance(by_table, SymbolicZero):
        change = linear(_sum, lambda at, y: _spread(at, y, table.shape[0]), (places, weights), by_table)
    moved = [k for k, tangent in enumerate(by_weights) if not isinstance(tangent, SymbolicZero)]
    if moved:
        residuals = table, tuple(places[k] for k in moved)
        change = change + linear(_mixed, _products, residuals, tuple(by_weights[k] for k in moved))
    return out, change


weighted.defjvp(_weighted_jvp, symbolic_zeros=True)


def _rows(table: Array, place: Array) -> Array:
    return table.at[place].get(mode='promise_in_bounds')


def _sum(residuals: Any, table: Array) -> Array:
    places, weights = residuals
    return sum((weight[:, None] * _rows(table, place) for place, weight in zip(places, weights)), jnp.zeros(()))


def _spread(residuals: Any, cotangent: Array, count: int) -> Array:
    """The transpose of `_sum`, into a table of `count` rows."""

    def add(total: Array, part: Any, _: Array | int) -> Array:
        places, weights, y = part
        updates = jnp.concatenate([weight[:, None] * y for weight in weights])
        return total.at[jnp.concatenate(places)].add(updates, mode='promise_in_bounds')

    total = jnp.zeros((count, cotangent.shape[-1]), cotangent.dtype)
    everything = (*residuals, cotangent)
    return jax.lax.platform_dependent(
        total, cpu=lambda total: _in_chunks(add, total, everything), default=lambda total: add(total, everything, 0)
    )


def _mixed(residuals: Any, weights: tuple[Array, ...]) -> Array:
    table, places = residuals
    return _sum((places, weights), table)


def _products(residuals: Any, cotangent: Array) -> tuple[Array, ...]:
    """The transpose of `_mixed`; rows are read anew, which is faster than to have kept them."""
    table, places = residuals
    channels, flat = table.shape[1], table.reshape(-1)

    def put(totals: tuple[Array, ...], part: Any, first: Array | int) -> tuple[Array, ...]:
        places, y = part
        # Channel by channel, so that XLA makes one loop of reading, multiplying and adding.
        sums = [sum(_rows(flat, place * channels + k) * y[:, k] for k in range(channels)) for place in places]
        return tuple(jax.lax.dynamic_update_slice_in_dim(*both, first, 0) for both in zip(totals, sums))

    def by_rows(_: Any) -> tuple[Array, ...]:
        return tuple(jnp.sum(_rows(table, place) * cotangent, axis=-1) for place in places)

    totals = tuple(jnp.zeros(len(cotangent), cotangent.dtype) for _ in places)
    return jax.lax.platform_dependent(
        totals, cpu=lambda totals: _in_chunks(put, totals, (places, cotangent)), default=by_rows
    )


def _in_chunks(use: Callable[[Any, Any, Array | int], Any], total: Any, arrays: Any) -> Any:
    """Folds `use(total, part, first)` over parts of arrays [n ...]."""
    count = len(jax.tree.leaves(arrays)[0])
    full = count // _CHUNK

    def body(k: Array, total: Any) -> Any:
        part = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, k * _CHUNK, _CHUNK), arrays)
        return use(total, part, k * _CHUNK)

    if full:
        total = jax.lax.fori_loop(0, full, body, total)
    if full * _CHUNK < count:
        total = use(total, jax.tree.map(lambda x: x[full * _CHUNK :], arrays), full * _CHUNK)
    return total
