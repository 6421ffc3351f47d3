"""From the flags of `experiments.nerf` and a scene to the method and its batches."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments import separation
from experiments.nerf_config import Config
from neurend.checks import InputError
from neurend.data import batches, loaders
from neurend.data.posed import PosedImages
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.models.method import Method, Stepper
from neurend.models.nerf.classic import classic
from neurend.models.nerf.fast import fast
from neurend.models.nerf.fast_start import prepare
from neurend.models.nerf.hash import hash_grid
from neurend.models.nerf.mip import mip
from neurend.scenes import hull
from neurend.train import step
from neurend.train.optimizers import make as make_optimizer
from neurend.typing import Source


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


def _published(make: Callable[..., Method], options: Any, config: Config, scene: PosedImages) -> tuple[Method, Source]:
    method = make(
        options,
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
    if any(begins >= config.steps for begins in config.fast.subdivide_steps):
        print(
            f'--steps={config.steps} end before the finest grid begins '
            f'(--fast.subdivide_steps={",".join(map(str, config.fast.subdivide_steps))}): expect a blurred scene'
        )
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
        num_rays=config.fast.batch_rays,
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
    'classic': lambda config, scene: _published(classic, config.classic, config, scene),
    'mip': lambda config, scene: _published(mip, config.mip, config, scene),
    'fast': _fast,
    'hash': _hash,
}
"""From the name of a method to what makes it and its batches.

A new one is an entry here, a member of `Config.method` and a sub-configuration.
"""
