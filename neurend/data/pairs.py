"""Aligned pairs of pictures, a condition and the image that belongs to it, from folders of files."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from neurend import checks
from neurend.data import frames as frames_lib
from neurend.images import io, resample


class Pairs(NamedTuple):
    """Conditions with their images; both of a pair have one size, pairs may differ.

    Attributes:
        names: one per pair, unique.
        conditions: uint8 `[h w c]` each, the same c throughout: 1 gray, 3 colours (palettes are read as their colours),
            4 colours with alpha.
        images: uint8 `[h w 3]` each, sRGB.
    """

    names: tuple[str, ...]
    conditions: tuple[np.ndarray, ...]
    images: tuple[np.ndarray, ...]


def side_by_side(folder: str | Path, *, condition: Literal['left', 'right'] = 'left') -> Pairs:
    """Reads pictures that hold both of a pair, one beside the other, each half as wide as the file.

    Source: Isola et al. 2017 (format of the released data sets).

    Args:
        folder: with PNG or JPEG files; other files are passed over.
        condition: which half is the condition; the other one is the image.

    Raises:
        InputError: no pictures there, one that cannot be read, or an odd width.
    """
    checks.one_of('condition', condition, ('left', 'right'))
    names, conditions, images = [], [], []
    for path in pictures(folder):
        both = io.read(path, channels=3)
        half, rest = divmod(both.shape[1], 2)
        if rest or not half:
            raise checks.InputError(f'{path}: {both.shape[1]} pixels wide, expected an even width, two pictures in one')
        halves = np.ascontiguousarray(both[:, :half]), np.ascontiguousarray(both[:, half:])
        names.append(path.stem)
        conditions.append(halves[condition == 'right'])
        images.append(halves[condition == 'left'])
    return checked(Pairs(tuple(names), tuple(conditions), tuple(images)))


def two_folders(conditions: str | Path, images: str | Path) -> Pairs:
    """Reads pairs from two folders, matched by the names of the files without suffix.

    Raises:
        InputError: a folder without pictures, a picture without partner (all are named), one that cannot be read,
            partners of different size, or conditions with different numbers of channels.
    """
    left, right = ({path.stem: path for path in pictures(folder)} for folder in (conditions, images))
    lonely = [path.name for stem, path in left.items() if stem not in right]
    missing = [path.name for stem, path in right.items() if stem not in left]
    if lonely or missing:
        sides = ((lonely, conditions, images), (missing, images, conditions))
        told = '; '.join(f'{_some(names)} of {here} not in {there}' for names, here, there in sides if names)
        raise checks.InputError(f'pairs: {told}. Expected files of the same name but for the suffix; remove the others')
    result = Pairs(
        names=tuple(left),
        conditions=tuple(io.read(path) for path in left.values()),
        images=tuple(io.read(right[stem], channels=3) for stem in left),
    )
    for (stem, path), condition, image in zip(left.items(), result.conditions, result.images):
        if condition.shape[:2] != image.shape[:2]:
            raise checks.InputError(
                f'pair {stem}: {path} has {condition.shape[1]} x {condition.shape[0]} pixels, {right[stem]} '
                f'{image.shape[1]} x {image.shape[0]}, expected the same; resize one of them'
            )
    return checked(result)


def facades(data_dir: str | Path, split: str = 'train') -> Pairs:
    """Reads one split of the CMP facades as released by Isola et al. 2017: labels are the condition, on the right.

    Source: Tyleček and Šára 2013.

    Args:
        data_dir: the folder with `train/`, `val/` and, in the full set, `test/`.
        split: 'train', 'val' or 'test'.

    Raises:
        InputError: see `side_by_side`; a file that is not 512 x 256 pixels, as all of the release are.
    """
    checks.one_of('split', split, frames_lib.SPLITS)
    folder = Path(data_dir) / split
    for path in pictures(folder):
        info = io.probe(path)
        if (info.width, info.height) != (512, 256):
            raise checks.InputError(
                f'{path}: {info.width} x {info.height} pixels, expected 512 x 256 as in the CMP facades; '
                'check what the folder holds, or read other pairs with side_by_side'
            )
    return side_by_side(folder, condition='right')


def pictures(folder: str | Path) -> list[Path]:
    """The PNG and JPEG files of a folder, numbers in their names in order of value (2 before 10).

    Raises:
        InputError: no such folder, no pictures in it, or two of the same name but for the suffix.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise checks.InputError(f'{folder}: no such folder, expected one with PNG or JPEG files')
    found = in_order([path for path in folder.iterdir() if path.suffix in frames_lib.IMAGE_SUFFIXES])
    if not found:
        raise checks.InputError(f'{folder}: no pictures, expected PNG or JPEG files')
    for before, path in itertools.pairwise(found):
        if before.stem == path.stem:
            raise checks.InputError(f'{folder}: both {before.name} and {path.name}, expected one of them; remove one')
    return found


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Paths sorted by name, whole numbers in the names by value."""

    def key(path: Path) -> tuple[list[tuple[bool, int | str]], str]:
        parts = re.split('([0-9]+)', path.stem)
        return [(part.isdigit(), int(part) if part.isdigit() else part) for part in parts], path.suffix

    return sorted(paths, key=key)


def checked(pairs: Pairs) -> Pairs:
    """The pairs, if they are as `Pairs` says.

    Raises:
        InputError: none, wrong types or shapes, partners of different size, or different numbers of channels.
    """
    if not pairs.names or len({len(part) for part in pairs}) != 1:
        raise checks.InputError(
            f'pairs: {len(pairs.names)} names, {len(pairs.conditions)} conditions and {len(pairs.images)} images, '
            'expected as many of each and at least one'
        )
    channels = pairs.conditions[0].shape[-1]
    for name, condition, image in zip(*pairs):
        for what, array in (('condition', condition), ('image', image)):
            if array.dtype != np.uint8:
                raise checks.InputError(f'{what} of {name}: got dtype {array.dtype}, expected uint8')
        sizes = checks.shape(f'condition of {name}', condition, 'h w c')
        checks.shape(f'image of {name}', image, 'h w 3', 'It must match its condition', sizes=sizes)
        if sizes['c'] != channels:
            raise checks.InputError(
                f'condition of {name}: {sizes["c"]} channels where {pairs.names[0]} has {channels}, expected the same '
                'for all; convert the files to one kind (gray, colour, or colour with alpha)'
            )
    return pairs


def resize(image: np.ndarray, size: tuple[int, int], *, labels: bool = False) -> np.ndarray:
    """Resizes a picture: shrinking takes means over areas, enlarging is bicubic, labels keep their nearest value.

    Args:
        image: uint8 `[h w c]`, any c; channels do not mix (no alpha).
        size: (width, height) of the result.
        labels: values name classes, so that no new ones may arise.

    Returns:
        uint8 `[height width c]`.
    """
    width, height = size
    if (height, width) == image.shape[:2]:
        return image
    if not labels and width <= image.shape[1] and height <= image.shape[0]:
        return resample.resize(image, width, height, straight_alpha=False)
    kind = Image.Resampling.NEAREST if labels else Image.Resampling.BICUBIC
    planes = [Image.fromarray(np.ascontiguousarray(plane)).resize(size, kind) for plane in np.moveaxis(image, -1, 0)]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _some(names: list[str]) -> str:
    return ', '.join(names[:5]) + (f' and {len(names) - 5} more' if len(names) > 5 else '')
