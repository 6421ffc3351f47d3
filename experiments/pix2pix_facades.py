r"""Learns an image translation from aligned pairs (Isola et al., 2017): labels to facades, or any others.

    python -m experiments.pix2pix_facades --flagfile=configs/pix2pix_facades.flags --data_dir=facades \
        --workdir=out/facades

Without --data_dir the pairs are those of the embedded figure: which part of a person each pixel shows, and the picture.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_val/` with the table of all pairs held out,
two baselines in its protocol, and a contact sheet of 16 pairs. `load` gives back what was trained.
"""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from experiments import trained, translation, translation_pairs
from experiments.evaluate import perceptual
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import pairs as pairs_lib
from neurend.data.pair_batches import pair_source
from neurend.data.pairs import Pairs
from neurend.models.method import Method
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.method import pix2pix
from neurend.models.state import State
from neurend.train import evaluate as evaluation
from neurend.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Config:
    """One run. The defaults are those of Isola et al. (2017).

    Attributes:
        data_dir: folder with pairs A, B; empty for the embedded figure, part maps A and pictures B.
        workdir: where results go.
        pairs: how they lie there: A left and B right in one picture, in train/ and val/ ('facades' checks their size),
            or in A/train/, B/train/ and so on.
        direction: which of the two is the condition.
        evaluate_split: which pairs are held out.
        labels: conditions name classes: they keep their values when resized.
        load_size: side in pixels that training pairs are resized to; 0 leaves them as they are.
        crop: side of the random window of them that is trained on, and of pairs that are evaluated.
        flip: mirror half of them. Not for conditions that tell left from right.
        batch: pairs in a step.
        model: networks, losses and rates.
        coarse: workdir of a run with the generator 'global', around which one with 'local', of half its width, begins
            (Wang et al., 2018); empty for none.
        run: length and records.
        lpips: backbone of the perceptual metric, which needs the next two.
        lpips_backbone: torchvision's weights of it, .pth or .npz.
        lpips_linear: LPIPS's linear layers for it, .pth or .npz.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'evaluate_split',
        'run.steps',
        'run.log_every',
        'run.evaluate_every',
        'run.checkpoint_every',
        'lpips',
        'lpips_backbone',
        'lpips_linear',
    )

    data_dir: str = ''
    workdir: str = 'out/pix2pix'
    pairs: translation_pairs.Format = 'side_by_side'
    direction: translation_pairs.Direction = 'a_to_b'
    evaluate_split: Literal['val', 'test'] = 'val'
    labels: bool = False
    load_size: int = 286
    crop: int = 256
    flip: bool = True
    batch: int = 1
    model: Pix2PixConfig = dataclasses.field(default_factory=Pix2PixConfig)
    coarse: str = ''
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    lpips: Literal['none', 'alex', 'vgg'] = 'none'
    lpips_backbone: str = ''
    lpips_linear: str = ''

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        if self.crop < 1 or self.load_size < 0:
            raise checks.InputError(f'--crop, --load_size: got {self.crop} and {self.load_size}, expected pixels')
        if self.model.frames != 1:
            raise checks.InputError(f'--model.frames: got {self.model.frames}, expected 1; pairs are no clips')


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the pairs held out."""
    measures = perceptual(config.lpips, config.lpips_backbone, config.lpips_linear)
    train, held_out = read(config, 'train'), resized(config, read(config, config.evaluate_split))
    size = None if not config.load_size else (config.load_size, config.load_size)
    crop = (config.crop, config.crop)
    source = pair_source(train, batch=config.batch, load_size=size, crop=crop, flip=config.flip, labels=config.labels)
    coarse = load(config.coarse)[2].weights['generator'] if config.coarse else None
    method, examples = method_of(config, coarse), translation.examples_of(held_out)
    state = translation.train(method, source, examples, workdir=config.workdir, run=config.run)
    protocol = {
        'pairs': f'{config.data_dir or "embedded figure"}, {config.direction}, {config.evaluate_split}, all pairs',
        'size': f'{config.crop} x {config.crop}, resized',
        'training': f'{len(train.names)} pairs, batch {config.batch}',
        'l1': 'mean absolute difference of colours in [0, 1]',
        'baselines': translation_pairs.baselines(resized(config, train), held_out),
    }
    folder = Path(config.workdir) / f'evaluation_{config.evaluate_split}'
    return translation.report(method, state, examples, folder=folder, protocol=protocol, perceptual=measures)


def load(workdir: str) -> tuple[Config, Method, State]:
    """Loads what a run trained, without its data; `translation.draw` applies it to conditions `h w 3`.

    Raises:
        InputError: no run there, or no checkpoint.
    """
    config = trained.configuration(Config, workdir, 'experiments.pix2pix_facades')
    method = method_of(config)
    return config, method, trained.restore(method, Path(workdir))


def method_of(config: Config, coarse: PyTree | None = None) -> Method:
    """The method of a run, which begins with the parameters of a global generator if some are given."""
    return pix2pix(
        config.model,
        channels=3,
        size=(config.crop, config.crop),
        steps=config.run.steps,
        vgg=translation.vgg(config.model),
        coarse=coarse,
    )


def read(config: Config, split: translation_pairs.Split) -> Pairs:
    """The pairs of a split, of their own sizes.

    Raises:
        InputError: they cannot be read.
    """
    if not config.data_dir:
        return translation_pairs.filmed(split, size=config.crop)
    return translation_pairs.read(config.data_dir, config.pairs, config.direction, split)


def resized(config: Config, pairs: Pairs) -> Pairs:
    """Whole pairs in the size that is trained on, without jitter."""
    size = (config.crop, config.crop)
    return pairs._replace(
        conditions=tuple(pairs_lib.resize(x, size, labels=config.labels) for x in pairs.conditions),
        images=tuple(pairs_lib.resize(x, size) for x in pairs.images),
    )


if __name__ == '__main__':
    app.run(main, Config)
