"""Camera paths: batches of poses world_from_camera [n 4 4] (OpenCV axes) to render a video along."""

import functools
import json
import os

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import transforms
from neurend.geometry.poses import average, check_poses, focus_point
from neurend.numerics import normalize, safe_norm
from neurend.typing import Array, Key

_FINE = 1000


@functools.partial(jax.jit, static_argnames='num')
def orbit(
    num: int,
    *,
    radius: float,
    elevation: float = np.pi / 6,
    center: Array | tuple[float, float, float] = (0.0, 0.0, 0.0),
    up: Array | tuple[float, float, float] = (0.0, 0.0, 1.0),
    start: float = 0.0,
    turns: float = 1.0,
) -> Array:
    """A circle at constant height around `center`, looking at it; the last pose is one step before the first.

    NeRF's Blender videos are `orbit(40, radius=4)`.

    Args:
        num: number of poses.
        radius: distance from the centre.
        elevation: angle above the plane across `up`, in radians, within (-pi/2, pi/2).
        center: [3] what to look at.
        up: [3] axis of the circle.
        start: angle of the first pose, in radians; 0 is the x axis if up is z.
        turns: number of turns.

    Returns:
        [num 4 4]
    """
    center, up = jnp.asarray(center, float), normalize(jnp.asarray(up, float))
    first, second = _across(up)
    angle = start + turns * _angles(num)
    outward = jnp.cos(angle)[:, None] * first[None] + jnp.sin(angle)[:, None] * second[None]
    eyes = center[None] + radius * (jnp.cos(elevation) * outward + jnp.sin(elevation) * up[None])
    return transforms.look_at(eyes, center, up)


@functools.partial(jax.jit, static_argnames='num')
def sphere(
    num: int,
    *,
    radius: float,
    center: Array | tuple[float, float, float] = (0.0, 0.0, 0.0),
    up: Array | tuple[float, float, float] = (0.0, 0.0, 1.0),
    start: float = 0.0,
) -> Array:
    """Poses all around `center`, looking at it, spread evenly over a sphere.

    They lie on a Fibonacci lattice (Swinbank and Purser, 2006).

    Args:
        num: number of poses.
        radius: distance from the centre.
        center: [3] what to look at.
        up: [3] upward in the pictures; the first pose is seen from below, the last from above.
        start: angle about `up` of the first pose, in radians, to have other poses.

    Returns:
        [num 4 4]
    """
    center, up = jnp.asarray(center, float), normalize(jnp.asarray(up, float))
    first, second = _across(up)
    height = (2 * jnp.arange(num) + 1) / num - 1
    angle = start + jnp.arange(num) * (np.pi * (3 - np.sqrt(5)))
    outward = jnp.cos(angle)[:, None] * first[None] + jnp.sin(angle)[:, None] * second[None]
    level = jnp.sqrt(1 - height**2)
    direction = level[:, None] * outward + height[:, None] * up[None]
    return transforms.look_at(center[None] + radius * direction, center, up)


@functools.partial(jax.jit, static_argnames='num')
def spiral(poses: Array, *, focus: float, num: int = 120, turns: float = 2.0, z_rate: float = 0.5) -> Array:
    """The spiral of LLFF and NeRF for forward-facing captures, around the average pose.

    Args:
        poses: [m 4 4] of the capture; the spiral's radii are the 90th percentiles of their offsets along the axes of
            the average pose.
        focus: depth of the point looked at, before the average pose; `focus_depth` gives LLFF's.
        num: number of poses.
        turns: number of turns.
        z_rate: oscillations along the axis for each turn.

    Returns:
        [num 4 4]
    """
    middle = average(jnp.asarray(poses))
    offsets = transforms.apply_inverse(middle, poses[:, :3, 3])
    radii = jnp.percentile(jnp.abs(offsets), 90, axis=0)
    angle = turns * _angles(num)
    local = radii[None] * jnp.stack([jnp.cos(angle), jnp.sin(angle), jnp.sin(z_rate * angle)], axis=-1)
    target = transforms.apply(middle, jnp.asarray([0, 0, focus], middle.dtype))
    return transforms.look_at(transforms.apply(middle, local), target, -middle[:3, 1])


