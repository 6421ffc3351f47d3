"""How programs read posed photographs: the flags of a capture, and the embedded scene where none is given."""

import dataclasses
from pathlib import Path
from typing import Literal

from neurend.data import scenes, synthetic
from neurend.data.posed import PosedImages


@dataclasses.dataclass(frozen=True)
class CaptureConfig:
    """How a folder with posed photographs is read.

    Attributes:
        format: of data_dir; auto tells by its files.
        factor: whole number by which images are reduced.
        capture: how captures without a frame of their own were taken.
        test_every: of captures without splits, every so many images test.
        near: nearest t with content, in scene units, instead of what the reader derives.
        far: farthest.
    """

    format: Literal['auto', 'blender', 'llff', 'colmap', 'nerfstudio', 'deepvoxels', 'srn'] = 'auto'
    factor: int = 1
    capture: Literal['auto', 'inward', 'forward'] = 'auto'
    test_every: int = 8
    near: float | None = None
    far: float | None = None


@dataclasses.dataclass(frozen=True)
class ObjectConfig(CaptureConfig):
    """How photographs of an object are read, and what of them is learned.

    Attributes:
        masks: of the object, where there are some: ignore them but for a visual hull, or take what is off them for
            nothing.
    """

    masks: Literal['ignore', 'background'] = 'ignore'


def folder_of(data_dir: str, workdir: str) -> str:
    """The folder with the photographs; if none is given the embedded scene, which is written to the workdir first."""
    return data_dir or str(synthetic.write_scene(Path(workdir) / 'scene'))


def read(config: CaptureConfig, folder: str, split: str) -> PosedImages:
    """The photographs of one split.

    Raises:
        InputError: they cannot be read.
    """
    return scenes.read(
        folder,
        format=config.format,
        split=split,
        factor=config.factor,
        near=config.near,
        far=config.far,
        capture=config.capture,
        test_every=config.test_every,
    )
