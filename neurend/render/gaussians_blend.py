"""Blending Gaussians tile by tile from front to back, with derivatives in both modes that do only the visible work.

Tiles with lists of like length go together, so many at a time as keep a core busy between two turns of a loop, which
ends when every pixel of theirs is opaque or every list is read. Reverse mode walks from front to back as well: what
lies behind a Gaussian is the total less what came before, so that nothing is kept for a pair of pixel and Gaussian.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from neurend.linear import linear
from neurend.render.gaussians_project import LEAST_ALPHA
from neurend.render.gaussians_tiles import SIDE, Lists
from neurend.typing import Array

MOST_ALPHA = 0.99
# A pixel that so little light passes takes no more; the Gaussian that would bring it there is left out.
LEAST_PASSED = 1e-4
# Columns of the rows before the features: x, y, conic (xx, xy, yy), opacity.
SHAPE = 6
_CHUNK = 32
_TILES_CPU, _TILES_ELSEWHERE = 16, 4096
_PIXELS = SIDE * SIDE


class _Chunk(NamedTuple):
    """Some Gaussians of tiles: k-th of tile b at pixel p.

    Attributes:
        ids: [b k].
        rows: [b k columns], places from the tiles' centres.
        alpha: [b k p], 0 where nothing is seen.
        free: [b k p] bool, where alpha varies with its Gaussian.
        before, after: [b k p] light that passes those in front, and it as well.
        counts: [b k p] bool, whether it is not yet too dark for it.
    """

    ids: Array
    rows: Array
    alpha: Array
    free: Array
    before: Array
    after: Array
    counts: Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def blend(rows: Array, lists: Lists, columns: int) -> Array:
    """Features of pixels over black, and what passes.

    Args:
        rows: [N 6+C] x, y, conic (xx, xy, yy), opacity, features. None may be infinite or NaN.
        lists: which are seen where.
        columns: of tiles.

    Returns:
        [tiles C+1 64], the last channel the part of the light behind that passes all.
    """
    return jax.custom_batching.sequential_vmap(lambda rows, lists: _by_platform(_forward, columns, rows, lists))(
        rows, lists
    )


@blend.defjvp
def _blend_jvp(columns: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    rows, lists = primals
    value = blend(rows, lists, columns)

    def forward(residuals: Any, change: Array) -> Array:
        return _by_platform(_push, columns, *residuals, change)

    def transpose(residuals: Any, cotangent: Array) -> Array:
        return _by_platform(_pull, columns, *residuals, cotangent)

    return value, linear(forward, transpose, (rows, lists, value), tangents[0])


def _by_platform(run: Callable, columns: int, *arrays: Any) -> Array:
    tiles = arrays[1].start.shape[0]
    return lax.platform_dependent(
        *arrays,
        cpu=functools.partial(run, columns, min(_TILES_CPU, tiles)),
        default=functools.partial(run, columns, min(_TILES_ELSEWHERE, tiles)),
    )


def _forward(columns: int, at_once: int, rows: Array, lists: Lists) -> Array:
    # A feature of ones sums up the weights, which with what passes make 1.
    rows = jnp.concatenate([rows, jnp.ones_like(rows[:, :1])], axis=-1)
    channels = rows.shape[1] - SHAPE

    def part(group: '_Group', out: Array) -> Array:
        def add(chunk: _Chunk, total: Array) -> Array:
            weight = jnp.where(chunk.counts, chunk.alpha * chunk.before, 0)
            return total + _mixed(chunk.rows[..., SHAPE:], weight)

        total = group.fold(add, jnp.zeros((at_once, channels, _PIXELS), rows.dtype))
        total = jnp.concatenate([total[:, :-1], 1 - total[:, -1:]], axis=1)
        return lax.dynamic_update_slice_in_dim(out, total, group.first, 0)

    empty = jnp.zeros((lists.start.shape[0] + at_once, channels, _PIXELS), rows.dtype).at[:, -1].set(1)
    return _in_place(_groups(part, columns, at_once, rows, lists, empty), lists)


def _push(columns: int, at_once: int, rows: Array, lists: Lists, value: Array, change: Array) -> Array:
    """How [tiles C+1 64] changes as the rows do."""
    channels = rows.shape[1] - SHAPE
    passed = _in_turn(value[:, -1], lists, at_once)

    def part(group: '_Group', out: Array) -> Array:
        def add(chunk: _Chunk, state: Any) -> tuple[Array, Array]:
            total, dimmed = state
            moved, shape = change[chunk.ids], chunk.rows
            dx, dy = _offsets(shape)
            x, y, a, b, c, opacity = (moved[..., k, None] for k in range(SHAPE))
            xx, xy, yy, middle = (shape[..., k, None] for k in (2, 3, 4, 5))
            growth = (xx * dx + xy * dy) * x + (xy * dx + yy * dy) * y
            growth -= 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
            growth += opacity / jnp.where(middle > 0, middle, 1)
            rise = jnp.where(chunk.free & chunk.counts, chunk.alpha * growth, 0)
            upto = _running(jnp.add, rise / (1 - chunk.alpha)) + dimmed[:, None]
            ahead = jnp.concatenate([dimmed[:, None], upto[:, :-1]], axis=1)
            heavier = chunk.before * (rise - chunk.alpha * ahead)
            weight = jnp.where(chunk.counts, chunk.alpha * chunk.before, 0)
            heavier = jnp.where(chunk.counts, heavier, 0)
            for features, by in ((shape[..., SHAPE:], heavier), (moved[..., SHAPE:], weight)):
                total += _mixed(features, by)
            return total, upto[:, -1]

        zeros = jnp.zeros((at_once, channels, _PIXELS), rows.dtype)
        total, dimmed = group.fold(add, (zeros, zeros[:, 0]))
        lost = -dimmed * lax.dynamic_slice_in_dim(passed, group.first, at_once)
        return lax.dynamic_update_slice_in_dim(out, jnp.concatenate([total, lost[:, None]], axis=1), group.first, 0)

    empty = jnp.zeros((lists.start.shape[0] + at_once, channels + 1, _PIXELS), rows.dtype)
    return _in_place(_groups(part, columns, at_once, rows, lists, empty), lists)


def _pull(columns: int, at_once: int, rows: Array, lists: Lists, value: Array, cotangent: Array) -> Array:
    """The gradient [N 6+C] of the rows, given that of the result."""
    # What the whole pixel brings, and what comes through it, as the front sees them.
    total = _in_turn(jnp.sum(value * cotangent, axis=1), lists, at_once)
    wanted = _in_turn(cotangent[:, :-1], lists, at_once)
    basis = _moments(rows.dtype)

    def part(group: '_Group', out: Array) -> Array:
        behind = lax.dynamic_slice_in_dim(total, group.first, at_once)
        worth = lax.dynamic_slice_in_dim(wanted, group.first, at_once)

        def add(chunk: _Chunk, state: Any) -> tuple[Array, Array]:
            out, spent = state
            shape = chunk.rows
            price = _priced(shape[..., SHAPE:], worth)
            weight = jnp.where(chunk.counts, chunk.alpha * chunk.before, 0)
            upto = _running(jnp.add, weight * price) + spent[:, None]
            slope = chunk.before * price - (behind[:, None] - upto) / (1 - chunk.alpha)
            force = jnp.where(chunk.free & chunk.counts, chunk.alpha * slope, 0)
            sums = jnp.matmul(force.reshape(-1, _PIXELS), basis, precision='highest').reshape(*force.shape[:2], 6)
            by_features = _shared(weight, worth)
            gradient = jnp.concatenate([_by_shape(shape, sums), by_features], axis=-1)
            # Places beyond the end of a list have no weight, and so add nothing wherever it is.
            return out.at[chunk.ids].add(gradient, mode='promise_in_bounds'), upto[:, -1]

        return group.fold(add, (out, jnp.zeros((at_once, _PIXELS), rows.dtype)))[0]

    return _groups(part, columns, at_once, rows, lists, jnp.zeros_like(rows))


class _Group(NamedTuple):
    """Tiles of one turn; `fold` goes through their lists."""

    first: Array
    fold: Callable[[Callable[[_Chunk, Any], Any], Any], Any]


def _groups(
    part: Callable[[_Group, Array], Array], columns: int, at_once: int, rows: Array, lists: Lists, out: Array
) -> Array:
    """Folds `part` over groups of tiles of which some list has entries."""
    order = jnp.pad(lists.order, (0, at_once))
    # Tiles after the last are empty.
    real = jnp.arange(order.shape[0]) < lists.order.shape[0]
    counts = jnp.where(real, lists.count[order], 0)
    starts = lists.start[order]

    def turn(state: tuple[Array, Array]) -> tuple[Array, Array]:
        k, out = state
        first = k * at_once
        tile, start, count = (lax.dynamic_slice(x, (first,), (at_once,)) for x in (order, starts, counts))
        middle = [(SIDE * place + SIDE / 2).astype(rows.dtype) for place in (tile % columns, tile // columns)]
        fold = functools.partial(_fold, rows, lists, tile, start, count, middle)
        return k + 1, part(_Group(first, fold), out)

    groups = (jnp.sum(counts > 0, dtype=jnp.int32) + at_once - 1) // at_once
    return lax.while_loop(lambda state: state[0] < groups, turn, (jnp.int32(0), out))[1]


def _fold(
    rows: Array,
    lists: Lists,
    tile: Array,
    start: Array,
    count: Array,
    middle: list[Array],
    add: Callable[[_Chunk, Any], Any],
    state: Any,
) -> Any:
    """Folds `add` over chunks of the lists of some tiles, until all is read or dark."""
    chunks = (jnp.max(count) + _CHUNK - 1) // _CHUNK
    place = jnp.arange(_CHUNK, dtype=jnp.int32)
    between = lists.between
    ends = None if between is None else between.ends[tile]

    def turn(carry: Any) -> Any:
        k, light, _, state = carry
        rank = k * _CHUNK + place
        found = lists.ids.at[start[:, None] + rank[None]].get(mode='clip')
        listed = (rank[None] < count[:, None])[..., None]
        if between is not None and ends is not None:
            depth = between.depth[found][..., None]
            listed = listed & (depth >= ends[:, None, 0]) & (depth < ends[:, None, 1])
        chunk, light = _chunk(found, rows[found], listed, middle, light)
        return k + 1, light, jnp.max(light) > LEAST_PASSED, add(chunk, state)

    light = jnp.ones((count.shape[0], _PIXELS), rows.dtype)
    begin = (jnp.int32(0), light, jnp.bool_(True), state)
    return lax.while_loop(lambda carry: (carry[0] < chunks) & carry[2], turn, begin)[3]


def _chunk(found: Array, rows: Array, listed: Array, middle: list[Array], light: Array) -> tuple[_Chunk, Array]:
    x, y = rows[..., 0] - middle[0][:, None], rows[..., 1] - middle[1][:, None]
    rows = jnp.concatenate([x[..., None], y[..., None], rows[..., 2:]], axis=-1)
    dx, dy = _offsets(rows)
    a, b, c, opacity = (rows[..., k, None] for k in (2, 3, 4, 5))
    # Rounding takes the powers of narrow Gaussians below zero. What is not listed is as faint as what is not seen.
    power = jnp.maximum(0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy, 0)
    raw = jnp.where(listed, opacity, 0) * jnp.exp(-power)
    alpha = jnp.where(raw >= LEAST_ALPHA, jnp.minimum(raw, MOST_ALPHA), 0)
    passing = 1 - alpha
    after = _running(jnp.multiply, jnp.concatenate([light[:, None] * passing[:, :1], passing[:, 1:]], axis=1))
    before = jnp.concatenate([light[:, None], after[:, :-1]], axis=1)
    return _Chunk(found, rows, alpha, (alpha > 0) & (alpha < MOST_ALPHA), before, after, after > LEAST_PASSED), after[
        :, -1
    ]


def _running(combine: Callable[[Array, Array], Array], x: Array) -> Array:
    """Running result along axis 1, unrolled: on a CPU several times faster than `jnp.cumsum` and `jnp.cumprod`."""
    parts = [x[:, 0]]
    for k in range(1, x.shape[1]):
        parts.append(combine(parts[-1], x[:, k]))
    return jnp.stack(parts, axis=1)


def _mixed(features: Array, weight: Array) -> Array:
    # Unrolled, as `_running`: narrow products take longer.
    return functools.reduce(jnp.add, [features[:, k, :, None] * weight[:, k, None] for k in range(_CHUNK)])


def _priced(features: Array, worth: Array) -> Array:
    return jnp.einsum('bkc,bcp->bkp', features, worth, precision='highest')


def _shared(weight: Array, worth: Array) -> Array:
    return jnp.einsum('bkp,bcp->bkc', weight, worth, precision='highest')


def _offsets(rows: Array) -> tuple[Array, Array]:
    """From the Gaussians' middles to the pixels' centres, [b k 64] each."""
    x, y = (jnp.asarray(axis) for axis in _pixels(rows.dtype))
    return x - rows[..., 0, None], y - rows[..., 1, None]


def _pixels(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Centres [1 1 64] of a tile's pixels, from its middle."""
    y, x = np.divmod(np.arange(_PIXELS), SIDE)
    x, y = ((axis + 0.5 - SIDE / 2).astype(dtype)[None, None] for axis in (x, y))
    return x, y


