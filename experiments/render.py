"""Renders a video of a trained radiance field along a camera path.

    python -m experiments.render --workdir=out/chair --path.kind=orbit --path.frames=120

Reads `config.flags` and the newest checkpoint of the workdir and writes `<path>.mp4` there.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments import nerf, trained
from neurend import app
from neurend.checks import InputError
from neurend.data.posed import PosedImages
from neurend.geometry import cameras, paths, poses
from neurend.geometry.cameras import Camera
from neurend.images import video
from neurend.models.nerf.evaluation import UNSEEN
from neurend.models.state import State
from neurend.render.tiled import Tiler


@dataclasses.dataclass(frozen=True)
class PathConfig:
    """The way of the camera.

    Attributes:
        kind: orbit: a circle around what the cameras look at. spiral: LLFF's, for forward-facing captures. ellipse:
            through the cameras of an inward-facing capture. spline: smoothly through some training cameras. file: poses
            from a JSON file. auto: spiral for forward-facing captures, ellipse for photographs, else orbit.
        frames: number of them; a file has its own.
        turns: of an orbit or a spiral; none for 1 and 2.
        radius: of an orbit, in scene units; none for the cameras' median distance.
        elevation: of an orbit, in degrees above the horizon; none for the cameras' median.
        keys: training cameras that a spline goes through, evenly spread over their order.
        file: of the poses, see `geometry.paths.from_file`.
    """

    kind: Literal['auto', 'orbit', 'spiral', 'ellipse', 'spline', 'file'] = 'auto'
    frames: int = 120
    turns: float | None = None
    radius: float | None = None
    elevation: float | None = None
    keys: int = 8
    file: str = ''


@dataclasses.dataclass(frozen=True)
class Config:
    """One video.

    Attributes:
        workdir: of the trained run.
        data_dir: of its scene, if that has moved.
        path: of the camera.
        scale: of the picture relative to the training images.
        fps: frames per second.
        quality: x264's constant rate factor, 0 lossless to 51.
        memory_mb: frames are rendered in this much memory; none for the run's own budget.
        output: the video; <kind of the path>.mp4 in the workdir if empty.
    """

    workdir: str
    data_dir: str | None = None
    path: PathConfig = PathConfig()
    scale: float = 1.0
    fps: float = 30
    quality: int = 18
    memory_mb: int | None = None
    output: str = ''


def main(config: Config) -> None:
    """Renders and writes."""
    if config.scale <= 0:
        raise InputError(f'--scale: got {config.scale}, expected a positive number')
    settings, setup, state = trained.load(config.workdir, data_dir=config.data_dir, memory_mb=config.memory_mb)
    kind = choose(config.path, settings, setup.scene)
    way = camera_path(dataclasses.replace(config.path, kind=kind), setup.scene)
    camera = cameras.resize(view_camera(setup.scene), config.scale)
    target = Path(config.output or Path(config.workdir) / f'{kind}.mp4')
    width, height = (int(side) for side in camera.size)
    app.say(f'rendering {len(way)} frames of {width} x {height} at step {int(state.step)}; the first compiles')
    count = video.write(
        target, frames(setup, state, camera, way, settings.memory_mb), config.fps, quality=config.quality
    )
    app.say(f'{target}: {count} frames')


def choose(config: PathConfig, settings: nerf.Config, scene: PosedImages) -> str:
    """The kind of path: what was asked for, or for 'auto' what suits the scene."""
    if config.kind != 'auto':
        return config.kind
    if scene.forward_facing:
        return 'spiral'
    return 'ellipse' if settings.scene.background == 'none' else 'orbit'


def camera_path(config: PathConfig, scene: PosedImages) -> np.ndarray:
    """Poses world_from_camera [n 4 4] in the scene's frame.

    Raises:
        InputError: an option is out of range, or the file cannot be read.
    """
    if config.frames < 1:
        raise InputError(f'--path.frames: got {config.frames}, expected at least 1')
    given = jnp.asarray(scene.cameras.world_from_camera)
    if config.kind == 'orbit':
        center = poses.focus_point(given)
        offsets = np.asarray(given[:, :3, 3] - center[None])
        distances = np.linalg.norm(offsets, axis=-1)
        elevation = np.degrees(np.median(np.arcsin(offsets[:, 2] / np.maximum(distances, 1e-9))))
        way = paths.orbit(
            config.frames,
            radius=float(np.median(distances)) if config.radius is None else config.radius,
            elevation=float(np.radians(elevation if config.elevation is None else config.elevation)),
            center=center,
            turns=1.0 if config.turns is None else config.turns,
        )
    elif config.kind == 'spiral':
        focus = paths.focus_depth(scene.near, 5 * scene.far)
        way = paths.spiral(given, focus=focus, num=config.frames, turns=2.0 if config.turns is None else config.turns)
    elif config.kind == 'ellipse':
        way = paths.ellipse(given, num=config.frames)
    elif config.kind == 'spline':
        chosen = np.unique(np.linspace(0, len(given) - 1, min(config.keys, len(given))).round().astype(int))
        way = paths.spline(given[chosen], config.frames)
    else:
        if not config.file:
            raise InputError('--path.file: none given, expected a JSON file with poses for --path.kind=file')
        way = _into_scene(paths.from_file(config.file), scene.scene_from_source)
    return np.asarray(way, np.float32)


def view_camera(scene: PosedImages) -> Camera:
    """The first training camera as a video wants it: without lens distortion."""
    camera = jax.tree.map(jnp.asarray, scene.camera(0))
    if camera.model == 'opencv':
        return dataclasses.replace(camera, model='pinhole', distortion=jnp.zeros_like(camera.distortion))
    return camera


def frames(setup: nerf.Setup, state: State, camera: Camera, way: np.ndarray, memory_mb: int) -> Iterator[np.ndarray]:
    """Renders one frame after the other, [H W 3] in [0, 1], with a line that says the rate and the time left."""
    tiler = Tiler(setup.method.render, memory_mb=memory_mb)
    for pose in tqdm(way, desc='rendering', unit='frame'):
        view = dataclasses.replace(camera, world_from_camera=jnp.asarray(pose))
        yield np.clip(tiler(state, view, index=UNSEEN).rgb, 0, 1)


def _into_scene(way: np.ndarray, scene_from_source: np.ndarray) -> np.ndarray:
    """Poses of the source's world in the scene's: the similarity moves centres, its rotation turns axes."""
    moved = scene_from_source @ way
    scale = np.cbrt(np.linalg.det(scene_from_source[:3, :3]))
    moved[:, :3, :3] /= scale
    return moved


if __name__ == '__main__':
    app.run(main, Config, record=None)