def focus_depth(near: float, far: float) -> float:
    """LLFF's depth to look at: three quarters of the way from near to far in disparity.

    There near is .9 times the least and far 5 times the greatest depth bound of the capture.
    """
    return 1 / (0.25 / near + 0.75 / far)


@functools.partial(jax.jit, static_argnames='num')
def ellipse(poses: Array, *, num: int = 120, height_variation: float = 0.0) -> Array:
    """An ellipse through an inward-facing capture, after mip-NeRF 360's videos, at constant speed.

    The ellipse lies across the mean up direction of the cameras, at their mean height, centred beneath or above the
    point they look at; its half axes are the 90th percentiles of their offsets along the principal axes.

    Args:
        poses: [m 4 4] of the capture.
        num: number of poses; the last is one step before the first.
        height_variation: part of the spread of the cameras' heights (10th to 90th percentile) to go up and down by.

    Returns:
        [num 4 4], which look at the focus point.
    """
    poses = jnp.asarray(poses)
    target = focus_point(poses)
    up = normalize(-jnp.mean(poses[:, :3, 1], axis=0))
    offsets = poses[:, :3, 3] - target[None]
    heights = jnp.sum(offsets * up[None], axis=-1)
    flat = offsets - heights[:, None] * up[None]
    # The third principal direction of vectors across `up` is `up` itself.
    _, _, axes = jnp.linalg.svd(flat, full_matrices=False)
    first = axes[0]
    second = jnp.cross(up, first)
    along = [jnp.sum(flat * axis[None], axis=-1) for axis in (first, second)]
    radii = [jnp.percentile(jnp.abs(part), 90) for part in along]

    def position(angle: Array) -> Array:
        return (radii[0] * jnp.cos(angle))[:, None] * first[None] + (radii[1] * jnp.sin(angle))[:, None] * second[None]

    fine = jnp.linspace(0, 2 * jnp.pi, _FINE + 1)
    steps = safe_norm(jnp.diff(position(fine), axis=0))
    travelled = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps)])
    angle = jnp.interp(jnp.arange(num) * (travelled[-1] / num), travelled, fine)
    low, high = jnp.percentile(heights, 10), jnp.percentile(heights, 90)
    height = jnp.mean(heights) + height_variation * (high - low) / 2 * jnp.cos(angle)
    return transforms.look_at(target[None] + position(angle) + height[:, None] * up[None], target, up)


@functools.partial(jax.jit, static_argnames=('num', 'closed'))
def spline(key_poses: Array, num: int, *, closed: bool = False, reach: float | None = None) -> Array:
    """A smooth path through key poses.

    A Catmull-Rom spline interpolates each camera's centre, a point before it and a point above it; poses are rebuilt
    from the three, so that they stay rigid and turn smoothly (as multinerf interpolates paths).

    Args:
        key_poses: [m 4 4], m at least 2.
        num: number of poses, evenly spaced in the spline's parameter, the first and (if open) the last key among them.
        closed: return to the first key; the last pose is then one step before it.
        reach: distance of the points before and above the centres; the mean distance of successive keys if not given.

    Returns:
        [num 4 4]

    Raises:
        InputError: fewer than two key poses.
    """
    key_poses = jnp.asarray(key_poses)
    sizes = checks.shape('key_poses', key_poses, 'm 4 4')
    if sizes['m'] < 2:
        raise checks.InputError(f'key_poses: got {sizes["m"]}, expected at least 2. Add key poses')
    centers = key_poses[:, :3, 3]
    step = jnp.maximum(jnp.mean(safe_norm(jnp.diff(centers, axis=0))), 1e-6) if reach is None else reach
    knots = jnp.concatenate([centers, centers + step * key_poses[:, :3, 2], centers - step * key_poses[:, :3, 1]], -1)
    if closed:
        knots = jnp.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = jnp.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    segments = len(knots) - 3
    position = jnp.linspace(0, segments, num, endpoint=not closed)
    segment = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, segments - 1)
    u = (position - segment)[:, None]
    before, start, stop, after = (knots[segment + i] for i in range(4))
    points = start + u / 2 * (
        stop - before + u * (2 * before - 5 * start + 4 * stop - after + u * (3 * (start - stop) + after - before))
    )
    eyes, targets, tops = jnp.split(points, 3, axis=-1)
    return transforms.look_at(eyes, targets, tops - eyes)


