"""The three products of a convolution as matrix products over its taps.

A convolution is `y[p, o] = sum_{k, i} x[stride p + dilation k - padding, i] w[k, i, o]`, linear in x and in w. `output`
computes y; `input` the x that an inner product with y pulls back to, which is also the transposed convolution; `kernel`
the same for w. Each is a derivative of the other two, so all derivatives of all of them are among these three.

XLA's convolutions on a CPU reach a third of the arithmetic rate of its matrix products, and its transposed ones and
kernel gradients far less. Taps that see only padding are left out: 12 of 16 where a U-Net has one pixel.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from neurend.typing import Array


class Geometry(NamedTuple):
    """Where the taps of a convolution fall; tuples have one entry for each spatial axis.

    Attributes:
        stride, dilation: as above, the same along all axes.
        padding: zeros before and after.
        size: spatial shape of x.
        taps: spatial shape of w.
    """

    stride: int
    dilation: int
    padding: tuple[tuple[int, int], ...]
    size: tuple[int, ...]
    taps: tuple[int, ...]

    @property
    def output(self) -> tuple[int, ...]:
        """Spatial shape of y."""
        return tuple(
            (size + sum(pad) - self.dilation * (taps - 1) - 1) // self.stride + 1
            for size, pad, taps in zip(self.size, self.padding, self.taps)
        )

    @property
    def live(self) -> tuple[slice, ...]:
        """Along each axis, the taps that see a pixel of x for some pixel of y."""
        slices = []
        for size, (before, _), taps, count in zip(self.size, self.padding, self.taps, self.output):
            seen = [
                tap
                for tap in range(taps)
                if any(0 <= self.stride * p + self.dilation * tap - before < size for p in range(count))
            ]
            slices.append(slice(seen[0], seen[-1] + 1) if seen else slice(0, 1))
        return tuple(slices)


def output(geometry: Geometry, x: Array, w: Array) -> Array:
    """y, `n *output o`."""
    channels, out = w.shape[-2:]
    if narrows(geometry, channels, out):
        return input(mirrored(geometry), x, mirror(w))
    patches = jnp.concatenate(_seen(geometry, x), axis=-1).reshape(-1, _count(geometry) * channels)
    y = patches @ w[geometry.live].reshape(-1, out)
    return y.reshape(x.shape[0], *geometry.output, out)


def kernel(geometry: Geometry, x: Array, y: Array) -> Array:
    """The gradient of `<y, output(x, w)>` with respect to w."""
    channels, out = x.shape[-1], y.shape[-1]
    if narrows(geometry, channels, out):
        return mirror(kernel(mirrored(geometry), y, x))
    flat = y.reshape(-1, out)
    live = geometry.live
    if channels * _count(geometry) <= 4096 or flat.shape[0] < 64:
        patches = jnp.concatenate(_seen(geometry, x), axis=-1).reshape(-1, _count(geometry) * channels)
        found = patches.T @ flat
    else:
        found = jnp.stack([part.reshape(-1, channels).T @ flat for part in _seen(geometry, x)])
    found = found.reshape(*(part.stop - part.start for part in live), channels, out)
    around = [(part.start, taps - part.stop) for part, taps in zip(live, geometry.taps)]
    return jnp.pad(found, [*around, (0, 0), (0, 0)])


def input(geometry: Geometry, y: Array, w: Array) -> Array:
    """The gradient of `<y, output(x, w)>` with respect to x, `n *size i`."""
    channels, out = w.shape[-2:]
    if narrows(geometry, channels, out):
        return output(mirrored(geometry), y, mirror(w))
    live, stride = geometry.live, geometry.stride
    spread = y.reshape(-1, out) @ w[live].reshape(-1, out).T
    spread = spread.reshape(y.shape[0], *geometry.output, _count(geometry), channels)
    # Pixels of the padded x by their phase, the rest modulo the stride: within one, neighbouring taps are neighbours.
    rank = len(geometry.size)
    ends = [-(-(size + sum(pad)) // stride) for size, pad in zip(geometry.size, geometry.padding)]
    phases = dict.fromkeys(itertools.product(range(stride), repeat=rank))
    for number, tap in enumerate(itertools.product(*(range(part.start, part.stop) for part in live))):
        places = [divmod(geometry.dilation * index, stride) for index in tap]
        around = [(shift, end - shift - count) for (shift, _), end, count in zip(places, ends, geometry.output)]
        added = jax.lax.pad(
            spread[..., number, :],
            jnp.zeros((), spread.dtype),
            [(0, 0, 0), *((low, high, 0) for low, high in around), (0, 0, 0)],
        )
        phase = tuple(rest for _, rest in places)
        before = phases[phase]
        phases[phase] = added if before is None else before + added
    zeros = jnp.zeros((y.shape[0], *ends, channels), spread.dtype)
    parts = [zeros if part is None else part for part in phases.values()]
    whole = interleave(parts, stride, rank) if stride > 1 else parts[0]
    return whole[(slice(None), *(slice(pad[0], pad[0] + n) for pad, n in zip(geometry.padding, geometry.size)))]


def interleave(parts: list[Array], stride: int, rank: int) -> Array:
    """`n *(stride m) c` from its phases `n *m c`, ordered by the phase along the first axis, then the second, ..."""
    n, *space, c = parts[0].shape
    stacked = jnp.stack(parts, axis=1 + rank).reshape(n, *space, *(stride,) * rank, c)
    order = [0, *itertools.chain(*((1 + axis, 1 + rank + axis) for axis in range(rank))), 1 + 2 * rank]
    return stacked.transpose(order).reshape(n, *(stride * side for side in space), c)


def narrows(geometry: Geometry, channels: int, out: int) -> bool:
    """Whether y is so much narrower than x that its pixels are better gathered than those of x."""
    reach = [geometry.dilation * (taps - 1) for taps in geometry.taps]
    fits = all(max(pad) <= far for pad, far in zip(geometry.padding, reach))
    return geometry.stride == 1 and 4 * out <= channels and fits


def mirrored(geometry: Geometry) -> Geometry:
    """The convolution that has x and y change places."""
    reach = [geometry.dilation * (taps - 1) for taps in geometry.taps]
    padding = tuple((far - low, far - high) for (low, high), far in zip(geometry.padding, reach))
    return geometry._replace(padding=padding, size=geometry.output)


def mirror(w: Array) -> Array:
    """Its kernel: taps in reverse order, channels exchanged."""
    return jnp.swapaxes(jnp.flip(w, tuple(range(w.ndim - 2))), -1, -2)


def _count(geometry: Geometry) -> int:
    count = 1
    for part in geometry.live:
        count *= part.stop - part.start
    return count


def _seen(geometry: Geometry, x: Array) -> list[Array]:
    """What each live tap sees of x, `n *output i`."""
    padded = jnp.pad(x, [(0, 0), *geometry.padding, (0, 0)])
    parts = []
    for tap in itertools.product(*(range(part.start, part.stop) for part in geometry.live)):
        starts = [geometry.dilation * index for index in tap]
        window = [
            slice(start, start + geometry.stride * (count - 1) + 1, geometry.stride)
            for start, count in zip(starts, geometry.output)
        ]
        parts.append(padded[(slice(None), *window)])
    return parts
