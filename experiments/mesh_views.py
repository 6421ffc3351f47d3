"""What experiments with meshes share: the table of held-out views, what it compares with, and turntables."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend.data.posed import PosedImages, composite
from neurend.geometry import paths, poses
from neurend.geometry.cameras import Camera
from neurend.images import io, metrics, show
from neurend.models.method import Method
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.train import evaluate as evaluation

DrawFn = Callable[[Camera], Rendering]
_SHOWN = ('truth', 'prediction', 'error')


def report(
    folder: Path,
    method: Method,
    state: State,
    examples: Sequence[Any],
    *,
    protocol: Mapping[str, Any],
    baselines: Mapping[str, dict[str, float]],
) -> evaluation.Table:
    """Evaluates all held-out views, prints the table, and writes it with pictures of the first, middle and last."""
    shown = {examples[k].name for k in np.linspace(0, len(examples) - 1, min(3, len(examples))).round().astype(int)}
    sheets = {}

    def each(name: str, values: dict[str, float], pictures: dict[str, np.ndarray]) -> None:
        if name in shown:
            row, label = [pictures[kind] for kind in _SHOWN], f'{name}   {values["psnr"]:.2f} dB'
            sheets[name.replace('/', '_')] = show.contact_sheet([row], columns=_SHOWN, labels=[label])

    table = evaluation.evaluate(method, state, examples, protocol=protocol, each=each)
    table = dataclasses.replace(table, baselines=dict(baselines))
    table.write(folder)
    for name, sheet in sheets.items():
        io.write(folder / f'{name}.png', sheet)
    print(table.text(), end='')
    return table


def baselines(draw: DrawFn, test: PosedImages, train: PosedImages) -> dict[str, dict[str, float]]:
    """Mean 'psnr' of the nearest training photograph, and of the outline in the mean colour of training photographs.

    Args:
        draw: draws what was learned, of whose opacity the outline is.
        test: held-out views.
        train: the others, on white where they are transparent.
    """
    centers = np.asarray(train.cameras.world_from_camera)[:, :3, 3]
    images = [composite(image, 1.0) for image in train.images]
    inside = np.concatenate([image[image[..., 3] == 255][:, :3] for image in train.images if image.shape[-1] == 4])
    mean = inside.mean(0, dtype=np.float64).astype(np.float32) / 255 if len(inside) else None
    found: dict[str, list[float]] = {}
    for k in range(len(test)):
        camera, truth = test.camera(k), composite(test.images[k], 1.0)
        near = np.argmin(np.linalg.norm(centers - np.asarray(camera.world_from_camera)[:3, 3], axis=-1))
        guesses = {'nearest photograph': images[near]}
        if mean is not None:
            alpha = np.asarray(draw(jax.tree.map(jnp.asarray, camera)).alpha)[..., None]
            guesses['mean colour'] = alpha * mean + 1 - alpha
        for name, guess in guesses.items():
            found.setdefault(name, []).append(float(metrics.psnr(jnp.asarray(guess), jnp.asarray(truth))))
    return {name: {'psnr': float(np.mean(values))} for name, values in found.items()}


def turntable(draw: DrawFn, train: PosedImages, frames: int) -> Iterator[np.ndarray]:
    """Pictures from a circle about what the training cameras look at, at their median height."""
    given = jnp.asarray(train.cameras.world_from_camera)
    center, up = poses.focus_point(given), -jnp.mean(given[:, :3, 1], axis=0)
    up = up / jnp.linalg.norm(up)
    offsets = np.asarray(given[:, :3, 3] - center[None])
    distances = np.linalg.norm(offsets, axis=-1)
    elevation = float(np.median(np.arcsin(offsets @ np.asarray(up) / distances)))
    way = paths.orbit(frames, radius=float(np.median(distances)), elevation=elevation, center=center, up=up)
    camera = jax.tree.map(jnp.asarray, train.camera(0))
    for pose in way:
        yield np.clip(np.asarray(draw(dataclasses.replace(camera, world_from_camera=pose)).rgb), 0, 1)
