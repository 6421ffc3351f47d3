"""Rotations: matrices, quaternions (w, x, y, z), rotation vectors (axis times angle) and the continuous 6-D form.

Every map has finite gradients of any order, at the identity and at half turns too. The longer ones are compiled as a
whole, which spares callers outside `jit` a compilation per operation.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from neurend.geometry.leading import align
from neurend.numerics import normalize
from neurend.typing import Array

# Below one, functions of the squared angle come from their series: the closed forms cancel there.
_TERMS = 9
_SIN_OVER_X = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(_TERMS))
_VERSINE_OVER_X2 = tuple((-1) ** k / math.factorial(2 * k + 2) for k in range(_TERMS))
_X_MINUS_SIN_OVER_X3 = tuple((-1) ** k / math.factorial(2 * k + 3) for k in range(_TERMS))
# |B_2k| / (2k)! with Bernoulli's numbers: the terms fall by (2 pi)^2.
_COTANGENT_REMAINDER = (
    1 / 12,
    1 / 720,
    1 / 30240,
    1 / 1209600,
    1 / 47900160,
    691 / 1307674368000,
    1 / 74724249600,
    3617 / 10670622842880000,
    43867 / 5109094217170944000,
)


@jax.jit
def exp(vector: Array) -> Array:
    """Rotation matrices [... 3 3] of rotation vectors [... 3] (axis times angle in radians): Rodrigues' formula."""
    squared = jnp.sum(vector * vector, axis=-1)
    cosine = 1 - versine_over_x2(squared) * squared
    outer = vector[..., :, None] * vector[..., None, :]
    identity = jnp.broadcast_to(jnp.eye(3, dtype=vector.dtype), outer.shape)
    return (
        cosine[..., None, None] * identity
        + sin_over_x(squared)[..., None, None] * skew(vector)
        + versine_over_x2(squared)[..., None, None] * outer
    )


@jax.jit
def log(matrix: Array) -> Array:
    """Rotation vectors [... 3], of length at most pi, of rotation matrices [... 3 3]: the inverse of `exp`.

    At an angle of exactly pi both signs of the axis are right, and either comes back.
    """
    return vector_from_quaternion(quaternion_from_matrix(matrix))


def skew(vector: Array) -> Array:
    """Matrices [... 3 3] of the cross product with vectors [... 3]."""
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = jnp.zeros_like(x)
    return _matrix([[zero, -z, y], [z, zero, -x], [-y, x, zero]])


def matrix_from_axis_angle(axis: Array, angle: Array) -> Array:
    """Rotation matrices [... 3 3] about axes [... 3], of any length but zero, by angles [...] in radians."""
    axis, angle = align((axis, 1), (jnp.asarray(angle, jnp.result_type(axis)), 0))
    return exp(normalize(axis) * angle[..., None])


def matrix_from_quaternion(quaternion: Array) -> Array:
    """Rotation matrices [... 3 3] of quaternions [... 4] (w, x, y, z) of any length but zero."""
    w, x, y, z = (quaternion[..., i] for i in range(4))
    s = 2 / jnp.sum(quaternion * quaternion, axis=-1)
    return _matrix(
        [
            [1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
            [s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)],
            [s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)],
        ]
    )


def quaternion_from_matrix(matrix: Array) -> Array:
    """Unit quaternions [... 4] (w, x, y, z) with w >= 0 of rotation matrices [... 3 3].

    Computed from the largest of the four components, so that nothing cancels (Shepperd, 1978).
    """
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    x, y, z = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[1][0] + m[0][1], m[2][0] + m[0][2], m[2][1] + m[1][2]
    # Row i is 4 q_i q, and its diagonal element 4 q_i^2.
    squares = [
        1 + m[0][0] + m[1][1] + m[2][2],
        1 + m[0][0] - m[1][1] - m[2][2],
        1 - m[0][0] + m[1][1] - m[2][2],
        1 - m[0][0] - m[1][1] + m[2][2],
    ]
    rows = _matrix(
        [
            [squares[0], x, y, z],
            [x, squares[1], xy, xz],
            [y, xy, squares[2], yz],
            [z, xz, yz, squares[3]],
        ]
    )
    largest = jnp.argmax(jnp.stack(squares, axis=-1), axis=-1)
    quaternion = normalize(jnp.take_along_axis(rows, largest[..., None, None], axis=-2)[..., 0, :])
    return jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_from_vector(vector: Array) -> Array:
    """Unit quaternions [... 4] (w, x, y, z) of rotation vectors [... 3]."""
    quarter = jnp.sum(vector * vector, axis=-1, keepdims=True) / 4
    cosine = 1 - versine_over_x2(quarter) * quarter
    return jnp.concatenate([cosine, vector * sin_over_x(quarter) / 2], axis=-1)


