"""Masks and backgrounds of photographs that have neither, for `experiments.nerf`: learned by a first `fast` field."""

import dataclasses
from pathlib import Path

import numpy as np

from neurend.checks import InputError
from neurend.data import batches
from neurend.data.posed import PosedImages
from neurend.models.nerf import fast_separate
from neurend.models.nerf.fast import fast
from neurend.models.nerf.fast_config import FastConfig
from neurend.models.nerf.fast_separate import Separation
from neurend.models.nerf.fast_start import prepare
from neurend.train import loop


@dataclasses.dataclass(frozen=True)
class SeparateConfig:
    """How object and background are told apart where neither masks nor background are known.

    Attributes:
        steps: of a first field that is learned for this alone; 0 for none.
        fast: its options.
    """

    steps: int = 0
    fast: FastConfig = dataclasses.field(default_factory=FastConfig)


def learn(config: SeparateConfig, scene: PosedImages, *, workdir: str, seed: int, log_every: int) -> None:
    """Trains the first field in `workdir`/separate and writes `separated.npz`, unless that is there already."""
    path = _path(workdir)
    if path.is_file():
        return
    start = prepare(config.fast, scene.cameras, None, near=scene.near, far=scene.far, images=scene.images)
    state = loop.fit(
        fast(config.fast, start=start, steps=config.steps, background='none'),
        batches.device_source(
            dataclasses.replace(scene, masks=None), num_rays=config.fast.batch_rays, active=start.active
        ),
        workdir=Path(workdir) / 'separate',
        steps=config.steps,
        seed=seed,
        log_every=log_every,
        checkpoint_every=0,
    )
    found = fast_separate.separate(state, config.fast, start, scene.images)
    whole = path.with_suffix('.part.npz')
    np.savez_compressed(
        whole,
        names=np.array(scene.names),
        foreground=np.packbits(np.concatenate([mask.reshape(-1) for mask in found.foreground])),
        plates=np.concatenate([plate.reshape(-1, 3) for plate in found.plates]),
    )
    whole.replace(path)


def load(scene: PosedImages, *, workdir: str) -> Separation:
    """What `learn` wrote for the images of a scene.

    Raises:
        InputError: nothing is there, or it belongs to other images.
    """
    path = _path(workdir)
    if not path.is_file():
        raise InputError(f'{path}: not there; train first, which makes it, or leave out --separate.steps')
    with np.load(path, allow_pickle=False) as stored:
        names, packed, plates = (stored[name] for name in ('names', 'foreground', 'plates'))
    shapes = [image.shape[:2] for image in scene.images]
    ends = np.cumsum([height * width for height, width in shapes])
    if tuple(names) != scene.names or len(plates) != ends[-1]:
        raise InputError(f'{path}: made of other images, expected {len(scene)} as in the scene; choose another workdir')
    foreground = np.unpackbits(packed, count=len(plates)).astype(bool)
    return Separation(
        [part.reshape(shape) for part, shape in zip(np.split(foreground, ends[:-1]), shapes)],
        [part.reshape(*shape, 3) for part, shape in zip(np.split(plates, ends[:-1]), shapes)],
    )


def _path(workdir: str) -> Path:
    return Path(workdir) / 'separated.npz'
