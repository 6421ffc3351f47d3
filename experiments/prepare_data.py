"""Turns a folder of photographs, or a video, into a scene that the radiance fields train on.

    python -m experiments.prepare_data --source=photos/ --output=scenes/mine
    python -m experiments.prepare_data --source=walk.mp4 --output=scenes/mine --fps=3

COLMAP (the extra `capture`) finds features, matches them, and solves for cameras and points; photographs are
undistorted, so that every camera is a pinhole, and copied at smaller sizes to `images_2/`, ... `report.txt` and
`report.json` say how many photographs registered and which did not. Then train with --data_dir=scenes/mine.
"""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from neurend import app, checks
from neurend.data import scenes
from neurend.images import io, resample, video

VIDEOS = ('.mp4', '.mov', '.avi', '.mkv', '.webm', '.m4v')
PHOTOS = ('.jpg', '.jpeg', '.png')


@dataclasses.dataclass(frozen=True)
class Config:
    """One capture to reconstruct.

    Attributes:
        source: folder of photographs, or a video.
        output: folder of the scene, which must not exist.
        masks: folder of object masks, white on the object, named like the photographs: features elsewhere are ignored
            (needed where the object turns before a resting background), and the scene gets masks.
        fps: of a video, how many frames a second to keep: the sharpest of each stretch.
        camera_model: lens model that COLMAP fits before undistortion. The more parameters, the more pictures it takes:
            OPENCV wants dozens of sharp ones. OPENCV_FISHEYE is for very wide lenses.
        shared_camera: all pictures come from one camera with one focal length (no zooming).
        focal: its focal length in pixels, if it is known; 0 to start from EXIF data or a guess and refine that, which
            an orbit around one object may leave undetermined.
        matcher: exhaustive compares all pairs, sequential neighbours only; auto is sequential for videos.
        max_size: longer side, in pixels, at which features are found.
        max_features: per picture.
        factors: reductions of which copies are written.
        seed: of COLMAP's random sampling.
    """

    source: str = ''
    output: str = ''
    masks: str = ''
    fps: float = 2.0
    camera_model: Literal['SIMPLE_RADIAL', 'PINHOLE', 'RADIAL', 'OPENCV', 'OPENCV_FISHEYE'] = 'SIMPLE_RADIAL'
    shared_camera: bool = True
    focal: float = 0.0
    matcher: Literal['auto', 'exhaustive', 'sequential'] = 'auto'
    max_size: int = 2000
    max_features: int = 8192
    factors: tuple[int, ...] = (2, 4, 8)
    seed: int = 0


def main(config: Config) -> None:
    """Makes the scene; it appears whole or not at all."""
    source, output = Path(config.source), Path(config.output)
    if not config.source or not source.exists():
        raise checks.InputError(f'--source: got {config.source!r}, expected a folder of photographs or a video')
    if not config.output or output.exists():
        raise checks.InputError(f'--output: got {config.output!r}, expected a folder that does not exist yet')
    if any(factor < 2 for factor in config.factors):
        raise checks.InputError(f'--factors: got {config.factors}, expected whole numbers from 2')
    pycolmap = _pycolmap()
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f'.{output.name}.', dir=output.parent))
    try:
        is_video = source.is_file()
        photos = work / 'photos'
        photos.mkdir()
        sizes, unreadable = _gather(source, photos, config.fps)
        app.say(f'{len(sizes)} pictures' + (f', {len(unreadable)} cannot be read' if unreadable else ''))
        if config.masks:
            _gather_masks(Path(config.masks), work / 'masks', sizes)
        models = _reconstruct(pycolmap, config, work, sizes, is_video)
        model = max(models, key=lambda found: found.num_reg_images())
        scene = work / 'scene'
        _undistort(pycolmap, model, photos, work, scene)
        if config.masks:
            _undistort_masks(pycolmap, model, work, scene)
        for factor in config.factors:
            _reduced(scene / 'images', factor)
            if config.masks:
                _reduced(scene / 'masks', factor)
        report = _report(config, sizes, unreadable, models, model)
        images = scenes.read(scene, format='colmap', test_every=0)
        report.update(near=images.near, far=images.far, forward_facing=images.forward_facing)
        (scene / 'report.json').write_text(json.dumps(report, indent=1) + '\n')
        (scene / 'report.txt').write_text(_text(report))
        scene.rename(output)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(_text(report), end='')


