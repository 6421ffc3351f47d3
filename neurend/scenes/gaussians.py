"""Scenes of 3-D Gaussians with colours that depend on the direction of view (Kerbl et al., 2023)."""

import dataclasses
import math
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import rotations
from neurend.nn.encodings import spherical_harmonics
from neurend.numerics import normalize, unstack
from neurend.scenes.hull import Hull
from neurend.scenes.points import spacing
from neurend.typing import Array

DEGREES = 4
# Of the first harmonic, which is constant; 0.5 is added to all colours.
_FIRST = 0.5 / math.sqrt(math.pi)


@flax.struct.dataclass
class Gaussians:
    """N places for Gaussians, with any leading dims `...`, as they are learned and as files hold them.

    Attributes:
        means: [... N 3] in the world.
        log_scales: [... N 3] logarithms of the standard deviations along the Gaussian's own axes.
        rotations: [... N 4] quaternions (w, x, y, z) from its axes to the world's, of any length but 0.
        logits: [... N] opacity in the middle is their sigmoid.
        harmonics: [... N K 3] coefficients of red, green and blue, K = (degree + 1)^2; see `colors`.
        live: [... N] bool, in which places there is one.
    """

    means: Array
    log_scales: Array
    rotations: Array
    logits: Array
    harmonics: Array
    live: Array

    @property
    def degree(self) -> int:
        """Of the harmonics."""
        return math.isqrt(self.harmonics.shape[-2]) - 1

    @property
    def opacities(self) -> Array:
        """[... N] in (0, 1)."""
        return jax.nn.sigmoid(self.logits)

    @property
    def covariances(self) -> Array:
        """[... N 3 3] in the world."""
        return covariance(self.rotations, jnp.exp(self.log_scales))


def make(
    means: Any,
    scales: Any,
    *,
    rotations: Any = None,
    opacities: Any = 0.5,
    colors: Any = 0.5,
    degree: int = 0,
    live: Any = None,
) -> Gaussians:
    """Makes Gaussians of quantities with a meaning, on the host.

    Args:
        means: [N 3].
        scales: [N 3] standard deviations; or [N], or a number, of balls.
        rotations: [N 4] quaternions (w, x, y, z); none turned if not given.
        opacities: [N] or a number, between 0 and 1.
        colors: [N 3] or a number, in [0, 1], the same from all sides.
        degree: of the harmonics, 0 to 3; those above 0 are zero.
        live: [N] bool; all if not given.

    Raises:
        InputError: no Gaussians, a shape does not fit, or something is not finite or out of its range.
    """
    means = np.asarray(means, np.float32)
    sizes = checks.shape('means', means, 'n 3')
    count = sizes['n']
    if not count:
        raise checks.InputError('means: got none, expected at least one Gaussian')
    scales = np.asarray(scales, np.float32)
    scales = np.repeat(scales[:, None], 3, axis=1) if scales.ndim == 1 else scales
    scales = np.broadcast_to(scales, (count, 3)) if scales.ndim == 0 else scales
    turned = (
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
        if rotations is None
        else np.asarray(rotations, np.float32)
    )
    opacity, color = np.asarray(opacities, np.float32), np.asarray(colors, np.float32)
    opacity = np.broadcast_to(opacity, (count,)) if opacity.ndim == 0 else opacity
    color = np.broadcast_to(color, (count, 3)) if color.ndim == 0 else color
    checks.shape('scales', scales, 'n 3', 'Give one for each axis, or one for each Gaussian', sizes=sizes)
    checks.shape('rotations', turned, 'n 4', 'Give quaternions (w, x, y, z)', sizes=sizes)
    checks.shape('opacities', opacity, 'n', sizes=sizes)
    checks.shape('colors', color, 'n 3', sizes=sizes)
    checks.one_of('degree', degree, range(DEGREES))
    _within('scales', scales, scales > 0, 'positive standard deviations')
    _within('opacities', opacity, (opacity > 0) & (opacity < 1), 'numbers between 0 and 1, themselves left out')
    harmonics = np.zeros((count, (degree + 1) ** 2, 3), np.float32)
    harmonics[:, 0] = (color - 0.5) / _FIRST
    live = np.ones(count, bool) if live is None else np.asarray(live, bool)
    logits = np.log(opacity) - np.log1p(-opacity)
    return check(Gaussians(*map(jnp.asarray, (means, np.log(scales), turned, logits, harmonics, live))))


