"""Curves that spread samples between a near and a far bound which may be orders of magnitude apart."""

from typing import Literal

import jax.numpy as jnp

from neurend.geometry import sampling
from neurend.typing import Array

Spacing = Literal['linear', 'disparity', 'power']
"""'linear' in t, for objects; 'disparity', linear in 1/t; 'power', Zip-NeRF's ladder: linear close by, between the two
far away, for scenes with both."""

_POWER, _SCALE = -1.5, 2.0


def t_from_s(s: Array, near: float, far: float, spacing: Spacing) -> Array:
    """Ray parameters, any shape, of normalised ones in [0, 1], between the same bounds for all rays."""
    if spacing != 'power':
        return sampling.t_from_s(s, near, far, spacing=spacing)
    start, stop = (power_ladder(jnp.asarray(_SCALE * bound, s.dtype)) for bound in (near, far))
    return inverse_power_ladder((1 - s) * start + s * stop) / _SCALE


def power_ladder(x: Array, power: float = _POWER) -> Array:
    """Zip-NeRF's curve (Barron et al., 2023): slope 1 at 0, bounded for negative powers.

    Args:
        x: any shape, at least 0.
        power: other than 0 and 1; -1.5 in the paper.

    Returns:
        `|p - 1| / p ((x / |p - 1| + 1)^p - 1)`.
    """
    scale = abs(power - 1)
    return scale / power * ((x / scale + 1) ** power - 1)


def inverse_power_ladder(y: Array, power: float = _POWER) -> Array:
    """The x of `power_ladder(x) = y`."""
    scale = abs(power - 1)
    return scale * ((y * power / scale + 1) ** (1 / power) - 1)
