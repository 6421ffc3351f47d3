"""Pairs for `experiments.pix2pix_facades`: read in either direction, or made of the embedded figure; and guesses."""

import itertools
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.data import figure
from neurend.data import pairs as pairs_lib
from neurend.data.pairs import Pairs
from neurend.images import metrics

Format = Literal['facades', 'side_by_side', 'two_folders']
Direction = Literal['a_to_b', 'b_to_a']
Split = Literal['train', 'val', 'test']

_LEVELS = 4
_SPACING = 255 // (_LEVELS - 1)


def read(data_dir: str | Path, kind: Format, direction: Direction, split: Split) -> Pairs:
    """Reads pairs A, B; the condition, which has three channels, is A or B.

    Args:
        data_dir: with `train/` and so on, whose pictures hold A on the left and B on the right; or, of 'two_folders',
            with `A/train/`, `B/train/` and so on.
        kind: 'facades' are pairs side by side of which the size is checked.
        direction: 'a_to_b' takes A for the condition.
        split: which.

    Raises:
        InputError: see `neurend.data.pairs`; no such folder, one laid out in the other way, or a condition with alpha.
    """
    folder, forward = Path(data_dir), direction == 'a_to_b'
    _check_layout(folder, kind, split)
    if kind == 'two_folders':
        sides = [folder / side / split for side in ('A', 'B')]
        pairs = pairs_lib.two_folders(*(sides if forward else sides[::-1]))
    elif kind == 'side_by_side':
        pairs = pairs_lib.side_by_side(folder / split, condition='left' if forward else 'right')
    else:
        pairs = pairs_lib.facades(folder, split)
        pairs = Pairs(pairs.names, pairs.images, pairs.conditions) if forward else pairs
    channels = pairs.conditions[0].shape[-1]
    if channels == 4:
        raise checks.InputError(f'{folder}: conditions with alpha, expected gray or colours; flatten the files')
    return pairs._replace(conditions=tuple(np.repeat(x, 3 // channels, axis=-1) for x in pairs.conditions))


def _check_layout(folder: Path, kind: Format, split: Split) -> None:
    if not folder.is_dir():
        raise checks.InputError(f'--data_dir={folder}: no such folder')
    apart, together = (folder / 'A' / split).is_dir(), (folder / split).is_dir()
    if kind == 'two_folders' and together and not apart:
        raise checks.InputError(f'{folder}: has {split}/, not A/{split}/ and B/{split}/; use --pairs=side_by_side')
    if kind != 'two_folders' and apart and not together:
        raise checks.InputError(f'{folder}: has A/{split}/, not {split}/; use --pairs=two_folders')


def filmed(split: Split, *, size: int) -> Pairs:
    """The embedded pairs: which part of a walking person each pixel shows, in colours, and the picture.

    Training and validation are 300 frames and 60 that come after them.

    Raises:
        InputError: there are no test pairs.
    """
    checks.one_of('split', split, ('train', 'val'))
    train = 300
    clip = figure.frames(*figure.person('a'), train + 60, size)
    chosen = range(train) if split == 'train' else range(train, len(clip.images))
    conditions = palette(len(figure.PARTS) + 1)[clip.iuv[..., 0]]
    return Pairs(
        names=tuple(f'{k:03d}' for k in chosen),
        conditions=tuple(conditions[k] for k in chosen),
        images=tuple(clip.images[k] for k in chosen),
    )


def palette(count: int) -> np.ndarray:
    """Up to 64 colours that `codes` tells apart, uint8 [count 3]; the first is black."""
    colors = list(itertools.product(range(_LEVELS), repeat=3))
    # A stride prime to 64, so that neighbours in the list do not look alike.
    return _SPACING * np.array([colors[37 * k % len(colors)] for k in range(count)], np.uint8)


def codes(condition: np.ndarray) -> np.ndarray:
    """Numbers of the colours of a label map uint8 [h w 3], int [h w]: channels are rounded to multiples of 85.

    The labels of the CMP facades are such colours; rounding takes away what JPEG adds.
    """
    levels = (condition.astype(np.int32) + _SPACING // 2) // _SPACING
    return levels @ np.array([_LEVELS**2, _LEVELS, 1])


def mean_colors(pairs: Pairs) -> np.ndarray:
    """Mean of the images where the condition has each code, in [0, 1], [64 3]; where it never has, that of all."""
    sums, counts = np.zeros((_LEVELS**3, 3)), np.zeros(_LEVELS**3)
    for condition, image in zip(pairs.conditions, pairs.images):
        code = codes(condition).ravel()
        counts += np.bincount(code, minlength=len(counts))
        for channel in range(3):
            sums[:, channel] += np.bincount(code, image[..., channel].ravel() / 255, minlength=len(counts))
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], sums.sum(0) / counts.sum())


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of float [h w c], cut off at 3 sigma; borders are replicated."""
    reach = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    for axis in (0, 1):
        wide = np.pad(image, [(reach, reach) if k == axis else (0, 0) for k in range(3)], mode='edge')
        size = image.shape[axis]
        parts = [tap * wide.take(range(k, k + size), axis) for k, tap in enumerate(taps / taps.sum())]
        image = np.sum(parts, axis=0)
    return image


def baselines(train: Pairs, held_out: Pairs) -> dict[str, dict[str, float]]:
    """Mean 'psnr', 'ssim' and 'l1' of two guesses, over pairs that are as large as those of training.

    'blurred mean' paints the mean colour that each label has in training into the label map, and blurs it with a sigma
    of 2 pixels; 'mean image' is the mean of all training images.
    """
    colors = mean_colors(train)
    mean = np.mean(train.images, axis=0, dtype=np.float64) / 255
    rows: dict[str, list[tuple[float, ...]]] = {'blurred mean': [], 'mean image': []}
    for condition, image in zip(held_out.conditions, held_out.images):
        truth = jnp.asarray(image, jnp.float32) / 255
        for name, guess in (('blurred mean', blur(colors[codes(condition)], 2)), ('mean image', mean)):
            rows[name].append(_measures(jnp.asarray(guess, jnp.float32), truth))
    return {
        name: dict(zip(('psnr', 'ssim', 'l1'), np.array(values, np.float64).mean(axis=0).round(4).tolist()))
        for name, values in rows.items()
    }


@jax.jit
def _measures(guess: jax.Array, truth: jax.Array) -> tuple[jax.Array, ...]:
    return metrics.psnr(guess, truth), metrics.ssim(guess, truth), jnp.mean(jnp.abs(guess - truth))
