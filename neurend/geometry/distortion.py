"""Lens distortion of normalised image coordinates (the plane z = 1 of the camera), and its inverse.

The inverses run Newton's method for a fixed number of steps and carry the implicit derivative of the exact inverse, so
forward and reverse mode agree with the inverse function theorem however many steps were taken.

Sources: OpenCV calib3d (the tangential part and three radial terms; the fourth as in nerfstudio); Kannala and Brandt,
"A generic camera model and calibration method" (2006).
"""

import jax
import jax.numpy as jnp
import numpy as np

from neurend.geometry.leading import align
from neurend.numerics import safe_norm
from neurend.typing import Array

_STEPS = 10
_ANGLES = 1024


def distort(xy: Array, coefficients: Array) -> Array:
    """Ideal to distorted coordinates, OpenCV's radial and tangential model.

        x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8) + 2 p1 x y + p2 (r^2 + 2 x^2)
        y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8) + p1 (r^2 + 2 y^2) + 2 p2 x y

    Args:
        xy: [... 2] ideal coordinates x/z, y/z.
        coefficients: [... 6] (k1, k2, k3, k4, p1, p2).

    Returns:
        [... 2] distorted coordinates.
    """
    xy, coefficients = align((xy, 1), (coefficients, 1))
    x, y = xy[..., 0], xy[..., 1]
    p1, p2 = coefficients[..., 4], coefficients[..., 5]
    r2 = x * x + y * y
    radial = 1 + _radial(r2, coefficients)
    return jnp.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


@jax.custom_jvp
def undistort(xy: Array, coefficients: Array) -> Array:
    """Distorted to ideal coordinates: the inverse of `distort`.

    Beyond the radius where the distortion stops growing there is no inverse; the result is then finite, not meaningful.

    Args:
        xy: [... 2] distorted coordinates.
        coefficients: [... 6] (k1, k2, k3, k4, p1, p2).

    Returns:
        [... 2] ideal coordinates.
    """
    xy, coefficients = align((xy, 1), (coefficients, 1))
    target = jnp.broadcast_to(xy, (*jnp.broadcast_shapes(xy.shape[:-1], coefficients.shape[:-1]), 2))

    def step(_: int, guess: Array) -> Array:
        move = _solve(guess, coefficients, target - distort(guess, coefficients))
        return guess + jnp.clip(move, -1, 1)

    return jax.lax.fori_loop(0, _STEPS, step, target)


@undistort.defjvp
def _undistort_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    _, coefficients = primals
    d_xy, d_coefficients = tangents
    ideal = undistort(*primals)
    _, moved = jax.jvp(lambda c: distort(ideal, c), (coefficients,), (d_coefficients,))
    d_xy, moved, coefficients = align((d_xy, 1), (moved, 1), (coefficients, 1))
    return ideal, _solve(ideal, coefficients, d_xy - moved)


def fisheye_distort(theta: Array, coefficients: Array) -> Array:
    """Angle to image radius of the Kannala-Brandt fisheye: theta (1 + k1 theta^2 + ... + k4 theta^8).

    Args:
        theta: [...] angle from the optical axis, in radians.
        coefficients: [... 6]; the tangential two are ignored.

    Returns:
        [...] radius in normalised image coordinates.
    """
    theta, coefficients = align((theta, 0), (coefficients, 1))
    return theta * (1 + _radial(theta * theta, coefficients))


@jax.custom_jvp
def fisheye_undistort(radius: Array, coefficients: Array) -> Array:
    """Image radius to angle: the inverse of `fisheye_distort`, in [0, pi].

    Args:
        radius: [...] radius in normalised image coordinates, not negative.
        coefficients: [... 6]; the tangential two are ignored.

    Returns:
        [...] angle from the optical axis, in radians.
    """
    radius, coefficients = align((radius, 0), (coefficients, 1))
    target = jnp.broadcast_to(radius, jnp.broadcast_shapes(radius.shape, coefficients.shape[:-1]))

    def step(_: int, guess: Array) -> Array:
        move = (target - fisheye_distort(guess, coefficients)) / _fisheye_slope(guess, coefficients)
        return jnp.clip(guess + move, 0, jnp.pi)

    return jax.lax.fori_loop(0, _STEPS, step, jnp.clip(target, 0, jnp.pi))


@fisheye_undistort.defjvp
def _fisheye_undistort_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    _, coefficients = primals
    d_radius, d_coefficients = tangents
    theta = fisheye_undistort(*primals)
    _, moved = jax.jvp(lambda c: fisheye_distort(theta, c), (coefficients,), (d_coefficients,))
    d_radius, moved, coefficients = align((d_radius, 0), (moved, 0), (coefficients, 1))
    return theta, (d_radius - moved) / _fisheye_slope(theta, coefficients)


