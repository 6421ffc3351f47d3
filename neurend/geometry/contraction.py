"""Scene contraction: all of space in a ball of radius 2 (mip-NeRF 360: Barron et al., 2022)."""

import jax.numpy as jnp

from neurend.typing import Array


def contract(x: Array) -> Array:
    """Maps points [... 3] into the ball of radius 2: x within the unit ball, (2 - 1/|x|) x/|x| outside it."""
    scale, _ = _scale_and_slope(x)
    return scale * x


def uncontract(z: Array) -> Array:
    """Maps points [... 3] of the open ball of radius 2 back to space: the inverse of `contract`.

    Points on or beyond the radius 2 go to a distance of about 1e6.
    """
    squared = jnp.sum(z * z, axis=-1, keepdims=True)
    outside = squared > 1
    norm = jnp.sqrt(jnp.where(outside, squared, 1))
    return z / (norm * jnp.maximum(2 - norm, 1e-6))


def contract_gaussian(mean: Array, covariance: Array) -> tuple[Array, Array]:
    """Maps Gaussians by the contraction linearised at their means.

    Args:
        mean: [... 3].
        covariance: [... 3 3] symmetric.

    Returns:
        mean f(m) [... 3] and covariance J C J^T [... 3 3], J the Jacobian of `contract` at the mean.
    """
    scale, slope = _scale_and_slope(mean)
    # J = a I + b m m^T is symmetric, so J C J^T = a^2 C + a b (m q^T + q m^T) + b^2 (m^T q) m m^T with q = C m.
    image = jnp.sum(covariance * mean[..., None, :], axis=-1)
    cross = mean[..., :, None] * image[..., None, :]
    a, b = scale[..., None], slope[..., None]
    along = jnp.sum(mean * image, axis=-1)[..., None, None]
    outer = mean[..., :, None] * mean[..., None, :]
    moved = a * a * covariance + a * b * (cross + jnp.swapaxes(cross, -1, -2)) + b * b * along * outer
    return scale * mean, moved


def _scale_and_slope(x: Array) -> tuple[Array, Array]:
    """Factors a, b [... 1] such that f(x) = a x and its Jacobian is a I + b x x^T."""
    squared = jnp.sum(x * x, axis=-1, keepdims=True)
    outside = squared > 1
    norm = jnp.sqrt(jnp.where(outside, squared, 1))
    scale = 2 / norm - 1 / norm**2
    slope = jnp.where(outside, 2 / norm**4 - 2 / norm**3, 0)
    return scale, slope
