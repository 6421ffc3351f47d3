"""The three products of a convolution with fewer multiplications (Winograd, 1980; Lavin and Gray, 2016).

Two neighbouring outputs of a filter of r taps need r + 1 products instead of 2r: `y = A^T ((G g) * (B^T d))`. In two
dimensions, filters of 2x2 taps take 9 products for four outputs instead of 16, of 3x3 taps 16 instead of 36, of 4x4
taps 25 instead of 64. Sums over channels make each product a matrix product over tiles. A 4x4 filter of stride 2 is a
2x2 filter of stride 1 over blocks of 2x2 pixels, so that the layers of a pix2pix U-Net are all of the first kind.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from neurend.nn.products import Geometry, interleave
from neurend.typing import Array

_OUTPUTS = 2


class _Filter(NamedTuple):
    """Transforms of data [t, t], of the filter [t, r], and of products [2, t]; t = r + 1 points."""

    data: np.ndarray
    taps: np.ndarray
    products: np.ndarray


def _filter(*points: int) -> _Filter:
    """The transforms that interpolate at the given points and at infinity (Toom and Cook); as many taps as points."""
    taps, count = len(points), len(points) + 1
    data, filters = np.zeros((count, count)), np.zeros((count, taps))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        data[row, :taps] = np.poly(others)[::-1]
        filters[row] = point ** np.arange(taps) / np.prod([point - other for other in others])
    data[-1] = np.poly(points)[::-1]
    filters[-1, -1] = 1
    products = np.array([[1] * taps + [0], [*points, 1]])
    return _Filter(data.round(), filters, products)


_FILTERS = {2: _filter(0, 1), 3: _filter(0, 1, -1), 4: _filter(0, 1, -1, 2)}

Grid = list[list[Array]]


def fits(geometry: Geometry, channels: int, out: int) -> bool:
    """Whether the products here take such a convolution, and are enough faster to be worth their compilation."""
    if (
        channels * out < 64 * 64
        or min(channels, out) < 16
        or len(geometry.size) != 2
        or geometry.dilation != 1
        or np.prod(geometry.output) < 200
    ):
        return False
    if geometry.stride == 1:
        return geometry.taps in ((2, 2), (3, 3), (4, 4))
    sizes = [size + sum(pad) for size, pad in zip(geometry.size, geometry.padding)]
    return geometry.stride == 2 and geometry.taps == (4, 4) and not any(size % 2 for size in sizes)


def output(geometry: Geometry, x: Array, w: Array) -> Array:
    """y, see `neurend.nn.products`."""
    padded = jnp.pad(x, [(0, 0), *geometry.padding, (0, 0)])
    if geometry.stride == 2:
        padded = _blocks(padded)
    return _correlate(padded, _filters(geometry, w), geometry.output)


def input(geometry: Geometry, y: Array, w: Array) -> Array:
    """The gradient with respect to x."""
    filters = [[part.T for part in row] for row in _filters(geometry, _flipped(geometry, w))]
    reach = len(filters) - 2
    padded = jnp.pad(y, [(0, 0), (reach, reach), (reach, reach), (0, 0)])
    whole = _correlate(padded, filters, tuple(side + reach for side in geometry.output))
    if geometry.stride == 2:
        whole = interleave(jnp.split(whole, 4, axis=-1), 2, 2)
    return whole[(slice(None), *(slice(pad[0], pad[0] + n) for pad, n in zip(geometry.padding, geometry.size)))]


def kernel(geometry: Geometry, x: Array, y: Array) -> Array:
    """The gradient with respect to w."""
    padded = jnp.pad(x, [(0, 0), *geometry.padding, (0, 0)])
    if geometry.stride == 2:
        padded = _blocks(padded)
    chosen = _FILTERS[2 if geometry.stride == 2 else geometry.taps[0]]
    data = _both(chosen.data, _tiles(padded, len(chosen.data), geometry.output))
    even = _even(y, geometry.output)
    cotangents = _both(chosen.products.T, [[even[:, a::2, b::2] for b in range(2)] for a in range(2)])
    products = [
        [_flat(one).T @ _flat(other) for one, other in zip(*rows)] for rows in zip(data, cotangents)
    ]  # fmt: skip
    found = _both(chosen.taps.T, products)
    channels, out = x.shape[-1], y.shape[-1]
    if geometry.stride == 1:
        return jnp.stack([jnp.stack(row) for row in found])
    taps = jnp.stack([jnp.stack([part.reshape(2, 2, channels, out) for part in row]) for row in found])
    return taps.transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, channels, out)


def _correlate(x: Array, filters: Grid, size: tuple[int, ...]) -> Array:
    """Correlates `n h w i`, unpadded, with transformed filters, to `n *size o`."""
    points = len(filters)
    chosen = _FILTERS[points - 1]
    data = _both(chosen.data, _tiles(x, points, size))
    n, height, width, _ = data[0][0].shape
    products = [[_flat(d) @ g for d, g in zip(*rows)] for rows in zip(data, filters)]
    tiles = [[part.reshape(n, height, width, -1) for part in row] for row in _both(chosen.products, products)]
    return interleave([part for row in tiles for part in row], 2, 2)[:, : size[0], : size[1]]


def _filters(geometry: Geometry, w: Array) -> Grid:
    """The transformed filters, `i o` each; of stride 2, with the channels of a block as i."""
    channels, out = w.shape[-2:]
    if geometry.stride == 1:
        return _both(_FILTERS[geometry.taps[0]].taps, [[w[a, b] for b in range(w.shape[1])] for a in range(w.shape[0])])
    blocks = w.reshape(2, 2, 2, 2, channels, out)
    taps = [[blocks[a, :, b].reshape(4 * channels, out) for b in range(2)] for a in range(2)]
    return _both(_FILTERS[2].taps, taps)


def _flipped(geometry: Geometry, w: Array) -> Array:
    """The kernel with its taps in reverse order; of stride 2, the blocks' order alone."""
    if geometry.stride == 1:
        return w[::-1, ::-1]
    return w.reshape(2, 2, 2, 2, *w.shape[2:])[::-1, :, ::-1].reshape(w.shape)


