"""Lambert's and Blinn and Phong's reflection."""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import align, floating
from neurend.render.shade.vectors import aligned, dot, scaled, unit
from neurend.typing import Array


def lambert(normals: Array, view: Array, light: Array, *, albedo: Array) -> Array:
    """Reflects equally in all directions: albedo / pi.

    Args:
        normals, view, light: [... 3], see `ggx.brdf`; only their shapes matter.
        albedo: [... 3] in [0, 1], the share of light reflected.

    Returns:
        [... 3] in 1/sr; leading dims broadcast.
    """
    checks.shape('albedo', albedo, '... 3')
    albedo, *directions = aligned(albedo, normals, view, light)
    shape = jnp.broadcast_shapes(albedo.shape, *(direction.shape for direction in directions))
    return jnp.broadcast_to(albedo / jnp.pi, shape)


def blinn_phong(
    normals: Array, view: Array, light: Array, *, diffuse: Array, specular: Array, shininess: Array | float
) -> Array:
    """Lambert's reflection and a highlight (n.h)^s about the halfway vector h (Blinn, 1977).

    The highlight is normalised (Giesen, "Phong normalization factor derivations", 2009): seen along the normal the
    surface reflects `specular` of a uniform light, elsewhere less. Energy is conserved where diffuse + specular <= 1.

    Args:
        normals, view, light: [... 3] unit, the latter two away from the surface.
        diffuse, specular: [... 3] in [0, 1], shares of light reflected.
        shininess: [...] the exponent s, not negative.

    Returns:
        [... 3] in 1/sr; leading dims broadcast.
    """
    checks.shape('specular', specular, '... 3')
    normals, view, light = aligned(normals, view, light)
    _, specular, exponent = align((normals, 1), (floating(specular), 1), (floating(shininess), 0))
    # Without a base of 0, whose power has no gradient with respect to the exponent.
    n_h = jnp.clip(dot(normals, unit(view + light)[0]), 1e-6, 1)
    factor = (exponent + 2) * (exponent + 4) / (8 * jnp.pi * (2 ** (-exponent / 2) + exponent))
    highlight = scaled(specular, factor * n_h**exponent)
    return lambert(normals, view, light, albedo=diffuse) + highlight