@functools.partial(jax.jit, static_argnames=('segments', 'steps', 'farthest'))
def wander(key: Key, poses: Array, *, segments: int = 10, steps: int = 100, farthest: int = 10) -> Array:
    """A path that crosses a capture again and again, after the test paths of DeepVoxels (Sitzmann et al., 2019).

    From a random view on, each segment goes to a random one of the views whose cameras are farthest away. Between two
    views lies a screw motion, the shortest way in SE(3), so that poses stay rigid; two cameras that look at one point
    from the same distance look at it on all the way.

    Args:
        key: of the choices.
        poses: [m 4 4] of the capture, m at least 2.
        segments: number of segments, each begun by the view that the last one ends at.
        steps: poses of a segment; the path's last pose is one step before the last view.
        farthest: how many views to choose from, or all others if there are fewer.

    Returns:
        [segments * steps, 4, 4]

    Raises:
        InputError: fewer than two poses.
    """
    poses = jnp.asarray(poses)
    count = checks.shape('poses', poses, 'm 4 4')['m']
    if count < 2:
        raise checks.InputError(f'poses: got {count}, expected at least 2 to go between')
    first_key, *keys = jax.random.split(key, segments + 1)
    share = jnp.arange(steps, dtype=poses.dtype)[:, None] / steps

    def segment(current: Array, segment_key: Key) -> tuple[Array, Array]:
        distance = safe_norm(poses[:, :3, 3] - poses[current, :3, 3][None])
        _, candidates = jax.lax.top_k(distance, min(farthest, count - 1))
        following = jax.random.choice(segment_key, candidates)
        twist = transforms.se3_log(transforms.compose(transforms.inverse(poses[current]), poses[following]))
        return following, transforms.compose(poses[current], transforms.se3_exp(share * twist[None]))

    _, path = jax.lax.scan(segment, jax.random.randint(first_key, (), 0, count), jnp.stack(keys))
    return path.reshape(-1, 4, 4)


def from_file(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a camera path from JSON.

    Either a list of 4x4 matrices world_from_camera with OpenCV axes, or a nerfstudio camera path: an object with
    `camera_path`, a list of objects with `camera_to_world` (16 numbers, row by row, OpenGL axes). Fields of view of the
    latter are not read: the camera to render with is the caller's.

    Returns:
        float64 [n 4 4]

    Raises:
        InputError: no such file, not JSON, neither of the two forms, no poses, or a pose that is not rigid.
    """
    file = checks.file(path, 'camera path')
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise checks.InputError(f'camera path {file}: not JSON ({error})') from error
    expected = 'expected a list of 4x4 matrices, or an object with "camera_path" as nerfstudio exports it'
    if isinstance(content, dict):
        try:
            matrices = [np.reshape(frame['camera_to_world'], (4, 4)).tolist() for frame in content['camera_path']]
        except (KeyError, TypeError, ValueError) as error:
            raise checks.InputError(f'camera path {file}: {expected}; failed at {error!r}') from error
    else:
        matrices = content
    if not isinstance(matrices, list) or not matrices:
        raise checks.InputError(f'camera path {file}: no poses in it, {expected}')
    poses = check_poses(f'camera path {file}', matrices)
    return poses * np.array([1.0, -1.0, -1.0, 1.0]) if isinstance(content, dict) else poses


def _angles(num: int) -> Array:
    return jnp.arange(num) * (2 * jnp.pi / num)


def _across(up: Array) -> tuple[Array, Array]:
    """Two unit vectors across `up` and each other; x and y if up is z."""
    helper = jnp.where(jnp.abs(up[0]) < 0.9, jnp.asarray([1.0, 0, 0]), jnp.asarray([0, 1.0, 0]))
    second = normalize(jnp.cross(up, helper))
    return jnp.cross(second, up), second
