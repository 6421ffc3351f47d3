"""Trains a radiance field on posed images: published NeRF and mip-NeRF, and faster methods.

    python -m experiments.nerf --flagfile=configs/nerf_chair.flags --data_dir=chair --workdir=out/chair

Without --data_dir the embedded procedural scene is rendered and learned.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments import separation
from experiments.separation import SeparateConfig
from neurend import app
from neurend.checks import InputError
from neurend.data import batches, loaders, scenes, synthetic
from neurend.data.posed import PosedImages
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.models.method import Method, Stepper
from neurend.models.nerf.background import Background
from neurend.models.nerf.classic import ClassicConfig, classic
from neurend.models.nerf.evaluation import Example
from neurend.models.nerf.fast import fast
from neurend.models.nerf.fast_config import FastConfig
from neurend.models.nerf.fast_start import prepare
from neurend.models.nerf.hash import HashConfig, hash_grid
from neurend.models.nerf.mip import MipConfig, mip
from neurend.scenes import hull
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer
from neurend.typing import Source


@dataclasses.dataclass(frozen=True)
class SceneConfig:
    """Where the images come from and what is learned of them.

    Attributes:
        format: of data_dir; auto tells by its files.
        factor: whole number by which images are reduced.
        capture: how captures without a frame of their own were taken.
        test_every: of captures without splits, every so many images test.
        near: nearest t with content, in scene units, instead of what the reader derives.
        far: farthest.
        background: what lies behind: none for photographs of whole scenes, else what transparent pixels are put on.
        masks: of the object, where there are some: ignore them, leave what is off them out of the loss, or take what is
            off them for background.
        object_rays: how much more often a pixel on the masks is drawn than one off them, a whole number.
        ndc: learn a forward-facing capture in normalised device coordinates, out to infinity.
    """

    format: Literal['auto', 'blender', 'llff', 'colmap', 'nerfstudio', 'deepvoxels', 'srn'] = 'auto'
    factor: int = 1
    capture: Literal['auto', 'inward', 'forward'] = 'auto'
    test_every: int = 8
    near: float | None = None
    far: float | None = None
    background: Background = 'white'
    masks: Literal['ignore', 'loss', 'background'] = 'ignore'
    object_rays: int = 1
    ndc: bool = False


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run.

    Attributes:
        data_dir: folder with posed images; the embedded scene if empty.
        workdir: where checkpoints, metrics and pictures go.
        method: which radiance field.
        rays: pixels in a step's batch (fast has its own numbers, as it has its own optimizer).
        image_per_batch: all of a batch from one image, as in the published NeRF.
        stream: draw batches on the host, for images that do not fit on the device.
        steps: of training.
        seed: of all randomness.
        accumulate: parts a batch is cut into, to need less memory.
        clip_norm: largest norm of a gradient; none for no clipping.
        ema_decay: of the running average of parameters that is evaluated; none for no average.
        compute_dtype: networks compute in this type; parameters are float32.
        memory_mb: a full image is rendered in this much memory.
        log_every: steps between lines of metrics.
        evaluate_every: steps between evaluations; 0 for one at the end.
        evaluate_split: which images are evaluated.
        evaluate_views: how many of them, evenly spread; 0 for all.
        checkpoint_every: steps between checkpoints.
        keep: checkpoints that stay.
        separate: how `fast` tells an object from backgrounds that nobody knows.
    """

    data_dir: str = ''
    workdir: str = 'out/nerf'
    method: Literal['classic', 'mip', 'fast', 'hash'] = 'classic'
    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    rays: int = 1024
    image_per_batch: bool = False
    stream: bool = False
    steps: int = 200_000
    seed: int = 0
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    accumulate: int = 1
    clip_norm: float | None = None
    ema_decay: float | None = None
    compute_dtype: Literal['float32', 'bfloat16'] = 'float32'
    memory_mb: int = 1500
    log_every: int = 100
    evaluate_every: int = 0
    evaluate_split: Literal['val', 'test', 'train'] = 'val'
    evaluate_views: int = 8
    checkpoint_every: int = 5000
    keep: int = 3
    classic: ClassicConfig = dataclasses.field(default_factory=ClassicConfig)
    mip: MipConfig = dataclasses.field(default_factory=MipConfig)
    fast: FastConfig = dataclasses.field(default_factory=FastConfig)
    hash: HashConfig = dataclasses.field(default_factory=HashConfig)
    separate: SeparateConfig = dataclasses.field(default_factory=SeparateConfig)


