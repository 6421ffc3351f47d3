r"""Learns an image translation from aligned pairs (Isola et al., 2017): labels to facades, or any others.

    python -m experiments.pix2pix_facades --flagfile=configs/pix2pix_facades.flags --data_dir=facades \
        --workdir=out/facades

Without --data_dir the pairs are those of the embedded figure: which part of a person each pixel shows, and the picture.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_val/` with the table of all pairs held out,
two baselines below them, and a contact sheet of 16 pairs. `load` gives back what was trained.
"""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import jax

from experiments import trained, translation, translation_pairs
from experiments.evaluate import perceptual
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import pairs as pairs_lib
from neurend.data.pair_batches import pair_source
from neurend.data.pairs import Pairs
from neurend.images import statedict
from neurend.models.method import Method
from neurend.models.pix2pix import config as configs
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.method import pix2pix
from neurend.models.state import State
from neurend.nn import torch_layout
from neurend.train import evaluate as evaluation
from neurend.typing import PyTree

_ANY = 256  # a size to describe parameters with, which do not depend on it


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
        crop: side of the random window of them that is trained on, and of pairs that are evaluated; 0 for the whole
            pictures, which must then have one size.
        flip: mirror half of them. Not for conditions that tell left from right.
        batch: pairs in a step.
        model: networks, losses and rates.
        coarse: workdir of a run with the generator 'global', around which one with 'local', of half its width, begins
            (Wang et al., 2018); empty for none.
        init: weights that the generator begins with, .pth or .npz in the layout of the published PyTorch code, see
            `neurend.nn.torch_layout`; empty for random ones.
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
    init: str = ''
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    lpips: Literal['none', 'alex', 'vgg'] = 'none'
    lpips_backbone: str = ''
    lpips_linear: str = ''

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        if self.crop < 0 or self.load_size < 0:
            raise checks.InputError(f'--crop, --load_size: got {self.crop} and {self.load_size}, expected pixels')
        if not self.crop and not self.data_dir:
            raise checks.InputError('--crop: got 0 without --data_dir, expected the size to draw the figure in')
        if not side_of(self) and self.model.pool:
            raise checks.InputError('--model.pool: keeps images of a known size; give --crop or --load_size as well')
        if self.coarse and self.model.generator.name != 'local':
            raise checks.InputError(
                f'--coarse: got a run with --model.generator.name={self.model.generator.name}, expected local'
            )
        if self.coarse and self.init:
            raise checks.InputError('--coarse, --init: got both, expected one of them to begin with')
        if self.model.frames != 1:
            raise checks.InputError(f'--model.frames: got {self.model.frames}, expected 1; pairs are no clips')


def main(config: Config) -> evaluation.Table:
    """Trains, evaluates, writes; returns the table of the pairs held out."""
    measures = perceptual(config.lpips, config.lpips_backbone, config.lpips_linear)
    train, held_out = read(config, 'train'), resized(config, read(config, config.evaluate_split))
    _check_sizes(config, train, held_out)
    load_size, crop = (None if not side else (side, side) for side in (config.load_size, config.crop))
    source = pair_source(
        train, batch=config.batch, load_size=load_size, crop=crop, flip=config.flip, labels=config.labels
    )
    app.say(described(config, len(train.names), len(held_out.names)))
    method, examples = (
        method_of(config, coarse=coarse(config), initial=initial(config)),
        translation.examples_of(held_out),
    )
    state = translation.train(method, source, examples, workdir=config.workdir, run=config.run)
    protocol = {
        'pairs': f'{config.data_dir or "embedded figure"}, {config.direction}, {config.evaluate_split}, all pairs',
        'size': '{1} x {0}'.format(*held_out.images[0].shape) + (', resized' if side_of(config) else ''),
        'training': f'{len(train.names)} pairs, batch {config.batch}',
        'l1': 'mean absolute difference of colours in [0, 1]',
    }
    folder = Path(config.workdir) / f'evaluation_{config.evaluate_split}'
    guesses = translation_pairs.baselines(resized(config, train), held_out)
    return translation.report(
        method, state, examples, folder=folder, protocol=protocol, baselines=guesses, perceptual=measures
    )


def load(workdir: str) -> tuple[Config, Method, State]:
    """Loads what a run trained, without its data; `translation.draw` applies it to conditions `h w 3`.

    Raises:
        InputError: no run there, or no checkpoint.
    """
    config = trained.configuration(Config, workdir, 'experiments.pix2pix_facades')
    method = method_of(config)
    return config, method, trained.restore(method, Path(workdir))


def method_of(config: Config, *, coarse: PyTree | None = None, initial: PyTree | None = None) -> Method:
    """The method of a run, which begins with the parameters of a global generator, or its own, if some are given."""
    side = side_of(config) or _ANY
    return pix2pix(
        config.model,
        channels=3,
        size=(side, side),
        steps=config.run.steps,
        vgg=translation.vgg(config.model),
        coarse=coarse,
        initial=initial,
    )


def side_of(config: Config) -> int:
    """Side in pixels of the pictures that are trained on and evaluated; 0 where the files tell."""
    return config.crop or config.load_size


def coarse(config: Config) -> PyTree | None:
    """Parameters of the global generator that --coarse names, None for none.

    Raises:
        InputError: no such run, or one of another generator.
    """
    if not config.coarse:
        return None
    run, _, state = load(config.coarse)
    name = run.model.generator.name
    if name != 'global':
        raise checks.InputError(
            f'--coarse={config.coarse}: a run with --model.generator.name={name}, expected one with global'
        )
    return state.weights['generator']


def initial(config: Config) -> PyTree | None:
    """Parameters of the generator from the file that --init names, None for none.

    Raises:
        InputError: the file cannot be read, or is not of this generator.
    """
    if not config.init:
        return None
    params = jax.eval_shape(method_of(config).init, jax.random.key(0)).params['generator']
    try:
        return torch_layout.load(statedict.read(config.init), configs.generator(config.model.generator), params)
    except checks.InputError as error:
        raise checks.InputError(f'--init={config.init}: {error}') from error


def described(config: Config, learned: int, held_out: int) -> str:
    """One line that says which data a run has, and how much of them."""
    given = config.data_dir or 'embedded figure, no --data_dir given'
    batch = f'; each batch of {config.batch} holds some of them twice' if config.batch > learned else ''
    return f'{given}: {learned} pairs to learn from, {held_out} held out ({config.evaluate_split}){batch}'


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
    side = side_of(config)
    if not side:
        return pairs
    size = (side, side)
    return pairs._replace(
        conditions=tuple(pairs_lib.resize(x, size, labels=config.labels) for x in pairs.conditions),
        images=tuple(pairs_lib.resize(x, size) for x in pairs.images),
    )


def _check_sizes(config: Config, *splits: Pairs) -> None:
    sizes = {image.shape[1::-1]: name for pairs in splits for name, image in zip(pairs.names, pairs.images)}
    if not side_of(config) and len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise checks.InputError(
            f'--crop: got 0, whole pictures, but these have several sizes, as {first} with {one[0]} x {one[1]} and '
            f'{second} with {other[0]} x {other[1]}; give --load_size or --crop'
        )


if __name__ == '__main__':
    app.run(main, Config)
