"""Trains a radiance field on posed images: published NeRF and mip-NeRF, and faster methods.

    python -m experiments.nerf --flagfile=configs/nerf_chair_fast.flags --data_dir=chair --workdir=out/chair

Without --data_dir the embedded procedural scene is rendered and learned.
"""

from typing import NamedTuple

import numpy as np

from experiments import captures, separation
from experiments.nerf_config import Config
from experiments.nerf_methods import METHODS
from neurend import app
from neurend.checks import InputError
from neurend.data.posed import PosedImages
from neurend.models.method import Method
from neurend.models.nerf.evaluation import Example
from neurend.train import loop
from neurend.typing import Source


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
        separation.learn(config.separate, scene, workdir=config.workdir, seed=config.seed, log_every=config.log_every)
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
    return captures.read(config.scene, captures.folder_of(config.data_dir, config.workdir), split)


def examples(config: Config) -> list[Example]:
    """The views that are evaluated."""
    try:
        held_out = read(config, config.evaluate_split)
    except InputError as error:
        raise InputError(f'{error}. Views to evaluate are those of --evaluate_split={config.evaluate_split}') from error
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


if __name__ == '__main__':
    app.run(main, Config)