def _pycolmap() -> ModuleType:
    try:
        import pycolmap
    except ImportError as error:
        raise checks.InputError(
            "prepare_data: needs pycolmap, which is not installed. Install it with: pip install 'neurend[capture]'"
        ) from error
    return pycolmap


def _gather(source: Path, folder: Path, fps: float) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Copies the pictures, upright, to a folder; their sizes by name, and the names of those that cannot be read."""
    sizes: dict[str, tuple[int, int]] = {}
    if source.is_file():
        if source.suffix.lower() not in VIDEOS:
            raise checks.InputError(f'--source: {source} is no video ({", ".join(VIDEOS)}) and no folder')
        for i, frame in enumerate(_sharpest(source, fps)):
            io.write(folder / f'frame_{i:05d}.png', frame)
            sizes[f'frame_{i:05d}.png'] = frame.shape[1::-1]
        return sizes, []
    unreadable = []
    for path in sorted(path for path in source.iterdir() if path.suffix.lower() in PHOTOS):
        try:
            orientation = io.probe(path).orientation
            image = io.read(path, upright=True)
        except checks.InputError as error:
            app.say(f'left out: {error}')
            unreadable.append(path.name)
            continue
        sizes[path.name] = image.shape[1::-1]
        # COLMAP guesses the focal length from the EXIF data of the original, so keep it where it is upright.
        if orientation == 1:
            shutil.copyfile(path, folder / path.name)
        else:
            io.write(folder / path.name, image)
    if len(sizes) < 3:
        raise checks.InputError(f'{source}: {len(sizes)} pictures that can be read, expected at least 3, better 30')
    return sizes, unreadable


def _gather_masks(source: Path, folder: Path, sizes: dict[str, tuple[int, int]]) -> None:
    """Copies the masks to where COLMAP and the reader of scenes look for them."""
    if not source.is_dir():
        raise checks.InputError(f'--masks: {source} is no folder')
    folder.mkdir()
    by_stem = {path.stem: path for path in source.iterdir() if path.suffix.lower() in PHOTOS}
    for name, size in sizes.items():
        path = by_stem.get(name) or by_stem.get(Path(name).stem)
        if path is None:
            raise checks.InputError(f'--masks: {source} has none for {name}, expected {Path(name).stem}.png')
        mask = io.read(path, channels=1, upright=True)
        if mask.shape[1::-1] != size:
            raise checks.InputError(f'mask {path}: {mask.shape[1::-1]} pixels, expected {size} like its photograph')
        io.write(folder / f'{name}.png', mask)


def _sharpest(path: Path, fps: float) -> Iterator[np.ndarray]:
    """The frame with the strongest second differences of each stretch of 1/fps seconds."""
    if fps <= 0:
        raise checks.InputError(f'--fps: got {fps}, expected more than 0')
    stretch = max(round(video.frame_rate(path) / fps), 1)
    best: tuple[float, np.ndarray] | None = None
    for i, frame in enumerate(video.read(path)):
        gray = frame.mean(-1, dtype=np.float32)
        sharpness = float(
            np.var(4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:])
        )
        if best is None or sharpness > best[0]:
            best = (sharpness, frame)
        if i % stretch == stretch - 1:
            yield best[1]
            best = None
    if best is not None:
        yield best[1]


def _reconstruct(
    pycolmap: ModuleType, config: Config, work: Path, sizes: dict[str, tuple[int, int]], is_video: bool
) -> list[Any]:
    database, photos = work / 'database.db', work / 'photos'
    pycolmap.set_random_seed(config.seed)
    pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value
    one_camera = config.shared_camera and len(set(sizes.values())) == 1
    app.say('finding features')
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = config.max_size
    extraction.sift.max_num_features = config.max_features
    pycolmap.extract_features(
        database,
        photos,
        camera_mode=pycolmap.CameraMode.SINGLE if one_camera else pycolmap.CameraMode.AUTO,
        reader_options=_reading(pycolmap, config, next(iter(sizes.values())), one_camera, work / 'masks'),
        extraction_options=extraction,
    )
    sequential = config.matcher == 'sequential' or (config.matcher == 'auto' and is_video)
    app.say(f'matching, {"sequential" if sequential else "exhaustive"}')
    (pycolmap.match_sequential if sequential else pycolmap.match_exhaustive)(database)
    app.say('mapping')
    options = pycolmap.IncrementalPipelineOptions(min_model_size=3, random_seed=config.seed)
    options.ba_refine_focal_length = not config.focal
    (work / 'models').mkdir()
    models = list(pycolmap.incremental_mapping(database, photos, work / 'models', options).values())
    if not models:
        raise checks.InputError(
            f'{config.source}: no picture registered; take more of them, with more overlap, texture and light'
        )
    return models


def _reading(pycolmap: ModuleType, config: Config, size: tuple[int, int], one_camera: bool, masks: Path) -> Any:
    options = pycolmap.ImageReaderOptions(camera_model=config.camera_model)
    if config.masks:
        options.mask_path = masks
    if config.focal:
        if config.focal < 0 or not one_camera:
            raise checks.InputError(
                f'--focal: got {config.focal}, expected a positive length of the one camera that all pictures share; '
                'leave it out where sizes differ'
            )
        width, height = size
        camera = pycolmap.Camera.create_from_model_name(0, config.camera_model, config.focal, width, height)
        options.camera_params = ','.join(map(str, camera.params))
    return options


def _undistort(pycolmap: ModuleType, model: Any, photos: Path, work: Path, scene: Path) -> None:
    app.say('undistorting')
    (work / 'best').mkdir()
    model.write_binary(str(work / 'best'))
    undistorted = work / 'undistorted'
    pycolmap.undistort_images(undistorted, work / 'best', photos, jpeg_quality=95)
    scene.mkdir()
    (scene / 'sparse').mkdir()
    (undistorted / 'images').rename(scene / 'images')
    (undistorted / 'sparse').rename(scene / 'sparse' / '0')


def _undistort_masks(pycolmap: ModuleType, model: Any, work: Path, scene: Path) -> None:
    pictures, undistorted = work / 'mask_pictures', work / 'undistorted_masks'
    pictures.mkdir()
    # COLMAP looks for them under the names of the photographs.
    for name in (model.image(i).name for i in model.reg_image_ids()):
        mask = io.read(work / 'masks' / f'{name}.png', channels=1)
        (pictures / name).write_bytes(io.encode_png(np.repeat(mask, 3, axis=-1)))
    pycolmap.undistort_images(undistorted, work / 'best', pictures, jpeg_quality=100)
    (scene / 'masks').mkdir()
    for path in sorted((undistorted / 'images').iterdir()):
        io.write(scene / 'masks' / f'{path.name}.png', io.read(path, channels=1))


def _reduced(source: Path, factor: int) -> None:
    folder = source.with_name(f'{source.name}_{factor}')
    folder.mkdir()
    for path in sorted(source.iterdir()):
        image = io.read(path)
        width, height = (max(round(length / factor), 1) for length in image.shape[1::-1])
        io.write(folder / path.name, resample.resize(image, width, height))


def _report(
    config: Config, sizes: dict[str, tuple[int, int]], unreadable: list[str], models: list[Any], model: Any
) -> dict[str, Any]:
    registered = {model.image(i).name for i in model.reg_image_ids()}
    cameras = sorted({(camera.model.name, *(round(p, 4) for p in camera.params)) for camera in model.cameras.values()})
    return {
        'source': config.source,
        'pictures': len(sizes) + len(unreadable),
        'registered': len(registered),
        'not_registered': sorted(set(sizes) - registered),
        'unreadable': unreadable,
        'models': sorted((found.num_reg_images() for found in models), reverse=True),
        'points': model.num_points3D(),
        'mean_reprojection_error_pixels': round(model.compute_mean_reprojection_error(), 4),
        'mean_track_length': round(model.compute_mean_track_length(), 2),
        'cameras_before_undistortion': [list(camera) for camera in cameras],
        'reduced_copies': list(config.factors),
    }


def _text(report: dict[str, Any]) -> str:
    lines = [
        f'registered: {report["registered"]} of {report["pictures"]} pictures',
        f'points: {report["points"]}, seen by {report["mean_track_length"]} pictures each, '
        f'reprojection error {report["mean_reprojection_error_pixels"]} pixels',
        f'near, far: {report["near"]:.3f}, {report["far"]:.3f}'
        + (', forward-facing' if report['forward_facing'] else ', inward'),
    ]
    if report['not_registered']:
        lines.append('not registered: ' + ', '.join(report['not_registered']))
    if report['unreadable']:
        lines.append('unreadable: ' + ', '.join(report['unreadable']))
    if len(report['models']) > 1:
        lines.append(
            f'the pictures fell into {len(report["models"])} parts of {report["models"]}; the largest was kept'
        )
    if report['registered'] < 0.8 * report['pictures']:
        lines.append('many pictures did not register: take more between those that did, avoid blur and glossy surfaces')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    app.run(main, Config)
