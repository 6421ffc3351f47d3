"""Vectors over pictures, plane by plane: axes of three are too short for XLA's sums and products on a CPU."""

import jax.numpy as jnp

from neurend.geometry.leading import align, floating
from neurend.numerics import materialize, safe_divide, safe_sqrt, unstack
from neurend.typing import Array


def aligned(*arrays: Array) -> list[Array]:
    """Vectors [... 3] as floats with equally many axes, so that they broadcast."""
    return align(*((floating(array), 1) for array in arrays))


def kept(a: Array) -> Array:
    """Vectors or colours [... c], finite, computed once however often they are read (`numerics.materialize`)."""
    return jnp.stack(materialize(unstack(a)), axis=-1)


def dot(a: Array, b: Array) -> Array:
    """Inner products [...] of vectors [... 3] with equally many axes."""
    (ax, ay, az), (bx, by, bz) = unstack(a), unstack(b)
    return ax * bx + ay * by + az * bz


def scaled(a: Array, amount: Array) -> Array:
    """Vectors or colours [... c] times numbers [...] with as many leading axes."""
    return jnp.stack([plane * amount for plane in unstack(a)], axis=-1)


def reflect(view: Array, normals: Array) -> Array:
    """The mirror directions [... 3] of unit directions away from the surface about unit normals, both [... 3]."""
    return scaled(normals, 2 * dot(view, normals)) - view


def unit(a: Array) -> tuple[Array, Array]:
    """Unit vectors of [... 3], and the inverse lengths [...]; zeros, with zero gradients, of the zero vector."""
    inverse = safe_divide(1.0, safe_sqrt(dot(a, a)))
    return scaled(a, inverse), inverse


def cross(a: Array, b: Array) -> Array:
    """Cross products [... 3] of vectors [... 3] with equally many axes."""
    (ax, ay, az), (bx, by, bz) = unstack(a), unstack(b)
    return jnp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
