"""Distant light as spherical harmonics, and the irradiance of surfaces under it.

Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment maps" (2001): irradiance is light
blurred by a cosine, which hardly lets anything through beyond degree 2. Nine numbers for each colour channel light a
matte surface to about 1 %, at any number of pixels for a few sums and products each.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry.leading import floating
from neurend.nn.encodings import spherical_harmonics
from neurend.numerics import unstack
from neurend.render.shade import cubemaps
from neurend.typing import Array


def radiance(coefficients: Array, directions: Array) -> Array:
    """The light itself, e.g. as a background.

    Args:
        coefficients: [(degree + 1)^2 c], degree 0 to 4, in the order of `nn.encodings.spherical_harmonics`.
        directions: [... 3] unit, towards the light.

    Returns:
        [... c]; a sum of few harmonics may be negative.
    """
    coefficients = floating(coefficients)
    basis = unstack(spherical_harmonics(floating(directions), degree=_degree(coefficients)))
    # XLA makes one loop of these sums and the basis, which no matrix product would be part of.
    planes = [sum(y * column[k] for k, y in enumerate(basis)) for column in unstack(coefficients)]
    return jnp.stack(planes, axis=-1)


def irradiance(coefficients: Array, normals: Array) -> Array:
    """Irradiance of surfaces, pi times the radiance of white matte ones.

    Args:
        coefficients: [(degree + 1)^2 c] of the radiance, degree 0 to 4.
        normals: [... 3] unit.

    Returns:
        [... c].
    """
    coefficients = floating(coefficients)
    return radiance(coefficients * jnp.asarray(_lobe(_degree(coefficients)), coefficients.dtype)[:, None], normals)


def project(environment: Array, *, degree: int = 2) -> Array:
    """Coefficients [(degree + 1)^2 c] of the radiance of a cube map [6 n n c]: integrals of it times the basis."""
    environment = floating(environment)
    sizes = checks.shape('environment', environment, '6 n n c', 'Give a cube map, see cubemaps')
    directions, angles = cubemaps.texels(sizes['n'], environment.dtype)
    basis = spherical_harmonics(directions, degree=degree) * angles[:, None]
    return jnp.matmul(basis.T, environment.reshape(-1, sizes['c']), precision='highest')


def fit(
    normals: Array,
    colors: Array,
    *,
    albedo: Array | None = None,
    weights: Array | None = None,
    degree: int = 2,
    damping: float = 1e-6,
) -> Array:
    """The light under which matte surfaces have given colours: weighted linear least squares, in closed form.

    Minimises the sum of weights * (albedo / pi * irradiance - colors)^2, and is differentiable.

    Args:
        normals: [... 3] unit.
        colors: [... c] linear radiance.
        albedo: [... c] of the surfaces; white if None.
        weights: [...] not negative, e.g. 0 where there is no surface; 1 if None.
        degree: 0 to 4. Degree 3 has no effect on irradiance and stays 0.
        damping: of the squared irradiance coefficients, relative to what surfaces see of them on average. What no
            normal tells stays near 0.

    Returns:
        Coefficients [(degree + 1)^2 c] of the radiance.

    Raises:
        InputError: shapes that do not fit those of the normals.
    """
    normals, colors = floating(normals), floating(colors)
    sizes = checks.shape('colors', colors, '... c')
    checks.shape('normals', normals, '... 3')
    leading, channels = normals.shape[:-1], sizes['c']
    albedo = jnp.ones_like(colors) if albedo is None else floating(albedo)
    weights = jnp.ones(leading, colors.dtype) if weights is None else floating(weights)
    full = (*leading, channels)
    for name, array, expected in (('colors', colors, full), ('albedo', albedo, full), ('weights', weights, leading)):
        if array.shape != expected:
            raise checks.InputError(f'{name}: got shape {array.shape}, expected {expected}, as the normals have')
    basis = spherical_harmonics(normals, degree=degree).reshape(-1, (degree + 1) ** 2)
    weights = weights.reshape(-1)

    def channel(color: Array, reflectance: Array) -> Array:
        weighted = basis * (weights * reflectance)[:, None]
        matrix = jnp.matmul(weighted.T, basis * reflectance[:, None], precision='highest')
        amount = damping * jnp.trace(matrix) / len(matrix) + jnp.finfo(matrix.dtype).tiny
        matrix = matrix + amount * jnp.eye(len(matrix), dtype=matrix.dtype)
        return jnp.linalg.solve(matrix, jnp.matmul(weighted.T, color, precision='highest'))

    flat = [array.reshape(-1, channels) for array in (colors, albedo / jnp.pi)]
    found = jax.vmap(channel, in_axes=1, out_axes=1)(*flat)
    lobe = _lobe(degree)
    inverse = np.where(lobe == 0, 0, 1 / np.where(lobe == 0, 1, lobe))
    return found * jnp.asarray(inverse, found.dtype)[:, None]


def _degree(coefficients: Array) -> int:
    count = checks.shape('coefficients', coefficients, 'k c')['k']
    checks.one_of('the number of coefficients', count, (1, 4, 9, 16, 25))
    return math.isqrt(count) - 1


def _lobe(degree: int) -> np.ndarray:
    """What the cosine leaves of each coefficient: pi, 2/3 pi, pi/4, 0, -pi/24 by degree."""
    return np.repeat([math.pi, 2 * math.pi / 3, math.pi / 4, 0, -math.pi / 24], [1, 3, 5, 7, 9])[: (degree + 1) ** 2]
