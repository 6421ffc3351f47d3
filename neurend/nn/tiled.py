"""The three products of a 3x3x3 convolution as matrix products over tiles of 2x2 cells.

Four neighbouring outputs see 3x4x4 cells between them. Taken together, they are three products of matrices that are
four times as wide as those of single outputs, with zeros for the cells that an output does not see: for few channels
several times faster on a CPU, where narrow matrices and XLA's own convolutions in three dimensions are slow.
"""

import itertools

import jax
import jax.numpy as jnp

from neurend.nn import products
from neurend.nn.products import Geometry
from neurend.typing import Array

_TILE = 2


def fits(geometry: Geometry) -> bool:
    """Whether the products here take such a convolution."""
    return (
        geometry.taps == (3, 3, 3)
        and geometry.stride == geometry.dilation == 1
        and not any(side % _TILE for side in (*geometry.output[1:], *geometry.size[1:]))
        and all(max(pad) <= 2 for pad in geometry.padding)
    )


def output(geometry: Geometry, x: Array, w: Array) -> Array:
    """y, `n *output o`; see `neurend.nn.products`."""
    planes, out = _patches(geometry, x), w.shape[-1]
    depth, height, width = geometry.output
    y = jnp.zeros(())
    for tap in range(3):
        part = planes[:, tap : tap + depth]
        y = y + part.reshape(-1, part.shape[-1]) @ _wide(w[tap])
    y = y.reshape(x.shape[0], depth, height // _TILE, width // _TILE, _TILE, _TILE, out)
    return y.transpose(0, 1, 2, 4, 3, 5, 6).reshape(x.shape[0], *geometry.output, out)


def input(geometry: Geometry, y: Array, w: Array) -> Array:
    """The gradient of `<y, output(x, w)>` with respect to x, `n *size i`."""
    return output(products.mirrored(geometry), y, products.mirror(w))


def kernel(geometry: Geometry, x: Array, y: Array) -> Array:
    """The gradient of `<y, output(x, w)>` with respect to w."""
    planes, channels, out = _patches(geometry, x), x.shape[-1], y.shape[-1]
    depth, height, width = geometry.output
    tiles = y.reshape(x.shape[0], depth, height // _TILE, _TILE, width // _TILE, _TILE, out)
    tiles = tiles.transpose(0, 1, 2, 4, 3, 5, 6).reshape(-1, _TILE * _TILE * out)
    shape = jax.ShapeDtypeStruct((3, 3, channels, out), x.dtype)
    found = []
    for tap in range(3):
        part = planes[:, tap : tap + depth]
        wide = part.reshape(-1, part.shape[-1]).T @ tiles
        found.append(jax.linear_transpose(_wide, shape)(wide)[0])
    return jnp.stack(found)


def _patches(geometry: Geometry, x: Array) -> Array:
    """The 4x4 cells that each tile sees in each plane: `n depth' tiles tiles (4 4 i)`."""
    padded = jnp.pad(x, [(0, 0), *geometry.padding, (0, 0)])
    height, width = geometry.output[1:]
    seen = [
        padded[:, :, row : row + height : _TILE, column : column + width : _TILE]
        for row, column in itertools.product(range(4), repeat=2)
    ]
    return jnp.concatenate(seen, axis=-1)


def _wide(w: Array) -> Array:
    """Taps [3 3 i o] of one plane as a matrix from the cells that a tile sees to its outputs, [(4 4 i) (2 2 o)]."""
    columns = [
        jnp.pad(w, ((row, 1 - row), (column, 1 - column), (0, 0), (0, 0))).reshape(-1, w.shape[-1])
        for row, column in itertools.product(range(_TILE), repeat=2)
    ]
    return jnp.concatenate(columns, axis=-1)
