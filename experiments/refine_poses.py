"""Perturbs the camera poses of a scene and recovers them while the scene is learned.

    python -m experiments.refine_poses --flagfile=configs/refine_poses_chair.flags --data_dir=chair --workdir=out/poses

Reports median errors of rotation and translation before and after, both after the similarity that takes the cameras'
centres nearest to the true ones: a world may turn, move and grow as long as all images stay the same.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import app
from neurend.data import batches, scenes
from neurend.data.posed import PosedImages
from neurend.geometry import alignment, rotations, transforms
from neurend.geometry.cameras import Camera
from neurend.models.method import Method
from neurend.models.nerf import poses
from neurend.models.nerf.hash import HashConfig, hash_grid
from neurend.numerics import normalize
from neurend.train import loop, optimizers, step
from neurend.train.optimizers import OptimizerConfig
from neurend.typing import Array, Key, PyTree


@dataclasses.dataclass(frozen=True)
class PerturbConfig:
    """What is done to the true cameras.

    Attributes:
        degrees: angle by which each camera turns about a random axis through its centre.
        percent: distance by which each moves in a random direction, in percent of the cameras' distance.
        focal_percent: by which all focal lengths grow.
    """

    degrees: float = 2.0
    percent: float = 2.0
    focal_percent: float = 0.0


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder with posed images, around the origin.
        workdir: where checkpoints, metrics and `poses.json` go.
        factor: whole number by which images are reduced.
        background: what is behind transparent pixels.
        parts: corrected cameras, see `models.nerf.poses.init`.
        perturb: what is done to the true cameras.
        rays: pixels in a step's batch.
        steps: of training.
        seed: of all randomness.
        optimizer: of the field.
        camera_optimizer: of the corrections.
        camera_start: steps before the cameras move: the gradient through a field that shows nothing yet is noise.
        field: the radiance field.
        log_every: steps between lines of metrics.
    """

    data_dir: str = ''
    workdir: str = 'out/refine_poses'
    factor: int = 1
    background: Literal['white', 'black', 'random'] = 'white'
    parts: tuple[Literal['pose', 'focal', 'center', 'distortion'], ...] = ('pose',)
    perturb: PerturbConfig = PerturbConfig()
    rays: int = 4096
    steps: int = 1000
    seed: int = 0
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-2, final_learning_rate=1e-3, b2=0.99, eps=1e-15)
    )
    camera_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=2e-3, final_learning_rate=5e-5, b2=0.99)
    )
    camera_start: int = 0
    field: HashConfig = dataclasses.field(default_factory=HashConfig)
    log_every: int = 100


def perturb(key: Key, cameras: Camera, config: PerturbConfig) -> Camera:
    """Turns and moves every camera by the configured amounts, in random directions."""
    turn_key, move_key = jax.random.split(key)
    pose = jnp.asarray(cameras.world_from_camera)
    count = pose.shape[0]
    axes = normalize(jax.random.normal(turn_key, (count, 3)))
    steps = normalize(jax.random.normal(move_key, (count, 3)))
    distance = jnp.linalg.norm(pose[:, :3, 3], axis=-1, keepdims=True)
    turned = jnp.matmul(pose[:, :3, :3], rotations.exp(jnp.deg2rad(config.degrees) * axes), precision='highest')
    moved = pose[:, :3, 3] + config.percent / 100 * distance * steps
    focal = jnp.asarray(cameras.focal) * (1 + config.focal_percent / 100)
    return dataclasses.replace(cameras, world_from_camera=transforms.from_rt(turned, moved), focal=focal)


def errors(cameras: Camera, truth: Camera) -> dict[str, float]:
    """Median errors after alignment: degrees, percent of the cameras' distance, percent of the focal length."""
    true_poses = jnp.asarray(truth.world_from_camera)
    rotation, translation = alignment.pose_errors(
        alignment.align_poses(jnp.asarray(cameras.world_from_camera), true_poses), true_poses
    )
    distance = jnp.linalg.norm(true_poses[:, :3, 3], axis=-1)
    focal = jnp.abs(jnp.asarray(cameras.focal) / truth.focal - 1)
    return {
        'rotation_degrees': float(jnp.median(rotation)),
        'translation_percent': float(100 * jnp.median(translation / distance)),
        'focal_percent': float(100 * jnp.median(focal)),
    }


