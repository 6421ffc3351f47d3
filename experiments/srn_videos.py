"""Videos of Scene Representation Networks: a path that was not seen, with depths, and from code to code."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from neurend import app
from neurend.data.categories import Category
from neurend.geometry import paths
from neurend.geometry.cameras import Camera
from neurend.images import io, show, video
from neurend.models.method import Method
from neurend.models.srn.reconstruct import interpolate, with_codes
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.render.tiled import Tiler

_INSTANCES = 4
_TURNS = 2


def trajectory(path: Path, method: Method, state: State, category: Category, *, frames: int, instance: int = 0) -> None:
    """Writes pictures and depths of an instance beside each other, from cameras between those of the category."""
    tiler = Tiler(method.render)
    views = [tiler(state, camera, index=instance) for camera in _cameras(category, instance, frames)]
    depths = np.stack([view.depth for view in views])
    near, far = (float(bound) for bound in np.percentile(depths, (1, 99)))

    def frame(view: Rendering) -> np.ndarray:
        depth = show.depth_picture(view.depth, near=near, far=far)
        return np.concatenate([io.to_uint8(np.clip(view.rgb, 0, 1)), depth], axis=1)

    video.write(path, map(frame, views), fps=15)
    app.say(str(path))


def interpolation(path: Path, method: Method, state: State, category: Category, *, frames: int) -> None:
    """Writes a video that goes from instance to instance and back, while the camera moves."""
    chosen = np.unique(np.linspace(0, len(category) - 1, min(_INSTANCES, len(category))).round().astype(int))
    codes = interpolate(jnp.asarray(state.weights['codes'])[chosen], frames, closed=True)
    between = with_codes(state, codes)
    tiler = Tiler(method.render)
    way = enumerate(_cameras(category, 0, frames))
    pictures = (np.clip(tiler(between, camera, index=k).rgb, 0, 1) for k, camera in way)
    video.write(path, pictures, fps=15)
    app.say(str(path))


def _cameras(category: Category, instance: int, frames: int) -> Iterator[Camera]:
    given = jax.tree.map(lambda leaf: jnp.asarray(leaf[instance]), category.cameras)
    steps = -(-frames // _TURNS)
    way = paths.wander(jax.random.key(0), given.world_from_camera, segments=_TURNS, steps=steps)
    for pose in way[:frames]:
        yield dataclasses.replace(given[0], world_from_camera=pose)
