"""The three products of a convolution with fewer multiplications (Winograd, 1980; Lavin and Gray, 2016).

Two neighbouring outputs of a filter of r taps need r + 1 products instead of 2r: `y = A^T ((G g) * (B^T d))`. In two
dimensions, filters of 2x2 taps take 9 products for four outputs instead of 16, of 3x3 taps 16 instead of 36, of 4x4
taps 25 instead of 64. Sums over channels make each product a matrix product over tiles. A 4x4 filter of stride 2 is a
2x2 filter of stride 1 over blocks of 2x2 pixels, so that the layers of a pix2pix U-Net are all of the first kind.

Transformed tiles are several times larger than pictures. Where a cache would not hold them, strips of pictures follow
one another, which halves the time.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend.nn.products import Geometry, interleave
from neurend.typing import Array

_OUTPUTS = 2
CACHE = 4e7  # bytes of transformed tiles that are no slower than fewer
STRIP = 3e6  # bytes of them in a strip, where there are more


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


def fits(geometry: Geometry, channels: int, out: int, *, least: int = 64 * 64) -> bool:
    """Whether the products here take such a convolution, and are enough faster to be worth their compilation.

    They are from `least` pairs of channels.
    """
    if (
        channels * out < least
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


def points(geometry: Geometry) -> int:
    """Points of a tile along each axis."""
    return 3 if geometry.stride == 2 else geometry.taps[0] + 1


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
    points, channels, out = len(chosen.data), x.shape[-1], y.shape[-1]
    strips = _strips(padded, points, geometry.output, out)

    def products(start: Array | int) -> Grid:
        data = _both(chosen.data, _tiles(strips.seen(start), points))
        given = strips.given(even, start)
        cotangents = _both(chosen.products.T, [[given[:, a::2, b::2] for b in range(2)] for a in range(2)])
        return [[_flat(one).T @ _flat(other) for one, other in zip(*rows)] for rows in zip(data, cotangents)]

    height, width = strips.size
    even = jnp.pad(y, [(0, 0), (0, height - y.shape[1]), (0, width - y.shape[2]), (0, 0)])
    total = products(0)
    if strips.count > 1:
        rest = strips.starts[1:]
        total, _ = jax.lax.scan(lambda total, at: (jax.tree.map(jnp.add, total, products(at)), None), total, rest)
    found = _both(chosen.taps.T, total)
    if geometry.stride == 1:
        return jnp.stack([jnp.stack(row) for row in found])
    taps = jnp.stack([jnp.stack([part.reshape(2, 2, channels, out) for part in row]) for row in found])
    return taps.transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, channels, out)


def _correlate(x: Array, filters: Grid, size: tuple[int, ...]) -> Array:
    """Correlates `n h w i`, unpadded, with transformed filters, to `n *size o`."""
    points = len(filters)
    chosen = _FILTERS[points - 1]
    strips = _strips(x, points, size, filters[0][0].shape[-1])

    def outputs(start: Array | int) -> Array:
        data = _both(chosen.data, _tiles(strips.seen(start), points))
        n, height, width, _ = data[0][0].shape
        products = [[_flat(d) @ g for d, g in zip(*rows)] for rows in zip(data, filters)]
        tiles = [[part.reshape(n, height, width, -1) for part in row] for row in _both(chosen.products, products)]
        return interleave([part for row in tiles for part in row], 2, 2)

    found = outputs(0) if strips.count == 1 else jnp.moveaxis(jax.lax.map(outputs, strips.starts), 0, 1)
    return found.reshape(len(x), *strips.size, -1)[:, : size[0], : size[1]]


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


def transformed(size: tuple[int, ...], n: int, channels: int, out: int, points: int) -> int:
    """Bytes of all transformed tiles of outputs `n *size out` of so many channels."""
    tall, wide = (-(-side // _OUTPUTS) for side in size)
    return 4 * n * tall * wide * points**2 * (channels + out)


class _Strips(NamedTuple):
    """Pictures in strips, some rows of all of them at a time.

    Attributes:
        x: `n h w c`, as large as all tiles.
        count: of strips.
        rows: of outputs in a strip.
        size: height and width of what all tiles give.
    """

    x: Array
    count: int
    rows: int
    size: tuple[int, int]

    @property
    def starts(self) -> Array:
        """The rows of outputs with which strips begin."""
        return self.rows * jnp.arange(self.count)

    def seen(self, start: Array | int) -> Array:
        """What the tiles of a strip see."""
        return jax.lax.dynamic_slice_in_dim(self.x, start, self.rows + self.x.shape[1] - self.size[0], 1)

    def given(self, y: Array, start: Array | int) -> Array:
        """Of `n *size o`, what belongs to a strip."""
        return jax.lax.dynamic_slice_in_dim(y, start, self.rows, 1)


def _strips(x: Array, points: int, size: tuple[int, ...], out: int) -> _Strips:
    """Strips of `n h w i`, unpadded, for outputs `n *size out`."""
    n, height, width, channels = x.shape
    tall, wide = (-(-side // _OUTPUTS) for side in size)
    everything = transformed(size, n, channels, out, points)
    count = 1 if everything <= CACHE else min(math.ceil(everything / STRIP), tall)
    rows = -(-tall // count)
    count = -(-tall // rows)
    whole = _OUTPUTS * count * rows, _OUTPUTS * wide
    missing = [max(side + points - _OUTPUTS - had, 0) for side, had in zip(whole, (height, width))]
    x = jnp.pad(x, [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)])
    return _Strips(x, count, _OUTPUTS * rows, whole)


def _tiles(x: Array, points: int) -> Grid:
    """Each point of all tiles, `n h w c`, tiles two pixels apart."""
    tall, wide = ((side - points) // _OUTPUTS + 1 for side in x.shape[1:3])
    return [[x[:, a : a + 2 * tall - 1 : 2, b : b + 2 * wide - 1 : 2] for b in range(points)] for a in range(points)]


def _blocks(x: Array) -> Array:
    """Blocks of 2x2 pixels as channels: `n h/2 w/2 4c`."""
    n, height, width, c = x.shape
    split = x.reshape(n, height // 2, 2, width // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return split.reshape(n, height // 2, width // 2, 4 * c)


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])