class Setup(NamedTuple):
    """What `build` makes.

    Attributes:
        scene: the training images.
        method: to train, render or evaluate with.
        source: of its batches.
        examples: held-out views for `method.evaluate`.
    """

    scene: PosedImages
    method: Method
    source: Source
    examples: list[Example]


def build(config: Config) -> Setup:
    """Reads the scene and makes the method, for training and for programs that use what was trained.

    Raises:
        InputError: the folder cannot be read, or options that do not go together.
    """
    scene = read(config, 'train')
    method, source = METHODS[config.method](config, scene)
    return Setup(scene, method, source, examples(config))


def main(config: Config) -> None:
    """Trains."""
    if config.separate.steps:
        if config.method != 'fast' or config.scene.masks == 'background':
            raise InputError('separate.steps: for --method=fast without masks, expected 0; leave it out')
        scene = read(config, 'train')
        separation.learn(
            config.separate, scene, workdir=config.workdir, seed=config.seed, log_every=config.log_every
        )
    setup = build(config)
    loop.fit(
        setup.method,
        setup.source,
        workdir=config.workdir,
        steps=config.steps,
        seed=config.seed,
        evaluation=setup.examples,
        log_every=config.log_every,
        evaluate_every=config.evaluate_every,
        checkpoint_every=config.checkpoint_every,
        keep=config.keep,
    )


def read(config: Config, split: str) -> PosedImages:
    """The images of one split; the embedded scene is written to the workdir first if it is the one."""
    scene = config.scene
    folder = config.data_dir or synthetic.write_scene(Path(config.workdir) / 'scene')
    return scenes.read(
        folder,
        format=scene.format,
        split=split,
        factor=scene.factor,
        near=scene.near,
        far=scene.far,
        capture=scene.capture,
        test_every=scene.test_every,
    )


def examples(config: Config) -> list[Example]:
    """The views that are evaluated."""
    held_out = read(config, config.evaluate_split)
    count = min(config.evaluate_views or len(held_out), len(held_out))
    chosen = np.unique(np.linspace(0, len(held_out) - 1, count).round().astype(int))
    return [
        Example(
            name=held_out.names[i],
            camera=held_out.camera(i),
            image=held_out.images[i],
            mask=None if held_out.masks is None else held_out.masks[i],
        )
        for i in chosen
    ]


def make_stepper(config: Config) -> Stepper:
    """The optimizer and the options of a step."""
    return step.stepper(
        make_optimizer(config.optimizer, steps=config.steps),
        accumulate=config.accumulate,
        clip_norm=config.clip_norm,
        ema_decay=config.ema_decay,
        compute_dtype=None if config.compute_dtype == 'float32' else jnp.dtype(config.compute_dtype),
    )


def make_source(config: Config, scene: PosedImages) -> Source:
    """Rays drawn on the device from images that lie there, or streamed from the host."""
    if config.scene.masks == 'ignore':
        scene = dataclasses.replace(scene, masks=None)
    options: dict[str, Any] = {
        'num_rays': config.rays,
        'background': 'black' if config.scene.background == 'none' else config.scene.background,
        'active': _object_pixels(scene, config.scene.object_rays) if config.scene.object_rays > 1 else None,
        'mask_as_alpha': config.scene.masks == 'background',
    }
    if not config.stream:
        return batches.device_source(scene, image_per_batch=config.image_per_batch, **options)
    if config.image_per_batch:
        raise InputError('image_per_batch: streamed batches are of all images; leave out one of the two')
    return loaders.stream_source(scene, seed=config.seed, **options)


