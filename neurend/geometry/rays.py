"""Rays: what a camera casts and a renderer consumes."""

import flax.struct
import jax.numpy as jnp

from neurend.geometry.leading import align
from neurend.typing import Array


@flax.struct.dataclass
class Rays:
    """Half lines `origins + t directions`, any leading dims `...` shared by all leaves.

    Attributes:
        origins: [... 3] in the world.
        directions: [... 3], not normalised. For pinhole and opencv cameras the camera z of a direction is 1, so that
            `t` is depth along the camera's axis; for the other models directions are unit and `t` is distance.
        viewdirs: [... 3] unit vectors along the directions, in the world, before any NDC warp.
        radii: [... 1] radius of the cone at t = 1, as in mip-NeRF (Barron et al., 2021): the change of direction from
            a pixel to its right-hand neighbour times 2 / sqrt(12).
        index: [...] int32 index of the image the ray belongs to (for appearance codes), 0 if unknown.
    """

    origins: Array
    directions: Array
    viewdirs: Array
    radii: Array
    index: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The leading dims."""
        return jnp.shape(self.index)


def at(rays: Rays, t: Array) -> Array:
    """Points [... n 3] at parameters `t` [... n] along rays [...]."""
    origins, directions, t = align((rays.origins, 1), (rays.directions, 1), (t, 1))
    return origins[..., None, :] + t[..., None] * directions[..., None, :]
