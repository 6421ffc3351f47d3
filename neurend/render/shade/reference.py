"""The direct part of the rendering equation summed up texel by texel: slow, and right to the size of a texel."""

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import floating
from neurend.render.shade import cubemaps
from neurend.render.shade.lights import Brdf
from neurend.render.shade.vectors import aligned, dot, scaled
from neurend.typing import Array


def direct(brdf: Brdf, normals: Array, view: Array, environment: Array, *, chunk: int = 16) -> Array:
    """Radiance reflected of an environment, the sum over its texels of brdf * radiance * max(n.l, 0) * solid angle.

    Args:
        brdf: reflectance, see `lights.Brdf`; it is given one direction for all pixels.
        normals, view: [... 3] unit.
        environment: [6 n n 3]. A highlight narrower than a texel is not resolved.
        chunk: how many texels to compute at a time; memory grows with it and with the picture, not with the
            environment, in reverse mode too.

    Returns:
        [... 3].
    """
    environment = floating(environment)
    side = checks.shape('environment', environment, '6 n n 3', 'Give a cube map, see cubemaps')['n']
    normals, view = aligned(normals, view)
    directions, angles = cubemaps.texels(side, environment.dtype)
    light = environment.reshape(-1, 3) * angles[:, None]
    padding = -len(light) % chunk
    chunks = [jnp.pad(x, ((0, padding), (0, 0))).reshape(-1, chunk, 3) for x in (directions, light)]

    def one(direction: Array, power: Array) -> Array:
        normals_, direction, power = aligned(normals, direction, power)
        cosine = jnp.maximum(dot(normals_, direction), 0)
        return scaled(brdf(normals_, view, direction) * power, cosine)

    @jax.checkpoint
    def add(total: Array, texels: tuple[Array, Array]) -> tuple[Array, None]:
        return total + jax.vmap(one)(*texels).sum(0).astype(total.dtype), None

    start = jnp.zeros(jnp.broadcast_shapes(normals.shape, view.shape), normals.dtype)
    return jax.lax.scan(add, start, tuple(chunks))[0]
