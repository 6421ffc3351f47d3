"""How programs read posed photographs: the flags of a capture, the embedded scene, and what tables say of both."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from neurend.data import photographs, posed, scenes, synthetic
from neurend.data.posed import PosedImages
from neurend.models.nerf.evaluation import Example


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


def train_and_test(config: CaptureConfig, data_dir: str, workdir: str) -> tuple[PosedImages, PosedImages]:
    """The photographs to learn from and those held out, cut out by their masks where the flags say so.

    Args:
        config: how they are read.
        data_dir: their folder; empty for the embedded scene.
        workdir: where that is written.

    Raises:
        InputError: they cannot be read, or have no masks to be cut out by.
    """
    folder = folder_of(data_dir, workdir)
    train, test = (read(config, folder, split) for split in ('train', 'test'))
    if _cut_out(config):
        return posed.cut_out(train), posed.cut_out(test)
    return train, test


def examples(views: PosedImages) -> list[Example]:
    """The views as examples, with their masks."""
    masks = views.masks or [None] * len(views)
    return [Example(name, views.camera(k), views.images[k], masks[k]) for k, name in enumerate(views.names)]


def protocol(config: CaptureConfig, data_dir: str, train: PosedImages, **method: str) -> dict[str, Any]:
    """What a table of all held-out views, whole and on white, says of how it was made.

    Args:
        config: how photographs were read.
        data_dir: from where; empty for the embedded scene.
        train: those to learn from.
        **method: what was learned, and lines to follow it.
    """
    factor = config.factor
    return {
        'scene': f'{data_dir or "embedded"}, {len(train)} training views',
        **method,
        'split': 'test, all views',
        'size': '{} x {}'.format(*photographs.size_of(train)),
        'downscaling': 'none' if factor == 1 else f'means over {factor} x {factor} pixels, or copies of the data set',
        'background': 'white' + ', all that is off the masks' * _cut_out(config),
        'crop': 'none, all pixels',
    }


def _cut_out(config: CaptureConfig) -> bool:
    return isinstance(config, ObjectConfig) and config.masks == 'background'
