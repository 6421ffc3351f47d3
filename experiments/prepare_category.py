"""Writes folders that DeepVoxels and Scene Representation Networks, the authors' too, train on.

    python -m experiments.prepare_category --output=out/figures
    python -m experiments.prepare_category --kind=heads --faces=ict_face/ict_face.npz --output=out/heads
    python -m experiments.prepare_category --kind=scene --data_dir=spot_views --scale=2.2 --output=out/spot

`figures` (of Shepard and Metzler) and `heads` become a category, `<output>/<split>/<instance>/`; a scene in any format
that can be read becomes DeepVoxels' `<output>/train/<name>/`, `validation`, `test`, its pictures on white.
"""

import dataclasses
from pathlib import Path
from typing import Literal

from experiments import captures, head_category
from experiments.captures import CaptureConfig
from neurend import app, checks
from neurend.data import deepvoxels, shepard_metzler, srn_folders
from neurend.data import frames as frames_lib

_VOXEL_SPLITS = {'train': 'train', 'val': 'validation', 'test': 'test'}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to write.

    Attributes:
        output: folder of the data set; the folders of splits in it must not exist.
        kind: what of.
        train: instances of a category in the split.
        val: the same.
        test: the same.
        views: of each instance.
        size: width and height of a category's pictures.
        faces: the ICT face model's `ict_face.npz`, for heads.
        data_dir: scene to convert; empty for the embedded one, which is written to the output too.
        capture: how the scene is read.
        name: of the scene's folders.
        scale: side of the cube around the origin that holds the scene.
    """

    output: str = ''
    kind: Literal['figures', 'heads', 'scene'] = 'figures'
    train: int = 100
    val: int = 0
    test: int = 20
    views: int = 15
    size: int = 64
    faces: str = ''
    data_dir: str = ''
    capture: CaptureConfig = dataclasses.field(default_factory=CaptureConfig)
    name: str = 'scene'
    scale: float = 0.0


def main(config: Config) -> None:
    """Writes the splits, each whole or not at all."""
    if not config.output:
        raise checks.InputError('--output: not given, expected the folder to write')
    if config.kind == 'heads' and not config.faces:
        raise checks.InputError('--faces: not given, expected ict_face.npz; or write --kind=figures, which need none')
    if config.kind == 'scene':
        _write_scene(config)
        return
    for split in frames_lib.SPLITS:
        count = getattr(config, split)
        if count:
            options = {'views': config.views, 'size': config.size, 'split': split}
            if config.kind == 'heads':
                category = head_category.category(config.faces, count, **options)
            else:
                category = shepard_metzler.category(count, **options)
            app.say(f'{srn_folders.write(config.output, category, split=split)}: {count} x {config.views} pictures')


def _write_scene(config: Config) -> None:
    if not config.scale > 0:
        raise checks.InputError(f'--scale: got {config.scale}, expected the side of a cube that holds the scene')
    target = checks.inside(config.output, config.name)
    if target.parent != Path(config.output).resolve():
        raise checks.InputError(f'--name: got {config.name!r}, expected the name of a folder')
    folder = captures.folder_of(config.data_dir, config.output)
    for split, into in _VOXEL_SPLITS.items():
        try:
            images = captures.read(config.capture, folder, split)
        except checks.InputError:
            if split != 'val':  # few scenes have one
                raise
            continue
        path = Path(config.output) / into / config.name
        deepvoxels.write(path, images, scale=config.scale, near=images.near)
        app.say(f'{path}: {len(images)} pictures')


if __name__ == '__main__':
    app.run(main, Config)
