"""Convolution's three products with the derivatives of each made of the other two, on every device."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax

from neurend.linear import linear
from neurend.nn import products, stacked, tiled, winograd
from neurend.nn.products import Geometry
from neurend.typing import Array

_LARGE = 2**18  # pixels of all pictures together


def _library_output(geometry: Geometry, x: Array, w: Array) -> Array:
    rank = len(geometry.size)
    space = 'DHW'[-rank:]
    return jax.lax.conv_general_dilated(
        x,
        w,
        (geometry.stride,) * rank,
        geometry.padding,
        rhs_dilation=(geometry.dilation,) * rank,
        dimension_numbers=(f'N{space}C', f'{space}IO', f'N{space}C'),
    )


def _library_input(geometry: Geometry, y: Array, w: Array) -> Array:
    shape = jax.ShapeDtypeStruct((y.shape[0], *geometry.size, w.shape[-2]), y.dtype)
    return jax.linear_transpose(lambda x: _library_output(geometry, x, w), shape)(y)[0]


def _library_kernel(geometry: Geometry, x: Array, y: Array) -> Array:
    shape = jax.ShapeDtypeStruct((*geometry.taps, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda w: _library_output(geometry, x, w), shape)(y)[0]


def _here(name: str, geometry: Geometry, a: Array, b: Array) -> Callable[[Geometry, Array, Array], Array]:
    """How a CPU computes a product of a and b.

    Narrow layers of pictures have nothing to gain, and XLA compiles its own convolutions several times faster. In three
    dimensions those are up to seventy times slower than the products.
    """
    channels, out = (a.shape[-1], b.shape[-1]) if name == 'kernel' else (b.shape[-2], b.shape[-1])
    if len(geometry.size) == 3:
        if stacked.fits(geometry, channels, out):
            return getattr(stacked, name)
        if geometry.stride > 1 or products.narrows(geometry, channels, out):
            return getattr(products, name)
        if tiled.fits(geometry):
            return getattr(tiled, name)
    elif winograd.fits(geometry, channels, out, least=_least(name, geometry, a.shape[0])):
        return _LIBRARY[name] if _leaves_cache(name, geometry, a.shape[0], channels, out) else getattr(winograd, name)
    if channels * out <= 32 * 64 and max(channels, out) <= 64:
        return _LIBRARY[name]
    return getattr(products, name)


def _least(name: str, geometry: Geometry, n: int) -> int:
    """Pairs of channels from which transforms pay. XLA's gradients of kernels slow down with many pixels."""
    return 32 * 64 if name == 'kernel' and n * math.prod(geometry.output) >= _LARGE else 64 * 64


def _leaves_cache(name: str, geometry: Geometry, n: int, channels: int, out: int) -> bool:
    """Whether transformed tiles outgrow the cache with so few channels that XLA's convolution is faster."""
    tiles = winograd.transformed(geometry.output, n, channels, out, winograd.points(geometry))
    return name != 'kernel' and geometry.stride == 1 and channels * out <= 64 * 64 and tiles > winograd.CACHE


def _product(name: str) -> Callable[[Geometry, Array, Array], Array]:
    """A product of two arrays: of matrices on a CPU where that is faster, the library's elsewhere."""

    def run(geometry: Geometry, a: Array, b: Array) -> Array:
        here = functools.partial(_here(name, geometry, a, b), geometry)
        return jax.lax.platform_dependent(a, b, cpu=here, default=functools.partial(_LIBRARY[name], geometry))

    return run


_LIBRARY = {'output': _library_output, 'input': _library_input, 'kernel': _library_kernel}
_output, _input, _kernel = (_product(name) for name in _LIBRARY)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def output(geometry: Geometry, x: Array, w: Array) -> Array:
    """The convolution of x, `n *size i`, with w, `*taps i o`: `n *output o`."""
    return _output(geometry, x, w)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def input(geometry: Geometry, y: Array, w: Array) -> Array:
    """The transposed convolution of y, `n *output o`, with w, `*taps i o`: `n *size i`."""
    return _input(geometry, y, w)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def kernel(geometry: Geometry, x: Array, y: Array) -> Array:
    """Sums over pixels of x, `n *size i`, times y, `n *output o`, for each tap: `*taps i o`."""
    return _kernel(geometry, x, y)


def _rule(function: Any, library: Any, first: Callable[..., Any], second: Callable[..., Any]) -> None:
    """Sets the derivative of a product of a and b: linear maps of their tangents, with transposes `first`, `second`.

    first: `(geometry, b, cotangent) -> cotangent of a`; second: `(geometry, a, cotangent) -> cotangent of b`.
    """

    def jvp(geometry: Geometry, primals: Any, tangents: Any) -> tuple[Array, Array]:
        (a, b), (da, db) = primals, tangents
        of_first = linear(
            lambda b, da: function(geometry, da, b),
            lambda b, cotangent: first(geometry, b, cotangent),
            b,
            da,
            plain=lambda b, da: library(geometry, da, b),
        )
        of_second = linear(
            lambda a, db: function(geometry, a, db),
            lambda a, cotangent: second(geometry, a, cotangent),
            a,
            db,
            plain=lambda a, db: library(geometry, a, db),
        )
        return function(geometry, a, b), of_first + of_second

    function.defjvp(jvp)


_rule(output, _library_output, lambda g, w, y: input(g, y, w), lambda g, x, y: kernel(g, x, y))
_rule(input, _library_input, lambda g, w, x: output(g, x, w), lambda g, y, x: kernel(g, x, y))
_rule(kernel, _library_kernel, lambda g, y, w: input(g, y, w), lambda g, x, w: output(g, x, w))
