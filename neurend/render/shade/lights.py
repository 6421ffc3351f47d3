"""Directional and point lights, and the light that surfaces reflect of them.

Radiance is linear; a surface of albedo 1 that faces a directional light of irradiance pi has radiance 1.
"""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.leading import floating
from neurend.render.shade.vectors import aligned, dot, scaled, unit
from neurend.typing import Array

Brdf = Callable[[Array, Array, Array], Array]
"""`brdf(normals, view, light) -> [... 3]` in 1/sr, e.g. `functools.partial(ggx.brdf, base_color=..., ...)`."""


@flax.struct.dataclass
class Directional:
    """Lights infinitely far away.

    Attributes:
        directions: [L 3] unit, towards the lights.
        irradiance: [L 3] on a surface that faces them.
    """

    directions: Array
    irradiance: Array


@flax.struct.dataclass
class Point:
    """Lights at points, that shine alike in all directions.

    Attributes:
        positions: [L 3] in the world.
        intensity: [L 3]; the irradiance of a surface that faces them is intensity / distance^2.
    """

    positions: Array
    intensity: Array


def shade(
    brdf: Brdf,
    normals: Array,
    view: Array,
    lights: Directional | Point,
    *,
    positions: Array | None = None,
    visibility: Array | None = None,
) -> Array:
    """Radiance that surfaces reflect towards the camera, the sum over lights of brdf * irradiance * max(n.l, 0).

    Args:
        brdf: reflectance; surfaces do not shine through, whatever it says of light from below.
        normals: [... 3] unit.
        view: [... 3] unit, towards the camera.
        lights: of one kind, any number of them; add the results for both kinds.
        positions: [... 3] of the surfaces, for point lights.
        visibility: [L ...] which share of each light arrives, e.g. of `shadows.visibility`; all if None.

    Returns:
        [... 3].

    Raises:
        InputError: a shape does not fit, or positions are missing.
    """
    if isinstance(lights, Point):
        sizes = checks.shape('lights.positions', lights.positions, 'L 3')
        checks.shape('lights.intensity', lights.intensity, 'L 3', sizes=sizes)
    else:
        sizes = checks.shape('lights.directions', lights.directions, 'L 3')
        checks.shape('lights.irradiance', lights.irradiance, 'L 3', sizes=sizes)
    if visibility is not None:
        checks.shape('visibility', visibility, 'L ...', 'Give a picture for every light', sizes=sizes)
    normals, view = aligned(normals, view)
    if positions is not None:
        normals, view, positions = aligned(normals, view, positions)

    # What reverse mode needs is computed again, which takes less time than keeping pictures of it for every light.
    @jax.checkpoint
    def add(total: Array, light: tuple) -> tuple[Array, None]:
        one, share = light
        direction, color, falloff = _incident(one, positions)
        normals_, direction, color = aligned(normals, direction, color)
        amount = jnp.maximum(dot(normals_, direction), 0) * falloff
        if share is not None:
            amount = amount * share
        reflected = scaled(brdf(normals_, view, direction) * color, amount)
        return total + reflected.astype(total.dtype), None

    shapes = [array.shape for array in (normals, view, positions) if array is not None]
    start = jnp.zeros(jnp.broadcast_shapes(*shapes), normals.dtype)
    return jax.lax.scan(add, start, (lights, visibility))[0]


def _incident(light: Directional | Point, positions: Array | None) -> tuple[Array, Array, Array | float]:
    """Of one light: unit directions [... 3] to it, its colour [3] and what its irradiance is multiplied by [...]."""
    if isinstance(light, Directional):
        return floating(light.directions), light.irradiance, 1.0
    if positions is None:
        raise checks.InputError('positions: got None for point lights, expected [... 3] of the surfaces')
    place, positions = aligned(light.positions, positions)
    direction, inverse = unit(place - positions)
    return direction, light.intensity, inverse * inverse