def object_pixels(scene: PosedImages, margin: float = 0.1) -> np.ndarray | None:
    """Rows (see `batches.pack`) of the pixels in each image's box around what is not transparent, grown by `margin`.

    Emptiness says nothing of a pose once the rest fits. None if an image has no alpha, or nothing to see.
    """
    rows, offset = [], 0
    for image in scene.images:
        height, width = image.shape[:2]
        opaque = image[..., 3] > 0 if image.shape[-1] == 4 else np.zeros((height, width), bool)
        if not opaque.any():
            return None
        inside = np.ones((height, width), bool)
        for axis, size in ((0, height), (1, width)):
            seen = np.nonzero(opaque.any(1 - axis))[0]
            line = np.arange(size)
            near = (line >= seen[0] - margin * size) & (line <= seen[-1] + margin * size)
            inside &= np.expand_dims(near, 1 - axis)
        rows.append(offset + np.nonzero(inside.reshape(-1))[0])
        offset += height * width
    return np.concatenate(rows)


def depth_of(cameras: Camera) -> float:
    """Depth of the scene's middle, the origin, as the cameras have it."""
    return float(np.median(np.linalg.norm(np.asarray(cameras.world_from_camera)[:, :3, 3], axis=-1)))


def build(config: Config, cameras: Camera, *, near: float, far: float) -> Method:
    """The hash method, refining cameras."""
    corrections = optax.chain(
        optimizers.make(config.camera_optimizer, steps=config.steps),
        optax.scale_by_schedule(lambda count: jnp.where(jnp.asarray(count) < config.camera_start, 0.0, 1.0)),
    )
    optimizer = optimizers.by_name(
        {
            '^cameras/': corrections,
            '^method/': optimizers.make(config.optimizer, steps=config.steps),
        }
    )
    return poses.refining(
        lambda stepper: hash_grid(config.field, near=near, far=far, stepper=stepper, background=config.background),
        step.stepper(optimizer),
        cameras,
        parts=config.parts,
        depth=depth_of(cameras),
        centered=True,
    )


def main(config: Config) -> dict[str, Any]:
    """Perturbs, refines, reports."""
    scene = scenes.read(config.data_dir, factor=config.factor)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    started = perturb(key, scene.cameras, config.perturb)
    if 'distortion' in config.parts and started.model == 'pinhole':
        started = dataclasses.replace(started, model='opencv')
    before = errors(started, scene.cameras)
    print(f'before: {_sentence(before)}', flush=True)
    source = batches.device_source(
        dataclasses.replace(scene, masks=None),
        num_rays=config.rays,
        background=config.background,
        cast_rays=False,
        active=object_pixels(scene),
    )
    state = loop.fit(
        build(config, started, near=scene.near, far=scene.far),
        source,
        workdir=config.workdir,
        steps=config.steps,
        seed=config.seed,
        log_every=config.log_every,
    )
    refined = poses.correct(jax.device_get(state.params['cameras']), started, depth=depth_of(started), centered=True)
    after = errors(refined, scene.cameras)
    print(f'after: {_sentence(after)}', flush=True)
    report = {'before': before, 'after': after}
    write(Path(config.workdir) / 'poses.json', scene.names, refined.world_from_camera, report)
    return report


def write(path: Path, names: tuple[str, ...], world_from_camera: Array, report: PyTree) -> None:
    """Writes refined poses by name of image, with the report."""
    listed = {name: pose.tolist() for name, pose in zip(names, np.asarray(world_from_camera, np.float64), strict=True)}
    path.write_text(json.dumps({**report, 'world_from_camera': listed}, indent=1))


def _sentence(values: dict[str, float]) -> str:
    return (
        f'median rotation error {values["rotation_degrees"]:.3f} degrees, median translation error '
        f'{values["translation_percent"]:.3f} % of the distance, focal error {values["focal_percent"]:.3f} %'
    )


if __name__ == '__main__':
    app.run(main, Config)
