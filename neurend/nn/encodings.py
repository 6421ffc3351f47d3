"""Encodings that lift low-dimensional coordinates to features a network can fit fine detail from.

Frequencies are powers of two WITHOUT the factor pi that NeRF's text has and its code has not.
"""

import math
from typing import Literal

import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.typing import Array

Order = Literal['by_frequency', 'by_function']


def fourier(
    x: Array,
    *,
    degrees: int,
    min_degree: int = 0,
    identity: bool = True,
    order: Order = 'by_frequency',
) -> Array:
    """Sines and cosines of `2^k x`, k from `min_degree` to `min_degree + degrees - 1` (Mildenhall et al., 2020).

    Args:
        x: `... c`.
        degrees: number of frequencies; 0 leaves only the identity.
        min_degree: exponent of the lowest frequency.
        identity: put `x` itself first.
        order: only matters when weights are imported. 'by_frequency' is that of the original code: per frequency the c
            sines, then the c cosines. 'by_function' is that of JaxNeRF: all sines, lowest frequency first, then all
            cosines.

    Returns:
        `... (identity + 2 degrees) c`.

    >>> import jax.numpy as jnp
    >>> fourier(jnp.zeros(3), degrees=10).shape
    (63,)
    """
    checks.one_of('order', order, ('by_frequency', 'by_function'))
    angles = x[..., None, :] * _octaves(x, degrees, min_degree)
    axis = -2 if order == 'by_frequency' else -3
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=axis)
    waves = waves.reshape(*x.shape[:-1], 2 * degrees * x.shape[-1])
    return jnp.concatenate([x, waves], axis=-1) if identity else waves


def integrated(mean: Array, variance: Array, *, degrees: int, min_degree: int = 0) -> Array:
    """Expected sines and cosines of a Gaussian with diagonal covariance (Barron et al., "Mip-NeRF", 2021).

    `E[sin(2^l x)] = sin(2^l mean) exp(-4^l variance / 2)`, likewise cos: frequencies finer than the Gaussian fade out.

    Args:
        mean: `... c`.
        variance: `... c`, the diagonal of the covariance.
        degrees: number of frequencies, from `2^min_degree`.
        min_degree: exponent of the lowest frequency.

    Returns:
        `... 2 degrees c`: all sines, lowest frequency first, then all cosines; no identity.
    """
    checks.shape('variance', variance, '... c', sizes=checks.shape('mean', mean, '... c'))
    scales = _octaves(mean, degrees, min_degree)
    shape = (*mean.shape[:-1], degrees * mean.shape[-1])
    angles = (mean[..., None, :] * scales).reshape(shape)
    damping = jnp.exp(-0.5 * variance[..., None, :] * jnp.square(scales)).reshape(shape)
    return jnp.concatenate([jnp.sin(angles) * damping, jnp.cos(angles) * damping], axis=-1)


def spherical_harmonics(directions: Array, *, degree: int) -> Array:
    """Real spherical harmonics up to `degree` (0 to 4), orthonormal over the sphere.

    Args:
        directions: `... 3` unit vectors.
        degree: highest degree l.

    Returns:
        `... (degree + 1)^2`, in the order l^2 + l + m, m from -l to l, with the signs usual in graphics: degree 1 is
        0.4886 `(-y, z, -x)` (Sloan, "Stupid spherical harmonics tricks", 2008).
    """
    checks.shape('directions', directions, '... 3')
    checks.one_of('degree', degree, range(5))
    x, y, z = jnp.moveaxis(directions, -1, 0)
    basis = [jnp.full_like(x, 0.5 * math.sqrt(1 / math.pi))]
    if degree >= 1:
        c = math.sqrt(3 / (4 * math.pi))
        basis += [-c * y, c * z, -c * x]
    xx, yy, zz = x * x, y * y, z * z
    if degree >= 2:
        c = 0.5 * math.sqrt(15 / math.pi)
        basis += [
            c * x * y,
            -c * y * z,
            0.25 * math.sqrt(5 / math.pi) * (3 * zz - 1),
            -c * x * z,
            0.5 * c * (xx - yy),
        ]
    if degree >= 3:
        c = 0.25 * math.sqrt(35 / (2 * math.pi))
        d = 0.5 * math.sqrt(105 / math.pi)
        e = 0.25 * math.sqrt(21 / (2 * math.pi))
        basis += [
            -c * y * (3 * xx - yy),
            d * x * y * z,
            -e * y * (5 * zz - 1),
            0.25 * math.sqrt(7 / math.pi) * z * (5 * zz - 3),
            -e * x * (5 * zz - 1),
            0.5 * d * z * (xx - yy),
            -c * x * (xx - 3 * yy),
        ]
    if degree >= 4:
        c = 0.75 * math.sqrt(35 / math.pi)
        d = 0.75 * math.sqrt(35 / (2 * math.pi))
        e = 0.75 * math.sqrt(5 / math.pi)
        f = 0.75 * math.sqrt(5 / (2 * math.pi))
        basis += [
            c * x * y * (xx - yy),
            -d * y * z * (3 * xx - yy),
            e * x * y * (7 * zz - 1),
            -f * y * z * (7 * zz - 3),
            3 / 16 * math.sqrt(1 / math.pi) * (35 * zz * zz - 30 * zz + 3),
            -f * x * z * (7 * zz - 3),
            0.5 * e * (xx - yy) * (7 * zz - 1),
            -d * x * z * (xx - 3 * yy),
            0.25 * c * (xx * (xx - 3 * yy) - yy * (3 * xx - yy)),
        ]
    return jnp.stack(basis, axis=-1)


def _octaves(x: Array, degrees: int, min_degree: int) -> Array:
    """Powers of two, shaped to scale `x[..., None, :]` to `... degrees c`."""
    powers = 2.0 ** np.arange(min_degree, min_degree + degrees)
    return jnp.asarray(powers, x.dtype).reshape((1,) * (x.ndim - 1) + (degrees, 1))
