"""The three products of a convolution in three dimensions, as those of one in two of planes stacked along channels.

What a tap along the first axis sees of all planes is as many channels more of the planes that come out, so that wide
layers of volumes profit from fewer multiplications as those of pictures do. Slabs of planes follow one another.
"""

from typing import NamedTuple

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
    slabs, merged = _slabs(geometry, len(x), *w.shape[-2:]), _merge(w)
    padded = slabs.pad(x)

    def outputs(start: Array | int) -> Array:
        y = winograd.output(_flat(geometry), slabs.stack(slabs.seen(padded, start)), merged)
        return y.reshape(len(x), slabs.planes, *y.shape[1:])

    found = outputs(0) if slabs.count == 1 else jnp.moveaxis(jax.lax.map(outputs, slabs.starts), 0, 1)
    return found.reshape(len(x), *geometry.output, w.shape[-1])


def input(geometry: Geometry, y: Array, w: Array) -> Array:
    """The gradient with respect to x."""
    slabs, merged = _slabs(geometry, len(y), *w.shape[-2:]), _merge(w)
    shape = jax.ShapeDtypeStruct((len(y), *geometry.size, w.shape[-2]), y.dtype)
    total = jnp.zeros(jax.eval_shape(slabs.pad, shape).shape, y.dtype)

    def add(total: Array, start: Array | int) -> tuple[Array, None]:
        given = slabs.given(y, start)
        found = winograd.input(_flat(geometry), given.reshape(-1, *given.shape[2:]), merged)
        before = slabs.seen(total, start)
        now = before + jax.linear_transpose(slabs.stack, before)(found)[0]
        return jax.lax.dynamic_update_slice_in_dim(total, now, geometry.stride * start, 1), None

    total = add(total, 0)[0] if slabs.count == 1 else jax.lax.scan(add, total, slabs.starts)[0]
    before = geometry.padding[0][0]
    return total[:, before : before + geometry.size[0]]


def kernel(geometry: Geometry, x: Array, y: Array) -> Array:
    """The gradient with respect to w."""
    slabs = _slabs(geometry, len(x), x.shape[-1], y.shape[-1])
    padded = slabs.pad(x)

    def products(start: Array | int) -> Array:
        given = slabs.given(y, start)
        seen = slabs.stack(slabs.seen(padded, start))
        return winograd.kernel(_flat(geometry), seen, given.reshape(-1, *given.shape[2:]))

    found = products(0)
    if slabs.count > 1:
        found, _ = jax.lax.scan(lambda total, start: (total + products(start), None), found, slabs.starts[1:])
    shape = jax.ShapeDtypeStruct((*geometry.taps, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(_merge, shape)(found)[0]


class _Slabs(NamedTuple):
    """A volume in slabs of planes.

    Attributes:
        geometry: of the convolution.
        count: of slabs.
        planes: of outputs in a slab.
    """

    geometry: Geometry
    count: int
    planes: int

    @property
    def starts(self) -> Array:
        """The planes of outputs with which slabs begin."""
        return self.planes * jnp.arange(self.count)

    def pad(self, x: Array) -> Array:
        """`n d h w i` with the planes that are not there."""
        return jnp.pad(x, [(0, 0), self.geometry.padding[0], *[(0, 0)] * 3])

    def seen(self, padded: Array, start: Array | int) -> Array:
        """What a slab of outputs sees of a padded volume."""
        length = self.geometry.stride * (self.planes - 1) + self.geometry.taps[0]
        return jax.lax.dynamic_slice_in_dim(padded, self.geometry.stride * start, length, 1)

    def given(self, y: Array, start: Array | int) -> Array:
        """Of `n *output o`, what belongs to a slab."""
        return jax.lax.dynamic_slice_in_dim(y, start, self.planes, 1)

    def stack(self, seen: Array) -> Array:
        """What a slab sees, `n d h w i`, as pictures `(n planes) h w (taps i)`."""
        last = self.geometry.stride * (self.planes - 1) + 1
        parts = [seen[:, tap : tap + last : self.geometry.stride] for tap in range(self.geometry.taps[0])]
        stacked = jnp.concatenate(parts, axis=-1)
        return stacked.reshape(-1, *stacked.shape[2:])


def _slabs(geometry: Geometry, n: int, channels: int, out: int) -> _Slabs:
    """Slabs of so many planes that a cache holds what becomes of them."""
    depth, points = geometry.output[0], winograd.points(_flat(geometry))
    blocks = geometry.stride**2 * geometry.taps[0] * channels
    plane = winograd.transformed(geometry.output[1:], n, blocks, out, points)
    planes = max(part for part in range(1, depth + 1) if depth % part == 0 and (part - 1) * plane <= winograd.STRIP)
    return _Slabs(geometry, depth // planes, planes)


def _flat(geometry: Geometry) -> Geometry:
    """Of the convolution of stacked planes."""
    return geometry._replace(padding=geometry.padding[1:], size=geometry.size[1:], taps=geometry.taps[1:])


def _merge(w: Array) -> Array:
    """Taps `d h w i o` as `h w (d i) o`."""
    depth, height, width, channels, out = w.shape
    return w.transpose(1, 2, 0, 3, 4).reshape(height, width, depth * channels, out)
