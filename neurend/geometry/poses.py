"""Sets of camera poses: whether they are rigid, their average, the point they look at. Camera axes are OpenCV's."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend.checks import InputError
from neurend.geometry import transforms
from neurend.numerics import normalize
from neurend.typing import Array


def check_poses(
    name: str, poses: Any, *, labels: Sequence[str] | None = None, tolerance: float = 1e-3, orthonormalize: bool = True
) -> np.ndarray:
    """Checks poses read from a file, on the host.

    Args:
        name: what to call them in a message, e.g. the file they came from.
        poses: [n 4 4], or [n 3 4] without the last row.
        labels: n names, e.g. of the images, for the message.
        tolerance: how far R^T R may be from the identity, in its worst element.
        orthonormalize: return the nearest rotations (in Frobenius norm) rather than the rounded ones that came.

    Returns:
        float64 [n 4 4] rigid poses.

    Raises:
        InputError: naming the first pose that is not finite, is singular, mirrors, scales or shears, or has another
            last row than (0, 0, 0, 1).
    """
    try:
        poses = np.asarray(poses, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f'{name}: not a list of 4x4 matrices of numbers ({error})') from error
    if poses.ndim != 3 or poses.shape[1:] not in ((4, 4), (3, 4)):
        raise InputError(f'{name}: got shape {poses.shape}, expected (n, 4, 4) or (n, 3, 4)')
    if poses.shape[1] == 3:
        poses = np.concatenate([poses, np.broadcast_to([[[0.0, 0.0, 0.0, 1.0]]], (len(poses), 1, 4))], axis=1)
    for index, pose in enumerate(poses):
        problem = _problem(pose, tolerance)
        if problem:
            label = f' ({labels[index]})' if labels else ''
            raise InputError(
                f'{name}: pose {index}{label} {problem}; expected a rotation and a translation. Correct the pose, or '
                'leave out the image'
            )
    if orthonormalize and len(poses):
        poses = poses.copy()
        left, _, right = np.linalg.svd(poses[:, :3, :3])
        poses[:, :3, :3] = left @ right
    return poses


def _problem(pose: np.ndarray, tolerance: float) -> str | None:
    if not np.isfinite(pose).all():
        return 'holds NaN or infinity'
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > tolerance:
        return f'has the last row {pose[3].tolist()}'
    rotation = pose[:3, :3]
    singular = np.linalg.svd(rotation, compute_uv=False)
    if singular[2] <= 1e-6 * max(singular[0], 1e-30):
        return f'is singular (singular values {_listed(singular)})'
    if np.linalg.det(rotation) < 0:
        return 'mirrors (negative determinant)'
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > tolerance:
        if singular[0] - singular[2] <= tolerance * singular[0]:
            return f'scales by {singular.mean():.6g}'
        return f'is not rigid (singular values {_listed(singular)})'
    return None


def _listed(values: np.ndarray) -> str:
    return ', '.join(f'{value:.4g}' for value in values)


@jax.jit
def average(poses: Array) -> Array:
    """The average pose [4 4] of [n 4 4], as LLFF recentres by (Mildenhall et al., 2019).

    Its centre is the mean, its axis the direction of the mean axis; up is as near to the mean of the ups as can be.
    """
    center = jnp.mean(poses[:, :3, 3], axis=0)
    forward = jnp.mean(normalize(jnp.asarray(poses[:, :3, 2])), axis=0)
    return transforms.look_at(center, center + forward, -jnp.mean(poses[:, :3, 1], axis=0))


@jax.jit
def focus_point(poses: Array) -> Array:
    """The point [3] nearest to the optical axes of poses [n 4 4], by least squares.

    Undefined (not finite or far away) where all axes are parallel.
    """
    axes = normalize(jnp.asarray(poses[:, :3, 2]))
    across = jnp.eye(3, dtype=axes.dtype)[None] - axes[:, :, None] * axes[:, None, :]
    normal = jnp.mean(across, axis=0)
    right = jnp.mean(transforms.rotate(across, poses[:, :3, 3]), axis=0)
    return jnp.linalg.solve(normal, right)
