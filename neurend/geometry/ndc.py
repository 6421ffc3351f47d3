"""Normalised device coordinates for forward-facing captures (NeRF: Mildenhall et al., 2020, appendix C).

A reference camera (for a recentred LLFF capture the average one) sees the scene from z = near to infinity. NDC map its
frustum to the cube [-1, 1]^3: x to the right, y down, z from -1 at the near plane to 1 at infinity. Lines stay lines,
and t = 1 - near / z along a warped ray, so t in [0, 1] covers everything.
"""

import dataclasses

import jax.numpy as jnp

from neurend.geometry import transforms
from neurend.geometry.cameras import Camera
from neurend.geometry.leading import align, floating
from neurend.geometry.rays import Rays
from neurend.numerics import safe_divide
from neurend.typing import Array


def from_world(points: Array, reference: Camera, *, near: float = 1.0) -> Array:
    """NDC [... 3] of world points [... 3] in front of the reference camera (pinhole, its centre mid-image)."""
    points = transforms.apply_inverse(reference.world_from_camera, floating(points))
    points, scale = align((points, 1), (_scale(reference), 1))
    z = points[..., 2:]
    return jnp.concatenate(
        [scale * safe_divide(points[..., :2], z), 1 - 2 * near * safe_divide(jnp.ones_like(z), z)], -1
    )


def to_world(points: Array, reference: Camera, *, near: float = 1.0) -> Array:
    """World points [... 3] of NDC [... 3] with z < 1: the inverse of `from_world`."""
    points, scale = align((floating(points), 1), (_scale(reference), 1))
    z = safe_divide(jnp.full_like(points[..., 2:], 2 * near), 1 - points[..., 2:])
    return transforms.apply(reference.world_from_camera, jnp.concatenate([points[..., :2] / scale * z, z], axis=-1))


def warp(rays: Rays, reference: Camera, *, near: float = 1.0) -> Rays:
    """Rays in NDC: from the near plane (t = 0) to infinity (t = 1).

    Args:
        rays: any leading dims; they must point away from the reference camera, into its half space.
        reference: one camera, or leading dims that broadcast: pinhole, its centre mid-image.
        near: z of the near plane in the reference camera.

    Returns:
        Rays with origins and directions in NDC. View directions stay those of the world. Radii become those of the
        cylinder that mip-NeRF uses here: constant along the ray, the footprint at the near plane.
    """
    origins = transforms.apply_inverse(reference.world_from_camera, rays.origins)
    directions = transforms.rotate_back(reference.world_from_camera, rays.directions)
    origins, directions, scale = align((origins, 1), (directions, 1), (_scale(reference), 1))
    shift = (near - origins[..., 2:]) / directions[..., 2:]
    origins = origins + shift * directions
    slope = directions[..., :2] / directions[..., 2:] - origins[..., :2] / near
    start = jnp.concatenate([scale * origins[..., :2] / near, jnp.full_like(shift, -1)], axis=-1)
    toward = jnp.concatenate([scale * slope, jnp.full_like(shift, 2)], axis=-1)
    radii = rays.radii * shift * jnp.mean(scale, axis=-1, keepdims=True) / near
    return dataclasses.replace(rays, origins=start, directions=toward, radii=radii)


def _scale(reference: Camera) -> Array:
    return 2 * reference.focal / reference.size.astype(reference.focal.dtype)