def _object_pixels(scene: PosedImages, times: int) -> np.ndarray:
    """All pixels, those on masks several times, as rows for `batches.pack`."""
    if scene.masks is None:
        raise InputError('scene.object_rays: the scene has no masks, or they are ignored; expected 1')
    on = np.concatenate([mask.reshape(-1) > 0 for mask in scene.masks])
    return np.repeat(np.arange(len(on)), np.where(on, times, 1))


def _reference(config: Config, scene: PosedImages) -> Camera | None:
    """The camera whose normalised device coordinates a forward-facing scene is learned in: the mean one."""
    if not config.scene.ndc:
        return None
    focal = np.asarray(scene.cameras.focal).mean(0)
    return cameras.make(jnp.eye(4), jnp.asarray(focal), size=jnp.asarray(scene.cameras.size[0]))


def _classic(config: Config, scene: PosedImages) -> tuple[Method, Source]:
    method = classic(
        config.classic,
        near=scene.near,
        far=scene.far,
        stepper=make_stepper(config),
        background=config.scene.background,
        num_images=len(scene),
        memory_mb=config.memory_mb,
        reference=_reference(config, scene),
    )
    return method, make_source(config, scene)


def _mip(config: Config, scene: PosedImages) -> tuple[Method, Source]:
    method = mip(
        config.mip,
        near=scene.near,
        far=scene.far,
        stepper=make_stepper(config),
        background=config.scene.background,
        num_images=len(scene),
        memory_mb=config.memory_mb,
        reference=_reference(config, scene),
    )
    return method, make_source(config, scene)


def _fast(config: Config, scene: PosedImages) -> tuple[Method, Source]:
    foreground, plates = None, None
    if config.separate.steps:
        foreground, plates = separation.load(scene, workdir=config.workdir)
    elif config.scene.masks == 'background' and scene.masks is not None:
        foreground = [mask > 0 for mask in scene.masks]
    elif config.scene.background != 'none' and all(image.shape[-1] == 4 for image in scene.images):
        foreground = [image[..., 3] > 0 for image in scene.images]
    start = prepare(
        config.fast,
        scene.cameras,
        foreground,
        near=scene.near,
        far=scene.far,
        images=scene.images,
        plates=plates,
    )
    method = fast(
        config.fast,
        start=start,
        steps=config.steps,
        background=config.scene.background,
        memory_mb=config.memory_mb,
    )
    source = batches.device_source(
        scene if config.scene.masks != 'ignore' else dataclasses.replace(scene, masks=None),
        num_rays=max(config.fast.rays),
        background='black' if config.scene.background == 'none' else config.scene.background,
        mask_as_alpha=config.scene.masks == 'background',
        active=start.active,
    )
    return method, source


def _hash(config: Config, scene: PosedImages) -> tuple[Method, Source]:
    outline = None
    if config.hash.hull_cells:
        if config.scene.masks != 'background' or scene.masks is None or config.hash.contract:
            raise InputError(
                'hash.hull_cells: a hull comes from masks, in a box: expected --scene.masks=background, masks in the '
                'scene and --nohash.contract; or 0'
            )
        outline = hull.carve(
            scene.cameras,
            [mask > 0 for mask in scene.masks],
            radius=config.hash.radius,
            cells=config.hash.hull_cells,
            nearest=scene.near,
        )
    method = hash_grid(
        config.hash,
        near=scene.near,
        far=scene.far,
        stepper=make_stepper(config),
        background=config.scene.background,
        num_images=len(scene),
        hull=outline,
        memory_mb=config.memory_mb,
    )
    return method, make_source(config, scene)


METHODS: dict[str, Callable[[Config, PosedImages], tuple[Method, Source]]] = {
    'classic': _classic,
    'mip': _mip,
    'fast': _fast,
    'hash': _hash,
}
"""From the name of a method to what makes it and its batches.

A new one is an entry here, a member of `Config.method` and a sub-configuration.
"""


if __name__ == '__main__':
    app.run(main, Config)