def _moments(dtype: Any) -> np.ndarray:
    """[64 6]: by which sums over pixels are taken."""
    x, y = (axis.reshape(-1) for axis in _pixels(dtype))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _by_shape(rows: Array, sums: Array) -> Array:
    """Gradients [b k 6] by x, y, conic and opacity of the sums of what pushes the logarithm of alpha."""
    x, y, a, b, c, opacity = (rows[..., k] for k in range(SHAPE))
    one, by_x, by_y, xx, xy, yy = (sums[..., k] for k in range(6))
    # The same about the Gaussian's middle.
    yy, xy, xx = (
        yy - 2 * y * by_y + y * y * one,
        xy - x * by_y - y * by_x + x * y * one,
        xx - 2 * x * by_x + x * x * one,
    )
    by_x, by_y = by_x - x * one, by_y - y * one
    found = [a * by_x + b * by_y, b * by_x + c * by_y, -0.5 * xx, -xy, -0.5 * yy]
    return jnp.stack([*found, one / jnp.where(opacity > 0, opacity, 1)], axis=-1)


def _in_turn(tiles: Array, lists: Lists, at_once: int) -> Array:
    """Tiles in the order in which they are worked on, and some more."""
    padding = ((0, at_once), *((0, 0) for _ in tiles.shape[1:]))
    return jnp.pad(tiles[lists.order], padding)


def _in_place(tiles: Array, lists: Lists) -> Array:
    """The inverse of `_in_turn`."""
    n = lists.order.shape[0]
    place = jnp.zeros(n, jnp.int32).at[lists.order].set(jnp.arange(n, dtype=jnp.int32), unique_indices=True)
    return tiles[place]