def _both(matrix: np.ndarray, grid: Grid) -> Grid:
    """`matrix grid matrix^T`."""
    rows = [[_combine(row, [line[j] for line in grid]) for j in range(len(grid[0]))] for row in matrix]
    return [[_combine(row, line) for row in matrix] for line in rows]


def _combine(weights: np.ndarray, parts: list[Array]) -> Array:
    total = None
    for weight, part in zip(weights.tolist(), parts):
        if weight:
            term = part if abs(weight) == 1 else abs(weight) * part
            total = (term if weight > 0 else -term) if total is None else (total + term if weight > 0 else total - term)
    assert total is not None
    return total


def _tiles(x: Array, points: int, size: tuple[int, ...]) -> Grid:
    """Each point of all tiles, `n h w c`, tiles two pixels apart, for outputs `size`."""
    counts = [-(-side // _OUTPUTS) for side in size]
    missing = [max(2 * count + points - 2 - side, 0) for count, side in zip(counts, x.shape[1:3])]
    x = jnp.pad(x, [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)])
    return [
        [x[:, a : a + 2 * counts[0] - 1 : 2, b : b + 2 * counts[1] - 1 : 2] for b in range(points)]
        for a in range(points)
    ]


def _even(y: Array, size: tuple[int, ...]) -> Array:
    return jnp.pad(y, [(0, 0), (0, size[0] % 2), (0, size[1] % 2), (0, 0)])


def _blocks(x: Array) -> Array:
    """Blocks of 2x2 pixels as channels: `n h/2 w/2 4c`."""
    n, height, width, c = x.shape
    split = x.reshape(n, height // 2, 2, width // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(n, height // 2, width // 2, 4 * c)


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])
