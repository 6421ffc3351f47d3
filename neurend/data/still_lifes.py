"""Random still lifes, filmed along a line: the embedded clips of stereo magnification, ray traced in JAX.

Balls and boxes of any shape hang at random depths in front of a slanted wall, some above a floor. Everything is covered
by random waves of colour, coarse and fine, so that no two surfaces look alike and depth shows by parallax alone.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, numerics
from neurend.data import frames, posed, procedural, synthetic
from neurend.data.posed import PosedImages
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import rotations
from neurend.geometry.cameras import Camera
from neurend.numerics import normalize
from neurend.typing import Array

NEAR = 1.0
"""Depth before which nothing is, from the middle of a line."""
FOCAL = 1.2
"""Of the cameras, in widths of the picture."""
_SUBSAMPLES = 2
_WAVES = 4
_LIGHT = (-0.4, -0.7, -0.6)
_BALL, _BOX, _PLANE = range(3)


class StillLife(NamedTuple):
    """Surfaces: balls and boxes that are unit balls and cubes of side 2 in their frames, and planes z = 0 of theirs.

    Attributes:
        kind: [k] 0 for balls, 1 for boxes, 2 for planes.
        center: [k 3] of their frames.
        local_from_world: [k 3 3] of directions.
        base: [k 3] colour, sRGB.
        waves: [k w 3] radians per unit of the frame.
        phases: [k w].
        tints: [k w 3] what a wave's crest adds to the colour.
        sharpness: [k w] of its slopes.
    """

    kind: Array | np.ndarray
    center: Array | np.ndarray
    local_from_world: Array | np.ndarray
    base: Array | np.ndarray
    waves: Array | np.ndarray
    phases: Array | np.ndarray
    tints: Array | np.ndarray
    sharpness: Array | np.ndarray


def still_life(rng: np.random.Generator, *, solids: int = 8, size: int = 80, wall: float | None = None) -> StillLife:
    """A random still life, as the camera at the origin sees it that looks along +z; NumPy leaves.

    Args:
        rng: where all is drawn from.
        solids: balls and boxes in it.
        size: of pictures, in pixels, which the finest waves suit.
        wall: depth of the wall on the axis; random if not given.
    """
    wall = rng.uniform(2.5, 7.0) if wall is None else wall
    # In parts of the picture's width, at their depth.
    reach = np.exp(rng.uniform(np.log(0.05), np.log(0.28), (solids, 1)) + rng.uniform(-0.5, 0.5, (solids, 3)))
    along = rng.uniform(0.1, 1.0, solids)
    depth = 1 / (along / NEAR + (1 - along) / wall)
    # Whole in front of the wall, and beyond the nearest depth.
    radii = reach * depth[:, None] / FOCAL
    longest = math.sqrt(3) * radii.max(-1)
    depth = np.clip(depth, NEAR + longest, np.maximum(0.9 * wall - longest, NEAR + longest))
    place = rng.uniform(-0.6, 0.6, (solids, 2)) * depth[:, None] / FOCAL
    # The floor begins where the picture's lower edge is farther than NEAR; some lie too low to be seen.
    low = rng.uniform(0.45, 1.4) * NEAR
    vectors = [rng.uniform(-1.5, 1.5, (solids, 3)), rng.uniform(-1, 1, (1, 3)) * [0.3, 0.3, 0.9], [[np.pi / 2, 0, 0]]]
    turns = np.asarray(_rotations(np.concatenate(vectors).astype(np.float32)))
    count = solids + 2
    pixels = size * np.concatenate([reach.mean(-1), np.full(2, FOCAL)])
    period = np.exp(rng.uniform(np.log(5.0), np.log(70.0), (count, _WAVES)))
    direction = rng.normal(size=(count, _WAVES, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    leaves = StillLife(
        kind=np.concatenate([rng.integers(2, size=solids), np.full(2, _PLANE)]),
        center=np.concatenate([np.concatenate([place, depth[:, None]], axis=-1), [[0, 0, wall], [0, low, 0]]]),
        local_from_world=turns / np.concatenate([radii, np.full((2, 3), wall)])[..., None],
        base=rng.uniform(0.15, 0.85, (count, 3)),
        waves=2 * np.pi * (pixels[:, None] / period)[..., None] * direction,
        phases=rng.uniform(0, 2 * np.pi, (count, _WAVES)),
        tints=rng.uniform(-0.13, 0.13, (count, _WAVES, 3)) + rng.uniform(-0.2, 0.2, (count, _WAVES, 1)),
        sharpness=np.exp(rng.uniform(-1.0, 2.0, (count, _WAVES))),
    )
    return StillLife(leaves.kind.astype(np.int32), *(leaf.astype(np.float32) for leaf in leaves[1:]))


def trace(scene: StillLife, origin: Array, directions: Array) -> tuple[Array, Array]:
    """What rays from a point meet first, without antialiasing.

    Args:
        scene: around the point.
        origin: [3].
        directions: [n 3].

    Returns:
        Colours [n 3] and the rays' parameters [n].
    """
    # Coordinates lie apart: arrays with three columns are slow on a CPU.
    ways = numerics.unstack(directions)

    def meets(kind: Array, center: Array, matrix: Array) -> Array:
        start = matrix @ (origin - center)
        x, y, z = (sum((matrix[i, j] * ways[j] for j in range(3)), jnp.zeros(())) for i in range(3))
        squared, toward = x * x + y * y + z * z, start[0] * x + start[1] * y + start[2] * z
        inside = toward * toward - squared * (start @ start - 1)
        ball = jnp.where(inside > 0, (-toward - jnp.sqrt(jnp.maximum(inside, 0))) / squared, jnp.inf)
        slopes = [jnp.where(way == 0, 1e-20, way) for way in (x, y, z)]
        sides = [((-jnp.sign(way) - at) / way, (jnp.sign(way) - at) / way) for way, at in zip(slopes, start)]
        enter, leave = (functools.reduce(pick, each) for pick, each in zip((jnp.maximum, jnp.minimum), zip(*sides)))
        box = jnp.where(enter < leave, enter, jnp.inf)
        t = jnp.where(kind == _BALL, ball, jnp.where(kind == _BOX, box, -start[2] / slopes[2]))
        return jnp.where(t > 0, t, jnp.inf)

    met = jax.vmap(meets)(*(jnp.asarray(leaf) for leaf in scene[:3]))
    which, t = jnp.argmin(met, axis=0), jnp.min(met, axis=0)
    own = jax.tree.map(lambda leaf: numerics.materialize_rows(leaf.reshape(len(leaf), -1)[which]), scene)
    matrix = numerics.unstack(own.local_from_world)
    offsets = [origin[j] + t * way - at for j, (way, at) in enumerate(zip(ways, numerics.unstack(own.center)))]
    local = [sum((matrix[3 * i + j] * offsets[j] for j in range(3)), jnp.zeros(())) for i in range(3)]
    most = functools.reduce(jnp.maximum, map(jnp.abs, local))
    ball, box = own.kind[:, 0] == _BALL, own.kind[:, 0] == _BOX
    across = [
        jnp.where(ball, at, jnp.where(box, jnp.where(jnp.abs(at) == most, jnp.sign(at), 0), -float(i == 2)))
        for i, at in enumerate(local)
    ]
    normal = normalize(
        jnp.stack([sum((matrix[3 * i + j] * across[i] for i in range(3)), jnp.zeros(())) for j in range(3)], axis=-1)
    )
    lit = 0.65 + 0.35 * jnp.maximum(normal @ normalize(jnp.asarray(_LIGHT)), 0)
    color = numerics.unstack(own.base)
    waves, tints = numerics.unstack(own.waves), numerics.unstack(own.tints)
    for k, (phase, sharp) in enumerate(zip(numerics.unstack(own.phases), numerics.unstack(own.sharpness))):
        angle = sum((waves[3 * k + j] * local[j] for j in range(3)), phase)
        crest = jnp.tanh(sharp * jnp.sin(angle)) / jnp.tanh(sharp)
        color = [shade + tints[3 * k + j] * crest for j, shade in enumerate(color)]
    return jnp.stack([jnp.clip(shade, 0.02, 1) * lit for shade in color], axis=-1), t


def picture(scene: StillLife, camera: Camera, *, width: int, height: int) -> tuple[Array, Array]:
    """Colours [h w 3] in [0, 1], means over rays through each pixel, and depth along z [h w] of the nearest of these.

    Args:
        scene: what is seen.
        camera: one, pinhole.
        width, height: of its picture, in pixels.
    """
    fine = cameras_lib.pixel_centers(width * _SUBSAMPLES, height * _SUBSAMPLES) / _SUBSAMPLES
    rays = cameras_lib.rays(camera, fine.reshape(-1, 2))
    rgb, t = trace(scene, rays.origins[0], rays.directions)
    ahead = jnp.sum(rays.directions * camera.world_from_camera[:3, 2][None], axis=-1)
    parts = (height, _SUBSAMPLES, width, _SUBSAMPLES)
    return rgb.reshape(*parts, 3).mean((1, 3)), (t * ahead).reshape(parts).min((1, 3))


def line(rng: np.random.Generator, views: int, *, step: float, size: int, shake: float = 0.02) -> Camera:
    """Cameras [views] along a line through the origin, mostly across +z, where they look.

    Args:
        rng: which line.
        views: how many; the middle one is about at the origin.
        step: between neighbours.
        size: width and height in pixels.
        shake: standard deviation of turns, in radians, and a fifth of that of shifts, in steps; 0 for a line straight
            to the right.
    """
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle), 0.15 * rng.normal()]) if shake else np.array([1.0, 0, 0])
    poses = np.tile(np.eye(4), (views, 1, 1))
    poses[:, :3, :3] = _rotations((shake * rng.normal(size=(views, 3))).astype(np.float32))
    poses[:, :3, 3] = step * ((np.arange(views) - views // 2)[:, None] * way + 5 * shake * rng.normal(size=(views, 3)))
    return posed.host_cameras(
        world_from_camera=poses.astype(np.float32),
        focal=np.full((views, 2), FOCAL * size, np.float32),
        center=np.full((views, 2), size / 2, np.float32),
        distortion=np.zeros((views, 6), np.float32),
        size=np.full((views, 2), size, np.int32),
        model='pinhole',
    )


def clips(
    count: int, *, views: int = 7, size: int = 80, split: str = 'train', shake: float = 0.02
) -> list[PosedImages]:
    """Clips of random still lifes; every split has its own, and clip k of a split is the same whatever the count.

    Args:
        count: how many.
        views: frames of each.
        size: width and height in pixels.
        split: 'train', 'val' or 'test'.
        shake: see `line`.
    """
    checks.one_of('split', split, frames.SPLITS)
    return [_clip((7, frames.SPLITS.index(split), k), f'{split}_{k:04d}', views, size, shake) for k in range(count)]


def _clip(seed: tuple[int, ...], name: str, views: int, size: int, shake: float) -> PosedImages:
    rng = np.random.default_rng(seed)
    scene = still_life(rng, size=size)
    cameras = line(rng, views, step=NEAR * rng.uniform(0.03, 0.08), size=size, shake=shake)
    shown = [
        _picture(scene, jax.tree.map(lambda leaf, k=k: leaf[k], cameras), width=size, height=size) for k in range(views)
    ]
    rgb, depth = (np.stack(each) for each in zip(*shown))
    return _posed([f'{name}_{k}' for k in range(views)], np.rint(255 * rgb).astype(np.uint8), cameras, depth)


def duck_clip(number: int, *, views: int = 7, size: int = 80, step: float = 0.2) -> PosedImages:
    """The embedded duck of `procedural` in front of the wall of a still life, filmed along a straight line.

    Args:
        number: from where, and in front of which wall.
        views: frames; the camera moves to the right from one to the next.
        size: width and height in pixels.
        step: between frames; the duck is at a distance of about 4.
    """
    start = synthetic.cameras(12, size=size, split='test')[number % 12]
    scene = still_life(np.random.default_rng((11, number)), solids=0, size=size, wall=1.7 * synthetic.RADIUS)
    pose = np.asarray(start.world_from_camera)
    shown = []
    for k in range(views):
        offset = np.array([step * (k - views // 2), 0.0, 0.0])
        moved = np.eye(4)
        moved[:3, 3] = offset
        camera = dataclasses.replace(start, world_from_camera=pose @ moved)
        rgb, alpha, depth = procedural.render(camera)
        own = jax.tree.map(np.float32, dataclasses.replace(start, world_from_camera=moved))
        behind, far = (np.asarray(x) for x in _picture(scene, own, width=size, height=size))
        mixed = alpha[..., None] * rgb + (1 - alpha[..., None]) * behind
        shown.append((camera, np.rint(255 * mixed).astype(np.uint8), np.minimum(depth, far)))
    cameras, images, depth = zip(*shown)
    batch = jax.tree.map(lambda *leaves: np.stack(leaves).astype(leaves[0].dtype), *cameras)
    names = [f'duck_{number}_{view}' for view in range(views)]
    return _posed(names, np.stack(images), batch, np.stack(depth))


_picture = jax.jit(picture, static_argnames=('width', 'height'))
_rotations = jax.jit(rotations.exp)


def _posed(names: list[str], images: np.ndarray, cameras: Camera, depth: np.ndarray) -> PosedImages:
    """Frames with their cameras, and the depths between which all that they show lies."""
    leaves = {
        name: np.asarray(getattr(cameras, name)).astype(np.int32 if name == 'size' else np.float32)
        for name in ('world_from_camera', 'focal', 'center', 'distortion', 'size')
    }
    return PosedImages(
        names=tuple(names),
        images=tuple(images),
        cameras=posed.host_cameras(**leaves, model='pinhole'),
        masks=None,
        near=0.98 * float(depth.min()),
        far=1.02 * float(depth.max()),
        scene_from_source=np.eye(4, dtype=np.float32),
        forward_facing=True,
    )
