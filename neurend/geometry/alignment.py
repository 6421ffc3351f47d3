"""Similarities between two sets of camera poses: reconstructions are only determined up to one (their gauge)."""

from typing import NamedTuple

import jax.numpy as jnp

from neurend import checks
from neurend.geometry import rotations, transforms
from neurend.numerics import safe_norm
from neurend.typing import Array


class Similarity(NamedTuple):
    """The map `x -> scale rotation x + translation`: scalar, [3 3], [3]."""

    scale: Array
    rotation: Array
    translation: Array


class PoseErrors(NamedTuple):
    """Differences of poses, [n] each: angles in degrees and distances in the units of the true poses."""

    rotation: Array
    translation: Array


def fit_similarity(source: Array, target: Array) -> Similarity:
    """The similarity that takes points nearest to points, in the least squares sense (Umeyama, 1991).

    Args:
        source: [n 3], not all on one line.
        target: [n 3].

    >>> points = jnp.eye(3)
    >>> bool(jnp.allclose(fit_similarity(points, 2 * points + 1).scale, 2, atol=1e-5))
    True
    """
    checks.shape('target', target, 'n 3', sizes=checks.shape('source', source, 'n 3'))
    source_mean, target_mean = source.mean(0), target.mean(0)
    centered = source - source_mean[None]
    covariance = jnp.matmul((target - target_mean[None]).T, centered, precision='highest') / len(source)
    left, values, right = jnp.linalg.svd(covariance)
    # The nearest orthogonal matrix may mirror; then the weakest axis is turned round.
    signs = jnp.ones(3, values.dtype).at[2].set(jnp.sign(jnp.linalg.det(left) * jnp.linalg.det(right)))
    rotation = jnp.matmul(left * signs[None], right, precision='highest')
    scale = (values * signs).sum() / jnp.square(centered).sum(-1).mean()
    return Similarity(scale, rotation, target_mean - scale * transforms.rotate(rotation, source_mean))


def apply_to_poses(similarity: Similarity, poses: Array) -> Array:
    """Moves poses [... 4 4] (world_from_camera): centres by the similarity, axes by its rotation."""
    scale, turn, shift = similarity
    rotation = jnp.matmul(turn, poses[..., :3, :3], precision='highest')
    center = scale * transforms.rotate(turn, poses[..., :3, 3])
    center = center + jnp.broadcast_to(shift, center.shape)
    return transforms.from_rt(rotation, center)


def align_poses(poses: Array, target: Array) -> Array:
    """Poses [n 4 4] moved by the similarity that takes their centres nearest to those of `target` [n 4 4]."""
    return apply_to_poses(fit_similarity(poses[:, :3, 3], target[:, :3, 3]), poses)


def pose_errors(poses: Array, target: Array) -> PoseErrors:
    """How far poses [n 4 4] are from `target` [n 4 4], as they stand; align them first where the gauge is free."""
    between = jnp.matmul(jnp.swapaxes(target[:, :3, :3], -1, -2), poses[:, :3, :3], precision='highest')
    angle = safe_norm(rotations.log(between))
    return PoseErrors(jnp.rad2deg(angle), safe_norm(poses[:, :3, 3] - target[:, :3, 3]))
