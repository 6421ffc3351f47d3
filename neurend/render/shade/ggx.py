"""The metallic-roughness model: Cook and Torrance's microfacets with the GGX distribution.

Walter et al., "Microfacet models for refraction through rough surfaces" (2007); Burley, "Physically-based shading at
Disney" (2012) for the parameters, as in glTF 2.0: roughness is squared to alpha, a metal reflects its base colour, any
other surface 4 % and below that it scatters the base colour. Light that facets pass on to each other is lost: of
uniform light a white metal reflects all where it is smooth, and at roughness 1, seen along the normal, 1 - ln 2 = 31 %.
"""

import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import align, floating
from neurend.numerics import materialize, unstack
from neurend.render.shade.vectors import aligned, dot, unit
from neurend.typing import Array

# Smoother surfaces mirror a point light in a highlight that float32 and pixels cannot resolve (Lagarde and de Rousiers,
# "Moving Frostbite to PBR", 2014).
SMOOTHEST = 0.045
DIELECTRIC = 0.04
_GRAZING = 1e-4


def brdf(
    normals: Array,
    view: Array,
    light: Array,
    *,
    base_color: Array,
    metallic: Array | float,
    roughness: Array | float,
) -> Array:
    """Reflected radiance per irradiance, in 1/sr.

    Args:
        normals, view, light: [... 3] unit; the latter two point away from the surface. Below it the light counts as
            grazing: multiply by its cosine, clipped at 0, as `lights.shade` does. A view below it counts as grazing
            too, since interpolated normals may turn away from what is seen.
        base_color: [... 3] linear, in [0, 1].
        metallic: [...] in [0, 1].
        roughness: [...] in [0, 1]; less than `SMOOTHEST` counts as that.

    Returns:
        [... 3]; leading dims broadcast.
    """
    normals, view, light = aligned(normals, view, light)
    base, metallic, roughness = surface(normals, base_color, metallic, roughness)
    halfway = unit(view + light)[0]
    pairs = ((normals, light), (normals, view), (normals, halfway), (view, halfway))
    n_l, n_v, n_h, v_h = materialize(jnp.broadcast_arrays(*(dot(a, b) for a, b in pairs)))
    alpha = jnp.maximum(roughness, SMOOTHEST) ** 2
    specular = distribution(n_h, alpha) * masking_shadowing(above(n_l), above(n_v), alpha)
    toward = schlick(v_h)
    planes = []
    for color in unstack(base):
        f0 = normal_reflectance(color, metallic)
        fresnel = f0 + (1 - f0) * toward
        planes.append(fresnel * specular + (1 - fresnel) * (1 - metallic) * color / jnp.pi)
    return jnp.stack(planes, axis=-1)


def surface(
    normals: Array, base_color: Array, metallic: Array | float, roughness: Array | float
) -> tuple[Array, Array, Array]:
    """Base colour [... 3], metallic [...] and roughness [...], with as many axes as normals [... 3] have."""
    checks.shape('base_color', base_color, '... 3')
    _, base, metallic, roughness = align(
        (normals, 1), (floating(base_color), 1), (floating(metallic), 0), (floating(roughness), 0)
    )
    return base, metallic, roughness


def above(cosine: Array) -> Array:
    """Cosines to a surface's normal, those below the surface as grazing ones."""
    return jnp.maximum(cosine, _GRAZING)


def normal_reflectance(color: Array, metallic: Array) -> Array:
    """What a surface reflects at normal incidence, F0, of planes of base colour and metalness."""
    return DIELECTRIC + (color - DIELECTRIC) * metallic


def distribution(n_h: Array, alpha: Array | float) -> Array:
    """Density of facets along the halfway vector, D of GGX: its integral over the hemisphere times n.h is 1.

    Args:
        n_h: cosine between the normal and the halfway vector.
        alpha: squared roughness, positive.
    """
    squared = alpha**2
    return squared / (jnp.pi * (1 - n_h**2 * (1 - squared)) ** 2)


def masking_shadowing(n_l: Array, n_v: Array | float, alpha: Array | float) -> Array:
    """Height-correlated G of Smith over 4 n.l n.v (Heitz, "Understanding the masking-shadowing function", 2014).

    Args:
        n_l, n_v: cosines between the normal and the directions to the light and to the camera, positive.
        alpha: squared roughness, positive.
    """
    squared = alpha**2
    lit = n_v * jnp.sqrt(n_l**2 * (1 - squared) + squared)
    seen = n_l * jnp.sqrt(n_v**2 * (1 - squared) + squared)
    return 0.5 / (lit + seen)


def schlick(v_h: Array) -> Array:
    """How far the reflectance is from F0 towards 1: (1 - v.h)^5 (Schlick, 1994)."""
    rest = 1 - jnp.clip(v_h, 0, 1)
    squared = rest * rest
    return squared * squared * rest
