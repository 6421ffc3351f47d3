"""Categories in folders of Scene Representation Networks: `<split>/<instance>/` with `rgb/`, `pose/`, `intrinsics.txt`.

What an instance's folder holds: `neurend.data.deepvoxels`. The folder of a split is named like it, or ends so, as the
authors' `cars_train` (Sitzmann et al. 2019b).
"""

import shutil
from pathlib import Path

from neurend import checks
from neurend.data import categories, deepvoxels
from neurend.data import frames as frames_lib

_ENDINGS = {'train': ('train',), 'val': ('val', 'validation'), 'test': ('test',)}


def read(
    folder: str | Path,
    *,
    split: str = 'train',
    views: int | None = None,
    limit: int | None = None,
    factor: int = 1,
    test_every: int = 8,
    hold_val: bool = False,
) -> categories.Category:
    """Reads the instances of one split, each centred on its box.

    Args:
        folder: holds the folders of the splits; or instances, which `frames.holdout` then splits.
        split: which of them.
        views: of each instance, evenly spaced; all if not given, which asks for as many of each.
        limit: at most how many instances to read, the first by name; all if not given.
        factor: integer by which pictures are reduced.
        test_every, hold_val: see `frames.holdout`.

    Raises:
        InputError: no such folder, no instances, as for `deepvoxels.read` and `categories.gather`; pictures that are
            not square, or an instance that is a link out of the folder.
    """
    folder = Path(folder)
    checks.one_of('split', split, frames_lib.SPLITS)
    if not folder.is_dir():
        raise checks.InputError(f'{folder}: no such folder, expected one with the folders of splits or of instances')
    own = _split_folder(folder, split)
    found = _instances(folder if own is None else own)
    if own is None:
        held = {'test_every': test_every, 'hold_val': hold_val, 'what': str(folder)}
        found = [found[k] for k in frames_lib.holdout(len(found), split, **held)]
    if not found:
        raise checks.InputError(
            f'{folder if own is None else own}: no instances in split {split!r}, expected folders with intrinsics.txt'
        )
    if limit is not None and limit < 1:
        raise checks.InputError(f'limit: got {limit} instances, expected at least 1')
    scenes, scale = {}, 0.0
    for path in found[:limit]:
        images, side = deepvoxels.read_object(path, factor=factor)
        height, width = images.images[0].shape[:2]
        if height != width:
            raise checks.InputError(f'{path}: pictures of {width}x{height} pixels, expected square ones; crop them')
        scenes[path.name], scale = images, max(scale, side)
    return categories.gather(scenes, scale=scale, views=views)


def write(folder: str | Path, category: categories.Category, *, split: str) -> Path:
    """Writes a category as one split, whole or not at all, for SRN's own code and for `read`.

    Args:
        folder: of the whole data set; the split's folder in it must not exist.
        category: what to write, of square pictures.
        split: 'train', 'val' or 'test'.

    Returns:
        The split's folder.

    Raises:
        InputError: it exists; a name of an instance that is no name of a folder; as for `deepvoxels.write`.
    """
    checks.one_of('split', split, frames_lib.SPLITS)
    target = Path(folder) / split
    if target.exists():
        raise checks.InputError(f'{target}: exists, expected a new folder; choose another or remove this one')
    building = target.with_name(f'.{split}.part')
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        for index, name in enumerate(category.names):
            path = checks.inside(building, name)
            if path.parent != building.resolve() or name.startswith('.'):
                raise checks.InputError(f'names: got {name!r}, expected the name of a folder; rename the instance')
            deepvoxels.write(path, category.instance(index), scale=category.scale)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _split_folder(folder: Path, split: str) -> Path | None:
    """The folder of a split; None where there are none of any split, so that instances lie in the folder itself."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not (path / 'intrinsics.txt').exists())
    of_split = {key: [name for name in names if _is_split(name, endings)] for key, endings in _ENDINGS.items()}
    if not any(of_split.values()):
        return None
    if len(of_split[split]) != 1:
        raise checks.InputError(
            f'{folder}: {len(of_split[split])} folders of split {split!r} among {", ".join(names)}, expected one'
        )
    return checks.inside(folder, of_split[split][0])


def _is_split(name: str, endings: tuple[str, ...]) -> bool:
    """`val`, `cars_val`; not `cars_train_val`, which holds other views of the train instances."""
    before, _, last = name.rpartition('_')
    return last in endings and not before.endswith('train')


def _instances(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if (path / 'intrinsics.txt').exists())
    return [checks.inside(folder, path.name) for path in found]
