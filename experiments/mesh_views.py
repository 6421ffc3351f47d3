"""What experiments with meshes share: the table of held-out views, what it compares with, a page, and turntables."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import app
from neurend.data.posed import PosedImages, composite
from neurend.geometry import paths, poses
from neurend.geometry.cameras import Camera
from neurend.images import io, metrics, show, video
from neurend.models.method import Method
from neurend.models.state import State
from neurend.render.rendering import Rendering
from neurend.train import evaluate as evaluation
from neurend.viewer import page

DrawFn = Callable[[Camera], Rendering]
_SHOWN = ('truth', 'prediction', 'error')


def report(
    folder: Path,
    method: Method,
    state: State,
    examples: Sequence[Any],
    *,
    draw: DrawFn,
    train: PosedImages,
    test: PosedImages,
    title: str,
    protocol: Mapping[str, Any],
    frames: int,
    guesses: Mapping[str, dict[str, float]] | None = None,
) -> evaluation.Table:
    """Evaluates all held-out views, prints the table, and writes it with pictures of the first, middle and last.

    Table and pictures go to `evaluation_test/` in the folder; the folder gets `page.html`, to open in a browser, with
    the same and a turntable to drag, and `turntable.mp4`.

    Args:
        folder: exists.
        method, state: of what was learned.
        examples: the held-out views as the method's `evaluate` takes them.
        draw: draws what was learned.
        train, test: see `baselines`.
        title: of the page.
        protocol: see `evaluation.evaluate`.
        frames: of the turntable; 0 for none.
        guesses: mean metrics of other methods by name, for the table.
    """
    shown = {examples[k].name for k in np.linspace(0, len(examples) - 1, min(3, len(examples))).round().astype(int)}
    views: list[page.View] = []

    def each(name: str, values: dict[str, float], pictures: dict[str, np.ndarray]) -> None:
        if name in shown:
            views.append(page.View(name, pictures, values))

    table = evaluation.evaluate(method, state, examples, protocol=protocol, each=each)
    table = dataclasses.replace(table, baselines={**baselines(draw, test, train), **(guesses or {})})
    table.write(folder / 'evaluation_test')
    for view in views:
        row, label = [view.pictures[kind] for kind in _SHOWN], f'{view.name}   {view.metrics["psnr"]:.2f} dB'
        sheet = show.contact_sheet([row], columns=_SHOWN, labels=[label])
        io.write(folder / 'evaluation_test' / f'{view.name.replace("/", "_")}.png', sheet)
    print(table.text(), end='')
    around = list(turntable(draw, train, frames)) if frames else []
    rows, details = {**table.rows, **table.baselines}, table.protocol
    page.write(
        folder / 'page.html', title=title, views=views, metrics=table.mean, rows=rows, orbit=around, details=details
    )
    app.say(str(folder / 'page.html'))
    if frames:
        video.write(folder / 'turntable.mp4', around, fps=30)
        app.say(str(folder / 'turntable.mp4'))
    return table


def baselines(draw: DrawFn, test: PosedImages, train: PosedImages) -> dict[str, dict[str, float]]:
    """Mean 'psnr' of the nearest training photograph, and of the outline in the mean colour of training photographs.

    Where there are masks also 'psnr_masked', the photographs as they were taken, and that of their mean.

    Args:
        draw: draws what was learned, of whose opacity the outline is.
        test: held-out views.
        train: the others, on white where they are transparent.
    """
    centers = np.asarray(train.cameras.world_from_camera)[:, :3, 3]
    inside = [image[image[..., 3] == 255][:, :3] for image in train.images if image.shape[-1] == 4]
    mean = np.concatenate(inside).mean(0, dtype=np.float64) / 255 if inside else None
    average = np.mean([image[..., :3] for image in train.images], axis=0) / 255 if test.masks else None
    found: dict[str, dict[str, list[float]]] = {}

    def compare(name: str, metric: str, guess: Any, truth: Any, mask: Any = None) -> None:
        weight = None if mask is None else jnp.asarray(mask > 0, jnp.float32)
        value = float(metrics.psnr(jnp.asarray(guess, jnp.float32), jnp.asarray(truth, jnp.float32), weight))
        found.setdefault(name, {}).setdefault(metric, []).append(value)

    for k in range(len(test)):
        camera, truth = test.camera(k), composite(test.images[k], 1.0)
        near = np.argmin(np.linalg.norm(centers - np.asarray(camera.world_from_camera)[:3, 3], axis=-1))
        compare('nearest photograph', 'psnr', composite(train.images[near], 1.0), truth)
        if test.masks is not None:
            for name, guess in (
                ('nearest photograph', train.images[near][..., :3] / 255),
                ('mean photograph', average),
            ):
                compare(name, 'psnr_masked', guess, truth, test.masks[k])
        if mean is not None:
            alpha = np.asarray(draw(jax.tree.map(jnp.asarray, camera)).alpha)[..., None]
            compare('mean colour', 'psnr', alpha * mean + 1 - alpha, truth)
    return {name: {metric: float(np.mean(v)) for metric, v in values.items()} for name, values in found.items()}


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
