"""The three products of a convolution in three dimensions, as those of one in two of planes stacked along channels.

What a tap along the first axis sees of all planes is as many channels more of the planes that come out, so that wide
layers of volumes profit from fewer multiplications as those of pictures do.
"""

import jax
import jax.numpy as jnp

from neurend.nn import winograd
from neurend.nn.products import Geometry
from neurend.typing import Array


def fits(geometry: Geometry, channels: int, out: int) -> bool:
    """Whether the products here take such a convolution, and are enough faster to be worth their compilation."""
    return len(geometry.size) == 3 and winograd.fits(_flat(geometry), channels, out)


def output(geometry: Geometry, x: Array, w: Array) -> Array:
    """y, see `neurend.nn.products`."""
    y = winograd.output(_flat(geometry), _stack(geometry, x), _merge(w))
    return y.reshape(x.shape[0], *geometry.output, w.shape[-1])


def input(geometry: Geometry, y: Array, w: Array) -> Array:
    """The gradient with respect to x."""
    planes = winograd.input(_flat(geometry), y.reshape(-1, *y.shape[2:]), _merge(w))
    shape = jax.ShapeDtypeStruct((y.shape[0], *geometry.size, w.shape[-2]), y.dtype)
    return jax.linear_transpose(lambda x: _stack(geometry, x), shape)(planes)[0]


def kernel(geometry: Geometry, x: Array, y: Array) -> Array:
    """The gradient with respect to w."""
    found = winograd.kernel(_flat(geometry), _stack(geometry, x), y.reshape(-1, *y.shape[2:]))
    shape = jax.ShapeDtypeStruct((*geometry.taps, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(_merge, shape)(found)[0]


def _flat(geometry: Geometry) -> Geometry:
    """Of the convolution of stacked planes."""
    return geometry._replace(padding=geometry.padding[1:], size=geometry.size[1:], taps=geometry.taps[1:])


def _stack(geometry: Geometry, x: Array) -> Array:
    """`n d h w i` to `(n d') h w (taps i)`."""
    x = jnp.pad(x, [(0, 0), geometry.padding[0], *[(0, 0)] * 3])
    last = geometry.stride * (geometry.output[0] - 1) + 1
    seen = [x[:, tap : tap + last : geometry.stride] for tap in range(geometry.taps[0])]
    stacked = jnp.concatenate(seen, axis=-1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _merge(w: Array) -> Array:
    """Taps `d h w i o` as `h w (d i) o`."""
    depth, height, width, channels, out = w.shape
    return w.transpose(1, 2, 0, 3, 4).reshape(height, width, depth * channels, out)
