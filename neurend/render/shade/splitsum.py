"""The part of an environment's reflection that depends on the surface alone, as a table.

Karis, "Real shading in Unreal Engine 4" (2013): reflected light is nearly the product of the environment, blurred by a
lobe, and of what the surface reflects of uniform light, which is linear in F0. Karis blurs as if each surface were seen
along its normal and looks that up in the mirror direction; here the table also says which lobe of those comes closest:
the one whose mean direction, a vector shorter for wider lobes, is that of the true one.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend.numerics import materialize, unstack
from neurend.render import texture
from neurend.render.shade import ggx
from neurend.typing import Array

# Nodes of the quadrature over inclinations and azimuths, whose error is 0.0005.
_NODES = (64, 16)


@flax.struct.dataclass
class Lobe:
    """What surfaces do with light, [...] each.

    Attributes:
        scale, bias: facets reflect F0 * scale + bias of uniform light.
        matte: of uniform light, (1 - F0) * matte goes on to the matte part.
        mirror: the middle of the lobe is at mirror * reflected direction + (1 - mirror) * normal, not normalised.
        roughness: of the surface that, seen along its normal, has a lobe as wide.
    """

    scale: Array
    bias: Array
    matte: Array
    mirror: Array
    roughness: Array


def table(size: int = 64) -> Array:
    """Lobes by quadrature.

    Args:
        size: of the table, at least 2.

    Returns:
        [size size 5] a texture over the square root of n.v (u) and roughness (v), with the first and the last texels'
        centres at 0 and 1, of the attributes of `Lobe`.
    """
    # Computed where it is traced, else the compiler would, slowly; of arguments, else operation by operation.
    with jax.ensure_compile_time_eval():
        return _table(np.linspace(0, 1, size).astype(jnp.result_type(float)), _nodes())


def lookup(table: Array, n_v: Array, roughness: Array) -> Lobe:
    """Lobes at cosines [...] and roughnesses [...], both clipped to [0, 1]."""
    size = table.shape[0]
    cosine = jnp.sqrt(jnp.minimum(ggx.above(n_v), 1))
    places = jnp.broadcast_arrays(cosine, jnp.clip(roughness, 0, 1))
    uv = jnp.stack([(place * (size - 1) + 0.5) / size for place in places], axis=-1)
    found = texture.bilinear(table, uv, wrap='clamp')
    return Lobe(*materialize(unstack(found)))


@jax.jit
def _table(steps: Array, nodes: tuple[Array, ...]) -> Array:
    # Short of 0 and 1, where lobes have no width or no azimuth.
    n_v = jnp.clip(steps**2, 1e-4, 1 - 1e-4)
    alpha = jnp.maximum(steps, ggx.SMOOTHEST) ** 2
    scale, bias, up, along = jnp.moveaxis(
        jax.lax.map(lambda a: jax.vmap(_glossy, (0, None, None))(n_v, a, nodes), alpha), -1, 0
    )
    matte = jnp.broadcast_to(jax.vmap(_matte, (0, None))(n_v, nodes)[None], scale.shape)
    # Of the combination of normal and mirror direction that points along (up, along).
    across = jnp.sqrt(1 - n_v**2)[None]
    mirror = along / (across * up + along * (1 - n_v)[None])
    # Nearly linear in roughness; seen along the normal it is a surface's own.
    width = jnp.sqrt(jnp.sqrt(jnp.maximum(1 - jnp.hypot(up, along), 0)))
    roughness = jnp.interp(width, width[:, -1], steps)
    # Row 0 of a texture is its top.
    return jnp.stack([scale, bias, matte, mirror, roughness], axis=-1)[::-1]


def _matte(n_v: Array, nodes: tuple[Array, ...]) -> Array:
    """Mean of 1 - Fresnel's weight over directions of light with density n.l / pi."""
    u, rest, turn, weights = nodes
    v_l = jnp.sqrt(1 - n_v**2) * jnp.sqrt(u) * jnp.cos(jnp.pi * turn) + n_v * jnp.sqrt(rest)
    return jnp.sum(weights * (1 - ggx.schlick(jnp.sqrt((1 + v_l) / 2))))


def _glossy(n_v: Array, alpha: Array, nodes: tuple[Array, ...]) -> Array:
    """Scale, bias, and the mean direction of reflected light: up, and along the surface away from the camera."""
    u, rest, turn, weights = nodes
    # Halfway vectors with density D n.h.
    n_h, slope = jnp.sqrt(rest / (rest + alpha**2 * u)), alpha * jnp.sqrt(u / (rest + alpha**2 * u))
    across = jnp.sqrt(1 - n_v**2)
    # Up to the azimuth at which the reflected direction sinks below the surface.
    lowest = (n_v / (2 * n_h) - n_v * n_h) / (across * slope)
    last = jnp.arccos(jnp.clip(lowest, -1, 1))
    beside = slope * jnp.cos(last * turn)
    v_h = across * beside + n_v * n_h
    n_l = jnp.maximum(2 * v_h * n_h - n_v, 0)
    reflected = 4 * ggx.masking_shadowing(n_l, n_v, alpha) * n_l * v_h / n_h * last / jnp.pi * weights
    toward = ggx.schlick(v_h)
    total = jnp.sum(reflected)
    away = across - 2 * v_h * beside
    sums = [reflected * (1 - toward), reflected * toward, reflected * n_l / total, reflected * away / total]
    return jnp.stack([jnp.sum(part) for part in sums])


def _nodes() -> tuple[np.ndarray, ...]:
    """Nodes u over [0, 1], 1 - u, nodes over half a turn as shares of it, and weights of all pairs."""
    (x, inclined), (turn, shares) = (np.polynomial.legendre.leggauss(count) for count in _NODES)
    angle, turn = np.pi / 4 * (x + 1), (turn + 1) / 2
    # Denser at both ends, since densities of facets have long tails.
    weights = np.outer(np.pi / 4 * inclined * np.sin(2 * angle), shares / 2)
    nodes = (np.sin(angle)[:, None] ** 2, np.cos(angle)[:, None] ** 2, turn[None], weights)
    return tuple(part.astype(jnp.result_type(float)) for part in nodes)