def check(gaussians: Gaussians) -> Gaussians:
    """Checks shapes and values of Gaussians without leading dims, on the host, and returns them.

    Raises:
        InputError: shapes do not fit, or one that is live is not finite, has no size or no rotation.
    """
    sizes = checks.shape('means', gaussians.means, 'n 3')
    for name, pattern in (('log_scales', 'n 3'), ('rotations', 'n 4'), ('logits', 'n'), ('live', 'n')):
        checks.shape(name, getattr(gaussians, name), pattern, sizes=sizes)
    terms = checks.shape('harmonics', gaussians.harmonics, 'n k 3', sizes=sizes)['k']
    checks.one_of('harmonics: number of terms', terms, [(degree + 1) ** 2 for degree in range(DEGREES)])
    live = np.asarray(gaussians.live)
    for name in ('means', 'log_scales', 'rotations', 'logits', 'harmonics'):
        values = np.asarray(getattr(gaussians, name))
        bad = live & ~np.isfinite(values.reshape(len(live), -1)).all(-1)
        if bad.any():
            raise checks.InputError(
                f'{name}: {int(bad.sum())} of {int(live.sum())} Gaussians not finite, the first at index '
                f'{int(np.argmax(bad))}, expected finite numbers. Leave them out, or set their live to False'
            )
    still = live & (np.asarray(gaussians.rotations) == 0).all(-1)
    if still.any():
        raise checks.InputError(
            f'rotations: got a quaternion of zeros at index {int(np.argmax(still))}, expected any other length; '
            'no rotation is (1, 0, 0, 0)'
        )
    return gaussians


def covariance(turned: Array, scales: Array) -> Array:
    """Covariances [... 3 3] of Gaussians turned by quaternions [... 4] (w, x, y, z) of any length but 0.

    Args:
        turned: from the Gaussians' axes to the world's.
        scales: [... 3] standard deviations along their axes.
    """
    axes = rotations.matrix_from_quaternion(turned) * scales[..., None, :]
    rows = [unstack(row) for row in unstack(axes, axis=-2)]
    entries = [[sum(a * b for a, b in zip(left, right)) for right in rows] for left in rows]
    return jnp.stack([jnp.stack(row, axis=-1) for row in entries], axis=-2)


def colors(means: Array, harmonics: Array, eye: Array, *, degree: int | None = None) -> Array:
    """Colours [... N 3], at least 0, as seen from a place.

    They are 0.5 plus the harmonics of the direction from the place to the Gaussian, in the order of
    `nn.encodings.spherical_harmonics`, cut at 0, as published files have them.

    Args:
        means: [... N 3].
        harmonics: [... N K 3].
        eye: [... 3] in the world.
        degree: highest that counts; all if not given.
    """
    highest = math.isqrt(harmonics.shape[-2]) - 1
    used = highest if degree is None else min(degree, highest)
    basis = spherical_harmonics(normalize(means - eye[..., None, :]), degree=used)
    terms = [basis[..., k, None] * harmonics[..., k, :] for k in range((used + 1) ** 2)]
    return jnp.maximum(sum(terms[1:], terms[0]) + 0.5, 0)


