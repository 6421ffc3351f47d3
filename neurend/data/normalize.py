"""A common frame for captures whose world is arbitrary (structure from motion), and near and far for them.

Inward captures: the point that the optical axes pass nearest to is the origin, the cameras' mean up direction is +z,
and the root mean square distance of the cameras from the origin is 1 (`spherify` of LLFF, Mildenhall et al. 2019, but
for its up direction). Forward-facing captures: the mean camera is the identity (OpenCV axes), the nearest content at
4/3, so that a near plane at 1 serves normalised device coordinates.
"""

from typing import NamedTuple

import numpy as np

from neurend import checks

CAPTURES = ('auto', 'inward', 'forward')
# Cameras that look one way have a mean viewing direction of almost unit length; on an arc of 60 degrees it is 0.95.
_FORWARD = 0.95
# Optical axes meet if they pass their focus within this share of the cameras' distances from each other.
_MEET = 0.1


class Frame(NamedTuple):
    """A scene's own frame: `scene_from_source` `[4 4]`, near and far in its units, and which kind of capture it is."""

    scene_from_source: np.ndarray
    near: float
    far: float
    forward_facing: bool


def frame(poses: np.ndarray, bounds: np.ndarray | None, *, capture: str = 'auto', what: str = 'scene') -> Frame:
    """The frame of a capture.

    Args:
        poses: `[n 4 4]` world_from_camera of ALL images, whatever the split, so that splits share their frame.
        bounds: `[n 2]` nearest and farthest depth of each image in source units, or None if unknown: then near and far
            are 0.1 and 10 times the cameras' distance (inward), which suits methods that contract space.
        capture: 'inward', 'forward', or 'auto' to tell by the viewing directions.
        what: the scene's name in messages.

    Raises:
        InputError: bounds that are not positive, or cameras that all stand in one place.
    """
    checks.one_of('capture', capture, CAPTURES)
    if bounds is not None:
        checks.finite(f'depth bounds of {what}', bounds)
        if (bounds[:, 0] <= 0).any() or (bounds[:, 1] <= bounds[:, 0]).any():
            raise checks.InputError(f'{what}: depth bounds {bounds.min(0)} to {bounds.max(0)}, expected 0 < near < far')
    forward = capture == 'forward' or (capture == 'auto' and len(poses) > 1 and _looks_one_way(poses))
    similarity = _forward(poses, bounds, what) if forward else _inward(poses, what)
    scale = float(np.cbrt(np.linalg.det(similarity[:3, :3])))
    if bounds is None:
        return Frame(similarity, 0.1, 10.0, forward)
    return Frame(similarity, 0.9 * float(bounds[:, 0].min()) * scale, float(bounds[:, 1].max()) * scale, forward)


def focus(poses: np.ndarray) -> np.ndarray:
    """The point `[3]` nearest to the optical axes of cameras `[n 4 4]`, in the least squares sense."""
    axes, centers = poses[:, :3, 2], poses[:, :3, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    # Axes that are all parallel leave the point free along them: take the one nearest to the cameras.
    middle = centers.mean(0)
    moment = (across @ (centers - middle)[..., None]).sum(0)[:, 0]
    return middle + np.linalg.lstsq(across.sum(0), moment, rcond=1e-6)[0]


def mean_pose(poses: np.ndarray) -> np.ndarray:
    """The mean camera `[4 4]`: mean position, mean viewing direction, and mean down direction made orthogonal to it."""
    forward = _unit(poses[:, :3, 2].mean(0))
    right = _unit(np.cross(poses[:, :3, 1].mean(0), forward))
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=-1)
    pose[:3, 3] = poses[:, :3, 3].mean(0)
    return pose


def _looks_one_way(poses: np.ndarray) -> bool:
    """Whether the viewing directions are alike and do not meet in one point, as those of a short orbit do."""
    toward = focus(poses) - poses[:, :3, 3]
    missed = toward - (toward * poses[:, :3, 2]).sum(-1, keepdims=True) * poses[:, :3, 2]
    spread = poses[:, :3, 3] - poses[:, :3, 3].mean(0)
    meet = (missed**2).sum() < (_MEET**2) * (spread**2).sum()
    return not meet and float(np.linalg.norm(poses[:, :3, 2].mean(0))) > _FORWARD


def _forward(poses: np.ndarray, bounds: np.ndarray | None, what: str) -> np.ndarray:
    if bounds is not None:
        scale = 1 / (0.75 * float(bounds[:, 0].min()))
    else:
        spread = np.linalg.norm(poses[:, :3, 3] - poses[:, :3, 3].mean(0), axis=-1).max()
        scale = 1 / _positive(spread, what)
    similarity = np.diag([scale, scale, scale, 1.0]) @ np.linalg.inv(mean_pose(poses))
    return similarity


def _inward(poses: np.ndarray, what: str) -> np.ndarray:
    origin = focus(poses)
    radius = np.sqrt(((poses[:, :3, 3] - origin) ** 2).sum(-1).mean())
    up = -poses[:, :3, 1].mean(0)
    if np.linalg.norm(up) < 0.05:  # cameras rolled every way: the direction in which their positions spread least
        up = np.linalg.svd(poses[:, :3, 3] - origin)[2][2]
    up = _unit(up)
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side = _unit(side)
    rotation = np.stack([side, np.cross(up, side), up])
    scale = 1 / _positive(radius, what)
    similarity = np.eye(4)
    similarity[:3, :3] = scale * rotation
    similarity[:3, 3] = -scale * rotation @ origin
    return similarity


def _positive(length: float, what: str) -> float:
    if length < 1e-9:
        raise checks.InputError(f'{what}: all cameras stand in one place, expected several positions')
    return float(length)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