def vector_from_quaternion(quaternion: Array) -> Array:
    """Rotation vectors [... 3], of length at most pi, of quaternions [... 4] (w, x, y, z) of any length but zero."""
    quaternion = jnp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, axis = quaternion[..., :1], quaternion[..., 1:]
    squared = jnp.sum(axis * axis, axis=-1, keepdims=True)
    small = squared < 1e-4 * w * w
    ratio = jnp.where(small, squared / jnp.where(small, w, 1) ** 2, 0)
    series = 2 * _polynomial(ratio, (1, -1 / 3, 1 / 5, -1 / 7, 1 / 9)) / jnp.where(small, w, 1)
    length = jnp.sqrt(jnp.where(small, 1, squared))
    return axis * jnp.where(small, series, 2 * jnp.arctan2(length, w) / length)


def multiply(a: Array, b: Array) -> Array:
    """Products [... 4] of quaternions (w, x, y, z): `multiply(a, b)` rotates by b first, then by a."""
    a, b = align((a, 1), (b, 1))
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    scalar = aw * bw - jnp.sum(av * bv, axis=-1, keepdims=True)
    return jnp.concatenate([scalar, aw * bv + bw * av + jnp.cross(av, bv)], axis=-1)


def conjugate(quaternion: Array) -> Array:
    """The opposite rotations of quaternions [... 4] (w, x, y, z)."""
    return quaternion * jnp.asarray([1, -1, -1, -1], quaternion.dtype).reshape((1,) * (quaternion.ndim - 1) + (4,))


def matrix_from_6d(columns: Array) -> Array:
    """Rotation matrices [... 3 3] of 6-D forms [... 6] by Gram and Schmidt (Zhou et al., 2019).

    The six numbers are the matrix's first two columns, one after the other, which need be neither unit nor orthogonal.
    """
    first = normalize(columns[..., :3])
    second = columns[..., 3:]
    second = normalize(second - jnp.sum(first * second, axis=-1, keepdims=True) * first)
    return jnp.stack([first, second, jnp.cross(first, second)], axis=-1)


def sixd_from_matrix(matrix: Array) -> Array:
    """6-D forms [... 6] of rotation matrices [... 3 3]: their first two columns."""
    return jnp.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def sin_over_x(squared: Array) -> Array:
    """`sin(x) / x` as a function of x^2, elementwise."""
    return _series_or(squared, _SIN_OVER_X, lambda x: jnp.sin(x) / x)


def versine_over_x2(squared: Array) -> Array:
    """`(1 - cos(x)) / x^2` as a function of x^2, elementwise."""
    return _series_or(squared, _VERSINE_OVER_X2, lambda x: (1 - jnp.cos(x)) / x**2)


def x_minus_sin_over_x3(squared: Array) -> Array:
    """`(x - sin(x)) / x^3` as a function of x^2, elementwise."""
    return _series_or(squared, _X_MINUS_SIN_OVER_X3, lambda x: (x - jnp.sin(x)) / x**3)


def cotangent_remainder(squared: Array) -> Array:
    """`(1 - (x / 2) cot(x / 2)) / x^2` as a function of x^2 below (2 pi)^2, elementwise."""
    return _series_or(squared, _COTANGENT_REMAINDER, lambda x: (1 - x / 2 / jnp.tan(x / 2)) / x**2)


def _series_or(squared: Array, series: tuple[float, ...], closed: Callable[[Array], Array]) -> Array:
    small = squared < 1
    return jnp.where(
        small,
        _polynomial(jnp.where(small, squared, 0), series),
        closed(jnp.sqrt(jnp.where(small, 1, squared))),
    )


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    result = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


def _matrix(rows: list[list[Array]]) -> Array:
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
