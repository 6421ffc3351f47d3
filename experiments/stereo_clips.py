"""What stereo magnification learns from and is tried on: clips, pairs of them, and what its pictures compare with."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import captures
from experiments.captures import CaptureConfig
from neurend.checks import InputError
from neurend.data import posed, realestate, stereo, still_lifes
from neurend.data.photographs import Photographs
from neurend.data.posed import PosedImages
from neurend.geometry import cameras as cameras_lib
from neurend.geometry.cameras import Camera
from neurend.images import metrics
from neurend.models.method import Method
from neurend.models.mpi.stereo import StereoConfig, StereoExample, swept_planes
from neurend.models.state import State
from neurend.render import planes
from neurend.scenes.planes import Planes
from neurend.typing import Array

VIEWS = 7
"""Frames of a clip, of which the fourth is the reference and the fifth the other photograph."""
GUESSES = ('reference', 'nearest', 'plane sweep')
"""What pictures are compared with: the reference, the photograph nearest to the view, and planes without a network."""
_WHITE = (1.0, 1.0, 1.0)


class Clips(NamedTuple):
    """Clips to learn from, and held-out ones by the name of their kind."""

    train: list[PosedImages]
    test: dict[str, list[PosedImages]]


def read(
    *, size: int, scenes: int, held_out: int, data_dir: str, capture: CaptureConfig, clips_dir: str, stride: int
) -> Clips:
    """Films still lifes, and reads what else there is.

    Args:
        size: width and height of frames.
        scenes: still lifes to learn from.
        held_out: still lifes, and ducks, to try it on.
        data_dir: folder of posed photographs to learn from too; empty for none.
        capture: how they are read.
        clips_dir: folder of clips in RealEstate10K's format, every fourth of which is held out; empty for none.
        stride: of their frames.

    Raises:
        InputError: something cannot be read.
    """
    train = still_lifes.clips(scenes, views=VIEWS, size=size)
    test = {
        'duck': [still_lifes.duck_clip(k, views=VIEWS, size=size) for k in range(held_out)],
        'still lifes': still_lifes.clips(held_out, views=VIEWS, size=size, split='test', shake=0.0),
    }
    if data_dir:
        given = stereo.fitted(captures.read(capture, data_dir, 'train'), size)
        if len(given) < VIEWS:
            raise InputError(f'--data_dir: {len(given)} photographs, expected at least {VIEWS}')
        train.append(given)
    if clips_dir:
        found = realestate.clips(clips_dir, size=size, frames=VIEWS, stride=stride)
        train += [clip for k, clip in enumerate(found) if k % 4]
        test['clips'] = found[::4]
    if not train:
        raise InputError('--scenes: got 0 without --data_dir and --clips_dir, expected something to learn from')
    return Clips(train, {kind: clips for kind, clips in test.items() if clips})


def pair(clip: PosedImages) -> Photographs:
    """The two photographs of a clip that a multi-plane image is made from, the reference first."""
    middle = len(clip) // 2
    chosen = clip.subset([middle, middle + 1])
    rgb = jnp.asarray(np.stack([posed.composite(image, _WHITE) for image in chosen.images]))
    return Photographs(chosen.cameras, rgb, jnp.ones((2, 3)))


def examples(clips: dict[str, list[PosedImages]]) -> list[StereoExample]:
    """All other frames of each clip, to be drawn from its pair; names end with how many baselines away they are."""
    found = []
    for kind, several in clips.items():
        for number, clip in enumerate(several):
            middle, sources = len(clip) // 2, pair(clip)
            eyes = np.asarray(clip.cameras.world_from_camera)[:, :3, 3]
            away = np.linalg.norm(eyes - eyes[middle], axis=-1)
            for k in range(len(clip)):
                if k in (middle, middle + 1):
                    continue
                side, times = 'beyond' if k > middle else 'before', round(float(away[k] / away[middle + 1]))
                name = f'{kind} {number} {side} at {times}x'
                image = np.rint(255 * posed.composite(clip.images[k], _WHITE)).astype(np.uint8)
                found.append(StereoExample(name, sources, (clip.near, clip.far), clip.camera(k), image))
    return found


def compared(method: Method, config: StereoConfig) -> Method:
    """The method, whose `evaluate` tells the PSNR of `GUESSES` too."""

    @jax.jit
    def sweep(sources: Photographs, near: Array, far: Array, camera: Camera) -> Array:
        height, width = sources.rgb.shape[1:3]
        return drawn(swept_planes(config, sources, near, far), camera, (width, height))

    def evaluate(state: State, example: StereoExample) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        values, pictures = method.evaluate(state, example)
        rgb, eyes = np.asarray(example.sources.rgb), np.asarray(example.sources.camera.world_from_camera)[:, :3, 3]
        nearest = np.argmin(np.linalg.norm(eyes - np.asarray(example.camera.world_from_camera)[:3, 3], axis=-1))
        near, far = (jnp.float32(depth) for depth in example.depths)
        swept = np.asarray(sweep(*jax.tree.map(jnp.asarray, (example.sources, near, far, example.camera))))
        truth = jnp.asarray(example.image, jnp.float32) / 255
        for name, guess in zip(GUESSES, (rgb[0], rgb[nearest], np.clip(swept, 0, 1))):
            values[name] = float(_psnr(jnp.asarray(guess, jnp.float32), truth))
        return values, {**pictures, 'reference': rgb[0], 'plane sweep': np.clip(swept, 0, 1)}

    return method._replace(evaluate=evaluate)


def drawn(made: Planes, camera: Camera, size: tuple[int, int]) -> Array:
    """What a camera sees of planes, on white: [h w 3], `size` is (width, height)."""
    rays = cameras_lib.rays(camera, cameras_lib.pixel_centers(*size))
    return planes.render(made.rgba, made.depths, made.camera, rays, background=jnp.ones(3)).rgb


def by_distance(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Means of a table's rows by their kind and how many baselines away they are."""
    groups: dict[str, list[dict[str, float]]] = {}
    for name, row in rows.items():
        kind, times = name.rsplit(' ', 4)[0], name.rsplit(' ', 1)[1]
        groups.setdefault(f'{kind} at {times}', []).append(row)
    return {
        name: {metric: float(np.mean([row[metric] for row in group])) for metric in group[0]}
        for name, group in sorted(groups.items())
    }


_psnr = jax.jit(metrics.psnr)