def direction_from_fisheye(xy: Array, coefficients: Array) -> Array:
    """Unit directions [... 3] of distorted fisheye coordinates [... 2], with coefficients [... 6]."""
    xy, coefficients = align((xy, 1), (coefficients, 1))
    radius = safe_norm(xy)
    theta = fisheye_undistort(radius, coefficients)
    near_axis = radius < 1e-12
    scale = jnp.where(near_axis, 1, jnp.sin(theta) / jnp.where(near_axis, 1, radius))
    return jnp.concatenate([xy * scale[..., None], jnp.cos(theta)[..., None]], axis=-1)


def fisheye_from_direction(directions: Array, coefficients: Array) -> Array:
    """Distorted fisheye coordinates [... 2] of directions [... 3] of any length, with coefficients [... 6]."""
    directions, coefficients = align((directions, 1), (coefficients, 1))
    xy, z = directions[..., :2], directions[..., 2]
    across = safe_norm(xy)
    # On the axis the direction across is undefined; the limit of theta / across is 1 / z before the camera, and behind
    # it (theta = pi) any direction is as right as x.
    before = (z >= 0) & (across <= 1e-12 * z)
    behind = (z < 0) & (across == 0)
    theta = jnp.where(before, 0, jnp.arctan2(jnp.where(before, 1, across), jnp.where(before, 1, z)))
    radius = fisheye_distort(theta, coefficients)
    limit = 1 / jnp.where(before & (z > 0), z, 1)
    scale = jnp.where(before, limit, radius / jnp.where(across > 0, across, 1))
    aside = jnp.stack([radius, jnp.zeros_like(radius)], axis=-1)
    return jnp.where(behind[..., None], aside, xy * scale[..., None])


def last_angle(coefficients: Array, *, fisheye: bool, radius: Array | float = jnp.inf) -> Array:
    """Up to which angle from the axis the image radius grows: farther out the image would lie on itself.

    Args:
        coefficients: [... 6]; the tangential two are ignored.
        fisheye: whether they are those of `fisheye_distort` or of `distort`.
        radius: [...] image radius in normalised coordinates, to stop there if that comes first.

    Returns:
        [...] radians, in steps of a 1024th of the most there can be, pi for a fisheye and pi/2; without gradient.
    """
    coefficients, radius = align((coefficients, 1), (jnp.asarray(radius, coefficients.dtype), 0))
    coefficients, radius = coefficients[..., None, :], radius[..., None]
    angles = np.arange(_ANGLES) / _ANGLES * (np.pi if fisheye else np.pi / 2)
    ideal = jnp.asarray(angles if fisheye else np.tan(angles), coefficients.dtype)
    ideal = jnp.reshape(ideal, (1,) * (coefficients.ndim - 2) + (-1,))
    k1, k2, k3, k4 = (coefficients[..., i] for i in range(4))
    squared = ideal * ideal
    slope = 1 + squared * (3 * k1 + squared * (5 * k2 + squared * (7 * k3 + squared * 9 * k4)))
    over = (slope <= 0) | (ideal * (1 + _radial(squared, coefficients)) > radius)
    last = jnp.where(jnp.any(over, axis=-1), jnp.argmax(over, axis=-1), _ANGLES) - 1
    return jnp.asarray(angles, coefficients.dtype)[jnp.maximum(last, 0)]


def _radial(r2: Array, coefficients: Array) -> Array:
    k1, k2, k3, k4 = (coefficients[..., i] for i in range(4))
    return r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))


def _fisheye_slope(theta: Array, coefficients: Array) -> Array:
    k1, k2, k3, k4 = (coefficients[..., i] for i in range(4))
    t2 = theta * theta
    return _away_from_zero(1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4))))


def _solve(xy: Array, coefficients: Array, right: Array) -> Array:
    """Solves J u = right, J the Jacobian of `distort` with respect to its coordinates at `xy`."""
    x, y = xy[..., 0], xy[..., 1]
    k1, k2, k3, k4, p1, p2 = (coefficients[..., i] for i in range(6))
    r2 = x * x + y * y
    radial = 1 + _radial(r2, coefficients)
    slope = 2 * (k1 + r2 * (2 * k2 + r2 * (3 * k3 + r2 * 4 * k4)))
    xx = radial + x * x * slope + 2 * p1 * y + 6 * p2 * x
    xy_ = x * y * slope + 2 * p1 * x + 2 * p2 * y
    yy = radial + y * y * slope + 6 * p1 * y + 2 * p2 * x
    determinant = _away_from_zero(xx * yy - xy_ * xy_)
    u, v = right[..., 0], right[..., 1]
    return jnp.stack([(yy * u - xy_ * v) / determinant, (xx * v - xy_ * u) / determinant], axis=-1)


def _away_from_zero(x: Array) -> Array:
    return jnp.where(jnp.abs(x) < 1e-6, 1e-6, x)