def normals(gaussians: Gaussians, eye: Array) -> Array:
    """Unit normals [... N 3] in the world: the shortest axes of the Gaussians, towards a place [... 3]."""
    axes = rotations.matrix_from_quaternion(gaussians.rotations)
    shortest = jax.nn.one_hot(jnp.argmin(gaussians.log_scales, axis=-1), 3, dtype=axes.dtype)
    normal = jnp.sum(axes * shortest[..., None, :], axis=-1)
    away = jnp.sum(normal * (gaussians.means - eye[..., None, :]), axis=-1, keepdims=True) > 0
    return jnp.where(away, -normal, normal)


def from_points(
    points: Any,
    *,
    colors: Any = 0.5,
    count: int | None = None,
    degree: int = 0,
    opacity: float = 0.1,
    size: float = 1.0,
) -> Gaussians:
    """Balls at points, as large as the points are apart: the root of the mean squared distance to three neighbours.

    Args:
        points: [m 3].
        colors: [m 3] or a number, in [0, 1].
        count: places to make; those beyond the points are not live, and points beyond them are left out evenly.
            As many as there are points if not given.
        degree: of the harmonics.
        opacity: of all.
        size: of all, in parts of that distance.

    Raises:
        InputError: no points, or some that are not finite.
    """
    points = np.asarray(points, np.float32)
    checks.shape('points', points, 'm 3')
    checks.finite('points', points)
    if len(points) < 1:
        raise checks.InputError('points: got none, expected at least one')
    if count is not None and not count > 0:
        raise checks.InputError(f'count: got {count}, expected at least 1 Gaussian')
    shade = np.broadcast_to(np.asarray(colors, np.float32), points.shape)
    count = len(points) if count is None else count
    if count < len(points):
        chosen = np.linspace(0, len(points) - 1, count).round().astype(int)
        points, shade = points[chosen], shade[chosen]
    made = make(points, size * spacing(points), opacities=opacity, colors=shade, degree=degree)
    return padded(made, count)


def in_hull(key: Any, hull: Hull, *, count: int, degree: int = 0, opacity: float = 0.1, size: float = 1.0) -> Gaussians:
    """Grey balls at random places of a visual hull.

    Args:
        key: of the places.
        hull: cells that may hold something.
        count: of Gaussians.
        degree, opacity, size: as for `from_points`.
    """
    cells = np.argwhere(np.asarray(hull.cells))
    if not len(cells):
        raise checks.InputError('hull: has no cells, expected some that may hold something')
    chosen, inside = jax.random.split(key)
    picked = cells[np.asarray(jax.random.randint(chosen, (count,), 0, len(cells)))]
    places = picked + np.asarray(jax.random.uniform(inside, (count, 3)))
    points = np.asarray(hull.low) + float(hull.edge) * places
    return from_points(points, degree=degree, opacity=opacity, size=size)


def padded(gaussians: Gaussians, count: int) -> Gaussians:
    """With places that are not live at the end, so that there are `count` [N] (no leading dims)."""
    more = count - gaussians.live.shape[0]
    if more < 0:
        raise checks.InputError(
            f'count: got {count}, expected at least {gaussians.live.shape[0]}, as many as there are'
        )

    def pad(leaf: Array) -> Array:
        return jnp.pad(leaf, ((0, more), *((0, 0) for _ in leaf.shape[1:])))

    wider = jax.tree.map(pad, gaussians)
    # What is not live is drawn by none, but must stay finite.
    unturned = jnp.broadcast_to(jnp.asarray([1.0, 0, 0, 0], wider.rotations.dtype), wider.rotations.shape)
    return dataclasses.replace(wider, rotations=jnp.where(wider.live[:, None], wider.rotations, unturned))


def _within(name: str, values: np.ndarray, good: np.ndarray, expected: str) -> None:
    checks.finite(name, values)
    if not good.all():
        index = tuple(int(i) for i in np.argwhere(~good)[0])
        raise checks.InputError(
            f'{name}: {int((~good).sum())} of {good.size} out of range, the first {values[index]} at index {index}, '
            f'expected {expected}'
        )
