"""Gaussians that stand for the pieces a pixel's cone or cylinder is cut into (Barron et al., "Mip-NeRF", 2021)."""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import align
from neurend.geometry.rays import Rays
from neurend.typing import Array


def frustum_gaussians(rays: Rays, edges: Array, *, cylinder: bool = False) -> tuple[Array, Array]:
    """Mean and variance of the points of each conical frustum between consecutive edges.

    The moments are those of a solid cone, in the stable form of the paper's eq. 7; off-axis terms of the covariance are
    left out (eq. 16).

    Args:
        rays: leading dims `...`; the cone's radius at t is `radii t`.
        edges: [... n+1] ascending, in t.
        cylinder: cut a cylinder of radius `radii` instead, as for rays in normalised device coordinates.

    Returns:
        means [... n 3] in the world and the diagonals of the covariances [... n 3].
    """
    checks.shape('edges', edges, '... k')
    origins, directions, radii, edges = align((rays.origins, 1), (rays.directions, 1), (rays.radii, 1), (edges, 1))
    start, stop = edges[..., :-1], edges[..., 1:]
    middle, half = 0.5 * (start + stop), 0.5 * (stop - start)
    if cylinder:
        mean = middle
        along = jnp.square(half) / 3
        across = jnp.broadcast_to(jnp.square(radii) / 4, mean.shape)
    else:
        middle2, half2 = jnp.square(middle), jnp.square(half)
        scale = 3 * middle2 + half2
        mean = middle + 2 * middle * half2 / scale
        along = half2 / 3 - 4 / 15 * jnp.square(half2) * (12 * middle2 - half2) / jnp.square(scale)
        across = jnp.square(radii) * (middle2 / 4 + 5 / 12 * half2 - 4 / 15 * jnp.square(half2) / scale)
    squares = jnp.square(directions)
    sideways = 1 - squares / squares.sum(-1, keepdims=True)
    variances = along[..., None] * squares[..., None, :] + across[..., None] * sideways[..., None, :]
    return origins[..., None, :] + mean[..., None] * directions[..., None, :], variances
