"""`read`: posed images from a folder in any of the supported formats."""

from pathlib import Path
from typing import Any

from neurend import checks
from neurend.data import (
    colmap_scenes,
    deepvoxels,
    frames,
    llff,
    nerfstudio,
    posed,
    transforms_json,
)

FORMATS = ('blender', 'llff', 'colmap', 'nerfstudio', 'deepvoxels', 'srn')


def read(
    data_dir: str | Path,
    *,
    format: str = 'auto',
    split: str = 'train',
    factor: int = 1,
    near: float | None = None,
    far: float | None = None,
    capture: str = 'auto',
    test_every: int = 8,
    hold_val: bool = False,
) -> posed.PosedImages:
    """Reads the posed images of one split.

    Blender and DeepVoxels folders say themselves which images test; of captures that do not, every `test_every`-th
    image from the first is for testing. All splits of a scene share one frame, see `PosedImages.scene_from_source`.

    Args:
        data_dir: the scene's folder.
        format: one of `FORMATS`, or 'auto' to tell by the files in the folder. 'nerfstudio' includes instant-ngp.
        split: 'train', 'val' or 'test'.
        factor: whole number by which images are smaller than the metadata says; copies in `images_<factor>/` are used.
        near, far: instead of those that the reader derives, in scene units.
        capture: 'inward', 'forward' or 'auto': how to normalise captures, see `normalize`.
        test_every: of captures without splits; 0 leaves all images to train.
        hold_val: whether such captures give up further train images for a val split.

    Raises:
        InputError: whatever is wrong with the folder, in one message.

    >>> images = read('../shared/data/nerf_synthetic/chair', split='train')   # doctest: +SKIP
    """
    folder = Path(data_dir)
    checks.one_of('format', format, ('auto', *FORMATS))
    checks.one_of('split', split, frames.SPLITS)
    if not folder.is_dir():
        raise checks.InputError(f'data_dir {folder}: no such folder, expected a scene in one of {", ".join(FORMATS)}')
    if format == 'auto':
        format = detect(folder)
    common: dict[str, Any] = {'split': split, 'factor': factor, 'near': near, 'far': far}
    if format == 'blender':
        return transforms_json.read_blender(folder, **common)
    held = {'test_every': test_every, 'hold_val': hold_val}
    if format in ('deepvoxels', 'srn'):
        return deepvoxels.read(folder, **common, **held)
    reader = {'llff': llff.read, 'colmap': colmap_scenes.read, 'nerfstudio': nerfstudio.read}[format]
    return reader(folder, **common, **held, capture=capture)


def detect(folder: Path) -> str:
    """The format of a scene's folder, from the names of its files.

    Raises:
        InputError: none of the formats; the message lists what they are known by.
    """
    if any(folder.glob('transforms_*.json')):
        return 'blender'
    if (folder / 'transforms.json').exists():
        return 'nerfstudio'
    if (folder / 'poses_bounds.npy').exists():
        return 'llff'
    if colmap_scenes.model_folder(folder) is not None:
        return 'colmap'
    for candidate in (folder, *(folder / name for name in ('train', 'validation', 'val', 'test'))):
        if (candidate / 'intrinsics.txt').exists():
            return 'deepvoxels'
    raise checks.InputError(
        f'{folder}: none of the known formats, expected transforms_train.json (Blender), transforms.json (nerfstudio, '
        'instant-ngp), poses_bounds.npy (LLFF), sparse/0/cameras.bin (COLMAP) or intrinsics.txt (DeepVoxels, SRN); '
        'make a scene from photographs with experiments/prepare_data.py'
    )
