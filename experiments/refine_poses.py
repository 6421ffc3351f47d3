"""Perturbs the camera poses of a scene and recovers them while the scene is learned.

    python -m experiments.refine_poses --flagfile=configs/refine_poses_chair.flags --data_dir=chair --workdir=out/poses

Reports median errors of rotation and translation before and after, both after the similarity that takes the cameras'
centres nearest to the true ones: a world may turn, move and grow as long as all images stay the same.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from neurend import app
from neurend.data import batches, scenes
from neurend.data.posed import PosedImages
from neurend.geometry import alignment, rotations, transforms
from neurend.geometry.cameras import Camera
from neurend.models.nerf import fast_start
from neurend.models.nerf.fast import corrected, fast
from neurend.models.nerf.fast_config import FastConfig, RefineConfig
from neurend.numerics import normalize
from neurend.train import loop
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
        perturb: what is done to the true cameras.
        refine: what is corrected, and how fast.
        fast: the radiance field.
        steps: of training.
        seed: of all randomness.
        log_every: steps between lines of metrics.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('steps', 'log_every')

    data_dir: str = ''
    workdir: str = 'out/refine_poses'
    factor: int = 1
    background: Literal['white', 'black', 'random'] = 'white'
    perturb: PerturbConfig = dataclasses.field(default_factory=PerturbConfig)
    refine: RefineConfig = dataclasses.field(default_factory=RefineConfig)
    fast: FastConfig = dataclasses.field(default_factory=FastConfig)
    steps: int = 1000
    seed: int = 0
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


def begin(config: Config, scene: PosedImages, cameras: Camera) -> fast_start.Start:
    """Carves as far as the images allow if `cameras` are as far from the truth as the perturbation takes them."""
    share = math.radians(config.perturb.degrees) + (config.perturb.percent + config.perturb.focal_percent) / 100
    distance = float(np.max(np.linalg.norm(np.asarray(cameras.world_from_camera)[:, :3, 3], axis=-1)))
    known = all(image.shape[-1] == 4 for image in scene.images)
    return fast_start.prepare(
        config.fast,
        cameras,
        [image[..., 3] > 0 for image in scene.images] if known else None,
        near=max(scene.near - share * distance, 0.5 * scene.near),
        far=scene.far + share * distance,
        images=scene.images,
        slack=share * float(np.max(np.asarray(cameras.focal))),
    )


def main(config: Config) -> dict[str, Any]:
    """Perturbs, refines, reports."""
    scene = scenes.read(config.data_dir, factor=config.factor)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    started = perturb(key, scene.cameras, config.perturb)
    if 'distortion' in config.refine.parts and started.model == 'pinhole':
        started = dataclasses.replace(started, model='opencv')
    before = errors(started, scene.cameras)
    print(f'before: {_sentence(before)}', flush=True)
    start = begin(config, scene, started)
    source = batches.device_source(
        dataclasses.replace(scene, masks=None),
        num_rays=config.fast.batch_rays,
        background=config.background,
        cast_rays=False,
        active=start.active,
    )
    state = loop.fit(
        fast(config.fast, start=start, steps=config.steps, background=config.background, refine=config.refine),
        source,
        workdir=config.workdir,
        steps=config.steps,
        seed=config.seed,
        log_every=config.log_every,
    )
    refined = corrected(jax.device_get(state.params), start)
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
